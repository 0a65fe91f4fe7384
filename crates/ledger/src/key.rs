//! Ed25519 keys that sign and verify checkpoints, named as in C2SP signed-note.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{
    Signature, Signer as _, VerifyingKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes, spki::der::pem::LineEnding},
};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

/// A key that cannot be used. The messages never repeat the input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The input is not a private key in PKCS#8 PEM.
    #[error("not an Ed25519 private key in PKCS#8 PEM (as `openssl genpkey -algorithm ed25519` writes it)")]
    NotPem,
    /// The key cannot be encoded.
    #[error("the key cannot be written as PKCS#8 PEM")]
    NotWritten,
    /// The name of the key breaks its rule.
    #[error("a key name must have 1 to 255 characters, without spaces, control characters or plus signs")]
    Name,
    /// The input is not a verifier key.
    #[error("not a verifier key: must be <name>+<8 hex digits>+<base64>, as `sharewarden key show` writes it")]
    NotVerifierKey,
    /// The key id does not match the name and the public key.
    #[error("the id in the verifier key does not match its name and key; copy the whole verifier key again")]
    WrongId,
    /// The signature type is not supported.
    #[error("the verifier key has signature type {0:#04x}; supported are 0x01 (Ed25519) and 0x04 (cosignature/v1)")]
    UnknownType(u8),
}

/// The name of a key: 1 to 255 characters. Usually a URL without its scheme.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let breaks = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if (1..=255).contains(&text.chars().count()) && !text.chars().any(breaks) {
            Ok(Self(text.into()))
        } else {
            Err(KeyError::Name)
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a signature of a key states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureType {
    /// 0x01: the log's own signature over the text.
    Ed25519,
    /// 0x04, cosignature/v1: a witness saw the text at a given time, and the log only grew.
    Cosignature,
}

impl SignatureType {
    fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Cosignature => 0x04,
        }
    }

    fn of_byte(byte: u8) -> Result<Self, KeyError> {
        match byte {
            0x01 => Ok(Self::Ed25519),
            0x04 => Ok(Self::Cosignature),
            _ => Err(KeyError::UnknownType(byte)),
        }
    }
}

/// A private key. Memory is wiped on drop. `Debug` shows only the public key.
#[derive(Clone)]
pub struct SigningKey {
    name: KeyName,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// Parses a private key in PKCS#8 PEM.
    ///
    /// # Errors
    /// If the input is not one.
    pub fn from_pem(name: KeyName, pem: &str) -> Result<Self, KeyError> {
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem.trim()).map_err(|_| KeyError::NotPem)?;
        Ok(Self { name, key })
    }

    /// Derives the key from a seed of 32 random bytes.
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Self {
        Self {
            name,
            key: ed25519_dalek::SigningKey::from_bytes(seed),
        }
    }

    /// Encodes the private key as PKCS#8 PEM, without the public key, as OpenSSL does.
    ///
    /// # Errors
    /// Returns none in practice: 32 bytes can always be encoded.
    pub fn to_pem(&self) -> Result<SecretString, KeyError> {
        let bytes = KeypairBytes {
            secret_key: self.key.to_bytes(),
            public_key: None,
        };
        let pem = bytes.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::NotWritten)?;
        Ok(SecretString::from(pem.as_str()))
    }

    /// The key name in the note, as C2SP signed-note defines it.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The public key that verifies its signatures.
    pub fn verifier_key(&self) -> VerifierKey {
        VerifierKey::new(self.name.clone(), SignatureType::Ed25519, self.key.verifying_key())
    }

    pub(super) fn sign(&self, text: &str) -> [u8; 64] {
        self.key.sign(text.as_bytes()).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifier_key())
    }
}

/// A public key. Its text is a C2SP verifier key: `<name>+<id>+<base64 of type and key>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    id: u32,
    signature_type: SignatureType,
    key: VerifyingKey,
}

impl VerifierKey {
    fn new(name: KeyName, signature_type: SignatureType, key: VerifyingKey) -> Self {
        let hash = Sha256::new()
            .chain_update(name.as_str())
            .chain_update([b'\n', signature_type.byte()])
            .chain_update(key.as_bytes())
            .finalize();
        let id = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        Self {
            name,
            id,
            signature_type,
            key,
        }
    }

    /// The key name in the note, as C2SP signed-note defines it.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key id: the first four bytes of a hash over name, type and key.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What its signatures state.
    pub fn signature_type(&self) -> SignatureType {
        self.signature_type
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key
            .verify_strict(message, &Signature::from_bytes(signature))
            .is_ok()
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::NotVerifierKey);
        };
        let name = name.parse()?;
        let id = hex_id(id).ok_or(KeyError::NotVerifierKey)?;
        let bytes = STANDARD.decode(key).map_err(|_| KeyError::NotVerifierKey)?;
        let (signature_type, key) = bytes.split_first().ok_or(KeyError::NotVerifierKey)?;
        let signature_type = SignatureType::of_byte(*signature_type)?;
        let key = VerifyingKey::try_from(key).map_err(|_| KeyError::NotVerifierKey)?;
        let key = Self::new(name, signature_type, key);
        if key.id == id { Ok(key) } else { Err(KeyError::WrongId) }
    }
}

fn hex_id(text: &str) -> Option<u32> {
    let is_hex = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u32::from_str_radix(text, 16).ok())?
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.signature_type.byte()], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(key))
    }
}
