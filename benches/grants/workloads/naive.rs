//! Two workloads without the service and without AWS. *Naive* writes two transactions for each grant, as a simple program
//! would around its call to AWS. *Batched* writes 256 grants in two statements, each its own transaction, without ledger
//! heads and rollups.
//!
//! Both write to copies of the tables with all columns, constraints and indexes, but without partitions and triggers.

use std::sync::Arc;

use sharewarden::ledger::{Frontier, merkle::leaf_hash};
use sqlx::{PgConnection, PgPool, Row, postgres::PgPoolOptions};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{REASON, TICKET, recipient};
use crate::{
    load::Workload,
    stack::{self, REGION, Stack},
};

const TABLES: [&str; 7] = [
    "ledger",
    "change",
    "share_permission",
    "audit_entry",
    "audit_rollup",
    "audit_ranking",
    "share_interval",
];

/// The default number of connections of the service.
pub(crate) const CONNECTIONS: usize = 16;

/// Maximum connections when each caller has its own. Postgres accepts 300, including those of the service.
const MAX_CONNECTIONS: usize = 200;

/// Creates missing copies, and connects to them.
async fn copies(stack: &Stack, connections: usize) -> PgPool {
    sqlx::raw_sql("CREATE SCHEMA IF NOT EXISTS naive")
        .execute(&stack.pool)
        .await
        .unwrap();
    for table in TABLES {
        let copy = format!("CREATE TABLE IF NOT EXISTS naive.{table} (LIKE public.{table} INCLUDING ALL)");
        sqlx::raw_sql(sqlx::AssertSqlSafe(copy))
            .execute(&stack.pool)
            .await
            .unwrap();
    }
    // `LIKE` does not copy the unique indexes of partitions. The naive design has no `request` table: a
    // unique index of `change` finds replays.
    sqlx::raw_sql(
        "CREATE UNIQUE INDEX IF NOT EXISTS one ON naive.audit_entry (account_id, log_index);
         CREATE UNIQUE INDEX IF NOT EXISTS two ON naive.audit_entry (change_id, once, account_id) WHERE change_id IS NOT NULL;
         CREATE UNIQUE INDEX IF NOT EXISTS three ON naive.change (account_id, request_id);",
    )
    .execute(&stack.pool)
    .await
    .unwrap();
    let options = (*stack.pool.connect_options()).clone();
    PgPoolOptions::new()
        .max_connections(connections.min(MAX_CONNECTIONS) as u32)
        .test_before_acquire(false)
        .connect_with(options.options([("search_path", "naive")]))
        .await
        .unwrap()
}

/// A line of the service's ledger, as a sample of its size.
async fn line(stack: &Stack, kind: &str) -> Arc<str> {
    let line: String = sqlx::query_scalar("SELECT entry FROM audit_entry WHERE kind = $1 LIMIT 1")
        .bind(kind)
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    line.into()
}

/// Two transactions for each grant.
#[derive(Clone)]
pub(crate) struct Naive {
    pool: PgPool,
    accounts: usize,
    requested: Arc<str>,
    succeeded: Arc<str>,
}

impl Naive {
    pub(crate) async fn new(stack: &Stack, accounts: usize, connections: usize) -> Self {
        let pool = copies(stack, connections).await;
        for number in 0..accounts {
            let empty = "INSERT INTO ledger VALUES ($1, 0, '', $2, now()) ON CONFLICT DO NOTHING";
            sqlx::query(empty)
                .bind(stack::account(number))
                .bind(&Frontier::default().root()[..])
                .execute(&pool)
                .await
                .unwrap();
        }
        Self {
            pool,
            accounts,
            requested: line(stack, "change.requested").await,
            succeeded: line(stack, "change.succeeded").await,
        }
    }

    /// The first transaction: the change, its permission, its entry and its counts.
    async fn accept(&self, grant: &Grant) {
        let mut transaction = self.pool.begin().await.unwrap();
        let mut head = Head::lock(&mut transaction, &grant.account).await;
        sqlx::query(
            "INSERT INTO change (account_id, change_id, request_id, region, image_id, shared_account_id, action, cause, principal,
                 reason, ticket, generation, state, attempts, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, 'GRANT', 'CALLER', 'svc-image-pipeline', $7, $8, 1, 'PENDING', '[]', $9)",
        )
        .bind(&grant.account)
        .bind(grant.change)
        .bind(grant.request)
        .bind(REGION)
        .bind(&grant.image)
        .bind(&grant.recipient)
        .bind(REASON)
        .bind(TICKET)
        .bind(head.now)
        .execute(&mut *transaction)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO share_permission (account_id, region, image_id, shared_account_id, desired, generation,
                 current_change_id, lease_owner, lease_epoch, lease_expires_at, in_doubt, created_at, updated_at)
             VALUES ($1, $2, $3, $4, 'SHARED', 1, $5, $5, 1, $6, false, $6, $6)",
        )
        .bind(&grant.account)
        .bind(REGION)
        .bind(&grant.image)
        .bind(&grant.recipient)
        .bind(grant.change)
        .bind(head.now)
        .execute(&mut *transaction)
        .await
        .unwrap();
        head.append(&mut transaction, grant, "change.requested", &self.requested)
            .await;
        sqlx::query(
            "INSERT INTO audit_ranking AS old SELECT $1, bucket, date_trunc(bucket, $2, 'UTC'), ranking, value, 1
             FROM (VALUES ('DAY'), ('MONTH')) AS bucket (bucket),
                 (VALUES ('PRINCIPAL', 'svc-image-pipeline'), ('IMAGE', $3), ('SHARED_ACCOUNT', $4)) AS ranking (ranking, value)
             ON CONFLICT (account_id, bucket, ranking, start_time, value) DO UPDATE SET count = old.count + 1",
        )
        .bind(&grant.account)
        .bind(head.now)
        .bind(&grant.image)
        .bind(&grant.recipient)
        .execute(&mut *transaction)
        .await
        .unwrap();
        head.save(&mut transaction).await;
        transaction.commit().await.unwrap();
    }

    /// The second transaction: the outcome, its entry and the interval of the share.
    async fn settle(&self, grant: &Grant) {
        let mut transaction = self.pool.begin().await.unwrap();
        let mut head = Head::lock(&mut transaction, &grant.account).await;
        sqlx::query(
            "UPDATE change SET state = 'SUCCEEDED', ended_at = $3, attempts = '[{\"operation\":\"UpdateWorkspaceImagePermission\"}]'
             WHERE account_id = $1 AND change_id = $2",
        )
        .bind(&grant.account)
        .bind(grant.change)
        .bind(head.now)
        .execute(&mut *transaction)
        .await
        .unwrap();
        sqlx::query(
            "UPDATE share_permission SET applied = 'SHARED', current_change_id = NULL, lease_owner = NULL,
                 lease_expires_at = NULL, updated_at = $5
             WHERE account_id = $1 AND region = $2 AND image_id = $3 AND shared_account_id = $4",
        )
        .bind(&grant.account)
        .bind(REGION)
        .bind(&grant.image)
        .bind(&grant.recipient)
        .bind(head.now)
        .execute(&mut *transaction)
        .await
        .unwrap();
        head.append(&mut transaction, grant, "change.succeeded", &self.succeeded)
            .await;
        sqlx::query("INSERT INTO share_interval VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(&grant.account)
            .bind(REGION)
            .bind(&grant.image)
            .bind(&grant.recipient)
            .bind(head.last_index())
            .bind(head.now)
            .execute(&mut *transaction)
            .await
            .unwrap();
        head.save(&mut transaction).await;
        transaction.commit().await.unwrap();
    }
}

impl Workload for Naive {
    async fn call(&self, number: u64) -> u64 {
        let (account, image) = stack::image(number, self.accounts);
        let grant = Grant {
            account,
            image,
            recipient: recipient(number),
            change: Uuid::now_v7(),
            request: Uuid::now_v7(),
        };
        self.accept(&grant).await;
        self.settle(&grant).await;
        1
    }
}

struct Grant {
    account: String,
    image: String,
    recipient: String,
    change: Uuid,
    request: Uuid,
}

/// The locked head of a ledger.
struct Head {
    account: String,
    frontier: Frontier,
    now: OffsetDateTime,
}

impl Head {
    async fn lock(connection: &mut PgConnection, account: &str) -> Self {
        let row = sqlx::query("SELECT size, frontier, clock_timestamp() FROM ledger WHERE account_id = $1 FOR UPDATE")
            .bind(account)
            .fetch_one(connection)
            .await
            .unwrap();
        let (size, frontier): (i64, Vec<u8>) = (row.get(0), row.get(1));
        Self {
            account: account.to_owned(),
            frontier: Frontier::from_bytes(size.cast_unsigned(), &frontier).unwrap(),
            now: row.get(2),
        }
    }

    fn last_index(&self) -> i64 {
        self.frontier.size().cast_signed() - 1
    }

    async fn append(&mut self, connection: &mut PgConnection, grant: &Grant, kind: &str, text: &str) {
        let hash = leaf_hash(text.as_bytes());
        self.frontier.append(hash);
        sqlx::query(
            "INSERT INTO audit_entry (account_id, log_index, recorded_at, kind, action, cause, change_id, request_id, principal,
                 reason, ticket, region, image_id, shared_account_id, generation, aws_request_id, is_ranked, share_effect, once,
                 leaf_hash, entry)
             VALUES ($1, $2, $3, $4, 'GRANT', 'CALLER', $5, $6, 'svc-image-pipeline', $7, $8, $9, $10, $11, 1, $12,
                 $4 = 'change.requested', CASE WHEN $4 = 'change.succeeded' THEN 'BEGINS' END,
                 CASE $4 WHEN 'change.requested' THEN 'requested' ELSE 'ended' END, $13, $14)",
        )
        .bind(&grant.account)
        .bind(self.last_index())
        .bind(self.now)
        .bind(kind)
        .bind(grant.change)
        .bind(grant.request)
        .bind(REASON)
        .bind(TICKET)
        .bind(REGION)
        .bind(&grant.image)
        .bind(&grant.recipient)
        .bind((kind == "change.succeeded").then(|| grant.request.to_string()))
        .bind(&hash[..])
        .bind(text)
        .execute(&mut *connection)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO audit_rollup AS old (account_id, bucket, start_time, region, action, kind, count)
             SELECT $1, bucket, date_trunc(bucket, $2, 'UTC'), $3, 'GRANT', $4, 1
             FROM (VALUES ('HOUR'), ('DAY'), ('MONTH')) AS bucket (bucket)
             ON CONFLICT (account_id, bucket, start_time, region, action, kind) DO UPDATE SET count = old.count + excluded.count",
        )
        .bind(&grant.account)
        .bind(self.now)
        .bind(REGION)
        .bind(kind)
        .execute(connection)
        .await
        .unwrap();
    }

    async fn save(self, connection: &mut PgConnection) {
        sqlx::query(
            "UPDATE ledger SET size = $2, frontier = $3, root = $4, last_recorded_at = $5 WHERE account_id = $1",
        )
        .bind(&self.account)
        .bind(self.frontier.size().cast_signed())
        .bind(self.frontier.to_bytes())
        .bind(&self.frontier.root()[..])
        .bind(self.now)
        .execute(connection)
        .await
        .unwrap();
    }
}

/// Many grants in one transaction, with values that Postgres generates.
#[derive(Clone)]
pub(crate) struct Batched {
    pool: PgPool,
    requested: Arc<str>,
    succeeded: Arc<str>,
}

const BATCH: i64 = 256;

/// One row of the size of an entry in its own commit: the cost of a commit.
#[derive(Clone)]
pub(crate) struct Commit(PgPool);

impl Commit {
    pub(crate) async fn new(stack: &Stack) -> Self {
        let pool = copies(stack, CONNECTIONS).await;
        sqlx::raw_sql("CREATE TABLE IF NOT EXISTS naive.commit (number bigint PRIMARY KEY, text text)")
            .execute(&pool)
            .await
            .unwrap();
        Self(pool)
    }
}

impl Workload for Commit {
    async fn call(&self, number: u64) -> u64 {
        sqlx::query("INSERT INTO commit VALUES ($1, repeat('x', 600))")
            .bind(number.cast_signed())
            .execute(&self.0)
            .await
            .unwrap();
        1
    }
}

impl Batched {
    pub(crate) async fn new(stack: &Stack) -> Self {
        Self {
            pool: copies(stack, CONNECTIONS).await,
            requested: line(stack, "change.requested").await,
            succeeded: line(stack, "change.succeeded").await,
        }
    }
}

/// The rows of the first commit of each grant, and those of the second.
const BATCHES: [&str; 2] = [
    "WITH grants AS MATERIALIZED (
         SELECT $1 + number AS number, gen_random_uuid() AS id, '3' || lpad(($1 + number)::text, 11, '0') AS recipient,
             clock_timestamp() AS now
         FROM generate_series(1, $2) AS number),
     changes AS (
         INSERT INTO change (account_id, change_id, request_id, region, image_id, shared_account_id, action, cause, principal,
             reason, ticket, generation, state, attempts, created_at)
         SELECT '300000000000', id, id, 'eu-central-1', 'wsi-000000000', recipient, 'GRANT', 'CALLER', 'svc-image-pipeline',
             'The base image of the quarter, for the workstations of the claims department', 'CHG-2026-004711', 1, 'PENDING',
             '[]', now FROM grants),
     permissions AS (
         INSERT INTO share_permission (account_id, region, image_id, shared_account_id, desired, generation,
             current_change_id, lease_owner, lease_epoch, lease_expires_at, in_doubt, created_at, updated_at)
         SELECT '300000000000', 'eu-central-1', 'wsi-000000000', recipient, 'SHARED', 1, id, id, 1, now, false, now, now
         FROM grants),
     rankings AS (
         INSERT INTO audit_ranking AS old
         SELECT '300000000000', bucket, date_trunc(bucket, now, 'UTC'), 'SHARED_ACCOUNT', recipient, 1
         FROM grants, (VALUES ('DAY'), ('MONTH')) AS bucket (bucket)
         ON CONFLICT (account_id, bucket, ranking, start_time, value) DO UPDATE SET count = old.count + 1)
     INSERT INTO audit_entry (account_id, log_index, recorded_at, kind, action, cause, change_id, request_id, principal,
         reason, ticket, region, image_id, shared_account_id, generation, is_ranked, once, leaf_hash, entry)
     SELECT '300000000000', 2 * number, now, 'change.requested', 'GRANT', 'CALLER', id, id, 'svc-image-pipeline',
         'The base image of the quarter, for the workstations of the claims department', 'CHG-2026-004711', 'eu-central-1',
         'wsi-000000000', recipient, 1, true, 'requested', decode(repeat('ab', 32), 'hex'), $3 FROM grants",
    "WITH grants AS MATERIALIZED (
         SELECT (log_index / 2) AS number, change_id AS id, shared_account_id AS recipient, clock_timestamp() AS now
         FROM audit_entry WHERE account_id = '300000000000' AND log_index > 2 * $1 AND log_index <= 2 * ($1 + $2) AND log_index % 2 = 0),
     changes AS (
         UPDATE change SET state = 'SUCCEEDED', ended_at = now,
             attempts = '[{\"operation\":\"UpdateWorkspaceImagePermission\"}]'
         FROM grants WHERE account_id = '300000000000' AND change_id = id),
     permissions AS (
         UPDATE share_permission SET applied = 'SHARED', current_change_id = NULL, lease_owner = NULL, lease_expires_at = NULL,
             updated_at = now
         FROM grants WHERE account_id = '300000000000' AND region = 'eu-central-1' AND image_id = 'wsi-000000000'
             AND shared_account_id = recipient),
     intervals AS (
         INSERT INTO share_interval
         SELECT '300000000000', 'eu-central-1', 'wsi-000000000', recipient, 2 * number + 1, now FROM grants)
     INSERT INTO audit_entry (account_id, log_index, recorded_at, kind, action, cause, change_id, request_id, principal,
         reason, ticket, region, image_id, shared_account_id, generation, aws_request_id, is_ranked, share_effect, once, leaf_hash,
         entry)
     SELECT '300000000000', 2 * number + 1, now, 'change.succeeded', 'GRANT', 'CALLER', id, id, 'svc-image-pipeline',
         'The base image of the quarter, for the workstations of the claims department', 'CHG-2026-004711', 'eu-central-1',
         'wsi-000000000', recipient, 1, id::text, false, 'BEGINS', 'ended', decode(repeat('ab', 32), 'hex'), $3 FROM grants",
];

impl Workload for Batched {
    async fn call(&self, number: u64) -> u64 {
        for (sql, text) in BATCHES.into_iter().zip([&self.requested, &self.succeeded]) {
            sqlx::query(sql)
                .bind(number.cast_signed() * BATCH)
                .bind(BATCH)
                .bind(&**text)
                .execute(&self.pool)
                .await
                .unwrap();
        }
        BATCH.cast_unsigned()
    }
}
