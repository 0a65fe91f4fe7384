//! Verifies an export, line by line, in as much memory as one tile takes. Nothing in it is trusted; what is, are the keys that
//! the auditor brings and, where there is one, the older checkpoint that they kept.
//!
//! [`ledger`] does the work, entry by entry, however the entries come; [`Verifier`] here feeds it from a file, in which the place of
//! a line decides what it must be; [`mod@line`] reads what matters in the text of an entry, and [`canonical`] checks that this is
//! the only text for it; [`wrong`] is everything that can be found, and where.

mod canonical;
mod ledger;
mod line;
mod wrong;

pub use ledger::{LedgerVerifier, OlderCheckpoint, Progress, Verified};
pub use wrong::{EntryFault, LedgerFault, Wrong};

use super::{
    export::{ENTRY_PREFIX, Header, LeafHashes, LineError, hashes_are_due},
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

    /// Takes the next line as the file has it, with the line feed that ends it.
    ///
    /// # Errors
    /// What is wrong. The rest of the file tells nothing more.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Wrong> {
        let line = line.strip_suffix(b"\n").ok_or("it does not end with a line feed");
        let Some(ledger) = &mut self.begun else {
            let header = line.map_err(str::to_owned).and_then(readable(Header::parse));
            let header = header.map_err(Wrong::Header)?;
            self.begun = Some(LedgerVerifier::new(&header, &self.keys, self.older.as_deref())?);
            return Ok(());
        };
        let index = ledger.next_index() + self.computed.len() as u64;
        if !self.computed.is_empty() && hashes_are_due(index, ledger.end_index()) {
            return hashes(ledger, &mut self.computed, line);
        }
        if index == ledger.end_index() {
            return Err(ledger.entry_fault(index, EntryFault::PastTheEnd));
        }
        let unreadable = |error: &str| ledger.entry_fault(index, EntryFault::Unreadable(error.to_owned()));
        let line = line.map_err(unreadable)?;
        if !is_entry(line) {
            return Err(no_entry(ledger, index, line));
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

fn is_entry(line: &[u8]) -> bool {
    line.starts_with(ENTRY_PREFIX.as_bytes())
}

/// Says what is wrong with a line that is not an entry and is where `index` should be.
fn no_entry(ledger: &LedgerVerifier, index: u64, line: &[u8]) -> Wrong {
    match LeafHashes::parse(line) {
        Ok(hashes) if hashes.end_index > index => ledger.missing(index),
        Ok(_) => ledger.entry_fault(index, EntryFault::HashesInItsPlace),
        Err(_) => ledger.entry_fault(
            index,
            EntryFault::Unreadable("it does not begin as an entry does".into()),
        ),
    }
}

/// Takes the line of hashes that is due: compares the entries since the one before with the hashes that the store had.
fn hashes(ledger: &mut LedgerVerifier, computed: &mut Vec<Hash>, line: Result<&[u8], &str>) -> Result<(), Wrong> {
    let next = ledger.next_index() + computed.len() as u64;
    let fault = |fault| ledger.entry_fault(next - 1, fault);
    if line.is_ok_and(is_entry) {
        return Err(fault(EntryFault::NoHashes));
    }
    let recorded = line.map_err(str::to_owned).and_then(readable(LeafHashes::parse));
    let recorded = recorded.map_err(|error| fault(EntryFault::UnreadableHashes(error)))?;
    if recorded.end_index != next || recorded.hashes.len() != computed.len() {
        return Err(fault(EntryFault::NoHashes));
    }
    for (computed, recorded) in computed.iter().zip(&recorded.hashes) {
        ledger.append(computed, recorded)?;
    }
    computed.clear();
    Ok(())
}

/// A reader of lines, with an error that can be shown.
fn readable<T>(parse: impl Fn(&[u8]) -> Result<T, LineError>) -> impl Fn(&[u8]) -> Result<T, String> {
    move |line| parse(line).map_err(|error| printable(&error))
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
