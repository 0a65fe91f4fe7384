//! The policy for changes, and the groups that it speaks of.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::domain::{AccountId, ClaimName, PrincipalPattern};

use super::parse;

/// The policy for grants and revokes. `roles` and `accounts.share_with` are part of it.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// A directory with policies in Cedar (`*.cedar`), and the links of templates (`links.toml`). The files are read again while
    /// the service runs; files with mistakes are logged and ignored. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// How often to check whether the files of `directory`, and the configuration file, have changed. Of the configuration,
    /// `groups`, `roles`, `accounts.share_with` and `policy.zone` are used without a restart. 50ms..1h. Default 10s.
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

/// A group of principals or of accounts, for policies, `roles.group` and `accounts.share_with`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// The name: 1 to 64 lower-case letters, digits, hyphens and underscores. Unique.
    pub name: String,
    /// The principals, as in `roles.principal`. A policy writes `principal in Sharewarden::PrincipalGroup::"NAME"`. A group has
    /// accounts, or `principals` and `claim`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<PrincipalPattern>,
    /// The name of a claim of bearer tokens. The principals whose claim has one of `values` are in the group, beside those of
    /// `principals`. Callers without a token have no claims. Example: `groups`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimName>,
    /// The values of `claim`. They are compared exactly. Default: none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub values: BTreeSet<String>,
    /// The accounts, also ones that are not in `accounts`. A policy writes
    /// `context.recipient in Sharewarden::AccountGroup::"NAME"`. Default: none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub accounts: BTreeSet<AccountId>,
}
