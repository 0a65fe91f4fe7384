//! Contexts: named sets of connection options, with a default account and a default Region, in a file of the user.
//!
//! `file` reads and changes the file, [`in_use`] adds the chosen context to the options of a command, and [`commands`] has
//! `context list`, `use`, `show` and `set`.

mod commands;
pub(super) mod file;
mod in_use;

use std::path::PathBuf;

use tonic::{metadata::AsciiMetadataValue, transport::Uri};

pub use commands::{ContextCommand, SetContextArgs};
pub(super) use commands::{no_such, run};
pub(super) use in_use::{ContextInUse, EffectiveSetting};

use crate::domain::{AccountId, Region};

/// A context. Files are relative to the folder of the file of contexts.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    pub(super) name: String,
    pub(super) server: Option<Uri>,
    pub(super) principal: Option<AsciiMetadataValue>,
    pub(super) tls_ca: Option<PathBuf>,
    pub(super) tls_certificate: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) account: Option<AccountId>,
    pub(super) region: Option<Region>,
}

impl Context {
    /// The keys of a context in the file.
    pub(super) const KEYS: [&str; 8] = [
        "server",
        "principal",
        "tls_ca",
        "tls_certificate",
        "tls_key",
        "token_file",
        "account",
        "region",
    ];

    /// The origin of a value of this context, for people.
    pub(super) fn origin(&self) -> String {
        format!("context {}", self.name)
    }

    /// True if it has a certificate, a token or a name for the connection to its server.
    pub(super) fn has_connection_options(&self) -> bool {
        let files = [&self.tls_ca, &self.tls_certificate, &self.tls_key, &self.token_file];
        self.principal.is_some() || files.into_iter().any(Option::is_some)
    }
}
