//! The errors of the store. They carry the SQLSTATE and never the driver's text, which can hold values of rows, names
//! of users and parts of URLs.

use std::{io, time::Duration};

use sqlx::migrate::MigrateError;

use crate::{config::DatabaseUrlProblem, domain::AccountId};

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
    /// The URL breaks this rule.
    #[error("database.url {0}")]
    Url(DatabaseUrlProblem),
    /// The schema of the database is not the one of this version.
    #[error("{0}")]
    Schema(String),
    /// The schema was finalized for newer builds.
    #[error(
        "this program is build {build}, and the database admits builds from {oldest_build} on, because it was finalized for a newer \
         version: run that version"
    )]
    NotAdmitted {
        /// The number of this build.
        build: i64,
        /// The oldest build that may use the schema.
        oldest_build: i64,
    },
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
    /// A conflict too: another session held a lock for longer than the lock timeout.
    Locked,
    /// The server or the network: unreachable, out of resources, shutting down, or read-only.
    Server,
    /// The server refuses the role, its password or the database.
    Refused,
}

impl StoreError {
    /// The error for a row of `table`.
    pub(super) fn corrupt(table: &'static str, problem: impl std::fmt::Display) -> Self {
        Self::Corrupt {
            table,
            problem: problem.to_string(),
        }
    }

    /// The error of connecting to this server, a host and a port or a folder: the server, the cause, and what to do.
    pub(super) fn connecting(server: &str, error: sqlx::Error) -> Self {
        let remedy = remedy_of(&error);
        match Self::from(error) {
            Self::Postgres { what, fault } => Self::Postgres {
                what: format!("{server}: {what}{remedy}"),
                fault,
            },
            error => error,
        }
    }

    /// True when the server cannot write because its disk or its memory is full, or its disk fails.
    pub fn is_exhausted(&self) -> bool {
        let codes = ["SQLSTATE 53100", "SQLSTATE 53200", "SQLSTATE 58030"];
        matches!(self, Self::Postgres { what, .. } if codes.iter().any(|code| what.contains(code)))
    }

    /// The same error, to be shown again.
    pub(super) fn again(&self) -> Self {
        Self::Postgres {
            what: match self {
                Self::Postgres { what, .. } => what.clone(),
                error => error.to_string(),
            },
            fault: PostgresFault::Server,
        }
    }

    /// True when a retry may help.
    pub fn is_transient(&self) -> bool {
        // Another replica can do it.
        self.is_unavailable() || self.is_contention() || matches!(self, Self::NotAdmitted { .. })
    }

    /// True for a conflict with another transaction.
    pub fn is_contention(&self) -> bool {
        let is_conflict = |fault| matches!(fault, PostgresFault::Contention | PostgresFault::Locked);
        matches!(self, Self::Postgres { fault, .. } if is_conflict(*fault))
    }

    /// True when waiting can help at the start of a process: the server is unavailable, and does not refuse the role, its
    /// password or the database.
    pub fn is_away(&self) -> bool {
        let is_refused = matches!(self, Self::Postgres { fault, .. } if *fault == PostgresFault::Refused);
        self.is_unavailable() && !is_refused
    }

    /// True if another session held a lock for longer than the lock timeout.
    pub(super) fn is_lock_timeout(&self) -> bool {
        matches!(self, Self::Postgres { fault, .. } if *fault == PostgresFault::Locked)
    }

    /// True when the server or the network is at fault: other connections may be no better.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Postgres { fault, .. } => matches!(fault, PostgresFault::Server | PostgresFault::Refused),
            Self::Timeout(_) => true,
            Self::Url(_)
            | Self::Schema(_)
            | Self::NotAdmitted { .. }
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
                let what = match meaning_of(&code) {
                    Some(meaning) => format!("{meaning} (SQLSTATE {code})"),
                    None => format!("SQLSTATE {code}"),
                };
                (format!("{what}{constraint}"), fault_of(&code))
            }
            sqlx::Error::Io(error) => (
                format!("the connection failed: {}", cause_of(error)),
                PostgresFault::Server,
            ),
            sqlx::Error::Tls(_) => (
                "TLS failed: the server has none, or its certificate does not verify".into(),
                PostgresFault::Server,
            ),
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

/// The text of the system or of DNS. Other texts are the driver's.
fn cause_of(error: &io::Error) -> String {
    let text = error.to_string();
    if error.raw_os_error().is_some() || is_of_dns(&text) {
        return text;
    }
    error.kind().to_string()
}

/// What to do about an error of connecting, after a semicolon. Empty if the meaning of the SQLSTATE says it.
fn remedy_of(error: &sqlx::Error) -> &'static str {
    let sqlx::Error::Io(error) = error else {
        return match error {
            sqlx::Error::Tls(_) => "; check sslmode and sslrootcert in database.url",
            sqlx::Error::Protocol(_) => "; something else than Postgres answers there: correct database.url",
            _ => "",
        };
    };
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "; nothing listens there: start Postgres, or correct the host and the port in database.url"
        }
        io::ErrorKind::NotFound => "; there is no socket: start Postgres, or correct the host in database.url",
        io::ErrorKind::PermissionDenied => "; this user may not use the socket: correct its rights or database.url",
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "; the server closed it: Postgres is stopping, or something else answers there"
        }
        _ if is_of_dns(&error.to_string()) => "; correct the host in database.url",
        _ => "; check the network between here and the host in database.url",
    }
}

fn is_of_dns(text: &str) -> bool {
    text.starts_with("failed to lookup address information")
}

/// What the codes mean that depend on the server's configuration, and what to do.
fn meaning_of(code: &str) -> Option<&'static str> {
    Some(match code {
        "28P01" => "the server refuses the password of the role: correct the user and the password in database.url",
        _ if code.starts_with("28") => {
            "the server refuses the role: correct the user in database.url, create the role (docs/roles.sql), or let it in \
             (pg_hba.conf)"
        }
        "3D000" => {
            "the database does not exist: create it with `sharewarden migrate`, or correct its name in database.url"
        }
        "42501" => "the role lacks a right: use the role for this task, and give it its rights with docs/roles.sql",
        "53100" => "the disk is full",
        "53200" => "out of memory",
        "53300" => "too many connections: raise max_connections, or lower database.max_connections",
        "57P03" => "the server is starting or stopping, and takes no connections",
        "58030" => "the server's disk fails",
        "58P01" => "a file of an extension is missing: install the package with pg_trgm (postgresql-contrib)",
        "08P01" | "26000" | "42P05" => {
            "a pooler such as PgBouncer refuses the session: its log says why; it needs pool_mode = session"
        }
        _ => return None,
    })
}

/// Our statement: unsupported feature (0A), data (22), constraint (23), syntax or name (42). A conflict: serialization failure or
/// deadlock (40), object not in the prerequisite state (55), statement timeout (57014). A lock timeout (55P03). Refused: the
/// role or password (28), the database (3D000). All else is the server's state: connections, resources, shutdown, read-only.
fn fault_of(code: &str) -> PostgresFault {
    match code {
        _ if ["0A", "22", "23", "42"].iter().any(|class| code.starts_with(class)) => PostgresFault::Statement,
        "55P03" => PostgresFault::Locked,
        _ if code.starts_with("28") || code == "3D000" => PostgresFault::Refused,
        _ if ["40", "55"].iter().any(|class| code.starts_with(class)) || code == "57014" => PostgresFault::Contention,
        _ => PostgresFault::Server,
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            MigrateError::ExecuteMigration(error, version) => {
                let error = Self::from(error);
                if error.is_lock_timeout() {
                    return error;
                }
                Self::Schema(format!("migration {version} failed: {error}"))
            }
            // These texts contain versions and checksums only.
            error => Self::Schema(error.to_string()),
        }
    }
}
