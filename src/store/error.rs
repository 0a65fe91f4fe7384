//! What can go wrong with the store. The driver's own texts stay inside: they can hold values of rows, names of users and
//! parts of URLs. What leaves is the kind of the fault and its SQLSTATE.

use std::time::Duration;

use sqlx::migrate::MigrateError;

/// The store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres did not answer, or not as it should.
    #[error("postgres: {what}")]
    Postgres {
        /// What went wrong, without the driver's text.
        what: String,
        /// True when it is Postgres's state, not our statement, that is at fault.
        transient: bool,
    },
    /// Postgres did not answer in time.
    #[error("postgres did not answer within {0:?}")]
    Timeout(Duration),
    /// The schema is not the one that this version works with.
    #[error("{0}")]
    Schema(String),
    /// A row cannot be read as what it should be.
    #[error("table {table}: {problem}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Our own code has panicked; the panic hook has said more.
    #[error("the batch panicked")]
    Panic,
    /// An entry cannot be written as text.
    #[error(transparent)]
    Encode(#[from] crate::ledger::encoding::EncodeError),
}

impl StoreError {
    /// A row of `table` that should not be there.
    pub(super) fn corrupt(table: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Corrupt {
            table,
            problem: problem.to_string(),
        }
    }

    /// True when trying the same again may help: Postgres is away, or something was in the way.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Postgres { transient, .. } => *transient,
            Self::Timeout(_) => true,
            Self::Schema(_) | Self::Corrupt { .. } | Self::Panic | Self::Encode(_) => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let (what, transient) = match &error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                let constraint = error
                    .constraint()
                    .map(|name| format!(", constraint {name}"))
                    .unwrap_or_default();
                (format!("SQLSTATE {code}{constraint}"), is_state_of_postgres(&code))
            }
            sqlx::Error::Io(error) => (format!("the connection failed: {}", error.kind()), true),
            sqlx::Error::Tls(_) => ("TLS failed".into(), true),
            sqlx::Error::PoolTimedOut => ("no connection was to be had in time".into(), true),
            sqlx::Error::PoolClosed => ("the connections are closed".into(), true),
            sqlx::Error::Configuration(_) => ("the URL cannot be used".into(), false),
            sqlx::Error::ColumnDecode { index, .. } => (format!("column {index} cannot be read"), false),
            sqlx::Error::Decode(_) | sqlx::Error::Encode(_) | sqlx::Error::RowNotFound => {
                ("a value cannot be read or written".into(), false)
            }
            _ => ("the conversation broke".into(), true),
        };
        Self::Postgres { what, transient }
    }
}

/// False for what our own statements can be at fault for: unsupported (0A), data (22), constraints (23), syntax and names (42).
/// All else is Postgres's state: connections, locks, resources, privileges, shutdown, a primary that turned read-only.
fn is_state_of_postgres(code: &str) -> bool {
    !["0A", "22", "23", "42"].iter().any(|class| code.starts_with(class))
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            MigrateError::ExecuteMigration(error, version) => {
                let refused = error.as_database_error().and_then(|error| error.code());
                let advice = match refused.as_deref() {
                    Some("42501") => "; the role of database.url lacks a right: docs/roles.sql makes one that has it",
                    _ => "",
                };
                Self::Schema(format!("migration {version} failed: {}{advice}", Self::from(error)))
            }
            // These speak of versions and checksums only.
            error => Self::Schema(error.to_string()),
        }
    }
}
