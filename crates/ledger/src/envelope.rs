//! The canonical text of an entry: JSON by the rules of RFC 8785 (JCS), so that equal entries are equal bytes.
//!
//! It is an object with seven members, for ever, in this order: `account_id`, `body`, `kind`, `log_index`, `recorded_at`,
//! `schema`, `server_version`. The body is an object, whose members depend on the kind. Nothing here looks into it.
//!
//! What does not apply is left out. Numbers are whole, above -2^53 and below 2^53; accounts are texts; times are RFC 3339, UTC, with six
//! digits of fraction. Names of members are ASCII without escapes. At most 64 objects and arrays are within each other. A schema has at
//! most nine digits. The verifiers refuse an entry that breaks one of these rules. The text is what is hashed, stored and exported.
//!
//! Of such values `serde_json` writes the text that RFC 8785 asks for, if the members come in the order of their names. A test
//! compares the text of any entry with that of a canonicalizer.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{AccountId, KindName, Timestamp};

/// An entry cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode an entry")]
pub struct EncodeError(#[from] serde_json::Error);

/// A text that is not the text of an entry, of any kind.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is not JSON, or has not just the seven members.
    #[error("the text is not that of an entry")]
    Json(#[from] serde_json::Error),
    /// A member has a value that it cannot have.
    #[error("{0} cannot have this value in the text of an entry")]
    Member(&'static str),
}

/// The seven members of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a, B> {
    /// The account whose ledger it is in.
    pub account: AccountId,
    /// What happened: a JSON object whose members come in the order of their names.
    pub body: B,
    /// The name of its kind: a [`KindName`].
    pub kind: &'a str,
    /// Its place in the ledger, from 0, without gaps.
    pub log_index: u64,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The schema of the body. From 1.
    pub schema: u32,
    /// The version of the server that recorded it.
    pub server_version: Cow<'a, str>,
}

/// The JSON text of a body, as it is.
pub type OpaqueBody<'a> = &'a RawValue;

impl<B: Serialize> Envelope<'_, B> {
    /// The canonical text, if that of the body is.
    ///
    /// # Errors
    /// When the body cannot be written as JSON.
    pub fn encode(&self) -> Result<String, EncodeError> {
        Ok(serde_json::to_string(&Written {
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
    /// Reads the canonical text of an entry of any kind.
    ///
    /// # Errors
    /// When one of the seven members is missing or has a value that it cannot have, or there are others.
    pub fn decode(text: &'a str) -> Result<Self, DecodeError> {
        let line: Read<'a> = serde_json::from_str(text)?;
        let refused = DecodeError::Member;
        if !KindName::is_valid(line.kind) {
            return Err(refused("kind"));
        }
        if line.schema == 0 {
            return Err(refused("schema"));
        }
        if !line.body.get().starts_with('{') {
            return Err(refused("body"));
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
struct Written<'a, B> {
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
struct Read<'a> {
    account_id: &'a str,
    #[serde(borrow)]
    body: &'a RawValue,
    kind: &'a str,
    log_index: u64,
    recorded_at: &'a str,
    schema: u32,
    #[serde(borrow)]
    server_version: Cow<'a, str>,
}
