//! The policy for changes, and the groups that it speaks of.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::{AccountId, PrincipalPattern};

use super::parse;

/// The policy for grants and revokes. `roles` and `accounts.share_with` are part of it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// A directory with policies in Cedar (`*.cedar`), and the links of templates (`links.toml`). The files are read again while
    /// the service runs; files with mistakes are logged and ignored. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// How often to check whether the files of `directory` have changed. 50ms..1h. Default 10s.
    #[serde(with = "parse::duration")]
    pub reload_every: Duration,
    /// The IANA time zone of `context.hour` and `context.weekday`. Example: `Europe/Berlin`. Default `UTC`.
    pub zone: String,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            directory: None,
            reload_every: Duration::from_secs(10),
            zone: "UTC".into(),
        }
    }
}

/// A group of principals or of accounts, for policies.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// The name: 1 to 64 lower-case letters, digits, hyphens and underscores. Unique.
    pub name: String,
    /// The principals, as in `roles.principal`. A policy writes `principal in Sharewarden::PrincipalGroup::"NAME"`. A group has
    /// principals or accounts. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<PrincipalPattern>,
    /// The accounts, also ones that are not in `accounts`. A policy writes
    /// `context.recipient in Sharewarden::AccountGroup::"NAME"`. Default: none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accounts: BTreeSet<AccountId>,
}
