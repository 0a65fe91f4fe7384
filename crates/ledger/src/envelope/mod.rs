//! The canonical text of an entry: JSON as in RFC 8785 (JCS), so that equal entries have equal bytes.
//!
//! An entry is an object with exactly seven members, in this order: `account_id`, `body`, `kind`, `log_index`,
//! `recorded_at`, `schema`, `server_version`. This set never changes. The members of the body depend on the kind, and
//! this module does not interpret them.
//!
//! Rules: absent values are omitted. Numbers are integers above -2^53 and below 2^53. Account ids are strings. Times
//! are RFC 3339, UTC, with six fraction digits. Member names are ASCII without escapes. Nesting is at most 64 levels.
//! A schema number has at most nine digits. A verifier refuses an entry that breaks a rule. The text is hashed,
//! stored and exported as it is.
//!
//! For such values `serde_json` writes RFC 8785 if the members are in the order of their names. A test compares
//! random entries with a canonicalizer.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{AccountId, KindName, Timestamp};

/// The entry cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode an entry")]
pub struct EncodeError(#[from] serde_json::Error);

/// The text is not an entry.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The text is not JSON, or does not have exactly the seven members.
    #[error("the text is not an entry: an entry is JSON with seven members")]
    Json(#[from] serde_json::Error),
    /// The named member has an invalid value.
    #[error("the entry has an invalid {0}")]
    Member(&'static str),
}

/// An entry: its seven members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a, B> {
    /// The account that owns the ledger.
    pub account: AccountId,
    /// What happened: a JSON object with its members in the order of their names.
    pub body: B,
    /// The name of the kind, a [`KindName`].
    pub kind: &'a str,
    /// The index in the ledger. From 0, without gaps.
    pub log_index: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The version of the body's schema. From 1.
    pub schema: u32,
    /// The version of the server that recorded it.
    pub server_version: Cow<'a, str>,
}

/// The JSON text of a body, not parsed.
pub type OpaqueBody<'a> = &'a RawValue;

impl<B: Serialize> Envelope<'_, B> {
    /// The canonical text, provided that the body is canonical.
    ///
    /// # Errors
    /// If the body cannot be written as JSON.
    pub fn encode(&self) -> Result<String, EncodeError> {
        Ok(serde_json::to_string(&EncodedEntry {
            account_id: self.account.as_str(),
            body: &self.body,
            kind: self.kind,
            log_index: self.log_index,
            recorded_at: self.recorded_at.to_string(),
            schema: self.schema,
            server_version: &self.server_version,
        })?)
    }
}

impl<'a> Envelope<'a, OpaqueBody<'a>> {
    /// Parses an entry of any kind.
    ///
    /// # Errors
    /// If a member is missing, unknown or has an invalid value.
    pub fn decode(text: &'a str) -> Result<Self, DecodeError> {
        let entry = Self::decode_typed(text)?;
        match entry.body.get().starts_with('{') {
            true => Ok(entry),
            false => Err(DecodeError::Member("body")),
        }
    }
}

impl<'a, B: Deserialize<'a>> Envelope<'a, B> {
    /// Parses an entry with a body of this type, in one pass.
    ///
    /// # Errors
    /// If a member is missing, unknown or has an invalid value.
    pub fn decode_typed(text: &'a str) -> Result<Self, DecodeError> {
        let line: DecodedEntry<'a, B> = serde_json::from_str(text)?;
        let refused = DecodeError::Member;
        if !KindName::is_valid(line.kind) {
            return Err(refused("kind"));
        }
        if line.schema == 0 {
            return Err(refused("schema"));
        }
        Ok(Self {
            account: line.account_id.parse().map_err(|_| refused("account_id"))?,
            body: line.body,
            kind: line.kind,
            log_index: line.log_index,
            recorded_at: Timestamp::parse_displayed(line.recorded_at).ok_or(refused("recorded_at"))?,
            schema: line.schema,
            server_version: line.server_version,
        })
    }
}

#[derive(Serialize)]
struct EncodedEntry<'a, B> {
    account_id: &'a str,
    body: &'a B,
    kind: &'a str,
    log_index: u64,
    recorded_at: String,
    schema: u32,
    server_version: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecodedEntry<'a, B> {
    account_id: &'a str,
    body: B,
    kind: &'a str,
    log_index: u64,
    recorded_at: &'a str,
    schema: u32,
    #[serde(borrow)]
    server_version: Cow<'a, str>,
}
