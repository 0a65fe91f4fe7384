//! Watches across disconnects, restarts and replicas.

use sharewarden::{clock::Clock, proto::v1::watch_audit_entries_request::Start};
use sharewarden_testkit::stack::*;
use tokio::task::JoinHandle;

use crate::audit::*;

/// Grants in the background, through a server that keeps running.
fn spawn_grants(mut client: Client, first: usize, count: usize) -> JoinHandle<()> {
    tokio::spawn(async move {
        for number in first..first + count {
            client
                .grant_share_permission(as_tester(nth_grant(number)))
                .await
                .unwrap();
        }
    })
}

const GRANTS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_resumes_after_disconnects_restarts_and_on_another_replica_without_gap_or_duplicate() {
    let mut stack = Stack::start().await;
    let second = stack.second_server("").await;
    let mut grants = Vec::new();
    for caller in 0..3 {
        grants.push(spawn_grants(second.client().await, caller * GRANTS, GRANTS));
    }
    let end = 2 * 3 * GRANTS as u64;

    let mut positions = Positions::new();
    let mut lines = Vec::new();
    for turn in 0.. {
        // The watch alternates between the servers. The first one restarts in every fourth turn.
        let address = if turn % 2 == 0 { stack.address } else { second.address };
        let request = watch_from(&positions, Start::Beginning);
        let mut watcher = Watcher::start(audit_at(address).await, request).await.unwrap();
        watcher.until(ACCOUNT, end.min((turn + 1) * 30)).await;
        positions = watcher.positions.clone();
        lines.extend(watcher.canonical(ACCOUNT));
        drop(watcher);
        if positions[ACCOUNT] >= end {
            break;
        }
        if turn % 4 == 1 {
            stack.stop_server().await;
            stack.start_server("", Clock::system()).await;
        }
    }
    for grant in grants {
        grant.await.unwrap();
    }
    assert_eq!(lines, stack.lines(ACCOUNT).await);
    second.stop().await;
    stack.end().await;
}

#[tokio::test]
async fn entries_without_a_notification_are_found_by_polling() {
    let stack = Stack::start().await;
    let mut watcher = Watcher::start(stack.audit().await, Default::default()).await.unwrap();
    stack.grant_many(0, 1).await;
    watcher.until(ACCOUNT, 2).await;
    // This entry had no notification. Only the ledger head shows it.
    let moved = "WITH entry AS (
            INSERT INTO audit_entry SELECT '777788889999', log_index, recorded_at, kind, action, cause, change_id, request_id,
                principal, reason, ticket, region, image_id, shared_account_id, generation, aws_request_id, error_reason,
                is_ranked, share_effect, once, leaf_hash, entry
            FROM audit_entry WHERE account_id = '111122223333' AND log_index = 0 RETURNING log_index
         )
         INSERT INTO ledger (account_id, size, frontier, root, last_recorded_at)
         SELECT '777788889999', 1, frontier, root, last_recorded_at FROM (
            SELECT leaf_hash AS frontier, leaf_hash AS root, recorded_at AS last_recorded_at
            FROM audit_entry WHERE account_id = '111122223333' AND log_index = 0
         ) AS first";
    stack.tamper(moved).await;
    // The entry is found. Its text names another account, so it is reported as tampered.
    let status = loop {
        if let Err(status) = watcher.next().await {
            break status;
        }
    };
    assert_eq!(reason(&status), "LEDGER_TAMPERED");
    assert_eq!(detail(&status, "account_id"), "777788889999");
    stack.end().await;
}
