//! The file of an export: JSON Lines, one ledger, a range without gaps.
//!
//! 1. The header: which ledger and range, the checkpoint, and the hashes that join the range to it.
//! 2. The entries, byte for byte as they are hashed, in the order of their indexes. Only these lines begin with
//!    `{"account_id"`.
//! 3. After each entry whose index is the last of a tile, and after the last one: the hashes of the entries since the line
//!    like it before, as the store had them. Nothing is proven by them; they are what a wrong entry is found by.
//!
//! There is one file for an export. Each line ends with one line feed. The header and the lines of hashes are written as
//! `to_line` writes them, with these members in this order and nothing else, and the text of an entry is canonical. A reader
//! refuses every other text, so that two readers cannot find two meanings in it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{merkle::Hash, tile::WIDTH};
use crate::AccountId;

/// The name of the format, with its version.
pub const FORMAT: &str = "sharewarden.export.v1";

/// So begins the line of an entry, and no other.
pub const ENTRY_PREFIX: &str = r#"{"account_id""#;

/// What an export holds, and what it takes to verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Whose ledger it is.
    pub account: AccountId,
    /// The index of the first entry.
    pub start_index: u64,
    /// One past the index of the last entry.
    pub end_index: u64,
    /// The signed note of the checkpoint that covers the entries.
    pub checkpoint: String,
    /// The right edge of the tree of `start_index` entries, the largest subtree first.
    pub left_hashes: Vec<Hash>,
    /// From the tree of `end_index` entries to the checkpoint's; empty if these are the same, or if `end_index` is 0.
    pub consistency_proof: Vec<Hash>,
}

/// A line that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It cannot be read, or written, as JSON with the members it should have.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A member has a value that it cannot have.
    #[error("{0} cannot have this value")]
    Member(&'static str),
    /// Its members stand in another order, or are written otherwise than an export writes them.
    #[error("it is not written as an export writes it")]
    Spelling,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    format: String,
    account_id: String,
    start_index: u64,
    end_index: u64,
    checkpoint: String,
    left_hashes: Vec<String>,
    consistency_proof: Vec<String>,
}

impl Header {
    /// Its line, without a line feed.
    ///
    /// # Errors
    /// Never: texts and numbers can be written as JSON.
    pub fn to_line(&self) -> Result<String, LineError> {
        let encode = |hashes: &[Hash]| hashes.iter().map(|hash| STANDARD.encode(hash)).collect();
        Ok(serde_json::to_string(&HeaderLine {
            format: FORMAT.into(),
            account_id: self.account.to_string(),
            start_index: self.start_index,
            end_index: self.end_index,
            checkpoint: self.checkpoint.clone(),
            left_hashes: encode(&self.left_hashes),
            consistency_proof: encode(&self.consistency_proof),
        })?)
    }

    /// Reads [`to_line`](Self::to_line).
    ///
    /// # Errors
    /// When it is not the header of an export in this format.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let header = Self::of_line(serde_json::from_slice(line)?)?;
        match header.to_line()?.as_bytes() == line {
            true => Ok(header),
            false => Err(LineError::Spelling),
        }
    }

    fn of_line(line: HeaderLine) -> Result<Self, LineError> {
        let decode = |hashes: Vec<String>| -> Option<Vec<Hash>> {
            let hash = |text: &String| STANDARD.decode(text).ok()?.try_into().ok();
            hashes.iter().map(hash).collect()
        };
        if line.format != FORMAT {
            return Err(LineError::Member("format"));
        }
        Ok(Self {
            account: line.account_id.parse().map_err(|_| LineError::Member("account_id"))?,
            start_index: line.start_index,
            end_index: line.end_index,
            checkpoint: line.checkpoint,
            left_hashes: decode(line.left_hashes).ok_or(LineError::Member("left_hashes"))?,
            consistency_proof: decode(line.consistency_proof).ok_or(LineError::Member("consistency_proof"))?,
        })
    }
}

/// The line of hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafHashes {
    /// The hashes of the entries since the line like it before.
    pub hashes: Vec<Hash>,
    /// One past the index of the last of them.
    pub end_index: u64,
}

#[derive(Serialize)]
struct LeafHashesLine {
    leaf_hashes: String,
    end_index: u64,
}

impl LeafHashes {
    /// Its line, without a line feed.
    ///
    /// # Errors
    /// Never: texts and numbers can be written as JSON.
    pub fn to_line(&self) -> Result<String, LineError> {
        Ok(serde_json::to_string(&LeafHashesLine {
            leaf_hashes: STANDARD.encode(self.hashes.as_flattened()),
            end_index: self.end_index,
        })?)
    }

    /// Reads [`to_line`](Self::to_line). It does so without a reader of JSON: the line has one text, and is long.
    ///
    /// # Errors
    /// When it is not such a line.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let (base64, end_index) = leaf_hashes_members(line).ok_or(LineError::Spelling)?;
        let wrong = || LineError::Member("leaf_hashes");
        let bytes = STANDARD.decode(base64).map_err(|_| wrong())?;
        match bytes.as_chunks::<32>() {
            (hashes, []) => Ok(Self {
                hashes: hashes.to_vec(),
                end_index,
            }),
            _ => Err(wrong()),
        }
    }
}

/// The hashes, in base64 if they are right, and the end index.
fn leaf_hashes_members(line: &[u8]) -> Option<(&[u8], u64)> {
    let members = line.strip_prefix(br#"{"leaf_hashes":""#)?.strip_suffix(b"}")?;
    let digits = members.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (members, digits) = members.split_at(members.len() - digits);
    let base64 = members.strip_suffix(br#"","end_index":"#)?;
    let end_index: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    (end_index.to_string().as_bytes() == digits).then_some((base64, end_index))
}

/// True when a line of hashes follows the entry in front of `next_index`.
pub fn hashes_are_due(next_index: u64, end_index: u64) -> bool {
    next_index.is_multiple_of(WIDTH as u64) || next_index == end_index
}

/// Writes an export, line by line, to the end of a text that the caller passes on and clears.
#[derive(Debug)]
pub struct Writer {
    pending: LeafHashes,
    end_index: u64,
}

impl Writer {
    /// Begins an export: writes the header.
    ///
    /// # Errors
    /// Never: see [`Header::to_line`].
    pub fn begin(header: &Header, out: &mut String) -> Result<Self, LineError> {
        put_line(&header.to_line()?, out);
        Ok(Self {
            pending: LeafHashes {
                hashes: Vec::with_capacity(WIDTH),
                end_index: header.start_index,
            },
            end_index: header.end_index,
        })
    }

    /// Writes the next entry, and the hashes where they are due.
    ///
    /// # Errors
    /// Never: see [`LeafHashes::to_line`].
    pub fn entry(&mut self, line: &str, leaf_hash: &Hash, out: &mut String) -> Result<(), LineError> {
        put_line(line, out);
        self.pending.hashes.push(*leaf_hash);
        self.pending.end_index += 1;
        if hashes_are_due(self.pending.end_index, self.end_index) {
            put_line(&self.pending.to_line()?, out);
            self.pending.hashes.clear();
        }
        Ok(())
    }

    /// The index of the entry that it waits for.
    pub fn next_index(&self) -> u64 {
        self.pending.end_index
    }
}

fn put_line(line: &str, out: &mut String) {
    out.push_str(line);
    out.push('\n');
}
