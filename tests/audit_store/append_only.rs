//! No ordinary statement rewrites the history, neither as its owner nor through a partition.

use sqlx::PgPool;

use crate::store::*;

const REWRITES: [&str; 4] = [
    "UPDATE {} SET reason = 'another'",
    "DELETE FROM {}",
    "DELETE FROM {} WHERE false",
    "TRUNCATE {}",
];

#[tokio::test]
async fn the_owner_cannot_rewrite_the_history_or_any_partition() {
    let store = Store::open().await;
    store.refuse("111122223333", 3).await;
    // Two partitions that are created later, and an entry in the default partition.
    store.execute("SELECT create_audit_partitions('2031-01-15', 2)").await;
    store.execute(&entry_at("2024-05-31 23:59:59.999999+00")).await;
    let names = partitions(&store.pool).await;
    for expected in ["audit_entry_default", "audit_entry_2031_01", "audit_entry_2031_02"] {
        assert!(names.contains(&expected.to_owned()), "{names:?}");
    }
    for table in names.iter().map(String::as_str).chain(["audit_entry"]) {
        for rewrite in REWRITES {
            let statement = rewrite.replace("{}", table);
            let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone()))
                .execute(&store.pool)
                .await;
            let refused = refused.expect_err(&statement).to_string();
            assert!(refused.contains("is append-only"), "{statement}: {refused}");
        }
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_entry")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert_eq!(count, 4);
    store.close().await;
}

/// The names of the history's partitions.
pub(crate) async fn partitions(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT relid::text FROM pg_partition_tree('audit_entry') WHERE isleaf ORDER BY relid::text COLLATE \"C\"",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

/// A statement that inserts an entry with this record time.
pub(crate) fn entry_at(time: &str) -> String {
    format!(
        "INSERT INTO audit_entry
         SELECT '999999999999', (SELECT count(*) FROM audit_entry), '{time}', 'change.requested', 'GRANT', 'CALLER',
             gen_random_uuid(), gen_random_uuid(), 'ann', 'a test', NULL, 'eu-central-1', 'wsi-123456789', '000011112222',
             1, NULL, NULL, true, NULL, NULL, sha256(''), '{{}}'"
    )
}
