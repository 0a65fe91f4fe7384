//! A statement of a ledger's size and root: C2SP tlog-checkpoint, a signed note.
//!
//! The origin is `<name>/<account>`, the name that of the key: one key signs for all accounts, and is rotated in one place.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    key::{KeyName, SignatureType, SigningKey, VerifierKey},
    merkle::Hash,
    note::{Note, NoteError},
};
use crate::AccountId;

/// A ledger had so many entries, and this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger: [`origin`].
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// The origin of an account's ledger, under a key of this name.
pub fn origin(name: &KeyName, account: AccountId) -> String {
    format!("{name}/{account}")
}

/// A checkpoint whose signatures were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The keys of the log that signed it, at least one.
    pub signed_by: Vec<VerifierKey>,
    /// The witnesses that signed it, of those whose keys were given.
    pub witnesses: Vec<Witness>,
}

/// A witness's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The name of its key.
    pub name: KeyName,
    /// When it saw the checkpoint, in seconds since 1970.
    pub time: u64,
}

/// A checkpoint that cannot be read, or not be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note is wrong.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note is not a checkpoint.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// Only witnesses signed it, or a key of another log.
    #[error("it is of {origin:?}, and no key of {account}'s ledger signed it")]
    NotOfAccount {
        /// What it is of.
        origin: String,
        /// Whose ledger was expected.
        account: AccountId,
    },
}

impl Checkpoint {
    /// Makes the note of it, signed with the log's key.
    ///
    /// # Errors
    /// When the origin cannot be in a note; one that [`origin`] made can.
    pub fn sign(&self, key: &SigningKey) -> Result<Note, NoteError> {
        let mut note = Note::new(self.to_string())?;
        note.sign(key);
        Ok(note)
    }

    /// The account whose ledger it is of, where the origin ends with one.
    pub fn account(&self) -> Option<AccountId> {
        self.origin.rsplit_once('/')?.1.parse().ok()
    }
}

/// Reads the note of a checkpoint of this account's ledger, which one of the keys must have signed.
///
/// # Errors
/// When it cannot be read, was not signed by the log, is of another ledger, or a known key's signature is wrong.
pub fn open(note: &str, keys: &[VerifierKey], account: AccountId) -> Result<SignedCheckpoint, CheckpointError> {
    let note: Note = note.parse()?;
    let verified = note.verify(keys)?;
    let checkpoint: Checkpoint = note.text().parse()?;
    let signed_by: Vec<_> = verified
        .iter()
        .map(|verified| verified.key)
        .filter(|key| key.signature_type() == SignatureType::Ed25519)
        .filter(|key| origin(key.name(), account) == checkpoint.origin)
        .cloned()
        .collect();
    if signed_by.is_empty() {
        let origin = checkpoint.origin;
        return Err(CheckpointError::NotOfAccount { origin, account });
    }
    let witness = |time, key: &VerifierKey| Witness {
        name: key.name().clone(),
        time,
    };
    let witnesses = verified.iter().filter_map(|one| Some(witness(one.time?, one.key)));
    Ok(SignedCheckpoint {
        checkpoint,
        signed_by,
        witnesses: witnesses.collect(),
    })
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = STANDARD.encode(self.root);
        writeln!(f, "{}\n{}\n{root}", self.origin, self.size)
    }
}

/// Reads the text that is signed. Lines of extensions are passed over.
impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        let text = text.strip_suffix('\n').ok_or(malformed("no line feed at its end"))?;
        let mut lines = text.split('\n');
        if lines.clone().any(str::is_empty) {
            return Err(malformed("it has an empty line"));
        }
        let mut next = || lines.next().ok_or(malformed("it has fewer than three lines"));
        let (origin, size, root) = (next()?, next()?, next()?);
        Ok(Self {
            origin: origin.to_owned(),
            size: parse_size(size).ok_or(malformed("its second line is not a size"))?,
            root: parse_root(root).ok_or(malformed("its third line is not a root"))?,
        })
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let size: u64 = text.parse().ok()?;
    (size.to_string() == text).then_some(size)
}

fn parse_root(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
