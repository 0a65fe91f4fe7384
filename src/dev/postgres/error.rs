//! The errors of a private Postgres. Each message says what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another live process has locked the folder.
    #[error("{} is in use by {holder}: stop that process first, or choose another folder", folder.display())]
    InUse {
        /// The cluster's folder.
        folder: PathBuf,
        /// The process, as far as known.
        holder: String,
    },
    /// The folder has files of something else. They are left unchanged.
    #[error("{} has files that are not a sharewarden cluster: choose an empty folder", folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
    },
    /// The server's user cannot access the folder.
    #[error(
        "the server cannot run as root, and user {user} cannot enter {} (mode {mode:04o}), \
         so the data cannot be in {}: choose a folder outside it with --data-dir",
        closed.display(), folder.display()
    )]
    Unreachable {
        /// The cluster's folder.
        folder: PathBuf,
        /// The folder that the user cannot enter: the one above, or a parent.
        closed: PathBuf,
        /// The permissions of the closed folder.
        mode: u32,
        /// The user that the server would run as.
        user: String,
    },
    /// No installed Postgres has the major version of the cluster.
    #[error(
        "{} is a cluster of PostgreSQL {folder_version}, but PostgreSQL {found} is installed: \
         install PostgreSQL {folder_version}, or choose another folder", folder.display()
    )]
    Version {
        /// The cluster's folder.
        folder: PathBuf,
        /// The major version of the cluster.
        folder_version: u32,
        /// The major versions that are installed.
        found: String,
    },
    /// No Postgres is installed.
    #[error(
        "found no PostgreSQL server in the usual folders or in PATH: install it, for example with \
         `apt-get install postgresql` or `brew install postgresql`; it need not run"
    )]
    NoBinaries,
    /// The folder that the environment names has no Postgres that runs.
    #[error(
        "SHAREWARDEN_POSTGRES_BIN names {}, which has no `initdb` and `postgres` of one version that run here: name the folder of \
         PostgreSQL's programs, or unset the variable", folder.display()
    )]
    NoBinariesIn {
        /// The named folder.
        folder: PathBuf,
    },
    /// Root has no user to run the server as.
    #[error("PostgreSQL refuses to run as root, and there is no user postgres or nobody: start it as another user")]
    NoUser,
    /// The caller dropped the start.
    #[error("the start was cancelled")]
    Cancelled,
    /// `initdb` failed.
    #[error("could not create a cluster in {}: {output}", folder.display())]
    Init {
        /// The cluster's folder.
        folder: PathBuf,
        /// The output of the command.
        output: String,
    },
    /// The server stopped, or timed out, before it accepted connections.
    #[error("PostgreSQL did not start ({what}). The end of {}:\n{tail}", log.display())]
    Start {
        /// What happened.
        what: String,
        /// The server's log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A program could not be run.
    #[error("could not run {program}: {source}")]
    Run {
        /// The program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The OS could not create the supervisor thread.
    #[error("could not start the thread that supervises PostgreSQL: {0}")]
    Supervisor(io::Error),
    /// The supervisor thread panicked during the start, which is a bug in sharewarden.
    #[error("the thread that supervises PostgreSQL panicked during the start: this is a bug in sharewarden")]
    SupervisorDied,
}

impl Error {
    /// For `map_err` on a file operation.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// For `map_err` on running a program.
    pub(super) fn run(program: &Path) -> impl FnOnce(io::Error) -> Self {
        let program = program.display().to_string();
        move |source| Self::Run { program, source }
    }
}
