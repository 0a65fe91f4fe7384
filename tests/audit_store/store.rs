//! A database and a committer without a server.

use std::{sync::Arc, time::Duration};

use sharewarden::{
    clock::Clock,
    config::{CommitterConfig, DatabaseConfig, ForwarderConfig},
    domain::{
        Action, ChangeId, Intent, PermissionKey, ReplicaId, RequestId, example,
        transition::{Command, CommandReply, Settlement, Work, WorkOutcome},
    },
    store::{CommitError, Committer, Database, Leased, Notifications},
};
use sharewarden_testkit::{
    postgres::{TestDatabase, database},
    stack::TIMEOUT,
};
use sqlx::PgPool;
use tokio::sync::mpsc;
use uuid::Uuid;

/// A store under test, and the work that its commits handed out.
pub(crate) struct Store {
    pub(crate) test: TestDatabase,
    pub(crate) database: Database,
    pub(crate) pool: PgPool,
    pub(crate) committer: Committer,
    pub(crate) work: mpsc::UnboundedReceiver<Leased>,
}

impl Store {
    pub(crate) async fn open() -> Self {
        Self::open_on(Clock::system()).await
    }

    pub(crate) async fn open_on(clock: Clock) -> Self {
        let test = database().await;
        let store = connect_on(test.url(), &clock);
        let pool = PgPool::connect(test.url()).await.unwrap();
        let settings = CommitterConfig {
            max_batch: 4096,
            commit_timeout: TIMEOUT,
            ..CommitterConfig::default()
        };
        let forwarder = ForwarderConfig {
            lease: Duration::from_secs(600),
            ..ForwarderConfig::default()
        };
        let (sender, work) = mpsc::unbounded_channel();
        let committer = Committer::start(
            &store,
            settings,
            &forwarder,
            ReplicaId(Uuid::new_v4()),
            &clock,
            &Notifications::default(),
            &sender,
        )
        .unwrap();
        Self {
            test,
            database: store,
            pool,
            committer,
            work,
        }
    }

    /// Sends commands at once, so that a lane commits them in few batches.
    pub(crate) async fn commit(&self, commands: Vec<Command>) -> Vec<Result<CommandReply, CommitError>> {
        futures_util::future::join_all(commands.into_iter().map(|command| self.committer.commit(command))).await
    }

    /// Adds `count` denials to a ledger.
    pub(crate) async fn refuse(&self, account: &str, count: usize) {
        let commands = (0..count).map(|_| deny(intent(key(account, "000011112222"), Action::Grant, "ann")));
        for answer in self.commit(commands.collect()).await {
            answer.unwrap();
        }
    }

    /// Takes the work that was handed out.
    pub(crate) fn take_work(&mut self) -> Vec<Work> {
        std::iter::from_fn(|| self.work.try_recv().ok())
            .map(|leased| leased.work)
            .collect()
    }

    pub(crate) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
            .execute(&self.pool)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub(crate) async fn close(self) {
        self.committer.close().await;
        self.database.close().await;
        self.pool.close().await;
        drop(self.test);
    }
}

/// Waits until an SQL condition is true.
pub(crate) async fn wait_until(pool: &PgPool, condition: &str) {
    let sql = format!("SELECT {condition}");
    let holds = async {
        while !sqlx::query_scalar::<_, bool>(sqlx::AssertSqlSafe(sql.clone()))
            .fetch_one(pool)
            .await
            .unwrap()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, holds)
        .await
        .unwrap_or_else(|_| panic!("not true in time: {condition}"));
}

/// Advances the clock in steps until the future is dropped.
pub(crate) async fn keep_advancing(clock: &Clock, step: Duration) {
    loop {
        clock.advance(step);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A pool for this URL.
pub(crate) fn connect(url: &str) -> Database {
    connect_on(url, &Clock::system())
}

fn connect_on(url: &str, clock: &Clock) -> Database {
    let settings = DatabaseConfig {
        url: url.to_owned().into(),
        max_connections: 4,
        acquire_timeout: TIMEOUT,
        statement_timeout: TIMEOUT,
    };
    Database::new(&settings, clock).unwrap()
}

pub(crate) fn key(account: &str, shared_account: &str) -> PermissionKey {
    PermissionKey {
        account: account.parse().unwrap(),
        shared_account: shared_account.parse().unwrap(),
        ..example::intent().key
    }
}

pub(crate) fn intent(key: PermissionKey, action: Action, principal: &str) -> Arc<Intent> {
    Arc::new(Intent {
        change_id: ChangeId(Uuid::new_v4()),
        request_id: RequestId(Uuid::new_v4()),
        key,
        action,
        principal: principal.parse().unwrap(),
        ..example::intent()
    })
}

pub(crate) fn deny(intent: Arc<Intent>) -> Command {
    Command::Deny(intent, "a rule".into())
}

pub(crate) fn settle(work: &Work, outcome: WorkOutcome) -> Command {
    Command::Settle(Settlement {
        key: work.change.intent.key.clone(),
        epoch: work.epoch,
        change_id: work.change.id(),
        attempts: Vec::new(),
        decision: None,
        outcome,
    })
}
