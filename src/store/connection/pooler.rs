//! Finds a pooler in front of Postgres that shares sessions between its clients, such as PgBouncer in transaction mode. Prepared
//! statements, session settings and notifications need a session for each connection.

use sqlx::{PgConnection, PgPool};

use crate::store::error::{PostgresFault, StoreError};

const SHARED: &str = "a pooler in front of Postgres shares sessions between its clients: it must give each client a session of \
                      its own (PgBouncer: pool_mode = session), or database.url must name Postgres itself";

/// Two open connections to Postgres have two server processes. A pooler that shares sessions serves the second connection with
/// the process that the first one left idle.
pub(super) async fn check(first: &mut PgConnection, pool: &PgPool) -> Result<(), StoreError> {
    if pool.options().get_max_connections() < 2 {
        return Ok(());
    }
    let mut second = pool.acquire().await?;
    if process(first).await? == process(&mut second).await? {
        return Err(StoreError::Postgres {
            what: SHARED.into(),
            fault: PostgresFault::Server,
        });
    }
    Ok(())
}

/// The server process, asked without a prepared statement: with a pooler that shares sessions, those fail.
async fn process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = sqlx::Executor::fetch_one(connection, sqlx::raw_sql("SELECT pg_backend_pid()")).await?;
    sqlx::Row::try_get_unchecked(&row, 0)
}
