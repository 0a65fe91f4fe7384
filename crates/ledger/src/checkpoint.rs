//! A signed statement of a ledger's size and root: C2SP tlog-checkpoint, in a signed note.
//!
//! The origin is `<key name>/<account>`. One key signs the ledgers of all accounts, so key rotation happens in one
//! place.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    AccountId,
    key::{KeyName, SignatureType, SigningKey, VerifierKey},
    merkle::Hash,
    note::{Note, NoteError},
};

/// The size and the root of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger: see [`origin`].
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The Merkle tree root over the entries.
    pub root: Hash,
}

/// The origin of an account's ledger under a key with this name.
pub fn origin(name: &KeyName, account: AccountId) -> String {
    format!("{name}/{account}")
}

/// A checkpoint with verified signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// The signed content.
    pub checkpoint: Checkpoint,
    /// The log keys that signed it. At least one.
    pub signed_by: Vec<VerifierKey>,
    /// The cosignatures of witnesses whose keys were given.
    pub witnesses: Vec<WitnessCosignature>,
}

/// A verified cosignature of a witness (C2SP tlog-cosignature).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessCosignature {
    /// The name of the witness's key.
    pub name: KeyName,
    /// When the witness saw the checkpoint, in Unix seconds.
    pub time: u64,
}

/// A checkpoint that is malformed or not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note is malformed or has a wrong signature.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note's text is not a checkpoint.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// No log key of this account's ledger signed it. The signers are witnesses, or keys of other logs.
    #[error("its origin is {origin:?}; no key of the ledger of account {account} signed it")]
    NotOfAccount {
        /// The origin in the note.
        origin: String,
        /// The account whose ledger was expected.
        account: AccountId,
    },
}

impl Checkpoint {
    /// Makes a note of this checkpoint, signed with the log's key.
    ///
    /// # Errors
    /// If the origin is not allowed in a note. An origin from [`origin`] is always allowed.
    pub fn sign(&self, key: &SigningKey) -> Result<Note, NoteError> {
        let mut note = Note::new(self.to_string())?;
        note.sign(key);
        Ok(note)
    }

    /// The account at the end of the origin, if there is one.
    pub fn account(&self) -> Option<AccountId> {
        self.origin.rsplit_once('/')?.1.parse().ok()
    }
}

/// Parses and verifies a checkpoint of this account's ledger.
///
/// # Errors
/// If the note is malformed, no given log key signed it, it is of another ledger, or the signature of a given key is
/// wrong.
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
    let witness = |time, key: &VerifierKey| WitnessCosignature {
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

/// Parses the text that is signed. Extension lines are ignored.
impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let malformed = CheckpointError::Malformed;
        let text = text
            .strip_suffix('\n')
            .ok_or(malformed("it does not end with a line feed"))?;
        let mut lines = text.split('\n');
        if lines.clone().any(str::is_empty) {
            return Err(malformed("it has an empty line"));
        }
        let mut next = || lines.next().ok_or(malformed("it has fewer than three lines"));
        let (origin, size, root) = (next()?, next()?, next()?);
        Ok(Self {
            origin: origin.to_owned(),
            size: parse_size(size).ok_or(malformed("its second line is not a number of entries"))?,
            root: parse_root(root).ok_or(malformed("its third line is not a base64 SHA-256 hash"))?,
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
