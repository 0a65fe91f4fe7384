//! Group commit: neighbours share a transaction.

use crate::stack::*;

#[tokio::test]
async fn concurrent_grants_on_one_account_share_their_commits() {
    let stack = Stack::start().await;
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(stack.client().await);
    }
    let calls: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(number, client)| {
            let mut request = grant();
            request.shared_account_id = format!("5000000000{number:02}");
            spawn_grant(client, request)
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    // Each grant is two commands: 128 transactions without group commit, and a handful with it.
    let commits = stack.commits().await;
    assert!(commits <= 32, "{commits} transactions");
    assert_eq!(stack.ledger(ACCOUNT).await.len(), 128);
    stack.end().await;
}

impl Stack {
    /// The transactions that wrote the ledger: rows of one transaction have the same `xmin`.
    async fn commits(&self) -> i64 {
        let count = "SELECT count(DISTINCT xmin::text) FROM audit_entry";
        sqlx::query_scalar(count).fetch_one(&self.pool).await.unwrap()
    }
}
