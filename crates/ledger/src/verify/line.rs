//! Parses the members of an entry that the verifier needs, and checks that the text is canonical. Allocates nothing, since an
//! export may have millions of entries.

use super::canonical::{NotCanonical, read_object};
use crate::{
    KindName,
    merkle::{Hash, leaf_hash, parse_hash},
};

/// A line that was read as an entry. Reading depends on nothing but the line, so lines are read side by side.
pub(super) struct ReadEntry<'a> {
    pub(super) position: Result<LinePosition<'a>, EntryParseError>,
    /// The hash of the line.
    pub(super) hash: Hash,
}

impl<'a> ReadEntry<'a> {
    pub(super) fn of(line: &'a [u8]) -> Self {
        Self {
            position: LinePosition::read(line),
            hash: leaf_hash(line),
        }
    }
}

/// The members of an entry that fix its position.
pub(super) struct LinePosition<'a> {
    /// The string without quotes. Not validated.
    pub(super) account_id: &'a [u8],
    pub(super) log_index: u64,
    pub(super) recorded_at: RecordedAt,
    /// The policy set that a decision in the body names.
    pub(super) policy_set: Option<Hash>,
}

/// The member that names the policy set of a decision, in every kind of entry, known or not.
const POLICY_SET: &[&[u8]] = &[b"body", b"decision", b"policy_set"];

/// One more than the largest schema number.
const MAX_SCHEMA: u64 = 1_000_000_000;

/// Why a text is not an entry.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryParseError {
    #[error(transparent)]
    Text(#[from] NotCanonical),
    #[error("the member {0:?} is unknown or has an invalid value")]
    Member(String),
    #[error("an entry has seven members; this text has {0}")]
    Missing(usize),
}

impl<'a> LinePosition<'a> {
    /// Parses an entry.
    ///
    /// # Errors
    /// If the text is not canonical, or does not have exactly the seven members.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, EntryParseError> {
        let (mut account_id, mut log_index, mut recorded_at) = (None, None, None);
        let (mut members, mut wrong) = (0, None);
        let policy_set = read_object(line, POLICY_SET, |name, value| {
            let is_right = match name {
                b"account_id" => set(&mut account_id, text(value)),
                b"body" => value.starts_with(b"{"),
                b"kind" => text(value).is_some_and(is_kind),
                b"log_index" => set(&mut log_index, number(value)),
                b"recorded_at" => set(&mut recorded_at, text(value).and_then(RecordedAt::read)),
                b"schema" => number(value).is_some_and(|schema| (1..MAX_SCHEMA).contains(&schema)),
                b"server_version" => text(value).is_some(),
                _ => false,
            };
            members += 1;
            if !is_right {
                wrong.get_or_insert(name);
            }
        })?;
        if let Some(name) = wrong {
            return Err(EntryParseError::Member(String::from_utf8_lossy(name).into_owned()));
        }
        // Canonical names are unique, so seven valid members are all seven.
        match (members, account_id, log_index, recorded_at) {
            (7, Some(account_id), Some(log_index), Some(recorded_at)) => Ok(Self {
                account_id,
                log_index,
                recorded_at,
                policy_set: policy_set.and_then(digest),
            }),
            _ => Err(EntryParseError::Missing(members)),
        }
    }
}

/// The policy set that the decision in the body of an entry names. None if there is no decision, or it names none.
pub(crate) fn policy_set_of(line: &[u8]) -> Option<Hash> {
    let named = read_object(line, POLICY_SET, |_, _| {}).ok()?;
    named.and_then(digest)
}

fn digest(value: &[u8]) -> Option<Hash> {
    parse_hash(str::from_utf8(text(value)?).ok()?)
}

/// Stores the value, and returns whether there is one.
fn set<T>(position: &mut Option<T>, value: Option<T>) -> bool {
    *position = value;
    position.is_some()
}

/// True for a valid name of a kind, known to this build or not.
fn is_kind(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(KindName::is_valid)
}

/// The contents of a JSON string without escapes processed.
fn text(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

fn number(value: &[u8]) -> Option<u64> {
    str::from_utf8(value).ok()?.parse().ok()
}

/// The time of an entry. All times have the same format, so that they sort as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecordedAt([u8; SHAPE.len()]);

const SHAPE: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";

impl RecordedAt {
    fn read(text: &[u8]) -> Option<Self> {
        let fits = |(byte, shape): (&u8, &u8)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte == shape,
        };
        let bytes: [u8; SHAPE.len()] = text.try_into().ok()?;
        bytes.iter().zip(SHAPE).all(fits).then_some(Self(bytes))
    }
}

impl std::fmt::Display for RecordedAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}
