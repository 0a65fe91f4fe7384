//! An entry as the text that is hashed, stored and exported: a typed body in the [`Envelope`] of the ledger.

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use super::{Entry, EntryBody};
use crate::ledger::envelope::{DecodeError, EncodeError, Envelope};

/// An entry as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEntry {
    /// The entry. A refusal has no change: its change id is nil.
    pub entry: Entry,
    /// The version of the server that recorded it.
    pub server_version: String,
}

/// The canonical text of an entry, made by a server of this version.
///
/// # Errors
/// Never for an entry that the domain can make; the encoder's own error otherwise.
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

/// Reads the canonical text of an entry, also of a kind that this build does not know.
///
/// # Errors
/// When one of the seven members is missing or has a value that it cannot have, or there are others.
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
