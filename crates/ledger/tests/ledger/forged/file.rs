//! Edits an export.

use std::sync::LazyLock;

use sharewarden_ledger::{
    AccountId, Hash, Note,
    checkpoint::{Checkpoint, origin},
    export::{LeafHashes, hashes_are_due},
    merkle::leaf_hash,
};

use crate::fixtures::{TestLedger, account, frontier, key, line, name};

/// The number of entries: one full tile and a partial one.
pub(super) const SIZE: usize = 300;

pub(super) static GOOD: LazyLock<TestLedger> = LazyLock::new(|| TestLedger::of(SIZE as u64));

static GOOD_FILE: LazyLock<File> = LazyLock::new(|| File::part(0, SIZE));

/// The lines of an export of the whole ledger.
pub(super) const HEADER: usize = 0;
/// The hashes of the entries 0 to 255.
pub(super) const FIRST_HASHES: usize = 257;
/// The hashes of the entries 256 to 299.
pub(super) const LAST_HASHES: usize = 302;

/// The line number of an entry.
pub(super) fn entry(index: usize) -> usize {
    1 + index + usize::from(index >= 256)
}

/// Another account, with entries and checkpoints of its own.
pub(super) fn other_account() -> AccountId {
    "999999999999".parse().unwrap()
}

/// The lines of a file, each with its line feed.
#[derive(Clone)]
pub(super) struct File(pub(super) Vec<Vec<u8>>);

impl File {
    /// An export of the whole ledger.
    pub(super) fn good() -> Self {
        GOOD_FILE.clone()
    }

    /// An export of a range under the checkpoint of the whole ledger.
    pub(super) fn part(start: usize, end: usize) -> Self {
        Self::parse(&GOOD.export(&GOOD.header(start, end, SIZE)))
    }

    fn parse(export: &str) -> Self {
        Self(export.split_inclusive('\n').map(|line| line.into()).collect())
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// Replaces a text that occurs exactly once in the line.
    pub(super) fn replace(mut self, at: usize, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>) -> Self {
        replace(&mut self.0[at], old.as_ref(), new.as_ref());
        self
    }

    /// Replaces a line. `line` must have its line feed.
    pub(super) fn put(mut self, at: usize, line: impl Into<Vec<u8>>) -> Self {
        self.0[at] = line.into();
        self
    }

    pub(super) fn insert(mut self, at: usize, line: impl Into<Vec<u8>>) -> Self {
        self.0.insert(at, line.into());
        self
    }

    pub(super) fn push(mut self, line: impl Into<Vec<u8>>) -> Self {
        self.0.push(line.into());
        self
    }

    pub(super) fn remove(mut self, at: usize) -> Self {
        self.0.remove(at);
        self
    }

    pub(super) fn swap(mut self, one: usize, other: usize) -> Self {
        self.0.swap(one, other);
        self
    }

    pub(super) fn truncate(mut self, lines: usize) -> Self {
        self.0.truncate(lines);
        self
    }

    /// Replaces the note in the header.
    pub(super) fn note(self, note: &str) -> Self {
        let old = json(&GOOD.checkpoint(SIZE));
        self.replace(HEADER, old, json(note))
    }
}

/// Replaces a text that must occur exactly once: a case that changes nothing would prove nothing.
pub(super) fn replace(line: &mut Vec<u8>, old: &[u8], new: &[u8]) {
    let found: Vec<_> = line
        .windows(old.len())
        .enumerate()
        .filter(|(_, at)| *at == old)
        .collect();
    let [(at, _)] = found[..] else {
        panic!("{:?} is there {} times", String::from_utf8_lossy(old), found.len());
    };
    line.splice(at..at + old.len(), new.iter().copied());
}

/// The entries as bytes, without line feeds.
#[derive(Clone)]
pub(super) struct EntryLines(pub(super) Vec<Vec<u8>>);

impl EntryLines {
    pub(super) fn good() -> Self {
        Self(GOOD.lines.iter().map(|line| line.clone().into()).collect())
    }

    pub(super) fn of_other_account() -> Self {
        Self(
            (0..SIZE as u64)
                .map(|index| line(other_account(), index, "a reason").into())
                .collect(),
        )
    }

    pub(super) fn hashes(&self) -> Vec<Hash> {
        let hash = |(line, (good, hash)): (&Vec<u8>, (&String, &Hash))| match line == good.as_bytes() {
            true => *hash,
            false => leaf_hash(line),
        };
        self.0
            .iter()
            .zip(GOOD.lines.iter().zip(&GOOD.hashes))
            .map(hash)
            .collect()
    }

    /// An export whose checkpoint was signed over these entries.
    pub(super) fn signed(&self) -> File {
        let ledger = TestLedger {
            lines: Vec::new(),
            hashes: self.hashes(),
        };
        self.under(ledger.header(0, SIZE, SIZE).to_line().unwrap().into())
    }

    /// An export with recomputed hashes and the checkpoint of the original ledger.
    pub(super) fn recomputed(&self) -> File {
        let header = File::good().0.swap_remove(HEADER);
        self.under(header.strip_suffix(b"\n").unwrap().into())
    }

    fn under(&self, header: Vec<u8>) -> File {
        let mut lines = vec![header];
        let mut since = 0;
        let hashes = self.hashes();
        for (line, next) in self.0.iter().zip(1..) {
            lines.push(line.clone());
            if hashes_are_due(next as u64, SIZE as u64) {
                lines.push(hashes_line(&hashes[since..next], next));
                since = next;
            }
        }
        lines.iter_mut().for_each(|line| line.push(b'\n'));
        File(lines)
    }
}

/// A hash line without a line feed.
pub(super) fn hashes_line(hashes: &[Hash], end_index: usize) -> Vec<u8> {
    let line = LeafHashes {
        hashes: hashes.to_vec(),
        end_index: end_index as u64,
    };
    line.to_line().unwrap().into()
}

pub(super) fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// A note with any text, signed with the log's key.
pub(super) fn signed_note(text: &str) -> String {
    let mut note = Note::new(text.to_owned()).unwrap();
    note.sign(&key());
    note.to_string()
}

/// The three lines of the checkpoint of the original ledger.
pub(super) fn checkpoint_lines() -> [String; 3] {
    let checkpoint = checkpoint_of(account(), &EntryLines::good().hashes()).to_string();
    let lines: Vec<_> = checkpoint.lines().map(str::to_owned).collect();
    lines.try_into().unwrap()
}

pub(super) fn checkpoint_of(account: AccountId, hashes: &[Hash]) -> Checkpoint {
    Checkpoint {
        origin: origin(&name(), account),
        size: hashes.len() as u64,
        root: frontier(hashes).root(),
    }
}
