//! Why a private Postgres did not start, each with what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another live process holds the folder.
    #[error("{} is in use by {holder}: stop that first, or choose another folder", folder.display())]
    InUse {
        /// The cluster's folder.
        folder: PathBuf,
        /// Who holds it, as far as can be told.
        holder: String,
    },
    /// The folder holds something that is not ours to touch.
    #[error("{} holds files, but no cluster of ours: choose an empty folder", folder.display())]
    Foreign {
        /// The folder that was asked for.
        folder: PathBuf,
    },
    /// The server's user cannot get to the folder.
    #[error(
        "the server cannot run as root, and user {user} cannot reach {}: choose a folder outside root's home",
        folder.display()
    )]
    Unreachable {
        /// The cluster's folder.
        folder: PathBuf,
        /// The user the server would run as.
        user: String,
    },
    /// The cluster was made by another major version than those found.
    #[error(
        "{} was made by PostgreSQL {folder_version}, but found {found}: \
         install PostgreSQL {folder_version}, or choose another folder", folder.display()
    )]
    Version {
        /// The cluster's folder.
        folder: PathBuf,
        /// The major version that made it.
        folder_version: u32,
        /// The major versions that are installed.
        found: String,
    },
    /// No binaries here, and none to be fetched.
    #[error(
        "found no PostgreSQL server (install it: `apt-get install postgresql`, `brew install postgresql`), \
         and could not download one: {0}"
    )]
    NoBinaries(String),
    /// `initdb` failed.
    #[error("could not make a cluster in {}: {output}", folder.display())]
    Init {
        /// The cluster's folder.
        folder: PathBuf,
        /// What the command said.
        output: String,
    },
    /// The server ended, or hung, before it took connections.
    #[error("PostgreSQL did not start ({what}). The end of {}:\n{tail}", log.display())]
    Start {
        /// What became of it.
        what: String,
        /// The server's log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A program that has to be there is not.
    #[error("could not run {program}: {source}")]
    Run {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The machine gives no more threads.
    #[error("could not start the thread that keeps PostgreSQL: {0}")]
    Supervisor(io::Error),
    /// The supervisor thread died while starting, which is a bug of ours.
    #[error("the thread that keeps PostgreSQL ended while starting it")]
    SupervisorDied,
}

impl Error {
    /// For `map_err` on a file operation.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// For `map_err` on the start of a program.
    pub(super) fn run(program: &Path) -> impl FnOnce(io::Error) -> Self {
        let program = program.display().to_string();
        move |source| Self::Run { program, source }
    }
}
