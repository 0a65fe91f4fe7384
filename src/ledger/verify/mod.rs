//! Verifies an export, line by line, in as much memory as one tile takes. Nothing in it is trusted; what is, are the keys that
//! the auditor brings and, where there is one, the older checkpoint that they kept.
//!
//! [`ledger`] does the work, entry by entry, however the entries come; [`Verifier`] here feeds it from a file; [`mod@line`] reads
//! what matters in the text of an entry; [`wrong`] is everything that can be found, and where.

mod ledger;
mod line;
mod wrong;

pub use ledger::{LedgerVerifier, OlderCheckpoint, Progress, Verified};
pub use wrong::{EntryFault, LedgerFault, Wrong};

use super::{
    export::{ENTRY_PREFIX, Header, LeafHashes, hashes_are_due},
    key::VerifierKey,
    merkle::Hash,
    tile::WIDTH,
};

/// Verifies the file of an export.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<VerifierKey>,
    older: Option<String>,
    begun: Option<LedgerVerifier>,
    /// The hashes of the entries since the last line of hashes.
    computed: Vec<Hash>,
}

impl Verifier {
    /// A verifier that trusts these keys, and `older`, the note of a checkpoint of the same ledger that one of them signed.
    pub fn new(keys: Vec<VerifierKey>, older: Option<String>) -> Self {
        Self {
            keys,
            older,
            begun: None,
            computed: Vec::with_capacity(WIDTH),
        }
    }

    /// Takes the next line, with or without its line feed.
    ///
    /// # Errors
    /// What is wrong. The rest of the file tells nothing more.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Wrong> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let Some(ledger) = &mut self.begun else {
            let header = Header::parse(line).map_err(|error| Wrong::Header(printable(&error)))?;
            self.begun = Some(LedgerVerifier::new(&header, &self.keys, self.older.as_deref())?);
            return Ok(());
        };
        let index = ledger.next_index() + self.computed.len() as u64;
        if !line.starts_with(ENTRY_PREFIX.as_bytes()) {
            let hashes = LeafHashes::parse(line)
                .map_err(|error| ledger.entry_fault(index, EntryFault::Unreadable(printable(&error))))?;
            return compare(ledger, &mut self.computed, &hashes);
        }
        if !self.computed.is_empty() && hashes_are_due(index, ledger.end_index()) {
            return Err(ledger.entry_fault(index - 1, EntryFault::NoHashes));
        }
        self.computed.push(ledger.check_line(index, line)?);
        Ok(())
    }

    /// What was verified, once all lines were given.
    ///
    /// # Errors
    /// When entries are missing at the end, or all of them together do not lead to the checkpoint.
    pub fn finish(self) -> Result<Verified, Wrong> {
        let Some(ledger) = self.begun else {
            return Err(Wrong::Header("it is empty".into()));
        };
        let next = ledger.next_index() + self.computed.len() as u64;
        match next < ledger.end_index() {
            true => Err(ledger.missing(next)),
            false if !self.computed.is_empty() => Err(ledger.entry_fault(next - 1, EntryFault::NoHashes)),
            false => ledger.finish(),
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.begun.as_ref().map(LedgerVerifier::progress).unwrap_or_default()
    }
}

/// Compares the entries since the last line of hashes with the hashes that the store had for them.
fn compare(ledger: &mut LedgerVerifier, computed: &mut Vec<Hash>, recorded: &LeafHashes) -> Result<(), Wrong> {
    let next = ledger.next_index() + computed.len() as u64;
    if recorded.end_index > next {
        return Err(ledger.missing(next));
    }
    if recorded.end_index != next
        || recorded.hashes.len() != computed.len()
        || !hashes_are_due(next, ledger.end_index())
    {
        return Err(ledger.entry_fault(next.saturating_sub(1), EntryFault::NoHashes));
    }
    for (computed, recorded) in computed.iter().zip(&recorded.hashes) {
        ledger.append(computed, recorded)?;
    }
    computed.clear();
    Ok(())
}

/// The words of an error that may repeat a part of the file: without what would steer a terminal.
fn printable(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let escape = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(escape).collect()
}
