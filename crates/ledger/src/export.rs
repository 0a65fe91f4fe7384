//! The export file: JSON Lines with a range of one ledger, without gaps.
//!
//! 1. The header: the ledger, the range, the checkpoint, and the hashes that connect the range to the checkpoint.
//! 2. The entries in the order of their indexes, byte for byte as they were hashed. Only these lines begin with
//!    `{"account_id"`.
//! 3. After the last entry of each tile and after the last entry of the export: a line with the stored leaf hashes of
//!    the entries since the previous such line. These hashes prove nothing. They tell a verifier which entry is
//!    wrong.
//! 4. The texts of the policy sets that decisions in the entries name, in the order of their digests. Each is the
//!    SHA-256 of its text, so the entries prove the texts. A text that the service does not have is left out. The
//!    first version of the format has no such lines.
//!
//! An export is one file. Each line ends with one line feed. The header and the hash lines are exactly what `to_line`
//! writes, and an entry is canonical. A reader refuses any other text, so that two readers cannot read one file
//! differently. An export without entries is refused too, because nothing would be verified: no account has a checkpoint
//! before its first entry.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{
    AccountId,
    merkle::{Hash, hex, parse_hash},
    tile::WIDTH,
    verify::policy_set_of,
};

/// The name of the format, with its version.
pub const FORMAT: &str = "sharewarden.export.v2";

/// The name of the first version.
const FIRST_FORMAT: &str = "sharewarden.export.v1";

/// The first bytes of an entry's line. No other line begins with them.
pub const ENTRY_PREFIX: &str = r#"{"account_id""#;

/// The range, and what is needed to verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The account that owns the ledger.
    pub account: AccountId,
    /// The index of the first entry.
    pub start_index: u64,
    /// One past the index of the last entry.
    pub end_index: u64,
    /// The signed note of a checkpoint with at least `end_index` entries.
    pub checkpoint: String,
    /// The roots of the perfect subtrees of the tree of `start_index` entries, the largest first.
    pub left_hashes: Vec<Hash>,
    /// The proof from the tree of `end_index` entries to the tree of the checkpoint. Empty if both are the same tree,
    /// or if `end_index` is 0.
    pub consistency_proof: Vec<Hash>,
}

/// A line that breaks the format.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line is not JSON, or does not have exactly the expected members.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The named member has an invalid value.
    #[error("{0} has an invalid value")]
    Member(&'static str),
    /// The line differs from the one text that `to_line` writes.
    #[error("the line is not exactly the text that the format prescribes (members, their order, white space, escapes)")]
    NotCanonical,
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
    /// The line, without a line feed.
    ///
    /// # Errors
    /// Returns none: strings and integers can always be written as JSON.
    pub fn to_line(&self) -> Result<String, LineError> {
        self.to_line_of(FORMAT)
    }

    fn to_line_of(&self, format: &str) -> Result<String, LineError> {
        let encode = |hashes: &[Hash]| hashes.iter().map(|hash| STANDARD.encode(hash)).collect();
        Ok(serde_json::to_string(&HeaderLine {
            format: format.into(),
            account_id: self.account.to_string(),
            start_index: self.start_index,
            end_index: self.end_index,
            checkpoint: self.checkpoint.clone(),
            left_hashes: encode(&self.left_hashes),
            consistency_proof: encode(&self.consistency_proof),
        })?)
    }

    /// Parses [`to_line`](Self::to_line), and the same line of the first version of the format.
    ///
    /// # Errors
    /// If the line is not a header in one of these formats.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let parsed: HeaderLine = serde_json::from_slice(line)?;
        let format = match &*parsed.format {
            FIRST_FORMAT => FIRST_FORMAT,
            FORMAT => FORMAT,
            _ => return Err(LineError::Member("format")),
        };
        let header = Self::of_line(parsed)?;
        match header.to_line_of(format)?.as_bytes() == line {
            true => Ok(header),
            false => Err(LineError::NotCanonical),
        }
    }

    fn of_line(line: HeaderLine) -> Result<Self, LineError> {
        let decode = |hashes: Vec<String>| -> Option<Vec<Hash>> {
            let hash = |text: &String| STANDARD.decode(text).ok()?.try_into().ok();
            hashes.iter().map(hash).collect()
        };
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

/// A line of leaf hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafHashes {
    /// The leaf hashes of the entries since the previous such line.
    pub hashes: Vec<Hash>,
    /// One past the index of the last of these entries.
    pub end_index: u64,
}

#[derive(Serialize)]
struct LeafHashesLine {
    leaf_hashes: String,
    end_index: u64,
}

impl LeafHashes {
    /// The line, without a line feed.
    ///
    /// # Errors
    /// Returns none: strings and integers can always be written as JSON.
    pub fn to_line(&self) -> Result<String, LineError> {
        Ok(serde_json::to_string(&LeafHashesLine {
            leaf_hashes: STANDARD.encode(self.hashes.as_flattened()),
            end_index: self.end_index,
        })?)
    }

    /// Parses [`to_line`](Self::to_line). Without a JSON parser, since the line is long and has only one valid text.
    ///
    /// # Errors
    /// If the line is not such a line.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let (base64, end_index) = leaf_hashes_members(line).ok_or(LineError::NotCanonical)?;
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

/// The base64 text of the hashes, not yet decoded, and the end index.
fn leaf_hashes_members(line: &[u8]) -> Option<(&[u8], u64)> {
    let members = line.strip_prefix(br#"{"leaf_hashes":""#)?.strip_suffix(b"}")?;
    let digits = members.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (members, digits) = members.split_at(members.len() - digits);
    let base64 = members.strip_suffix(br#"","end_index":"#)?;
    let end_index: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    (end_index.to_string().as_bytes() == digits).then_some((base64, end_index))
}

/// A line with the text of a policy set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySetText {
    /// The SHA-256 of the text, by which entries name the set.
    pub digest: Hash,
    /// The accounts, groups, policies, schema and time zone, byte for byte as they were hashed.
    pub text: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicySetLine {
    policy_set: String,
    text: String,
}

impl PolicySetText {
    /// The line, without a line feed.
    ///
    /// # Errors
    /// Returns none: strings can always be written as JSON.
    pub fn to_line(&self) -> Result<String, LineError> {
        Ok(serde_json::to_string(&PolicySetLine {
            policy_set: hex(&self.digest),
            text: self.text.clone(),
        })?)
    }

    /// Parses [`to_line`](Self::to_line).
    ///
    /// # Errors
    /// If the line is not such a line.
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        let parsed: PolicySetLine = serde_json::from_slice(line)?;
        let digest = parse_hash(&parsed.policy_set).ok_or(LineError::Member("policy_set"))?;
        let set = Self {
            digest,
            text: parsed.text,
        };
        match set.to_line()?.as_bytes() == line {
            true => Ok(set),
            false => Err(LineError::NotCanonical),
        }
    }
}

/// True if a hash line follows the entry at `next_index - 1`.
pub fn hashes_are_due(next_index: u64, end_index: u64) -> bool {
    next_index.is_multiple_of(WIDTH as u64) || next_index == end_index
}

/// Writes an export line by line. Appends to a buffer that the caller sends on and clears.
#[derive(Debug)]
pub struct ExportWriter {
    pending: LeafHashes,
    end_index: u64,
    policy_sets: BTreeSet<Hash>,
}

impl ExportWriter {
    /// Writes the header.
    ///
    /// # Errors
    /// Returns none: see [`Header::to_line`].
    pub fn begin(header: &Header, out: &mut String) -> Result<Self, LineError> {
        put_line(&header.to_line()?, out);
        Ok(Self {
            pending: LeafHashes {
                hashes: Vec::with_capacity(WIDTH),
                end_index: header.start_index,
            },
            end_index: header.end_index,
            policy_sets: BTreeSet::new(),
        })
    }

    /// Writes the next entry, and the hash line if one is due.
    ///
    /// # Errors
    /// Returns none: see [`LeafHashes::to_line`].
    pub fn entry(&mut self, line: &str, leaf_hash: &Hash, out: &mut String) -> Result<(), LineError> {
        put_line(line, out);
        self.policy_sets.extend(policy_set_of(line.as_bytes()));
        self.pending.hashes.push(*leaf_hash);
        self.pending.end_index += 1;
        if hashes_are_due(self.pending.end_index, self.end_index) {
            put_line(&self.pending.to_line()?, out);
            self.pending.hashes.clear();
        }
        Ok(())
    }

    /// The policy sets that the entries so far name, in the order of their digests.
    pub fn policy_sets(&self) -> impl Iterator<Item = Hash> {
        self.policy_sets.iter().copied()
    }

    /// Writes the text of a policy set. Call it after the last entry, for each of [`policy_sets`](Self::policy_sets) in
    /// their order.
    ///
    /// # Errors
    /// Returns none: see [`PolicySetText::to_line`].
    pub fn policy_set(&self, set: &PolicySetText, out: &mut String) -> Result<(), LineError> {
        put_line(&set.to_line()?, out);
        Ok(())
    }

    /// The index of the next entry to write.
    pub fn next_index(&self) -> u64 {
        self.pending.end_index
    }
}

fn put_line(line: &str, out: &mut String) {
    out.push_str(line);
    out.push('\n');
}
