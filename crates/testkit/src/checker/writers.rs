//! Notes which replica writes which rows: each connects as a database role of its own, and triggers note the role.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::OffsetDateTime;

use super::history::Writes;

/// The triggers fire for each row, because a statement of the committer names all tables and writes to some of them.
const TRIGGERS: &str = "
    CREATE TABLE checker_write (role name NOT NULL, written_at timestamptz NOT NULL);
    CREATE FUNCTION checker_note_write() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO checker_write VALUES (session_user, clock_timestamp());
        RETURN NULL;
    END $$;
    CREATE TRIGGER checker_note_write AFTER INSERT OR UPDATE ON share_permission
        FOR EACH ROW EXECUTE FUNCTION checker_note_write();
    CREATE TRIGGER checker_note_write AFTER INSERT ON audit_entry
        FOR EACH ROW EXECUTE FUNCTION checker_note_write();
    CREATE TRIGGER checker_note_write AFTER INSERT OR UPDATE ON worker_lease
        FOR EACH ROW EXECUTE FUNCTION checker_note_write();
";

fn role(number: usize) -> String {
    format!("replica_{number}")
}

/// The URL of a replica, with its own role.
pub fn url(database: &str, number: usize) -> String {
    let (scheme, rest) = database.split_once("://").unwrap();
    let (_, address) = rest.split_once('@').unwrap();
    format!("{scheme}://{}@{address}", role(number))
}

/// Creates the roles and the triggers in a migrated database.
pub async fn note(database: &str, replicas: usize) {
    let mut connection = PgConnection::connect(database).await.unwrap();
    for number in 0..replicas {
        // The roles belong to the cluster, which another trial may have used.
        let role = role(number);
        let create = format!(
            "DO $$ BEGIN CREATE ROLE {role} SUPERUSER LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        );
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    sqlx::raw_sql(TRIGGERS).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// The rows that each replica wrote.
pub async fn all(database: &mut PgConnection, replicas: usize) -> BTreeMap<usize, Writes> {
    let mut all = BTreeMap::new();
    for number in 0..replicas {
        let query = sqlx::query_as("SELECT count(*), max(written_at) FROM checker_write WHERE role = $1");
        let (rows, last_at): (i64, Option<OffsetDateTime>) =
            query.bind(role(number)).fetch_one(&mut *database).await.unwrap();
        if let Some(last_at) = last_at {
            let rows = rows.unsigned_abs();
            all.insert(number, Writes { rows, last_at });
        }
    }
    all
}
