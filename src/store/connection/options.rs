//! How the driver connects: the URL of the configuration, and the settings of each session.

use std::str::FromStr;

use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};

use crate::{
    config::{DatabaseConfig, DatabaseUrl},
    store::error::StoreError,
};

/// The SQLSTATE of a database that does not exist.
const NO_SUCH_DATABASE: &str = "3D000";

pub(super) fn of(settings: &DatabaseConfig) -> Result<PgConnectOptions, StoreError> {
    let url = DatabaseUrl::parse(&settings.url).map_err(StoreError::Url)?;
    let options = PgConnectOptions::from_str(url.expose())?;
    Ok(options
        .application_name("sharewarden")
        // The only start-up parameter of the driver that poolers such as PgBouncer refuse. No column is a float.
        .extra_float_digits(None)
        // The driver logs the whole text of a statement, which can have kilobytes. The database logs slow uses itself.
        .disable_statement_logging())
}

/// The statement that sets up a session. It is no start-up option, because poolers refuse or drop those.
pub(super) fn session_settings(settings: &DatabaseConfig) -> String {
    let statement_timeout = settings.statement_timeout.as_millis();
    let lock_timeout = (settings.statement_timeout / 2).as_millis();
    // Statements find rows by key, and each has one good plan. In the mode `auto` Postgres estimates a plan for the given values
    // to be slightly cheaper and plans each time, which takes longer than the statement. Compiling (`jit`) takes longer, too.
    // The driver would log each notice, such as that a table exists already.
    format!(
        "SET statement_timeout = {statement_timeout}; SET lock_timeout = {lock_timeout}; \
         SET idle_in_transaction_session_timeout = {statement_timeout}; SET timezone = 'UTC'; \
         SET plan_cache_mode = force_generic_plan; SET jit = off; SET client_min_messages = warning"
    )
}

/// The server for messages: the host and the port, or the folder of the socket.
pub(super) fn server_of(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// Creates the database that the options name, if it does not exist. True if it was created. Only then it connects to another
/// database, because a role may be allowed to connect to its own only.
pub(super) async fn create_if_missing(options: PgConnectOptions) -> Result<bool, StoreError> {
    let server = server_of(&options);
    let missing = match options.connect().await {
        Ok(connection) => {
            connection.close().await?;
            return Ok(false);
        }
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NO_SUCH_DATABASE) => options,
        Err(error) => return Err(StoreError::connecting(&server, error)),
    };
    let name = missing.get_database().unwrap_or(missing.get_username()).to_owned();
    let other = if name == "postgres" { "template1" } else { "postgres" };
    create(missing.database(other), &name).await.map_err(|error| {
        let why = StoreError::connecting(&server, error);
        StoreError::Schema(format!("the database does not exist, and cannot be created: {why}"))
    })?;
    Ok(true)
}

async fn create(options: PgConnectOptions, name: &str) -> Result<(), sqlx::Error> {
    let mut connection = options.connect().await?;
    let quoted = name.replace('"', "\"\"");
    let statement = sqlx::AssertSqlSafe(format!("CREATE DATABASE \"{quoted}\""));
    sqlx::raw_sql(statement).execute(&mut connection).await?;
    connection.close().await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(url: &str) -> DatabaseConfig {
        DatabaseConfig {
            url: url.into(),
            max_connections: 2,
            acquire_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(30),
        }
    }

    #[test]
    fn a_host_is_an_address_without_brackets_or_a_folder() {
        let host = |url| of(&settings(url)).unwrap().get_host().to_owned();
        assert_eq!(host("postgres://u@[::1]:5432/db"), "::1");
        assert_eq!(host("postgres://u@db.example.com/db"), "db.example.com");
        let options = of(&settings("postgres://user@/db?host=/run/postgresql")).unwrap();
        assert_eq!(options.get_socket().unwrap().to_str(), Some("/run/postgresql"));
    }

    #[tokio::test]
    async fn a_host_that_does_not_resolve_is_named_with_the_answer_of_dns() {
        use crate::{clock::Clock, store::connection::Database};
        // An empty label is refused without a look into the network.
        let database = Database::new(&settings("postgres://u:hunter2@no..host/db"), &Clock::system()).unwrap();
        let error = database.check().await.unwrap_err().to_string();
        let start = "postgres: no..host:5432: the connection failed: failed to lookup address information";
        assert!(
            error.starts_with(start)
                && error.ends_with("; correct the host in database.url")
                && !error.contains("hunter2"),
            "{error}"
        );
    }
}
