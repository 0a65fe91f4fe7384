//! The configuration file of a running service. It is read again when it changed, and a part of it is used without a restart.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{AccountConfig, Config, ConfigError};

/// The keys that are used without a restart. Of `accounts`, it is only this one.
const USED: [&str; 3] = ["groups", "roles", "policy.zone"];
const USED_OF_ACCOUNTS: &str = "share_with";

/// A configuration file, and what it said at the start.
#[derive(Clone)]
pub struct ConfigFile {
    path: PathBuf,
    overrides: Vec<String>,
    started_with: KeyDigests,
}

/// The hashes of the values by key, without those that are used without a restart. Values can be secrets.
type KeyDigests = BTreeMap<String, [u8; 32]>;

/// Overrides can have secrets.
impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl ConfigFile {
    /// Reads the file as [`Config::load`] does.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path, overrides: &[String]) -> Result<(Config, Self), ConfigError> {
        let text = read(path)?;
        let built = super::built(Some((path, &text)), overrides)?;
        let file = Self {
            path: path.to_owned(),
            overrides: overrides.to_owned(),
            started_with: digests(&built),
        };
        Ok((Config::of(built)?, file))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text as it is now.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self) -> Result<String, ConfigError> {
        read(&self.path)
    }

    /// The configuration of this text, and the keys whose values are not those of the start and need a restart.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(&self, text: &str) -> Result<(Config, BTreeSet<String>), ConfigError> {
        let built = super::built(Some((&self.path, text)), &self.overrides)?;
        let now = digests(&built);
        let keys = self.started_with.keys().chain(now.keys());
        let changed = keys.filter(|key| self.started_with.get(*key) != now.get(*key));
        Ok((Config::of(built)?, changed.cloned().collect()))
    }
}

impl Config {
    /// This configuration with what `newer` says about who may share what with whom: `groups`, `roles`, `policy.zone` and
    /// `accounts.share_with`.
    ///
    /// # Errors
    /// If the two do not fit together: a role names an account that `newer` adds.
    pub fn with_policy_of(&self, newer: &Self) -> Result<Self, ConfigError> {
        let mut config = self.clone();
        config.groups.clone_from(&newer.groups);
        config.roles.clone_from(&newer.roles);
        config.policy.zone.clone_from(&newer.policy.zone);
        let by_id = |id| newer.accounts.iter().find(move |account| account.id == id);
        for account in &mut config.accounts {
            if let Some(AccountConfig { share_with, .. }) = by_id(account.id) {
                account.share_with.clone_from(share_with);
            }
        }
        config.checked()
    }
}

/// The text of a configuration file, without a byte order mark.
pub(super) fn read(file: &Path) -> Result<String, ConfigError> {
    let shown = file.display();
    let bytes = fs::read(file).map_err(|error| ConfigError::Unreadable(format!("{shown}: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        ConfigError::Unreadable(format!("line {line} of {shown} is not UTF-8"))
    })?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

fn digests(built: &config::Config) -> KeyDigests {
    let mut found = KeyDigests::new();
    // What cannot be read here cannot be read as a configuration either.
    if let Ok(value) = built.clone().try_deserialize::<Value>() {
        collect(String::new(), &value, &mut found);
    }
    found
}

fn collect(key: String, value: &Value, found: &mut KeyDigests) {
    match value {
        _ if USED.contains(&key.as_str()) => {}
        Value::Object(members) => {
            for (name, value) in members {
                let key = if key.is_empty() {
                    name.clone()
                } else {
                    format!("{key}.{name}")
                };
                collect(key, value, found);
            }
        }
        Value::Array(accounts) if key == "accounts" => {
            let mut all = Sha256::new();
            for account in accounts {
                let mut members = KeyDigests::new();
                collect(String::new(), account, &mut members);
                members.remove(USED_OF_ACCOUNTS);
                for (name, digest) in members {
                    all.update(Sha256::digest(name));
                    all.update(digest);
                }
                all.update(b"end");
            }
            found.insert(key, all.finalize().into());
        }
        value => drop(found.insert(key, Sha256::digest(value.to_string()).into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "database.url = \"postgres://u:hunter2@h/d\"\ncheckpoint.name = \"o\"\ncheckpoint.key_file = \"k\"\n\
                        auth.modes = [\"trusted-header\"]\nlog.filter = \"info\"\npolicy.zone = \"UTC\"\n\
                        [[groups]]\nname = \"partners\"\naccounts = [\"444455556666\"]\n\
                        [[roles]]\nprincipal = \"a\"\nroles = [\"viewer\"]\n\
                        [[accounts]]\nid = \"111122223333\"\nregions = [\"eu-central-1\"]\nshare_with = [\"partners\"]\n";

    fn file(text: &str) -> (Config, ConfigFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        ConfigFile::load(file.path(), &[]).unwrap()
    }

    #[test]
    fn keys_that_need_a_restart_are_told_by_name_and_the_others_are_not() {
        let (_, file) = file(TEXT);
        for (old, new, expected) in [
            ("", "", &[][..]),
            ("\"UTC\"", "\"Europe/Berlin\"", &[]),
            ("roles = [\"viewer\"]", "roles = [\"operator\"]", &[]),
            ("name = \"partners\"", "name = \"others\"", &[]),
            ("share_with = [\"partners\"]", "share_with = \"anyone\"", &[]),
            ("log.filter = \"info\"\n", "", &["log.filter"]),
            (
                "log.filter = \"info\"\n",
                "log.filter = \"warn\"\nlog.format = \"human\"\n",
                &["log.filter", "log.format"],
            ),
            ("hunter2", "hunter3", &["database.url"]),
            ("eu-central-1", "us-east-1", &["accounts"]),
        ] {
            let mut text = TEXT.replace(old, new);
            if new == "name = \"others\"" {
                text = text.replace("[\"partners\"]", "[\"others\"]");
            }
            let (_, changed) = file.parse(&text).unwrap();
            assert_eq!(
                changed.iter().map(String::as_str).collect::<Vec<_>>(),
                expected,
                "{new}"
            );
            assert!(!format!("{file:?}").contains("hunter2"));
        }
    }

    #[test]
    fn only_what_concerns_the_policy_is_taken_from_a_newer_configuration() {
        let (started, file) = file(TEXT);
        let text = TEXT
            .replace("\"UTC\"", "\"Europe/Berlin\"")
            .replace("\"info\"", "\"warn\"")
            .replace("[\"partners\"]", "\"anyone\"")
            .replace("\"viewer\"", "\"operator\"")
            .replace("444455556666", "777788889999");
        let (newer, _) = file.parse(&text).unwrap();
        let merged = started.with_policy_of(&newer).unwrap();
        let expected = started.to_toml().unwrap();
        let expected = expected
            .replace("\"UTC\"", "\"Europe/Berlin\"")
            .replace("share_with = [\"partners\"]", "share_with = \"anyone\"")
            .replace("\"viewer\"", "\"operator\"")
            .replace("444455556666", "777788889999");
        assert_eq!(merged.to_toml().unwrap(), expected);

        let more = "[[accounts]]\nid = \"222233334444\"\nregions = [\"eu-central-1\"]\nshare_with = \"anyone\"\n";
        let text = TEXT.replace(
            "roles = [\"viewer\"]\n",
            "roles = [\"viewer\"]\naccounts = [\"222233334444\"]\n",
        ) + more;
        let (newer, changed) = file.parse(&text).unwrap();
        assert!(changed.contains("accounts"));
        let refused = started.with_policy_of(&newer).unwrap_err().to_string();
        assert!(
            refused.contains("roles.accounts must be among accounts.id"),
            "{refused}"
        );
    }
}
