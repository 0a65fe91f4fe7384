//! A database with its pool, and helpers that insert rows.

use std::time::Duration;

use sharewarden::{clock::Clock, config::DatabaseConfig, store::Database};
use sharewarden_testkit::postgres::{TestDatabase, database};
use sqlx::{AssertSqlSafe, PgPool, Postgres, QueryBuilder};

use crate::model::Row;

pub(crate) struct Store {
    pub(crate) database: Database,
    pub(crate) pool: PgPool,
    test: TestDatabase,
}

impl Store {
    pub(crate) async fn new() -> Self {
        let test = database().await;
        Self {
            database: connect(&test, 4),
            pool: PgPool::connect(test.url()).await.unwrap(),
            test,
        }
    }

    /// Opens another pool.
    pub(crate) fn connect(&self, max_connections: u32) -> Database {
        connect(&self.test, max_connections)
    }

    pub(crate) async fn execute(&self, sql: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(sql.into()))
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// Creates the partition of a month, such as `2026-01`.
    pub(crate) async fn partition(&self, month: &str) {
        self.execute(format!("SELECT create_audit_partitions('{month}-01T00:00:00Z', 1)"))
            .await;
    }

    pub(crate) async fn insert(&self, rows: &[Row]) {
        for rows in rows.chunks(1000) {
            let mut sql = QueryBuilder::<Postgres>::new(
                "INSERT INTO audit_entry (account_id, log_index, recorded_at, kind, action, cause, change_id, request_id,
                     principal, reason, ticket, region, image_id, shared_account_id, generation, aws_request_id, error_reason,
                     is_ranked, leaf_hash, entry) ",
            );
            sql.push_values(rows, |mut sql, row| {
                let columns = row.columns();
                sql.push_bind(row.account.to_string())
                    .push_bind(row.log_index as i64)
                    .push_bind(row.recorded_at.to_offset_date_time())
                    .push_bind(row.kind)
                    .push_bind(columns.action)
                    .push_bind(columns.cause)
                    .push_bind(columns.change_id)
                    .push_bind(columns.request_id)
                    .push_bind(columns.principal)
                    .push_bind(columns.reason)
                    .push_bind(columns.ticket)
                    .push_bind(columns.region)
                    .push_bind(columns.image_id)
                    .push_bind(columns.shared_account_id)
                    .push_bind(columns.generation.map(|generation| generation as i64))
                    .push_bind(columns.aws_request_id)
                    .push_bind(columns.error_reason)
                    .push_bind(row.is_ranked)
                    .push_bind(&row.leaf_hash[..])
                    .push_bind(&row.text);
            });
            sql.build().execute(&self.pool).await.unwrap();
        }
        self.execute(
            "INSERT INTO ledger
             SELECT account_id, count(*), decode(repeat('00', 32 * bit_count(count(*)::bit(64))::int), 'hex'), sha256(''),
                 max(recorded_at)
             FROM audit_entry GROUP BY account_id
             ON CONFLICT (account_id) DO UPDATE SET size = excluded.size, frontier = excluded.frontier,
                 last_recorded_at = excluded.last_recorded_at",
        )
        .await;
    }
}

fn connect(test: &TestDatabase, max_connections: u32) -> Database {
    let timeout = Duration::from_secs(120);
    let settings = DatabaseConfig {
        url: test.url().into(),
        max_connections,
        acquire_timeout: timeout,
        statement_timeout: timeout,
    };
    Database::new(&settings, &Clock::system()).unwrap()
}
