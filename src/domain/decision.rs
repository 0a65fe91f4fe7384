//! A decision of the policy on a change, as it is recorded.

use std::{borrow::Cow, collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

use super::{Invalid, Timestamp, image::Image};
use crate::ledger::merkle::{hex, parse_hash};

/// The largest size of [`Facts`] as JSON, in bytes. An entry holds them, and entries last.
pub const MAX_FACT_BYTES: usize = 4096;

/// A decision of the policy. With the rest of the entry and the text of the policy set, it can be made again.
///
/// In JSON, the members stand in the order of their names (RFC 8785), and unknown ones are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When it was made, on the clock of the replica.
    #[serde(with = "displayed")]
    pub decided_at: Timestamp,
    /// What the set refers to and the rest of the entry does not say.
    #[serde(default, skip_serializing_if = "Facts::is_empty")]
    pub facts: Facts,
    /// The policies that decided, in the order of their ids: those that permit, or those that forbid. Empty if no policy
    /// permits the change and none forbids it.
    pub policies: Vec<PolicyId>,
    /// The set that decided.
    pub policy_set: PolicyDigest,
}

/// What a decision used that the rest of the entry does not say exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// When the share ends that the grant makes. At the acceptance, a TTL is counted from the time of the decision.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "displayed::optional")]
    pub expire_time: Option<Timestamp>,
    /// The description of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageAttributes>,
    /// The tags of the image. In JSON a list, because the names of members are ASCII in the ledger, and tags are not.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "tag_list")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Why the description or the tags are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

impl Facts {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The size as JSON, in bytes.
    pub fn bytes(&self) -> usize {
        serde_json::to_string(self).map_or(usize::MAX, |json| json.len())
    }
}

/// The attributes of an image that policies can refer to. One that AWS left out is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageAttributes {
    /// When it was created.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "displayed::optional")]
    pub created_at: Option<Timestamp>,
    /// The name that its owner gave.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `WINDOWS` or `LINUX`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operating_system: String,
    /// `DEFAULT` or `DEDICATED`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub required_tenancy: String,
    /// `AVAILABLE`, `PENDING` or `ERROR`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
}

impl From<&Image> for ImageAttributes {
    fn from(image: &Image) -> Self {
        Self {
            created_at: image.created_at,
            name: image.name.clone(),
            operating_system: image.operating_system.clone(),
            required_tenancy: image.required_tenancy.clone(),
            state: image.state.clone(),
        }
    }
}

/// The id of a policy: its `@id`, or that of a policy made of `roles` or `accounts.share_with`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyId(Arc<str>);

impl PolicyId {
    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for PolicyId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a policy set's text: its accounts, groups, policies, schema and time zone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyDigest([u8; 32]);

impl PolicyDigest {
    /// The digest of a set's text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for PolicyDigest {
    fn from(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

/// 64 hexadecimal digits, in lower case.
impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PolicyDigest {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digest = parse_hash(text).map(Self);
        digest.ok_or_else(|| Invalid::new("64 hexadecimal digits in lower case, a SHA-256", text))
    }
}

impl Serialize for PolicyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PolicyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Tags as a list, in the order of their keys.
mod tag_list {
    use std::{borrow::Cow, collections::BTreeMap};

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    #[derive(Serialize, Deserialize)]
    struct Tag<'a> {
        key: Cow<'a, str>,
        value: Cow<'a, str>,
    }

    pub(super) fn serialize<S: Serializer>(
        tags: &Option<BTreeMap<String, String>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(tags.iter().flatten().map(|(key, value)| Tag {
            key: key.into(),
            value: value.into(),
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<BTreeMap<String, String>>, D::Error> {
        let list = Vec::<Tag<'_>>::deserialize(deserializer)?;
        if !list.is_sorted_by(|before, after| before.key < after.key) {
            return Err(D::Error::custom("the tags are not sorted by their keys, each once"));
        }
        let tags = list
            .into_iter()
            .map(|tag| (tag.key.into_owned(), tag.value.into_owned()));
        Ok(Some(tags.collect()))
    }
}

/// Times as the ledger writes them.
pub(super) mod displayed {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use super::Timestamp;

    pub(in crate::domain) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Timestamp::parse_displayed(&text)
            .ok_or_else(|| D::Error::custom("a time is not written as 2026-01-31T12:00:00.000000Z"))
    }

    /// The same for a time that may be absent.
    pub(in crate::domain) mod optional {
        use serde::{Deserializer, Serializer};

        use super::Timestamp;

        pub(in crate::domain) fn serialize<S: Serializer>(
            time: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => serializer.collect_str(time),
                None => serializer.serialize_none(),
            }
        }

        pub(in crate::domain) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}
