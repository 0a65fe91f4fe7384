//! How values are written in the configuration.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::domain::{ClaimName, PrincipalPattern, Region};

const HIDDEN: &str = "[hidden]";

/// Hides a secret in the output of `config check`.
pub(super) fn hidden<S: Serializer>(_: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(HIDDEN)
}

/// Hides an optional secret.
pub(super) fn hidden_option<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|_| HIDDEN).serialize(serializer)
}

/// Hides the values of a map.
pub(super) fn hidden_map<S: Serializer>(
    secrets: &BTreeMap<String, SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(secrets.keys().map(|name| (name, HIDDEN)))
}

/// An address to listen on. An empty text is `None`.
pub(super) mod optional_address {
    use std::net::SocketAddr;

    use super::{Deserialize, Deserializer, Error, Serialize, Serializer};

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        let address = text.parse().map_err(|_| {
            D::Error::custom(format!(
                "must be an address and a port such as 127.0.0.1:9464, or empty; it is {text:?}"
            ))
        })?;
        Ok(Some(address))
    }

    pub(in crate::config) fn serialize<S: Serializer>(
        address: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        address.serialize(serializer)
    }
}

/// Durations: `250ms`, `30s`, `10m`.
pub(super) mod duration {
    use std::time::Duration;

    use super::{Deserialize, Deserializer, Error, Serializer};

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text)
            .map_err(|error| D::Error::custom(format!("must be a duration such as 250ms, 30s or 10m: {error}")))
    }

    pub(in crate::config) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }
}

/// Domain types that are written as text.
macro_rules! texts {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

texts!(ClaimName, PrincipalPattern, Region);

/// `"anyone"`, or a list of accounts and groups.
pub(super) mod share_with {
    use super::{
        super::{AccountId, ShareWithConfig},
        Deserialize, Deserializer, Error, Serializer,
    };

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Word(String),
        Several(Vec<String>),
    }

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ShareWithConfig, D::Error> {
        let wrong = || {
            D::Error::custom(
                "must be \"anyone\" or a list of accounts (texts of 12 digits, in quotes) and names of groups of accounts",
            )
        };
        match Written::deserialize(deserializer).map_err(|_| wrong())? {
            Written::Word(word) if word == "anyone" => Ok(ShareWithConfig::Anyone),
            Written::Word(_) => Err(wrong()),
            Written::Several(several) => {
                // A text that begins with a digit is meant as an account: its own rule tells what is wrong with it.
                let (ids, names): (Vec<_>, Vec<_>) = several
                    .into_iter()
                    .partition(|text| !text.starts_with(|first: char| first.is_ascii_lowercase()));
                let accounts: Result<_, _> = ids.iter().map(|id| id.parse::<AccountId>()).collect();
                Ok(ShareWithConfig::Only {
                    accounts: accounts.map_err(D::Error::custom)?,
                    groups: names.into_iter().collect(),
                })
            }
        }
    }

    pub(in crate::config) fn serialize<S: Serializer>(
        share_with: &ShareWithConfig,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match share_with {
            ShareWithConfig::Anyone => serializer.serialize_str("anyone"),
            ShareWithConfig::Only { accounts, groups } => {
                let accounts = accounts.iter().map(AccountId::as_str);
                serializer.collect_seq(accounts.chain(groups.iter().map(String::as_str)))
            }
        }
    }
}
