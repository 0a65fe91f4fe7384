//! The text of an entry, which is hashed, stored and exported: a typed body in the [`Envelope`] of the ledger.

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use super::{Entry, EntryBody};
use crate::ledger::envelope::{DecodeError, EncodeError, Envelope};

/// An entry with the version of the server that recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEntry {
    /// The entry. The change id of a refusal is nil.
    pub entry: Entry,
    /// The version of that server.
    pub server_version: String,
}

/// The canonical text of an entry recorded by a server of this version.
///
/// # Errors
/// The encoder's error. It cannot happen for an entry that the domain makes.
pub fn encode(entry: &Entry, server_version: &str) -> Result<String, EncodeError> {
    let envelope = Envelope {
        account: entry.account,
        body: &entry.body,
        kind: entry.body.kind_name(),
        log_index: entry.log_index,
        recorded_at: entry.recorded_at,
        schema: entry.body.schema(),
        server_version: server_version.into(),
    };
    envelope.encode()
}

/// Reads the canonical text of an entry. An unknown kind is accepted.
///
/// # Errors
/// If one of the seven members is missing or invalid, or if there is another member.
pub fn decode(text: &str) -> Result<RecordedEntry, DecodeError> {
    let line = Envelope::decode(text)?;
    let body =
        EntryBody::read(line.kind, line.schema, line.account, line.body.get()).ok_or(DecodeError::Member("body"))?;
    let entry = Entry {
        account: line.account,
        log_index: line.log_index,
        recorded_at: line.recorded_at,
        body,
    };
    Ok(RecordedEntry {
        entry,
        server_version: line.server_version.into_owned(),
    })
}
