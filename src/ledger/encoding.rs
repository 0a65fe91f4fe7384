//! The canonical text of an entry: JSON by the rules of RFC 8785 (JCS), so that equal entries are equal bytes.
//!
//! It is an object with seven members, for ever, in this order: `account_id`, `body`, `kind`, `log_index`, `recorded_at`,
//! `schema`, `server_version`. The body is an object, whose members depend on the kind ([`domain::entry`](crate::domain::entry)).
//!
//! What does not apply is left out. Numbers are whole, above -2^53 and below 2^53; accounts are texts; times are RFC 3339, UTC, with six
//! digits of fraction. Names of members are ASCII without escapes. At most 64 objects and arrays are within each other. A schema has at
//! most nine digits. The verifiers refuse an entry that breaks one of these rules. The text is what is hashed, stored and exported.
//!
//! Of such values `serde_json` writes the text that RFC 8785 asks for, if the members come in the order of their names. A test
//! compares the text of any entry with that of a canonicalizer.

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{Body, Entry, KindName, Timestamp};

/// An entry cannot be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode an entry")]
pub struct EncodeError(#[from] serde_json::Error);

/// An entry as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The entry. A refusal has no change: its change id is nil.
    pub entry: Entry,
    /// The version of the server that recorded it.
    pub server_version: String,
}

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

/// The canonical text of an entry, made by a server of this version.
///
/// # Errors
/// Never for an entry that the domain can make; the encoder's own error otherwise.
pub fn encode(entry: &Entry, server_version: &str) -> Result<String, EncodeError> {
    Ok(serde_json::to_string(&Written {
        account_id: entry.account.as_str(),
        body: &entry.body,
        kind: entry.body.kind_name(),
        log_index: entry.log_index,
        recorded_at: entry.recorded_at.to_string(),
        schema: entry.body.schema(),
        server_version,
    })?)
}

/// Reads the canonical text of an entry, also of a kind that this build does not know.
///
/// # Errors
/// When one of the seven members is missing or has a value that it cannot have, or there are others.
pub fn decode(text: &str) -> Result<Recorded, DecodeError> {
    let line: Read<'_> = serde_json::from_str(text)?;
    let account = line.account_id.parse().map_err(|_| DecodeError::Member("account_id"))?;
    let kind: KindName = line.kind.parse().map_err(|_| DecodeError::Member("kind"))?;
    if line.schema == 0 {
        return Err(DecodeError::Member("schema"));
    }
    let body = Body::read(kind.as_str(), line.schema, account, line.body.get()).ok_or(DecodeError::Member("body"))?;
    let entry = Entry {
        account,
        log_index: line.log_index,
        recorded_at: Timestamp::parse_displayed(line.recorded_at).ok_or(DecodeError::Member("recorded_at"))?,
        body,
    };
    Ok(Recorded {
        entry,
        server_version: line.server_version,
    })
}

#[derive(Serialize)]
struct Written<'a> {
    account_id: &'a str,
    body: &'a Body,
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
    server_version: String,
}
