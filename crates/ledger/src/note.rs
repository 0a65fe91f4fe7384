//! A text with signatures below it: C2SP signed-note.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::key::{KeyName, SignatureType, SigningKey, VerifierKey};

/// Maximum size of a note, in bytes. C2SP requires room for 16 signatures, and some types have 5 kB each.
pub const MAX_BYTES: usize = 128 * 1024;
/// Maximum number of signatures in a note.
pub const MAX_SIGNATURES: usize = 100;

/// A text with signatures. The signatures may be unverified: call [`verify`](Note::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// A signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The name of the key.
    pub name: KeyName,
    /// The key id of C2SP signed-note: the first four bytes of a hash over name, type and public key.
    pub key_id: u32,
    /// The signature, without the key id.
    pub bytes: Vec<u8>,
}

/// A signature that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedSignature<'a> {
    /// The key that verified it.
    pub key: &'a VerifierKey,
    /// The signature line in the note.
    pub signature: &'a Signature,
    /// When the witness saw the text, in Unix seconds. None for a log's signature.
    pub time: Option<u64>,
}

/// A note that is malformed or not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The note breaks the format.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// The signature of a given key does not verify.
    #[error("the signature of {0} does not verify: the text or the signature was changed")]
    WrongSignature(KeyName),
    /// None of the given keys signed the note.
    #[error("not signed by a known key; signed by {0}")]
    UnknownKeys(String),
}

impl Note {
    /// A note without signatures.
    ///
    /// # Errors
    /// If the text does not end with a line feed, has other control characters, or is longer than [`MAX_BYTES`].
    pub fn new(text: String) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::Malformed("the text does not end with a line feed"));
        }
        check_characters(&text)?;
        Ok(Self {
            text,
            signatures: Vec::new(),
        })
    }

    /// The signed text, including its last line feed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures in the order of their lines.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Signs with a key.
    pub fn sign(&mut self, key: &SigningKey) {
        self.signatures.push(Signature {
            name: key.name().clone(),
            key_id: key.verifier_key().id(),
            bytes: key.sign(&self.text).to_vec(),
        });
    }

    /// Adds a signature made elsewhere, unless the note has it. It is not verified here: see
    /// [`verify`](Self::verify).
    ///
    /// # Errors
    /// If the note has [`MAX_SIGNATURES`] already.
    pub fn add(&mut self, signature: Signature) -> Result<(), NoteError> {
        if self.signatures.contains(&signature) {
            return Ok(());
        }
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(NoteError::Malformed("too many signatures"));
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Verifies the signatures of these keys. Signatures of other keys are ignored.
    ///
    /// # Errors
    /// If none of the keys signed the note, or a signature with the name and the id of a key does not verify.
    pub fn verify<'a>(&'a self, keys: &'a [VerifierKey]) -> Result<Vec<VerifiedSignature<'a>>, NoteError> {
        let mut verified = Vec::new();
        for signature in &self.signatures {
            let is_its_key = |key: &&VerifierKey| *key.name() == signature.name && key.id() == signature.key_id;
            if let Some(key) = keys.iter().find(is_its_key) {
                verified.push(signature.verify(&self.text, key)?);
            }
        }
        if verified.is_empty() {
            return Err(NoteError::UnknownKeys(self.signers()));
        }
        Ok(verified)
    }

    fn signers(&self) -> String {
        let signers: Vec<_> = self.signatures.iter().map(Signature::key_label).collect();
        if signers.is_empty() {
            "nobody".into()
        } else {
            signers.join(", ")
        }
    }
}

impl Signature {
    fn verify<'a>(&'a self, text: &str, key: &'a VerifierKey) -> Result<VerifiedSignature<'a>, NoteError> {
        let wrong = || NoteError::WrongSignature(self.name.clone());
        let (time, message) = match key.signature_type() {
            SignatureType::Ed25519 => (None, text.to_owned()),
            SignatureType::Cosignature => {
                let time = *self.bytes.first_chunk().ok_or_else(wrong)?;
                let time = u64::from_be_bytes(time);
                (Some(time), format!("cosignature/v1\ntime {time}\n{text}"))
            }
        };
        let signature = &self.bytes[if time.is_some() { 8 } else { 0 }..];
        let signature = <&[u8; 64]>::try_from(signature).map_err(|_| wrong())?;
        let in_range = time.is_none_or(|time| i64::try_from(time).is_ok());
        if in_range && key.verifies(message.as_bytes(), signature) {
            Ok(VerifiedSignature {
                key,
                signature: self,
                time,
            })
        } else {
            Err(wrong())
        }
    }

    fn key_label(&self) -> String {
        format!("{}+{:08x}", self.name, self.key_id)
    }

    fn parse(line: &str) -> Result<Self, NoteError> {
        const RULE: NoteError = NoteError::Malformed("a signature line is not \"— <key name> <base64>\"");
        let rest = line.strip_prefix("— ").ok_or(RULE)?;
        let (name, base64) = rest.split_once(' ').ok_or(RULE)?;
        let name = name.parse().map_err(|_| RULE)?;
        let bytes = STANDARD.decode(base64).map_err(|_| RULE)?;
        let (key_id, bytes) = bytes.split_first_chunk().ok_or(RULE)?;
        if bytes.is_empty() {
            return Err(RULE);
        }
        Ok(Self {
            name,
            key_id: u32::from_be_bytes(*key_id),
            bytes: bytes.to_vec(),
        })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id.to_be_bytes(), self.bytes.as_slice()].concat();
        writeln!(f, "— {} {}", self.name, STANDARD.encode(bytes))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| signature.fmt(f))
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        check_characters(note)?;
        let split = note
            .rfind("\n\n")
            .ok_or(NoteError::Malformed("no empty line before the signatures"))?;
        let mut read = Self::new(note[..=split].to_owned())?;
        let lines = note[split + 2..]
            .strip_suffix('\n')
            .ok_or(NoteError::Malformed("the last line has no line feed"))?;
        for line in lines.split('\n') {
            if read.signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::Malformed("too many signatures"));
            }
            read.signatures.push(Signature::parse(line)?);
        }
        Ok(read)
    }
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.len() > MAX_BYTES {
        return Err(NoteError::Malformed("too long"));
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Malformed("it has a control character"));
    }
    Ok(())
}
