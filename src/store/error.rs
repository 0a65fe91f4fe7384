//! The errors of the store. They carry the SQLSTATE and never the driver's text, which can hold values of rows, names
//! of users and parts of URLs.

use std::time::Duration;

use sqlx::migrate::MigrateError;

use crate::domain::AccountId;

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres refused a statement, or the connection failed.
    #[error("postgres: {what}")]
    Postgres {
        /// What went wrong, without the driver's text.
        what: String,
        /// Which side is at fault.
        fault: PostgresFault,
    },
    /// Postgres did not answer within this time.
    #[error("postgres did not answer within {0:?}")]
    Timeout(Duration),
    /// The schema of the database is not the one of this version.
    #[error("{0}")]
    Schema(String),
    /// A row is not as the schema and the code promise.
    #[error("table {table}: {problem}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The head of a ledger contradicts itself: its right edge does not give its root. Nothing is added to it.
    #[error("entry {log_index} of the ledger of account {account} does not match what was recorded")]
    Tampered {
        /// The account of the ledger.
        account: AccountId,
        /// The last entry of the ledger.
        log_index: u64,
    },
    /// Our own code panicked. The panic hook logged why.
    #[error("the code that ran the batch panicked")]
    Panic,
    /// A round of a worker took longer than its lease allows, and was stopped.
    #[error("the round was stopped: the lease of the worker is about to expire")]
    LeaseEnds,
    /// An entry has no canonical text.
    #[error(transparent)]
    Encode(#[from] crate::ledger::envelope::EncodeError),
}

/// Which side is at fault when Postgres refuses or does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresFault {
    /// Our statement or our data: a retry fails again.
    Statement,
    /// A conflict with another transaction. The connection is fine.
    Contention,
    /// The server or the network: unreachable, out of resources, shutting down, or read-only.
    Server,
}

impl StoreError {
    /// The error for a row of `table`.
    pub(super) fn corrupt(table: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Corrupt {
            table,
            problem: problem.to_string(),
        }
    }

    /// True when a retry may help.
    pub fn is_transient(&self) -> bool {
        self.is_unavailable() || self.is_contention()
    }

    /// True for a conflict with another transaction.
    pub fn is_contention(&self) -> bool {
        matches!(self, Self::Postgres { fault, .. } if *fault == PostgresFault::Contention)
    }

    /// True when the server or the network is at fault: other connections may be no better.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Postgres { fault, .. } => *fault == PostgresFault::Server,
            Self::Timeout(_) => true,
            Self::Schema(_)
            | Self::Corrupt { .. }
            | Self::Tampered { .. }
            | Self::Panic
            | Self::LeaseEnds
            | Self::Encode(_) => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let (what, fault) = match &error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default();
                let constraint = error
                    .constraint()
                    .map(|name| format!(", constraint {name}"))
                    .unwrap_or_default();
                (format!("SQLSTATE {code}{constraint}"), fault_of(&code))
            }
            sqlx::Error::Io(error) => (
                format!("the connection failed: {}", error.kind()),
                PostgresFault::Server,
            ),
            sqlx::Error::Tls(_) => ("TLS failed".into(), PostgresFault::Server),
            sqlx::Error::PoolTimedOut => (
                "timed out waiting for a pooled connection".into(),
                PostgresFault::Server,
            ),
            sqlx::Error::PoolClosed => ("the pool is closed".into(), PostgresFault::Server),
            sqlx::Error::Configuration(_) => ("the URL is invalid".into(), PostgresFault::Statement),
            sqlx::Error::ColumnDecode { index, .. } => {
                (format!("column {index} cannot be decoded"), PostgresFault::Statement)
            }
            sqlx::Error::Decode(_) | sqlx::Error::Encode(_) | sqlx::Error::RowNotFound => {
                ("a value cannot be decoded or encoded".into(), PostgresFault::Statement)
            }
            _ => ("protocol error".into(), PostgresFault::Server),
        };
        Self::Postgres { what, fault }
    }
}

/// Our statement: unsupported feature (0A), data (22), constraint (23), syntax or name (42). A conflict: serialization failure or
/// deadlock (40), lock not available (55), statement timeout (57014). All else is the server's state: connections, resources,
/// privileges, shutdown, a primary that became read-only.
fn fault_of(code: &str) -> PostgresFault {
    match code {
        _ if ["0A", "22", "23", "42"].iter().any(|class| code.starts_with(class)) => PostgresFault::Statement,
        _ if ["40", "55"].iter().any(|class| code.starts_with(class)) || code == "57014" => PostgresFault::Contention,
        _ => PostgresFault::Server,
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            MigrateError::ExecuteMigration(error, version) => {
                let refused = error.as_database_error().and_then(|error| error.code());
                let hint = match refused.as_deref() {
                    Some("42501") => {
                        "; the role in database.url lacks a privilege: docs/roles.sql creates a role that has it"
                    }
                    _ => "",
                };
                Self::Schema(format!("migration {version} failed: {}{hint}", Self::from(error)))
            }
            // These texts contain versions and checksums only.
            error => Self::Schema(error.to_string()),
        }
    }
}
