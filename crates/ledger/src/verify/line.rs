//! Reads what matters in the text of an entry, and checks that the text is canonical. Nothing is kept: an export may have millions.

use super::canonical::{NotCanonical, read_object};
use crate::KindName;

/// What an entry's text says of its place.
pub(super) struct Place<'a> {
    /// Between quotation marks, and not yet known to be an account.
    pub(super) account_id: &'a [u8],
    pub(super) log_index: u64,
    pub(super) recorded_at: RecordedAt,
}

/// A schema is a small number: it has at most nine digits.
const MAX_SCHEMA: u64 = 1_000_000_000;

/// Why a text is not that of an entry.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Text(#[from] NotCanonical),
    #[error("an entry has no member {0:?} with this value")]
    Member(String),
    #[error("an entry has seven members, and this text has {0}")]
    Missing(usize),
}

impl<'a> Place<'a> {
    /// Reads the text of an entry.
    ///
    /// # Errors
    /// When it is not a canonical object with just the seven members of an entry.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, Unreadable> {
        let (mut account_id, mut log_index, mut recorded_at) = (None, None, None);
        let (mut members, mut wrong) = (0, None);
        read_object(line, |name, value| {
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
            return Err(Unreadable::Member(String::from_utf8_lossy(name).into_owned()));
        }
        // Names are not repeated, so all seven are there.
        match (members, account_id, log_index, recorded_at) {
            (7, Some(account_id), Some(log_index), Some(recorded_at)) => Ok(Self {
                account_id,
                log_index,
                recorded_at,
            }),
            _ => Err(Unreadable::Missing(members)),
        }
    }
}

/// Keeps a value, and tells whether there is one.
fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    *place = value;
    place.is_some()
}

/// Any kind, also one that this build does not know.
fn is_kind(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(KindName::is_valid)
}

/// What stands between the quotation marks of a string.
fn text(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

fn number(value: &[u8]) -> Option<u64> {
    str::from_utf8(value).ok()?.parse().ok()
}

/// A time as an entry has it. All have the same shape, so that their order is that of their bytes.
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
