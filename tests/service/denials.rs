//! Refusals by the policy cannot fill a ledger: who has no role leaves nothing there, and who has one has a budget.

use std::time::Duration;

use sharewarden::{
    clock::Clock,
    config::{Role, RoleConfig, ShareWith},
    policy::PolicySet,
    proto::v1::GrantSharePermissionRequest,
};
use sharewarden_testkit::{
    proxy::{Proxy, Rule},
    stack::*,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

/// A budget of three refusals that does not fill up, and counts that are recorded only at the end.
const THREE: &str = "denials.burst = 3\ndenials.refill_every = \"1day\"\ndenials.summary_every = \"1h\"\n";

fn as_principal<T>(name: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("x-sharewarden-principal", name.parse().unwrap());
    request
}

/// A budget of one refusal, and counts that are recorded at once.
const ONE: &str = "denials.burst = 1\ndenials.refill_every = \"1day\"\ndenials.summary_every = \"100ms\"\n";

/// The sum of all recorded counts.
const COUNTED: &str = "SELECT coalesce(sum((entry::jsonb -> 'body' ->> 'count')::bigint), 0)::bigint FROM audit_entry
    WHERE kind = 'change.denials'";

/// A grant to a recipient that the policy does not allow.
fn forbidden() -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        account_id: OTHER_ACCOUNT.into(),
        ..grant()
    }
}

async fn refused(client: &mut Client, principal: &str, request: GrantSharePermissionRequest) -> Status {
    let refused = client.grant_share_permission(as_principal(principal, request)).await;
    let status = refused.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::PermissionDenied, "POLICY_DENIED"),
        "{status:?}"
    );
    status
}

/// The body of each entry of a kind.
async fn bodies(stack: &Stack, account: &str, kind: &str) -> Vec<serde_json::Value> {
    let entries = stack.ledger(account).await.into_iter();
    entries
        .filter(|entry| entry["kind"] == kind)
        .map(|mut entry| entry["body"].take())
        .collect()
}

fn time(text: &serde_json::Value) -> OffsetDateTime {
    OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap()
}

/// The time of the service, in the precision of an entry.
fn now() -> OffsetDateTime {
    Clock::system().now().to_offset_date_time()
}

#[tokio::test]
async fn a_principal_that_no_role_binding_names_leaves_no_row() {
    let stack = Stack::start_with("roles = [{ principal = \"build-*\", roles = [\"operator\"] }]\n").await;
    let calls = (0..200).map(|number| {
        let address = stack.address;
        tokio::spawn(async move {
            let mut client = Client::connect(format!("http://{address}")).await.unwrap();
            let request = GrantSharePermissionRequest {
                request_id: Uuid::new_v4().to_string(),
                ..grant()
            };
            refused(&mut client, &format!("nobody-{}", number % 7), request).await
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let status = call.await.unwrap();
        assert!(status.message().contains("no role binding"), "{status:?}");
    }
    let rows =
        "SELECT (SELECT count(*) FROM audit_entry) + (SELECT count(*) FROM request) + (SELECT count(*) FROM ledger)
        + (SELECT count(*) FROM change)";
    until(&stack.pool, rows, 0).await;
    stack.end().await;
}

#[tokio::test]
async fn refusals_over_the_budget_are_one_entry_with_their_number_and_times() {
    let mut stack = Stack::start_with(THREE).await;
    let mut client = stack.client().await;
    for index in 0..3 {
        let status = refused(&mut client, "greedy", forbidden()).await;
        assert_eq!(detail(&status, "log_index"), index.to_string());
    }
    let mut times = Vec::new();
    for _ in 0..7 {
        let asked_at = now();
        let status = refused(&mut client, "greedy", forbidden()).await;
        let error = status.get_details_error_info().unwrap();
        assert!(!error.metadata.contains_key("log_index"), "{error:?}");
        times.push((asked_at, now()));
    }
    // Another principal has a budget of its own, and allowed changes need none.
    let status = refused(&mut client, "modest", forbidden()).await;
    assert_eq!(detail(&status, "log_index"), "3");
    client
        .grant_share_permission(as_principal("greedy", grant()))
        .await
        .unwrap();
    assert_eq!(stack.kinds(OTHER_ACCOUNT).await, ["change.denied"; 4]);

    stack.stop_server().await;
    let denials = bodies(&stack, OTHER_ACCOUNT, "change.denials").await;
    let [body] = &denials[..] else {
        panic!("{denials:?}");
    };
    assert_eq!((&body["count"], &body["principal"]), (&7.into(), &"greedy".into()));
    assert!(body["denied_by"].as_str().unwrap().contains(RECIPIENT), "{body}");
    let (first, last) = (time(&body["first_at"]), time(&body["last_at"]));
    assert!(
        (times[0].0..=times[0].1).contains(&first),
        "{first} is not in {:?}",
        times[0]
    );
    assert!(
        (times[6].0..=times[6].1).contains(&last),
        "{last} is not in {:?}",
        times[6]
    );
    assert_eq!(bodies(&stack, ACCOUNT, "change.denials").await.len(), 0);
    stack.end().await;
}

#[tokio::test]
async fn counts_are_recorded_while_the_service_runs_and_each_refusal_is_in_one_of_them() {
    let mut stack = Stack::start_with(ONE).await;
    let callers = (0..4).map(|_| {
        let address = stack.address;
        tokio::spawn(async move {
            let mut client = Client::connect(format!("http://{address}")).await.unwrap();
            for _ in 0..25 {
                refused(&mut client, "greedy", forbidden()).await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    until(&stack.pool, COUNTED, 99).await;
    stack.stop_server().await;
    until(&stack.pool, COUNTED, 99).await;
    assert_eq!(bodies(&stack, OTHER_ACCOUNT, "change.denied").await.len(), 1);
    stack.end().await;
}

/// P5: a replay of an accepted request gets its first answer, also over the budget. A refused request is judged anew.
#[tokio::test]
async fn over_the_budget_an_accepted_request_is_replayed_and_a_refused_one_is_judged_anew() {
    let mut stack = Stack::start_with(ONE).await;
    let mut client = stack.client().await;
    let with_id = || GrantSharePermissionRequest {
        request_id: Uuid::new_v4().to_string(),
        ..grant()
    };
    let (early, accepted, refused_first) = (with_id(), with_id(), with_id());
    client.grant_share_permission(as_tester(early.clone())).await.unwrap();
    let granted = client.grant_share_permission(as_tester(accepted.clone())).await;
    let first = granted.unwrap().into_inner();
    // The next process does not remember what was accepted.
    stack.stop_server().await;
    stack.start_server(ONE, Clock::system()).await;
    let mut client = stack.client().await;

    let policy = |role| {
        let binding = RoleConfig::of("*".parse().unwrap(), [role]);
        PolicySet::new([(ACCOUNT.parse().unwrap(), ShareWith::Anyone)], [binding])
    };
    stack.policy().replace(policy(Role::Viewer));
    // A replay that is answered takes nothing from the budget, so the first refusal is recorded.
    let replayed = client.grant_share_permission(as_tester(early)).await;
    assert!(replayed.unwrap().into_inner().replayed);
    for request in [with_id(), refused_first.clone()] {
        let status = client.grant_share_permission(as_tester(request)).await.unwrap_err();
        assert_eq!(reason(&status), "POLICY_DENIED");
        assert_eq!(bodies(&stack, ACCOUNT, "change.denied").await.len(), 1);
    }
    let reused = GrantSharePermissionRequest {
        reason: "another".into(),
        ..accepted.clone()
    };
    let status = client.grant_share_permission(as_tester(reused)).await.unwrap_err();
    assert_eq!(reason(&status), "REQUEST_ID_REUSED");
    let replayed = client.grant_share_permission(as_tester(accepted)).await;
    let replayed = replayed.unwrap().into_inner();
    assert!(replayed.replayed);
    assert_eq!(replayed.change, first.change);

    stack.policy().replace(policy(Role::Operator));
    let judged = client.grant_share_permission(as_tester(refused_first)).await;
    assert!(!judged.unwrap().into_inner().replayed);
    stack.end().await;
}

/// P7: such a refusal needs no Postgres, and the counts wait for it.
#[tokio::test]
async fn counts_are_kept_while_postgres_is_away() {
    let mut stack = Stack::start().await;
    stack.stop_server().await;
    let proxy = Proxy::start(stack.database.url()).await;
    let url = proxy.url(stack.database.url());
    let settings = format!(
        "{ONE}database.statement_timeout = \"1s\"\ndatabase.acquire_timeout = \"200ms\"\ncommitter.commit_timeout = \"1s\"\n"
    );
    let server = RunningServer::start(&config(&url, &stack.simulator.url(), &settings), Clock::system()).await;
    let mut client = server.client().await;
    refused(&mut client, "greedy", forbidden()).await;

    proxy.set(Rule::Refuse);
    proxy.cut();
    for _ in 0..5 {
        refused(&mut client, "greedy", forbidden()).await;
    }
    let before = proxy.counts().refused;
    let tried = async {
        while proxy.counts().refused < before + 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, tried)
        .await
        .expect("Postgres is tried again");
    refused(&mut client, "greedy", forbidden()).await;
    proxy.set(Rule::Pass);
    until(&stack.pool, COUNTED, 6).await;
    drop(client);
    server.stop().await;
    until(&stack.pool, COUNTED, 6).await;
    stack.end().await;
}
