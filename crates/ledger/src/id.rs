//! Account ids and kinds of entries: strings that were validated when they were parsed.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

/// A string that breaks a rule. The message names the rule and describes the string, and never repeats the string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be {rule}; got {shape}")]
pub struct Invalid {
    rule: &'static str,
    shape: String,
}

impl Invalid {
    /// States that `text` breaks `rule`. The rule continues the words "must be".
    pub fn new(rule: &'static str, text: &str) -> Self {
        Self {
            rule,
            shape: shape(text),
        }
    }
}

/// Describes a string without repeating it: its length and the classes of its characters.
fn shape(text: &str) -> String {
    type CharacterClass = (&'static str, fn(char) -> bool);
    const KINDS: [CharacterClass; 7] = [
        ("digits", |c| c.is_ascii_digit()),
        ("lower-case letters", |c| c.is_ascii_lowercase()),
        ("upper-case letters", |c| c.is_ascii_uppercase()),
        ("spaces", |c| c.is_whitespace() && !c.is_control()),
        ("punctuation", |c| c.is_ascii_punctuation()),
        ("control characters", char::is_control),
        ("characters outside ASCII", |c| {
            !c.is_ascii() && !c.is_whitespace() && !c.is_control()
        }),
    ];
    let length = text.chars().count();
    let kinds: Vec<_> = KINDS
        .iter()
        .filter(|(_, is)| text.chars().any(is))
        .map(|(name, _)| *name)
        .collect();
    match length {
        0 => "nothing".into(),
        1 => format!("1 character ({})", kinds.join(", ")),
        _ => format!("{length} characters ({})", kinds.join(", ")),
    }
}

/// An AWS account id: twelve digits, as a string, since leading zeros count. Pattern `^[0-9]{12}$` (`AwsAccount` in
/// the WorkSpaces API model).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId([u8; 12]);

impl AccountId {
    const RULE: &'static str = "an AWS account: twelve digits (^[0-9]{12}$)";

    /// The twelve digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("parsing admits ASCII digits only")
    }
}

impl FromStr for AccountId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match <[u8; 12]>::try_from(text.as_bytes()) {
            Ok(digits) if digits.iter().all(u8::is_ascii_digit) => Ok(Self(digits)),
            _ => Err(Invalid::new(Self::RULE, text)),
        }
    }
}

impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DigitsVisitor)
    }
}

/// Accepts a text only. A number in a file has lost its leading zeros.
struct DigitsVisitor;

impl Visitor<'_> for DigitsVisitor {
    type Value = AccountId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text of 12 digits, in quotes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<AccountId, E> {
        text.parse().map_err(E::custom)
    }
}

impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a kind of entry, such as `change.requested`. This build may not know the kind. Pattern
/// `^[a-z][a-z_]*(\.[a-z][a-z_]*)+$`, at most 64 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindName(Arc<str>);

impl KindName {
    const RULE: &'static str = "the kind of an entry: words of lower-case letters and underscores with dots between them (^[a-z][a-z_]*(\\.[a-z][a-z_]*)+$), at most 64 characters";

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if the string matches the pattern and the maximum length.
    pub fn is_valid(text: &str) -> bool {
        let is_word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
        };
        text.len() <= 64 && text.contains('.') && text.split('.').all(is_word)
    }
}

impl FromStr for KindName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match Self::is_valid(text) {
            true => Ok(Self(text.into())),
            false => Err(Invalid::new(Self::RULE, text)),
        }
    }
}

impl fmt::Display for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids_keep_leading_zeros() {
        assert_eq!("000011112222".parse::<AccountId>().unwrap().as_str(), "000011112222");
    }

    #[test]
    fn an_account_id_has_exactly_twelve_ascii_digits() {
        for wrong in [
            "",
            "12345678901",
            "1234567890123",
            "12345678901a",
            "１２３４５６７８９０１２",
            " 12345678901",
        ] {
            assert!(wrong.parse::<AccountId>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_error_describes_the_invalid_text_without_repeating_it() {
        let error = "4O-secret".parse::<AccountId>().unwrap_err().to_string();
        assert_eq!(
            error,
            "must be an AWS account: twelve digits (^[0-9]{12}$); got 9 characters (digits, lower-case letters, upper-case letters, punctuation)"
        );
    }
}
