//! Reads what matters in the text of an entry, and no more: an export may have millions.

use serde::Deserialize;

/// What an entry's text says of its place.
#[derive(Deserialize)]
pub(super) struct Place<'a> {
    pub(super) account_id: &'a str,
    pub(super) log_index: u64,
    pub(super) recorded_at: RecordedAt,
}

/// A time as an entry has it. All have the same shape, so that their order is that of their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "&str")]
pub(super) struct RecordedAt([u8; SHAPE.len()]);

const SHAPE: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";

impl TryFrom<&str> for RecordedAt {
    type Error = &'static str;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        let fits = |(byte, shape): (&u8, &u8)| match shape {
            b'0' => byte.is_ascii_digit(),
            _ => byte == shape,
        };
        match <[u8; SHAPE.len()]>::try_from(text.as_bytes()) {
            Ok(bytes) if bytes.iter().zip(SHAPE).all(fits) => Ok(Self(bytes)),
            _ => Err("recorded_at is not a time with six digits of fraction and Z"),
        }
    }
}

impl std::fmt::Display for RecordedAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}
