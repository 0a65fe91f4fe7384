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
        /// What is at fault.
        fault: Fault,
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
    /// A round of a worker takes longer than its lease.
    #[error("the lease of the worker is about to end")]
    LeaseEnds,
    /// An entry cannot be written as text.
    #[error(transparent)]
    Encode(#[from] crate::ledger::envelope::EncodeError),
}

/// What is at fault when Postgres refuses or does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Our statement, or a row: the same again fails again.
    Statement,
    /// Another transaction, which was in the way. The connection is fine.
    Contention,
    /// The server, or the way to it: it is away, full, ending, or takes no writes.
    Server,
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
        self.is_away() || self.is_contention()
    }

    /// True when another transaction was in the way.
    pub fn is_contention(&self) -> bool {
        matches!(self, Self::Postgres { fault, .. } if *fault == Fault::Contention)
    }

    /// True when the server is at fault, or the way to it: other connections may be no better.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Postgres { fault, .. } => *fault == Fault::Server,
            Self::Timeout(_) => true,
            Self::Schema(_) | Self::Corrupt { .. } | Self::Panic | Self::LeaseEnds | Self::Encode(_) => false,
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
            sqlx::Error::Io(error) => (format!("the connection failed: {}", error.kind()), Fault::Server),
            sqlx::Error::Tls(_) => ("TLS failed".into(), Fault::Server),
            sqlx::Error::PoolTimedOut => ("no connection was to be had in time".into(), Fault::Server),
            sqlx::Error::PoolClosed => ("the connections are closed".into(), Fault::Server),
            sqlx::Error::Configuration(_) => ("the URL cannot be used".into(), Fault::Statement),
            sqlx::Error::ColumnDecode { index, .. } => (format!("column {index} cannot be read"), Fault::Statement),
            sqlx::Error::Decode(_) | sqlx::Error::Encode(_) | sqlx::Error::RowNotFound => {
                ("a value cannot be read or written".into(), Fault::Statement)
            }
            _ => ("the conversation broke".into(), Fault::Server),
        };
        Self::Postgres { what, fault }
    }
}

/// Our own statements can be at fault for what is unsupported (0A), for data (22), constraints (23), syntax and names (42).
/// Rollbacks on behalf of others (40), locks (55) and statements that took too long (57014) come of what others do. All else is
/// the server's state: connections, resources, privileges, shutdown, a primary that turned read-only.
fn fault_of(code: &str) -> Fault {
    match code {
        _ if ["0A", "22", "23", "42"].iter().any(|class| code.starts_with(class)) => Fault::Statement,
        _ if ["40", "55"].iter().any(|class| code.starts_with(class)) || code == "57014" => Fault::Contention,
        _ => Fault::Server,
    }
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
