//! Changes that were accepted by a replica that died before it called AWS: work that nobody holds.

use std::{sync::Arc, time::Duration};

use sharewarden::{
    clock::Clock,
    domain::{
        ChangeId, Intent, PermissionKey, ReplicaId, RequestId, example,
        transition::{Command, CommandReply},
    },
    store::{Committer, Database, DatabaseSettings, Hints, committer::CommitterSettings},
};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::stack::*;

/// A grant to a recipient of its own.
pub fn key(account: &str, image: &str, recipient: u64) -> PermissionKey {
    PermissionKey {
        account: account.parse().unwrap(),
        region: REGION.parse().unwrap(),
        image: image.parse().unwrap(),
        shared_account: format!("{recipient:012}").parse().unwrap(),
    }
}

impl Stack {
    /// Accepts grants, in this order, under leases that are over at once.
    pub async fn leave_pending(&self, keys: impl IntoIterator<Item = PermissionKey>) {
        let settings = DatabaseSettings {
            url: self.database.url().into(),
            max_connections: 4,
            acquire_timeout: PATIENCE,
            statement_timeout: PATIENCE,
        };
        let database = Database::new(&settings, &Clock::system()).unwrap();
        let settings = CommitterSettings {
            lanes: 1,
            queue: 100_000,
            max_batch: 1024,
            single_account_batches: false,
            lease_for: Duration::from_micros(1),
            commit_timeout: PATIENCE,
            landing_window: Duration::ZERO,
        };
        let (sender, _work) = mpsc::unbounded_channel();
        let (replica, hints) = (ReplicaId(Uuid::new_v4()), Hints::default());
        let committer = Committer::start(&database, &settings, replica, &Clock::system(), &hints, &sender).unwrap();
        let opened = keys
            .into_iter()
            .map(|key| committer.commit(Command::Open(Arc::new(intent(key)))));
        for answer in futures_util::future::join_all(opened).await {
            assert!(matches!(answer.unwrap(), CommandReply::Opened(_)));
        }
        committer.close().await;
        database.close().await;
    }

    /// Waits until so many changes have ended so.
    pub async fn until_ended(&self, state: &str, count: i64) {
        let reached = async {
            while self.changes(state).await < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // Thousands of them take longer than one.
        let patience = PATIENCE + Duration::from_millis(50) * u32::try_from(count).unwrap();
        tokio::time::timeout(patience, reached).await.expect("they end in time");
    }

    pub async fn changes(&self, state: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM change WHERE state = $1")
            .bind(state)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}

fn intent(key: PermissionKey) -> Intent {
    let id = Clock::system().uuid();
    Intent {
        change_id: ChangeId(id),
        request_id: RequestId(id),
        key,
        principal: "tester".parse().unwrap(),
        ..example::intent()
    }
}
