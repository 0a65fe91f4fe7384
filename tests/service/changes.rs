//! Listing changes: the pending ones, those in doubt, and their progress.

use std::collections::BTreeSet;

use sharewarden::proto::v1::{Change, ChangeOrder, GetChangeRequest, ListChangesRequest, change};
use sharewarden_simulator::{Effect, FaultTiming};
use sharewarden_testkit::stack::*;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

/// Inserts `count` changes for each account. Two changes of an account share each creation time.
async fn changes_in_store(stack: &Stack, accounts: &[&str], count: i32, state: &str) {
    let ended = state != "PENDING";
    for (number, account) in accounts.iter().enumerate() {
        sqlx::query(
            "INSERT INTO change (account_id, change_id, request_id, region, image_id, shared_account_id, action, cause,
                 principal, reason, generation, state, attempts, created_at, ended_at)
             SELECT $1, md5($1 || $2 || n)::uuid, md5($1 || $2 || n)::uuid, 'eu-central-1', 'wsi-basewin11',
                 lpad(n::text, 12, '5'), 'GRANT', 'CALLER', 'principal-' || n % 3, 'a test', 1, $2, '[]',
                 timestamptz '2026-01-01 00:00Z' + (n / 2) * interval '1 second',
                 CASE WHEN $4 THEN timestamptz '2026-01-02 00:00Z' END
             FROM generate_series(1, $3) AS n",
        )
        .bind(account)
        .bind(state)
        .bind(count)
        .bind(ended)
        .execute(&stack.pool)
        .await
        .unwrap_or_else(|error| panic!("account {number}: {error}"));
        sqlx::query(
            "INSERT INTO ledger (account_id, size, frontier, root, last_recorded_at)
             VALUES ($1, 0, '\\x', sha256(''), '2026-01-01') ON CONFLICT DO NOTHING",
        )
        .bind(account)
        .execute(&stack.pool)
        .await
        .unwrap();
    }
}

async fn list(client: &mut Client, request: ListChangesRequest) -> Result<(Vec<Change>, String), Status> {
    let page = client.list_changes(as_tester(request)).await?.into_inner();
    Ok((page.changes, page.next_page_token))
}

/// Reads all pages, and runs `between` after each.
async fn read_all_pages(
    client: &mut Client,
    mut request: ListChangesRequest,
    mut between: impl AsyncFnMut(),
) -> Vec<Change> {
    let mut all = Vec::new();
    loop {
        let (changes, next) = list(client, request.clone()).await.unwrap();
        assert!(changes.len() <= request.page_size as usize);
        all.extend(changes);
        if next.is_empty() {
            return all;
        }
        request.page_token = next;
        between().await;
    }
}

fn position(change: &Change) -> (i64, i32, String, String) {
    let time = change.create_time.unwrap();
    (
        time.seconds,
        time.nanos,
        change.account_id.clone(),
        change.change_id.clone(),
    )
}

fn ids(changes: &[Change]) -> BTreeSet<&str> {
    changes.iter().map(|change| change.change_id.as_str()).collect()
}

#[tokio::test]
async fn pages_over_several_accounts_return_each_change_once_while_changes_start_and_end() {
    let stack = Stack::start().await;
    let accounts = [ACCOUNT, OTHER_ACCOUNT, "777788889999"];
    changes_in_store(&stack, &accounts, 20, "PENDING").await;
    changes_in_store(&stack, &accounts, 7, "SUCCEEDED").await;
    let mut client = stack.client().await;
    for order in [ChangeOrder::NewestFirst, ChangeOrder::OldestFirst] {
        for states in [vec![], vec![change::State::Pending.into()], vec![1, 2]] {
            let expected = if states == [1] { 60 } else { 81 };
            let request = ListChangesRequest {
                states,
                order: order.into(),
                page_size: 7,
                ..Default::default()
            };
            let all = read_all_pages(&mut client, request, async || {}).await;
            assert_eq!((all.len(), ids(&all).len()), (expected, expected));
            let mut positions: Vec<_> = all.iter().map(position).collect();
            if order == ChangeOrder::NewestFirst {
                positions.reverse();
            }
            assert!(positions.is_sorted());
        }
    }

    // Changes that are accepted while paging are newer. A change that ends while paging hides no other change.
    let request = ListChangesRequest {
        states: vec![change::State::Pending.into()],
        page_size: 6,
        ..Default::default()
    };
    let mut other = stack.client().await;
    let mut number = 0;
    let all = read_all_pages(&mut client, request, async || {
        number += 1;
        let mut granted = grant();
        granted.shared_account_id = format!("6000000000{number:02}");
        other.grant_share_permission(as_tester(granted)).await.unwrap();
        sqlx::query(
            "UPDATE change SET state = 'SUCCEEDED', ended_at = now()
             WHERE change_id = (SELECT change_id FROM change WHERE state = 'PENDING'
                                ORDER BY created_at DESC, account_id DESC, change_id DESC LIMIT 1)",
        )
        .execute(&stack.pool)
        .await
        .unwrap();
    })
    .await;
    assert_eq!((all.len(), ids(&all).len()), (60, 60));
    stack.end().await;
}

#[tokio::test]
async fn each_filter_returns_the_matching_changes() {
    let stack = Stack::start().await;
    changes_in_store(&stack, &[ACCOUNT, OTHER_ACCOUNT], 12, "PENDING").await;
    changes_in_store(&stack, &[ACCOUNT], 6, "SUPERSEDED").await;
    let mut client = stack.client().await;
    let mut count = async |request: ListChangesRequest| list(&mut client, request).await.unwrap().0.len();
    let all = ListChangesRequest::default;
    let pending = || ListChangesRequest {
        states: vec![change::State::Pending.into()],
        ..all()
    };
    assert_eq!(count(all()).await, 30);
    assert_eq!(count(pending()).await, 24);
    for base in [all(), pending()] {
        let both = if base.states.is_empty() { 18 } else { 12 };
        let with = |set: fn(&mut ListChangesRequest)| {
            let mut request = base.clone();
            set(&mut request);
            request
        };
        assert_eq!(count(with(|r| r.account_ids = vec![OTHER_ACCOUNT.into()])).await, 12);
        assert_eq!(count(with(|r| r.account_ids = vec![ACCOUNT.into()])).await, both);
        let several = with(|r| r.account_ids = vec![ACCOUNT.into(), OTHER_ACCOUNT.into(), ACCOUNT.into()]);
        assert_eq!(count(several).await, both + 12);
        assert_eq!(count(with(|r| r.region = "us-east-1".into())).await, 0);
        assert_eq!(count(with(|r| r.image_id = IMAGE.into())).await, both + 12);
        assert_eq!(count(with(|r| r.image_id = PENDING_IMAGE.into())).await, 0);
        assert_eq!(
            count(with(|r| r.principal = "principal-1".into())).await,
            (both + 12) / 3
        );
        let before = with(|r| {
            r.created_before = Some(pbjson_types::Timestamp {
                seconds: 1_767_225_602, // 2026-01-01T00:00:02Z: numbers 1 to 3
                nanos: 0,
            })
        });
        assert_eq!(count(before).await, 3 * (both / 6));
        assert_eq!(count(with(|r| r.in_doubt = true)).await, 0);
    }
    let superseded = ListChangesRequest {
        states: vec![change::State::Superseded.into(), change::State::Failed.into()],
        shared_account_id: "555555555551".into(),
        ..all()
    };
    assert_eq!(count(superseded).await, 1);
    stack.end().await;
}

#[tokio::test]
async fn progress_names_the_replica_its_lease_and_the_change_ahead() {
    let stack = Stack::start_with("forwarder.attempt_timeout = \"5s\"\n").await;
    let hang = Effect::Hang {
        moment: FaultTiming::BeforeApplying,
        at_most_milliseconds: 60_000,
    };
    stack.fault(UPDATE, 1, hang);
    let first = spawn_grant(stack.client().await, grant());
    stack.wait_for_calls(UPDATE, 1).await;
    let (alone, _) = list(&mut stack.client().await, ListChangesRequest::default())
        .await
        .unwrap();
    let calling = alone[0].progress.as_ref().unwrap();
    assert!(alone[0].attempts.is_empty(), "no call has ended");
    assert_eq!(
        calling.lease_start_time, alone[0].create_time,
        "a call is out since the begin"
    );
    let mut second = revoke();
    second.request_id = Uuid::new_v4().to_string();
    let (mut revoking, request) = (stack.client().await, as_tester(second.clone()));
    let behind = tokio::spawn(async move { revoking.revoke_share_permission(request).await });
    let mut client = stack.client().await;
    let pending = ListChangesRequest {
        states: vec![change::State::Pending.into()],
        order: ChangeOrder::OldestFirst.into(),
        ..Default::default()
    };
    let found = tokio::time::timeout(TIMEOUT, async {
        loop {
            let (changes, _) = list(&mut client, pending.clone()).await.unwrap();
            if changes.len() == 2 {
                return changes;
            }
        }
    });
    let changes = found.await.expect("both changes are accepted");
    let [current, next] = &changes[..] else { panic!() };
    let (work, waiting) = (current.progress.clone().unwrap(), next.progress.clone().unwrap());
    assert_eq!(next.request_id, second.request_id);
    assert!(work.replica_id.parse::<Uuid>().is_ok() && work.lease_expire_time.is_some());
    assert_eq!(
        work.lease_start_time, None,
        "the row was updated when the second change began to wait"
    );
    assert_eq!((work.next_attempt_time, work.behind_change_id.as_str()), (None, ""));
    assert_eq!(waiting.behind_change_id, current.change_id);
    let one = GetChangeRequest {
        account_id: ACCOUNT.into(),
        change_id: current.change_id.clone(),
    };
    let got = client.get_change(as_tester(one)).await.unwrap().into_inner().change;
    assert_eq!(got.unwrap().progress, Some(work), "GetChange returns the same progress");

    stack.simulator.clear_faults();
    stack.end().await;
    drop((first, behind));
}

#[tokio::test]
async fn a_change_in_doubt_is_listed_with_its_next_attempt() {
    // The next attempt is 10 minutes away. The outcome stays unknown, because the answers of the call and of each read are lost.
    let slow = "forwarder.backoff_base = \"10m\"\nforwarder.backoff_cap = \"10m\"\n";
    let stack = Stack::start_with(slow).await;
    for operation in [UPDATE, DESCRIBE] {
        stack.fault(
            operation,
            u64::MAX,
            Effect::Reset {
                moment: FaultTiming::AfterApplying,
            },
        );
    }
    let call = spawn_grant(stack.client().await, grant());
    let mut client = stack.client().await;
    let in_doubt = ListChangesRequest {
        in_doubt: true,
        ..Default::default()
    };
    let found = tokio::time::timeout(TIMEOUT, async {
        loop {
            let (changes, _) = list(&mut client, in_doubt.clone()).await.unwrap();
            if let Some(change) = changes.first()
                && change.progress.as_ref().unwrap().next_attempt_time.is_some()
            {
                return changes;
            }
        }
    });
    let changes = found
        .await
        .expect("the change is in doubt and waits for its next attempt");
    let progress = changes[0].progress.clone().unwrap();
    assert_eq!((changes.len(), changes[0].state()), (1, change::State::Pending));
    assert!(progress.in_doubt && progress.replica_id.is_empty() && progress.lease_expire_time.is_none());
    assert!(!changes[0].attempts.is_empty());
    stack.release();
    call.abort();
    stack.end().await;
}

#[tokio::test]
async fn every_invalid_field_is_named_and_page_tokens_are_bound_to_their_filters() {
    let stack = Stack::start().await;
    changes_in_store(&stack, &[ACCOUNT], 3, "PENDING").await;
    let mut client = stack.client().await;
    let wrong = ListChangesRequest {
        account_ids: vec![ACCOUNT.into(), "7".into()],
        states: vec![0, 9],
        created_before: Some(pbjson_types::Timestamp {
            seconds: i64::MAX,
            nanos: -1,
        }),
        region: "EU".into(),
        image_id: "ami-1".into(),
        shared_account_id: "8".into(),
        principal: "two words".into(),
        order: 7,
        page_size: -1,
        ..Default::default()
    };
    let refused = list(&mut client, wrong).await.unwrap_err();
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    let expected = [
        "account_ids[1]",
        "states[0]",
        "states[1]",
        "created_before",
        "region",
        "image_id",
        "shared_account_id",
        "principal",
        "order",
        "page_size",
    ];
    assert_eq!(
        (refused.code(), fields.as_slice()),
        (Code::InvalidArgument, &expected[..])
    );

    let ended = ListChangesRequest {
        in_doubt: true,
        states: vec![change::State::Failed.into()],
        ..Default::default()
    };
    let refused = list(&mut client, ended).await.unwrap_err();
    assert_eq!(
        refused.get_details_bad_request().unwrap().field_violations[0].field,
        "in_doubt"
    );

    let first = ListChangesRequest {
        page_size: 1,
        ..Default::default()
    };
    let (_, token) = list(&mut client, first.clone()).await.unwrap();
    let others: [fn(&mut ListChangesRequest); 4] = [
        |request| request.order = ChangeOrder::OldestFirst.into(),
        |request| request.in_doubt = true,
        |request| request.states = vec![change::State::Pending.into()],
        |request| request.principal = "someone".into(),
    ];
    for set in others {
        let mut request = ListChangesRequest {
            page_token: token.clone(),
            ..first.clone()
        };
        set(&mut request);
        assert_eq!(
            reason(&list(&mut client, request).await.unwrap_err()),
            "INVALID_PAGE_TOKEN"
        );
    }
    stack.end().await;
}

#[tokio::test]
async fn a_pending_answer_tells_its_operator_the_last_answer_of_aws_and_the_next_attempt() {
    let more = "forwarder.backoff_base = \"10m\"\nforwarder.backoff_cap = \"10m\"\nserver.max_wait = \"2s\"\n\
                roles = [{ principal = \"*\", roles = [\"operator\"] }]\n";
    let stack = Stack::start_with(more).await;
    let unavailable = Effect::Refuse {
        code: "ResourceUnavailableException".into(),
        message: String::new(),
        http_status: 400,
    };
    stack.fault(UPDATE, u64::MAX, unavailable);
    let status = stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), "CHANGE_PENDING", "{status:?}");
    assert_eq!(detail(&status, "aws_error_code"), "ResourceUnavailableException");
    assert!(!detail(&status, "aws_request_id").is_empty());
    let next = detail(&status, "next_attempt_time");
    assert!(sharewarden::domain::Timestamp::parse(&next).is_some(), "{next}");
    assert!(
        status
            .message()
            .contains("the last answer of AWS is ResourceUnavailableException"),
        "{status:?}"
    );
    stack.simulator.clear_faults();
    stack.end().await;
}
