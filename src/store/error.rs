//! What can go wrong with the store.

/// The store did not do what was asked. The texts are for the log, not for callers.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres did not answer, or not as it should.
    #[error("postgres")]
    Postgres(#[from] sqlx::Error),
    /// Postgres did not answer in time.
    #[error("postgres did not answer within {0:?}")]
    Timeout(std::time::Duration),
    /// The migrations cannot be applied.
    #[error("cannot migrate the database")]
    Migrate(#[from] sqlx::migrate::MigrateError),
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

    /// True when trying the same again may help: the connection broke, or another transaction was in the way.
    pub fn is_transient(&self) -> bool {
        match self {
            // What our own statements can be at fault for: unsupported (0A), data (22), constraints (23), syntax and names (42).
            // All else is Postgres's state: connections, locks, resources, privileges, shutdown, a primary turned read-only.
            Self::Postgres(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default();
                !["0A", "22", "23", "42"].iter().any(|class| code.starts_with(class))
            }
            Self::Postgres(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound) => {
                false
            }
            Self::Postgres(_) | Self::Timeout(_) => true,
            Self::Migrate(_) | Self::Schema(_) | Self::Panic | Self::Corrupt { .. } | Self::Encode(_) => false,
        }
    }
}
