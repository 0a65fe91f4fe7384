//! `audit verify --state` finds changes that a superuser makes to rows that no hash covers, and finds nothing else.

use sharewarden_simulator::Effect;
use sharewarden_testkit::stack::*;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::audit::*;

/// The end of a share: 2099-12-31T00:00:00Z.
const END: pbjson_types::Timestamp = pbjson_types::Timestamp {
    seconds: 4_102_358_400,
    nanos: 0,
};

/// The entries of [`make_history`].
const ENTRIES: u64 = 10;

/// A grant that is revoked and made again, another one, and one that AWS refuses.
async fn make_history(stack: &Stack) {
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    client.revoke_share_permission(as_tester(revoke())).await.unwrap();
    let mut ending = grant();
    ending.expire_time = Some(END);
    client.grant_share_permission(as_tester(ending)).await.unwrap();
    stack.grant_many(10, 1).await;
    let refusal = Effect::Refuse {
        code: "OperationNotSupportedException".into(),
        message: "a message".into(),
        http_status: 400,
    };
    stack.fault(UPDATE, 1, refusal);
    let refused = client.grant_share_permission(as_tester(nth_grant(11))).await;
    assert_eq!(reason(&refused.unwrap_err()), "OPERATION_NOT_SUPPORTED");
}

struct Auditor {
    server: String,
    key: String,
}

impl Auditor {
    async fn of(stack: &Stack) -> Self {
        let answer = stack.audit().await.get_checkpoint(as_tester(latest(ACCOUNT))).await;
        Self {
            server: format!("http://{}", stack.address),
            key: answer.unwrap().into_inner().verifier_keys[0].clone(),
        }
    }

    /// The exit code of `audit verify --state`, and its output.
    async fn verify(&self, output: &str) -> (Option<i32>, String, String) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_sharewarden"));
        program.args(["audit", "verify", "--state", "--account", ACCOUNT, "--key", &self.key]);
        program.args(["--principal", "auditor", "--server", &self.server, "-o", output]);
        let done = program.kill_on_drop(true).output().await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (done.status.code(), text(done.stdout), text(done.stderr))
    }
}

/// A statement, one that undoes it (empty: it stays), and what the line about the difference must contain.
type Tampering = (&'static str, &'static str, &'static [&'static str]);

const TAMPERINGS: &[Tampering] = &[
    (
        "UPDATE change SET reason = 'a lie' WHERE generation = 2",
        "UPDATE change SET reason = 'a test' WHERE generation = 2",
        &["change ", ", reason: the ledger says \"a test\", the table says \"a lie\""],
    ),
    (
        "UPDATE change SET ticket = 'T-1' WHERE generation = 2",
        "UPDATE change SET ticket = NULL WHERE generation = 2",
        &["change ", ", ticket: the ledger says \"\", the table says \"T-1\""],
    ),
    (
        "UPDATE change SET principal = 'nobody' WHERE generation = 3",
        "UPDATE change SET principal = 'tester@example.com' WHERE generation = 3",
        &["change ", "principal: the ledger says \"tester@example.com\", the table says \"nobody\""],
    ),
    (
        "UPDATE change SET state = 'SUPERSEDED' WHERE generation = 3",
        "UPDATE change SET state = 'SUCCEEDED' WHERE generation = 3",
        &["change ", "state: the ledger says \"SUCCEEDED\", the table says \"SUPERSEDED\""],
    ),
    (
        "UPDATE change SET request_id = '00000000-0000-0000-0000-000000000001' WHERE generation = 3",
        "UPDATE change SET request_id = change_id WHERE generation = 3",
        &["change ", "request_id: the ledger says", "000000000001"],
    ),
    (
        "UPDATE change SET attempts = attempts || attempts WHERE generation = 3",
        "UPDATE change SET attempts = jsonb_build_array(attempts -> 0) WHERE generation = 3",
        &["change ", "attempts: the ledger says", "UpdateWorkspaceImagePermission"],
    ),
    (
        "UPDATE change SET failure_message = 'another message' WHERE state = 'FAILED'",
        "",
        &["change ", "error_message: the ledger says", "another message"],
    ),
    (
        "UPDATE change SET created_at = created_at - interval '1 hour' WHERE generation = 2",
        "UPDATE change SET created_at = created_at + interval '1 hour' WHERE generation = 2",
        &["change ", "create_time: the ledger says"],
    ),
    (
        "INSERT INTO change SELECT (jsonb_populate_record(change, '{\"change_id\": \"00000000-0000-0000-0000-000000000002\"}')).*
         FROM change WHERE generation = 2",
        "DELETE FROM change WHERE change_id = '00000000-0000-0000-0000-000000000002'",
        &["00000000-0000-0000-0000-000000000002, row: the ledger says \"absent\", the table says \"present\""],
    ),
    (
        "UPDATE share_permission SET applied = 'NOT_SHARED' WHERE generation = 3",
        "UPDATE share_permission SET applied = 'SHARED' WHERE generation = 3",
        &["permission ", "state: the ledger says \"SHARED\", the table says \"NOT_SHARED\""],
    ),
    (
        "UPDATE change SET expire_time = '2199-12-31Z' WHERE generation = 3",
        "UPDATE change SET expire_time = '2099-12-31Z' WHERE generation = 3",
        &["change ", "expire_time: the ledger says \"2099-12-31T00:00:00Z\", the table says \"2199-12-31T00:00:00Z\""],
    ),
    (
        "UPDATE change SET previous_basis = jsonb_build_object('change_id', change_id) WHERE generation = 3",
        "UPDATE change SET previous_basis = NULL WHERE generation = 3",
        &["change ", "previous_basis_change_id: the ledger says \"\""],
    ),
    (
        "UPDATE share_permission SET expire_time = '2199-12-31Z' WHERE generation = 3",
        "UPDATE share_permission SET expire_time = '2099-12-31Z' WHERE generation = 3",
        &["permission ", "expire_time: the ledger says \"2099-12-31T00:00:00Z\", the table says \"2199-12-31T00:00:00Z\""],
    ),
    (
        "UPDATE share_permission SET expire_time = NULL WHERE generation = 3",
        "UPDATE share_permission SET expire_time = '2099-12-31Z' WHERE generation = 3",
        &["permission ", "expire_time: the ledger says \"2099-12-31T00:00:00Z\", the table says \"\""],
    ),
    (
        "UPDATE share_permission SET expire_time = NULL, basis_change_id = NULL WHERE generation = 3",
        "UPDATE share_permission SET expire_time = '2099-12-31Z', basis_change_id =
             (SELECT change_id FROM change WHERE generation = 3) WHERE generation = 3",
        &["permission ", "basis_change_id: the ledger says"],
    ),
    (
        "UPDATE share_permission SET basis_change_id = '00000000-0000-0000-0000-000000000003' WHERE expire_time IS NULL
             AND applied = 'SHARED'",
        "UPDATE share_permission SET basis_change_id = NULL WHERE expire_time IS NULL AND applied = 'SHARED'",
        &["permission ", "basis_change_id: the ledger says", "000000000003"],
    ),
    (
        "UPDATE share_permission SET desired = 'NOT_SHARED' WHERE generation = 3",
        "UPDATE share_permission SET desired = 'SHARED' WHERE generation = 3",
        &["permission ", "desired: the ledger says \"SHARED\", the table says \"NOT_SHARED\""],
    ),
    (
        "UPDATE share_permission SET generation = 4 WHERE generation = 3",
        "UPDATE share_permission SET generation = 3 WHERE generation = 4",
        &["permission ", "generation: the ledger says \"3\", the table says \"4\""],
    ),
    (
        "UPDATE share_permission SET updated_at = updated_at + interval '1 hour' WHERE generation = 3",
        "UPDATE share_permission SET updated_at = updated_at - interval '1 hour' WHERE generation = 3",
        &["permission ", "update_time: the ledger says"],
    ),
    (
        "UPDATE share_permission SET shared_account_id = '699999999999' WHERE generation = 3",
        "UPDATE share_permission SET shared_account_id = '000011112222' WHERE generation = 3",
        &[
            "/699999999999, row: the ledger says \"absent\", the table says \"present\"",
            "row: the ledger says \"present\", the table says \"absent\"",
        ],
    ),
    (
        "UPDATE share_interval SET end_time = end_time + interval '1 hour' WHERE end_index IS NOT NULL",
        "UPDATE share_interval SET end_time = end_time - interval '1 hour' WHERE end_index IS NOT NULL",
        &["share ", " from entry 1, end_time: the ledger says"],
    ),
    (
        "INSERT INTO share_interval SELECT account_id, region, image_id, '699999999999', 0, '2020-01-01', 7, '2020-02-01'
         FROM share_interval WHERE end_index IS NOT NULL",
        "DELETE FROM share_interval WHERE shared_account_id = '699999999999'",
        &["/699999999999 from entry 0, row: the ledger says \"absent\", the table says \"present\""],
    ),
    (
        "UPDATE audit_rollup SET count = count + 1 WHERE bucket = 'HOUR' AND kind = 'change.failed'",
        "UPDATE audit_rollup SET count = count - 1 WHERE bucket = 'HOUR' AND kind = 'change.failed'",
        &["entries by HOUR ", " change.failed, count: the ledger says \"1\", the table says \"2\""],
    ),
    (
        "UPDATE audit_rollup SET count = count + 1 WHERE bucket = 'DAY' AND kind = 'change.failed'",
        "UPDATE audit_rollup SET count = count - 1 WHERE bucket = 'DAY' AND kind = 'change.failed'",
        &["entries by DAY ", " change.failed, count: the ledger says \"1\", the table says \"2\""],
    ),
    (
        "UPDATE audit_rollup SET count = count + 1 WHERE bucket = 'MONTH' AND kind = 'change.failed'",
        "UPDATE audit_rollup SET count = count - 1 WHERE bucket = 'MONTH' AND kind = 'change.failed'",
        &["entries by MONTH ", " change.failed, count: the ledger says \"1\", the table says \"2\""],
    ),
    (
        "UPDATE audit_rollup SET kind = 'change.denied' WHERE bucket = 'HOUR' AND kind = 'change.failed'",
        "UPDATE audit_rollup SET kind = 'change.failed' WHERE bucket = 'HOUR' AND kind = 'change.denied'",
        &[
            "change.failed, count: the ledger says \"1\", the table says \"0\"",
            "change.denied, count: the ledger says \"0\", the table says \"1\"",
        ],
    ),
    (
        "UPDATE audit_ranking SET count = count - 1 WHERE bucket = 'DAY' AND ranking = 'PRINCIPAL'",
        "UPDATE audit_ranking SET count = count + 1 WHERE bucket = 'DAY' AND ranking = 'PRINCIPAL'",
        &["requests by DAY ", " PRINCIPAL tester@example.com, count: the ledger says \"5\", the table says \"4\""],
    ),
    (
        "UPDATE audit_ranking SET value = 'wsi-somethingelse' WHERE bucket = 'MONTH' AND ranking = 'IMAGE'",
        "",
        &["requests by MONTH ", " IMAGE wsi-somethingelse, count: the ledger says \"0\", the table says \"5\""],
    ),
];

#[tokio::test]
async fn every_row_that_no_hash_covers_and_the_api_shows_is_compared_with_the_ledger() {
    let stack = Stack::start().await;
    make_history(&stack).await;
    stack.checkpoint_of(ACCOUNT, ENTRIES).await;
    until(
        &stack.pool,
        "SELECT coalesce(max(size), 0)::bigint FROM audit_summary_progress",
        10,
    )
    .await;
    let auditor = Auditor::of(&stack).await;
    let (code, out, err) = auditor.verify("table").await;
    assert_eq!(code, Some(0), "{out}{err}");
    let compared = "3 permissions, 5 changes, 3 shares and ";
    assert!(
        out.contains(compared) && out.contains("10 entries: 0 differences"),
        "{out}"
    );
    for (tampering, undoing, words) in TAMPERINGS {
        stack.tamper(tampering).await;
        let (code, out, err) = auditor.verify("table").await;
        assert_eq!(code, Some(9), "{tampering}: {out}{err}");
        for word in *words {
            assert!(out.contains(word), "{tampering}: {word} is not in {out}");
        }
        assert!(
            err.contains(ACCOUNT) && err.contains("in other tables"),
            "{tampering}: {err}"
        );
        if !undoing.is_empty() {
            stack.tamper(undoing).await;
        }
    }
    let (code, out, _) = auditor.verify("json").await;
    assert_eq!(code, Some(9));
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    for member in ["row", "field", "ledger", "table"] {
        assert!(document["state"]["differences"][0][member].is_string(), "{out}");
    }
    stack.end().await;
}

/// No call shows the rows of `request`. Without its row a request acts again, and the ledger tells it.
#[tokio::test]
async fn a_request_that_acted_twice_because_its_row_was_removed_is_named() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut request = grant();
    request.request_id = "00000000-0000-0000-0000-000000000003".into();
    client.grant_share_permission(as_tester(request.clone())).await.unwrap();
    stack.tamper("DELETE FROM request").await;
    client.grant_share_permission(as_tester(request)).await.unwrap();
    stack.checkpoint_of(ACCOUNT, 4).await;
    let (code, out, err) = Auditor::of(&stack).await.verify("table").await;
    assert_eq!(code, Some(9), "{out}{err}");
    assert!(err.contains("entry 2: its request id was accepted before"), "{err}");
    stack.end().await;
}

#[tokio::test]
async fn a_service_under_load_has_no_difference() {
    let stack = Stack::start().await;
    make_history(&stack).await;
    stack.checkpoint_of(ACCOUNT, ENTRIES).await;
    let auditor = Auditor::of(&stack).await;
    let stop = CancellationToken::new();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (mut client, stop) = (stack.client().await, stop.clone());
        callers.spawn(async move {
            while !stop.is_cancelled() {
                client.revoke_share_permission(as_tester(revoke())).await.ok();
                client.grant_share_permission(as_tester(grant())).await.ok();
            }
        });
    }
    let followed = within("rows are compared with entries that were added meanwhile", async {
        loop {
            let (code, out, err) = auditor.verify("json").await;
            assert_eq!(code, Some(0), "{out}{err}");
            let document: serde_json::Value = serde_json::from_str(&out).unwrap();
            let number = |value: &serde_json::Value| value.as_str().unwrap().parse::<u64>().unwrap();
            let (signed, compared) = (number(&document["treeSize"]), number(&document["state"]["endIndex"]));
            if compared > signed && signed > ENTRIES {
                return compared;
            }
        }
    })
    .await;
    assert!(followed > ENTRIES);
    stop.cancel();
    while callers.join_next().await.is_some() {}
    stack.end().await;
}
