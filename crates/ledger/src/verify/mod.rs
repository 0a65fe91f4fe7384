//! Verifies an export line by line, with the memory of one tile, or block by block on all processors. Nothing in the file is
//! trusted. Trusted are the keys that the auditor gives, and the older checkpoint that the auditor kept.
//!
//! [`ledger`] verifies entries from any source. [`Verifier`] feeds it from a file, and knows which kind of line must
//! come next. [`mod@line`] parses the members that matter. [`canonical`] checks that the text is canonical. [`error`]
//! lists what can be wrong.

mod canonical;
mod error;
mod ledger;
mod line;

pub use error::{EntryError, LedgerError, VerifyError};
pub use ledger::{LedgerVerifier, OlderCheckpoint, VerifiedRange, VerifyProgress};
pub(crate) use line::policy_set_of;

use line::ReadEntry;
use rayon::prelude::*;

use crate::{
    export::{ENTRY_PREFIX, Header, LeafHashes, LineError, PolicySetText, hashes_are_due},
    key::VerifierKey,
    merkle::Hash,
    tile::WIDTH,
};

/// How the header of the first version of the format begins.
const FIRST_HEADER: &[u8] = br#"{"format":"sharewarden.export.v1""#;

/// Verifies an export file.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<VerifierKey>,
    older: Option<String>,
    begun: Option<LedgerVerifier>,
    /// True if texts of policy sets may follow the entries.
    has_policy_sets: bool,
    /// The computed leaf hashes since the last hash line.
    computed: Vec<Hash>,
}

impl Verifier {
    /// A verifier that trusts these keys. `older` is the note of an older checkpoint of the same ledger, which one of
    /// the keys signed.
    pub fn new(keys: Vec<VerifierKey>, older: Option<String>) -> Self {
        Self {
            keys,
            older,
            begun: None,
            has_policy_sets: false,
            computed: Vec::with_capacity(WIDTH),
        }
    }

    /// Verifies the next line, including its line feed.
    ///
    /// # Errors
    /// The first error. Later lines cannot be verified after it.
    pub fn line(&mut self, line: &[u8]) -> Result<(), VerifyError> {
        self.read(line, read_entry(line))
    }

    /// Verifies the next lines, on all processors.
    ///
    /// # Errors
    /// The first error. Later lines cannot be verified after it.
    pub fn lines(&mut self, lines: &[u8]) -> Result<(), VerifyError> {
        let lines: Vec<_> = lines.split_inclusive(|byte| *byte == b'\n').collect();
        let read: Vec<_> = lines.par_iter().map(|line| read_entry(line)).collect();
        let mut lines = lines.into_iter().zip(read);
        lines.try_for_each(|(line, entry)| self.read(line, entry))
    }

    /// Verifies a line that was read as an entry, if it looks like one.
    fn read(&mut self, line: &[u8], entry: Option<ReadEntry<'_>>) -> Result<(), VerifyError> {
        let line = line.strip_suffix(b"\n").ok_or("it does not end with a line feed");
        let Some(ledger) = &mut self.begun else {
            let header = line.map_err(str::to_owned).and_then(readable(Header::parse));
            let header = header.map_err(VerifyError::Header)?;
            self.has_policy_sets = line.is_ok_and(|line| !line.starts_with(FIRST_HEADER));
            self.begun = Some(LedgerVerifier::new(&header, &self.keys, self.older.as_deref())?);
            return Ok(());
        };
        let index = ledger.next_index() + self.computed.len() as u64;
        if !self.computed.is_empty() && hashes_are_due(index, ledger.end_index()) {
            return hashes(ledger, &mut self.computed, line);
        }
        if index == ledger.end_index() {
            let set = match (self.has_policy_sets, line) {
                (true, Ok(line)) => PolicySetText::parse(line).ok(),
                _ => None,
            };
            let set = set.ok_or_else(|| ledger.entry_error(index, EntryError::PastTheEnd))?;
            return ledger.policy_set(&set);
        }
        let unreadable = |error: &str| ledger.entry_error(index, EntryError::Unreadable(error.to_owned()));
        let line = line.map_err(unreadable)?;
        let entry = entry.ok_or_else(|| no_entry(ledger, index, line))?;
        self.computed.push(ledger.check(index, entry)?);
        Ok(())
    }

    /// The verified range, after the last line.
    ///
    /// # Errors
    /// If there are no entries, entries are missing at the end, or their root differs from the checkpoint's.
    pub fn finish(self) -> Result<VerifiedRange, VerifyError> {
        let Some(ledger) = self.begun else {
            return Err(VerifyError::Header("it is empty".into()));
        };
        let next = ledger.next_index() + self.computed.len() as u64;
        match next < ledger.end_index() {
            true => Err(ledger.missing(next)),
            false if !self.computed.is_empty() => Err(ledger.entry_error(next - 1, EntryError::NoHashes)),
            false => ledger.finish(),
        }
    }

    /// Verified and expected entries.
    pub fn progress(&self) -> VerifyProgress {
        self.begun.as_ref().map(LedgerVerifier::progress).unwrap_or_default()
    }
}

fn read_entry(line: &[u8]) -> Option<ReadEntry<'_>> {
    let line = line.strip_suffix(b"\n")?;
    is_entry(line).then(|| ReadEntry::of(line))
}

fn is_entry(line: &[u8]) -> bool {
    line.starts_with(ENTRY_PREFIX.as_bytes())
}

/// The error for a line that should be entry `index` and is not an entry.
fn no_entry(ledger: &LedgerVerifier, index: u64, line: &[u8]) -> VerifyError {
    match LeafHashes::parse(line) {
        Ok(hashes) if hashes.end_index > index => ledger.missing(index),
        Ok(_) => ledger.entry_error(index, EntryError::HashesInItsPlace),
        Err(_) => ledger.entry_error(
            index,
            EntryError::Unreadable("it does not begin with {\"account_id\"".into()),
        ),
    }
}

/// Verifies a hash line that is due, against the entries since the previous hash line.
fn hashes(ledger: &mut LedgerVerifier, computed: &mut Vec<Hash>, line: Result<&[u8], &str>) -> Result<(), VerifyError> {
    let next = ledger.next_index() + computed.len() as u64;
    let failed = |error| ledger.entry_error(next - 1, error);
    if line.is_ok_and(is_entry) {
        return Err(failed(EntryError::NoHashes));
    }
    let recorded = line.map_err(str::to_owned).and_then(readable(LeafHashes::parse));
    let recorded = recorded.map_err(|error| failed(EntryError::UnreadableHashes(error)))?;
    if recorded.end_index != next || recorded.hashes.len() != computed.len() {
        return Err(failed(EntryError::NoHashes));
    }
    for (computed, recorded) in computed.iter().zip(&recorded.hashes) {
        ledger.append(computed, recorded)?;
    }
    computed.clear();
    Ok(())
}

/// Wraps a parser so that its error is safe to print.
fn readable<T>(parse: impl Fn(&[u8]) -> Result<T, LineError>) -> impl Fn(&[u8]) -> Result<T, String> {
    move |line| parse(line).map_err(|error| printable(&error))
}

/// An error's text, which may quote the file, with control characters escaped: they could steer a terminal.
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
