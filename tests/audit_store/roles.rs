//! Database roles: the server's role adds to the history and cannot rewrite it, and the dashboards' role reads views.
//!
//! Roles belong to the cluster that all tests of this process share. Each test makes logins with unique names and
//! removes them.

use sharewarden::{
    clock::Clock,
    config::DatabaseConfig,
    store::{Database, Privileges},
};
use sharewarden_testkit::stack::*;
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    append_only::{entry_at, partitions},
    recount::assert_summaries_are_exact,
    store::{Store, connect, wait_until},
};

/// A role that may log in, as a member of a group.
pub(crate) struct Login {
    name: String,
    url: String,
}

impl Login {
    pub(crate) async fn of(group: &str, pool: &PgPool, url: &str) -> Self {
        let name = format!("test_{}", Uuid::new_v4().simple());
        execute(pool, &format!("CREATE ROLE {name} LOGIN IN ROLE {group}")).await;
        let url = url.replacen("://sharewarden@", &format!("://{name}@"), 1);
        assert!(url.contains(&name), "{url}");
        Self { name, url }
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    pub(crate) async fn remove(self, pool: &PgPool) {
        execute(pool, &format!("DROP ROLE {}", self.name)).await;
    }
}

async fn execute(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(pool)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Fails unless Postgres refuses the statement for lack of privilege.
pub(crate) async fn assert_refused(connection: &mut PgConnection, sql: &str) {
    let result = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await;
    let error = result.expect_err(sql);
    let code = error.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error}");
}

#[tokio::test]
async fn a_server_with_the_writer_role_does_all_its_work() {
    let mut stack = Stack::start().await;
    stack.stop_server().await;
    let login = Login::of("sharewarden_writer", &stack.pool, stack.database.url()).await;
    execute(&stack.pool, &entry_at("2024-05-01 00:00+00")).await;

    let server = RunningServer::start(&config(&login.url, &stack.simulator.url(), ""), Clock::system()).await;
    let mut client = server.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    client.revoke_share_permission(as_tester(revoke())).await.unwrap();
    assert_eq!(
        stack.kinds(ACCOUNT).await,
        [
            "change.requested",
            "change.succeeded",
            "change.requested",
            "change.succeeded"
        ]
    );
    // Its workers also create partitions and count entries.
    wait_until(&stack.pool, "to_regclass('audit_entry_2024_05') IS NOT NULL").await;
    let added = "EXISTS (SELECT FROM audit_summary_progress WHERE size = 4)";
    wait_until(&stack.pool, added).await;
    execute(&stack.pool, "DROP TABLE audit_entry_2024_05").await;
    let database = connect(&login.url);
    assert_summaries_are_exact(&stack.pool, &database).await;
    database.close().await;
    server.stop().await;

    let privileges = async |url: &str| {
        let database = connect(url);
        let privileges = database.privileges().await.unwrap();
        database.close().await;
        privileges
    };
    assert_eq!(
        privileges(&login.url).await,
        Privileges {
            superuser: false,
            owner: false
        }
    );
    let ours = privileges(stack.database.url()).await;
    assert_eq!(
        ours,
        Privileges {
            superuser: true,
            owner: true
        }
    );
    login.remove(&stack.pool).await;
    stack.end().await;
}

#[tokio::test]
async fn a_writer_cannot_change_the_history_or_its_triggers() {
    let store = Store::open().await;
    store.refuse(ACCOUNT, 3).await;
    let login = Login::of("sharewarden_writer", &store.pool, store.test.url()).await;
    let mut writer = login.connect().await;
    for table in partitions(&store.pool)
        .await
        .iter()
        .map(String::as_str)
        .chain(["audit_entry"])
    {
        for statement in [
            "UPDATE {} SET reason = 'another'",
            "DELETE FROM {}",
            "TRUNCATE {}",
            "DROP TABLE {}",
            "ALTER TABLE {} DISABLE TRIGGER ALL",
            "DROP TRIGGER audit_entry_is_append_only ON {}",
            "DROP TRIGGER audit_entry_is_not_truncated ON {}",
            "SELECT finish_audit_partition('{}')",
        ] {
            assert_refused(&mut writer, &statement.replace("{}", table)).await;
        }
    }
    for statement in [
        "ALTER TABLE audit_entry DETACH PARTITION audit_entry_default",
        "CREATE OR REPLACE FUNCTION refuse_rewriting_history() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "SET session_replication_role = replica",
        "SET ROLE sharewarden",
        "DELETE FROM ledger",
        "DELETE FROM ledger_tile",
        "DELETE FROM ledger_checkpoint",
        "UPDATE ledger_checkpoint SET root = root",
        "DELETE FROM change",
        "DELETE FROM share_interval",
        "DELETE FROM audit_rollup",
        "INSERT INTO worker_lease (worker) VALUES ('another')",
        "DELETE FROM worker_lease",
        "INSERT INTO audit_archive DEFAULT VALUES",
        "DELETE FROM _sqlx_migrations",
    ] {
        assert_refused(&mut writer, statement).await;
    }
    writer.close().await.unwrap();
    login.remove(&store.pool).await;
    store.close().await;
}

/// The function that creates partitions runs with the owner's rights. A writer must not be able to point it at other tables.
#[tokio::test]
async fn a_writer_cannot_use_the_owners_rights_through_its_own_tables() {
    let store = Store::open().await;
    store.refuse(ACCOUNT, 1).await;
    let login = Login::of("sharewarden_writer", &store.pool, store.test.url()).await;
    let mut writer = login.connect().await;
    let trap = "CREATE TEMPORARY TABLE audit_entry_default (recorded_at timestamptz);
        CREATE TEMPORARY TABLE audit_entry_2040_01 (recorded_at timestamptz);
        INSERT INTO audit_entry_default VALUES ('2040-01-01');
        CREATE FUNCTION pg_temp.spring() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                ALTER TABLE audit_entry DISABLE TRIGGER ALL;
                RETURN NULL;
            END
        $$;
        CREATE TRIGGER trap BEFORE DELETE ON audit_entry_default EXECUTE FUNCTION pg_temp.spring();";
    sqlx::raw_sql(trap).execute(&mut writer).await.unwrap();
    let made: i32 = sqlx::query_scalar("SELECT create_audit_partitions('2040-01-15', 1)")
        .fetch_one(&mut writer)
        .await
        .unwrap();
    assert_eq!(made, 1);
    assert!(
        partitions(&store.pool)
            .await
            .contains(&"audit_entry_2040_01".to_owned())
    );
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_temp.audit_entry_default")
        .fetch_one(&mut writer)
        .await
        .unwrap();
    assert_eq!(left, 1, "the writer's table is unchanged");
    // A role cannot be dropped before its objects, and Postgres removes temporary objects some time after the session ends.
    let remove = "DROP TABLE pg_temp.audit_entry_default, pg_temp.audit_entry_2040_01; DROP FUNCTION pg_temp.spring";
    sqlx::raw_sql(remove).execute(&mut writer).await.unwrap();
    writer.close().await.unwrap();
    login.remove(&store.pool).await;
    store.close().await;
}

#[tokio::test]
async fn a_reader_can_read_only_the_views() {
    let store = Store::open().await;
    store.refuse(ACCOUNT, 1).await;
    let login = Login::of("sharewarden_reader", &store.pool, store.test.url()).await;
    let mut reader = login.connect().await;
    let relations: Vec<(String, bool)> = sqlx::query_as(
        "SELECT oid::regclass::text, relnamespace = 'reporting'::regnamespace FROM pg_class
         WHERE relnamespace IN ('public'::regnamespace, 'reporting'::regnamespace) AND relkind IN ('r', 'p', 'v', 'm', 'S')",
    )
    .fetch_all(&store.pool)
    .await
    .unwrap();
    assert_eq!(relations.iter().filter(|(_, is_view)| *is_view).count(), 10);
    assert!(relations.len() > 20, "{relations:?}");
    for (relation, is_view) in relations {
        let select = format!("SELECT * FROM {relation}");
        if is_view {
            let found = sqlx::raw_sql(sqlx::AssertSqlSafe(select)).execute(&mut reader).await;
            found.unwrap_or_else(|error| panic!("{relation}: {error}"));
            let delete = sqlx::query(sqlx::AssertSqlSafe(format!("DELETE FROM {relation}")));
            let refused = delete.execute(&mut reader).await.expect_err(&relation);
            // The role lacks the privilege (42501), or the view does not allow deletes (55000).
            let code = refused.as_database_error().and_then(|error| error.code());
            assert!(
                matches!(code.as_deref(), Some("42501" | "55000")),
                "{relation}: {refused}"
            );
        } else {
            assert_refused(&mut reader, &select).await;
        }
    }
    assert_refused(&mut reader, "SELECT create_audit_partitions(now(), 1)").await;
    assert_refused(&mut reader, "SELECT finish_audit_partition('reporting.entries')").await;
    reader.close().await.unwrap();
    login.remove(&store.pool).await;
    store.close().await;
}

#[tokio::test]
async fn an_owner_who_may_connect_to_its_own_database_only_can_migrate() {
    let store = Store::open().await;
    let name = format!("test_{}", Uuid::new_v4().simple());
    execute(&store.pool, &format!("CREATE ROLE {name} LOGIN")).await;
    execute(&store.pool, &format!("CREATE DATABASE {name} OWNER {name}")).await;
    execute(
        &store.pool,
        "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC",
    )
    .await;
    let (server, rest) = store.test.url().split_once('?').unwrap();
    let server = server.rsplit_once('/').unwrap().0;
    let server = server.replacen("://sharewarden@", &format!("://{name}@"), 1);
    let url = format!("{server}/{name}?{rest}");
    let settings = DatabaseConfig {
        url: url.into(),
        max_connections: 2,
        acquire_timeout: TIMEOUT,
        statement_timeout: TIMEOUT,
    };
    Database::create_if_missing(&settings).await.unwrap();
    let database = Database::new(&settings, &Clock::system()).unwrap();
    database.migrate().await.unwrap();
    database.check().await.unwrap();
    database.close().await;
    execute(&store.pool, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    execute(&store.pool, &format!("DROP ROLE {name}")).await;
    store.close().await;
}
