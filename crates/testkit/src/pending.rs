//! Pending changes whose replica died before it called AWS: nobody holds their lease.

use std::{sync::Arc, time::Duration};

use sharewarden::{
    clock::Clock,
    config::{CommitterConfig, DatabaseConfig, ForwarderConfig},
    domain::{
        ChangeId, Intent, PermissionKey, ReplicaId, RequestId, example,
        transition::{Command, CommandReply},
    },
    store::{Committer, Database, Notifications},
};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::stack::*;

/// The permission for recipient number `recipient`.
pub fn key(account: &str, image: &str, recipient: u64) -> PermissionKey {
    PermissionKey {
        account: account.parse().unwrap(),
        region: REGION.parse().unwrap(),
        image: image.parse().unwrap(),
        shared_account: format!("{recipient:012}").parse().unwrap(),
    }
}

impl Stack {
    /// Accepts grants in this order. Their leases expire at once.
    pub async fn leave_pending(&self, keys: impl IntoIterator<Item = PermissionKey>) {
        let settings = DatabaseConfig {
            url: self.database.url().into(),
            max_connections: 4,
            acquire_timeout: TIMEOUT,
            statement_timeout: TIMEOUT,
        };
        let database = Database::new(&settings, &Clock::system()).unwrap();
        let settings = CommitterConfig {
            queue: 100_000,
            max_batch: 1024,
            commit_timeout: TIMEOUT,
            ..CommitterConfig::default()
        };
        let forwarder = ForwarderConfig {
            lease: Duration::from_micros(1),
            late_effect_window: Duration::ZERO,
            ..ForwarderConfig::default()
        };
        let (sender, _work) = mpsc::unbounded_channel();
        let (replica, notifications) = (ReplicaId(Uuid::new_v4()), Notifications::default());
        let committer = Committer::start(
            &database,
            settings,
            &forwarder,
            replica,
            &Clock::system(),
            &notifications,
            &sender,
        )
        .unwrap();
        let opened = keys
            .into_iter()
            .map(|key| committer.commit(Command::Open(Arc::new(intent(key)))));
        for answer in futures_util::future::join_all(opened).await {
            assert!(matches!(answer.unwrap(), CommandReply::Opened(_)));
        }
        committer.close().await;
        database.close().await;
    }

    /// Waits until `count` changes have this state.
    pub async fn until_ended(&self, state: &str, count: i64) {
        let reached = async {
            while self.changes(state).await < count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // Thousands of changes take longer than one.
        let timeout = TIMEOUT + Duration::from_millis(50) * u32::try_from(count).unwrap();
        tokio::time::timeout(timeout, reached)
            .await
            .expect("the changes end in time");
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
