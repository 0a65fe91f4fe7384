//! Rollups, rankings and intervals after random histories.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use sharewarden::{
    clock::Clock,
    domain::{
        Access, Action, ChangeFailure, ConfirmationBody, DenialsBody, DriftBaselineBody, EntryKind, EventId,
        FailureReason, Intent, Observation, PermissionKey, ScanId, SharingEvent, Timestamp,
        transition::{Command, WorkOutcome},
    },
    store::summaries::{self, Counting},
    telemetry::Instruments,
    worker::Supervisor,
};
use sharewarden_simulator::{Effect, Fault, FaultTiming};
use sharewarden_testkit::stack::*;
use tokio_util::sync::CancellationToken;

use crate::{recount::assert_summaries_are_exact, store::*};

#[tokio::test]
async fn summaries_equal_a_recount_after_random_batches_of_several_accounts() {
    let mut store = Store::open().await;
    let mut random = Rng::with_seed(3);
    let mut held = Vec::new();
    for _ in 0..40 {
        let asked = (0..random.usize(1..40))
            .map(|_| any_request(&mut random))
            .collect::<Vec<_>>();
        let mut commands = asked;
        for work in held.drain(..) {
            commands.push(settle(&work, any_outcome(&mut random)));
        }
        random.shuffle(&mut commands);
        store
            .commit(commands)
            .await
            .into_iter()
            .for_each(|answer| drop(answer.unwrap()));
        held = store.take_work();
        summaries::add(&store.database, random.u32(1..30)).await.unwrap();
    }
    let kinds: i64 = sqlx::query_scalar("SELECT count(DISTINCT (kind, action)) FROM audit_entry")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert_eq!(
        kinds,
        2 * EntryKind::ALL.len() as i64 - 6,
        "every kind has occurred with both actions; counted denials, confirmations and drift without one"
    );
    assert_summaries_are_exact(&store.pool, &store.database).await;
    store.close().await;
}

#[tokio::test]
async fn entries_are_counted_once_by_concurrent_replicas() {
    let store = Store::open().await;
    for account in ["111122223333", "000000000001"] {
        store.refuse(account, 300).await;
    }
    let replicas = [connect(store.test.url()), connect(store.test.url())];
    let mut added = 0;
    while added < 600 {
        let adding = replicas
            .iter()
            .flat_map(|replica| (0..3).map(|_| summaries::add(replica, 17)));
        let by_each = futures_util::future::try_join_all(adding).await.unwrap();
        assert!(
            by_each.iter().any(Option::is_some),
            "one of them adds entries: {by_each:?}"
        );
        added += by_each.into_iter().flatten().sum::<u32>();
    }
    assert_eq!(added, 600);
    assert_eq!(summaries::add(&store.database, 17).await.unwrap(), Some(0));
    assert_summaries_are_exact(&store.pool, &store.database).await;
    for replica in replicas {
        replica.close().await;
    }
    store.close().await;
}

#[tokio::test]
async fn the_worker_counts_all_entries_and_halves_a_batch_that_fails() {
    let store = Store::open().await;
    store.refuse(ACCOUNT, 2500).await;
    store.execute(REFUSE_LARGE_BATCHES).await;
    let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
    let stop = CancellationToken::new();
    let supervisor = Supervisor::new(&clock, &Instruments::default(), &stop);
    let counting = Counting::new(store.database.clone(), clock.clone());
    let worker = tokio::spawn(supervisor.run(counting));
    tokio::select! {
        () = keep_advancing(&clock, Duration::from_secs(1)) => {}
        () = wait_until(&store.pool, "EXISTS (SELECT FROM audit_summary_progress WHERE size = 2500)") => {}
    }
    stop.cancel();
    tokio::time::timeout(TIMEOUT, worker).await.unwrap().unwrap();
    assert_summaries_are_exact(&store.pool, &store.database).await;
    store.close().await;
}

/// Makes a batch of more than 1,000 entries fail, as a statement timeout would.
const REFUSE_LARGE_BATCHES: &str = "CREATE FUNCTION refuse_many() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.size > 1000 + coalesce((SELECT size FROM audit_summary_progress WHERE account_id = NEW.account_id), 0) THEN
            RAISE EXCEPTION 'too much';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER refuse_many BEFORE INSERT ON audit_summary_progress FOR EACH ROW EXECUTE FUNCTION refuse_many()";

fn any_key(random: &mut Rng) -> PermissionKey {
    let mut key = key(
        ["111122223333", "000000000001"][random.usize(..2)],
        ["000011112222", "210987654321"][random.usize(..2)],
    );
    key.region = ["eu-central-1", "us-east-1"][random.usize(..2)].parse().unwrap();
    key.image = ["wsi-123456789", "wsi-987654321"][random.usize(..2)].parse().unwrap();
    key
}

fn any_request(random: &mut Rng) -> Command {
    let action = if random.bool() { Action::Grant } else { Action::Revoke };
    let intent = intent(
        any_key(random),
        action,
        ["ann", "bob", "arn:aws:iam::000011112222:role/x"][random.usize(..3)],
    );
    match random.u8(..10) {
        0 => Command::RecordDenials(intent.key.account, Arc::new(denials(&intent))),
        1 | 2 => deny(intent),
        3 => Command::Confirm(intent.key.account, confirmation(&intent)),
        4 => Command::Observe(observation(intent.key.clone(), random)),
        5 => Command::RecordEvent(Arc::new(event(intent.key.clone(), random))),
        6 => Command::SetBaseline(intent.key.account, Box::new(baseline(&intent))),
        _ => Command::Open(intent),
    }
}

fn baseline(intent: &Intent) -> DriftBaselineBody {
    DriftBaselineBody {
        is_confirmed: true,
        principal: intent.principal.clone(),
        justification: intent.justification.clone(),
    }
}

fn confirmation(intent: &Intent) -> ConfirmationBody {
    ConfirmationBody {
        operator: intent.principal.clone(),
        justification: intent.justification.clone(),
        root: [7; 32],
        tree_size: 1,
    }
}

/// What AWS shows of a share that no caller asks for.
fn observation(key: PermissionKey, random: &mut Rng) -> Observation {
    let now = Clock::system().now();
    Observation {
        key: PermissionKey {
            shared_account: "500000000099".parse().unwrap(),
            ..key
        },
        shown: [Access::Shared, Access::NotShared][random.usize(..2)],
        first_seen_at: now,
        seen_at: now,
        scan_id: ScanId(uuid::Uuid::from_u128(7)),
        permission: None,
    }
}

/// A call past the service. Some are the same as an earlier one.
fn event(key: PermissionKey, random: &mut Rng) -> SharingEvent {
    SharingEvent {
        id: EventId(uuid::Uuid::from_u128(random.u128(..20))),
        at: Timestamp::parse("2026-11-22T00:00:00Z").unwrap(),
        key,
        access: Access::Shared,
        principal_arn: None,
        source_ip: None,
        user_agent: None,
    }
}

fn denials(intent: &Intent) -> DenialsBody {
    let time = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
    DenialsBody {
        count: 3,
        denied_by: "a rule".into(),
        first_at: time,
        last_at: time,
        principal: Some(intent.principal.clone()),
    }
}

fn any_outcome(random: &mut Rng) -> WorkOutcome {
    match random.u8(..5) {
        0 => WorkOutcome::Failed {
            failure: ChangeFailure {
                reason: FailureReason::UpstreamRefused,
                code: None,
                message: None,
            },
            observed: [None, Some(Access::Shared), Some(Access::NotShared)][random.usize(..3)],
        },
        1 => WorkOutcome::Retry {
            delay: Duration::ZERO,
            in_doubt: random.bool(),
            observed: None,
        },
        _ => WorkOutcome::Succeeded,
    }
}

#[tokio::test]
async fn summaries_equal_a_recount_after_calls_that_aws_refuses_loses_and_delays() {
    let stack = Stack::start().await;
    let reset = |moment| Effect::Reset { moment };
    let refused = Effect::Refuse {
        code: "OperationNotSupportedException".into(),
        message: "no".into(),
        http_status: 400,
    };
    for (seed, (effect, share)) in (0..).zip([
        (reset(FaultTiming::BeforeApplying), 0.1),
        (reset(FaultTiming::AfterApplying), 0.1),
        (refused, 0.1),
    ]) {
        let fault = Fault::new(effect).share(share, seed);
        stack.simulator.inject(fault.operation(UPDATE)).unwrap();
    }
    let mut callers = Vec::new();
    for caller in 0..6 {
        let mut client = stack.client().await;
        callers.push(tokio::spawn(async move {
            let mut random = Rng::with_seed(caller);
            for _ in 0..12 {
                let shared_account_id = [RECIPIENT, OTHER_RECIPIENT][random.usize(..2)].to_owned();
                let account_id = [ACCOUNT, ACCOUNT, OTHER_ACCOUNT][random.usize(..3)].to_owned();
                // Some requests are denied or fail.
                if random.bool() {
                    let mut request = grant();
                    (request.account_id, request.shared_account_id) = (account_id, shared_account_id);
                    let _ = client.grant_share_permission(as_tester(request)).await;
                } else {
                    let mut request = revoke();
                    (request.account_id, request.shared_account_id) = (account_id, shared_account_id);
                    let _ = client.revoke_share_permission(as_tester(request)).await;
                }
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    let database = connect(stack.database.url());
    assert_summaries_are_exact(&stack.pool, &database).await;
    database.close().await;
    stack.end().await;
}
