//! Names and short texts, parsed once at the edge. A value of one of these types is known to follow its rule.

use std::{fmt, str::FromStr, sync::Arc};

use uuid::Uuid;

/// A text that breaks its rule. Says the rule and the shape of the text, never the text itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be {rule}; got {shape}")]
pub struct Invalid {
    rule: &'static str,
    shape: String,
}

impl Invalid {
    /// Says that `text` breaks `rule`, which continues the words "must be".
    pub fn new(rule: &'static str, text: &str) -> Self {
        Self {
            rule,
            shape: shape(text),
        }
    }
}

/// Describes a text without repeating it: its length, and the kinds of characters in it.
fn shape(text: &str) -> String {
    type Kind = (&'static str, fn(char) -> bool);
    const KINDS: [Kind; 7] = [
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

/// A twelve-digit AWS account. A text, not a number: leading zeros count. Pattern `^[0-9]{12}$`
/// (`AwsAccount` in the WorkSpaces API model).
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

/// Makes a type of a text that follows a rule.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $holds:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// True if a text follows the rule.
            pub fn is_valid(text: &str) -> bool {
                let holds: fn(&str) -> bool = $holds;
                holds(text)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                if Self::is_valid(text) { Ok(Self(text.into())) } else { Err(Invalid::new($rule, text)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

fn is_lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_lowercase()
}

text!(
    /// The name of a kind of entry, such as `change.requested`. It may be one that this build does not know.
    /// Pattern `^[a-z][a-z_]*(\.[a-z][a-z_]*)+$`, at most 64 characters.
    KindName,
    "the kind of an entry: words of lower-case letters and underscores with dots between them (^[a-z][a-z_]*(\\.[a-z][a-z_]*)+$), at most 64 characters",
    |text| {
        let is_word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_lowercase()) && word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())
        };
        text.len() <= 64 && text.contains('.') && text.split('.').all(is_word)
    }
);

text!(
    /// An AWS Region, such as `eu-central-1`. Pattern `^[-0-9a-z]{1,31}$` (`Region` in the WorkSpaces API model).
    Region,
    "an AWS Region: 1 to 31 lower-case letters, digits and hyphens (^[-0-9a-z]{1,31}$)",
    |text| (1..=31).contains(&text.len()) && text.bytes().all(|b| b == b'-' || is_lower_alphanumeric(b))
);

/// The Regions that had WorkSpaces when this version was made (AWS General Reference, Amazon WorkSpaces endpoints).
const WORKSPACES_REGIONS: [&str; 20] = [
    "af-south-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-5",
    "ca-central-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-2",
];

impl Region {
    /// False for a Region that had no WorkSpaces when this version was made: worth a warning, since a name may be mistyped,
    /// and no more, since AWS adds Regions.
    pub fn is_known_to_have_workspaces(&self) -> bool {
        WORKSPACES_REGIONS.contains(&self.as_str())
    }
}

text!(
    /// A WorkSpaces image. Pattern `^wsi-[0-9a-z]{9,63}$` (`WorkspaceImageId` in the WorkSpaces API model, anchored).
    ImageId,
    "a WorkSpaces image: wsi- and 9 to 63 lower-case letters and digits (^wsi-[0-9a-z]{9,63}$)",
    |text| text
        .strip_prefix("wsi-")
        .is_some_and(|rest| (9..=63).contains(&rest.len()) && rest.bytes().all(is_lower_alphanumeric))
);

text!(
    /// Who calls, as authenticated. 1 to 256 visible ASCII characters.
    Principal,
    "a principal: 1 to 256 visible ASCII characters without spaces",
    |text| (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);

text!(
    /// Why a change is asked for. 1 to 1024 characters, not blank, no control characters but line feed and tab.
    Reason,
    "a reason: 1 to 1024 characters, not blank, no control characters but line feed and tab",
    |text| (1..=1024).contains(&text.chars().count())
        && !text.trim().is_empty()
        && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
);

text!(
    /// The ticket that a change belongs to. 1 to 128 characters, no control characters.
    Ticket,
    "a ticket: at most 128 characters, no control characters",
    |text| (1..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control)
);

text!(
    /// A W3C trace id: 32 lower-case hex digits, not all zero (W3C Trace Context, section 3.2.2.3).
    TraceId,
    "a W3C trace id: 32 lower-case hex digits, not all zero",
    |text| text.len() == 32
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        && text.bytes().any(|b| b != b'0')
);

/// Makes a type of a UUID.
macro_rules! uuid {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
                    _ => Err(Invalid::new("a UUID: 36 hex digits and hyphens (8-4-4-4-12)", text)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid!(
    /// A change. Version 7, so that ids sort by the time of their making.
    ChangeId
);
uuid!(
    /// A caller's idempotency key, unique within an account (AIP-155).
    RequestId
);
uuid!(
    /// One running server. New at each start.
    ReplicaId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_keep_their_leading_zeros() {
        assert_eq!("000011112222".parse::<AccountId>().unwrap().as_str(), "000011112222");
    }

    #[test]
    fn patterns_are_anchored_and_bounded() {
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
        for wrong in [
            "wsi-12345678",
            "xwsi-123456789",
            "wsi-123456789 ",
            "wsi-12345678A",
            &format!("wsi-{}", "a".repeat(64)),
        ] {
            assert!(wrong.parse::<ImageId>().is_err(), "{wrong:?}");
        }
        for wrong in ["", "EU-central-1", "eu_central_1", &"a".repeat(32)] {
            assert!(wrong.parse::<Region>().is_err(), "{wrong:?}");
        }
        assert!("wsi-123456789".parse::<ImageId>().is_ok());
        assert!("eu-central-1".parse::<Region>().is_ok());
    }

    #[test]
    fn reasons_count_characters_and_refuse_blanks_and_control_characters() {
        assert!("é".repeat(1024).parse::<Reason>().is_ok());
        assert!("two\nlines\tand a tab".parse::<Reason>().is_ok());
        for wrong in ["", " \n\t ", "nul\0", "escape\u{1b}[0m", &"é".repeat(1025)] {
            assert!(wrong.parse::<Reason>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn uuids_are_taken_in_the_hyphenated_form_only() {
        assert!("0192f0c1-7e6b-7a4e-8f00-000000000001".parse::<RequestId>().is_ok());
        assert!("0192f0c17e6b7a4e8f00000000000001".parse::<RequestId>().is_err());
        assert!("{0192f0c1-7e6b-7a4e-8f00-000000000001}".parse::<RequestId>().is_err());
    }

    #[test]
    fn an_invalid_text_is_described_and_not_repeated() {
        let error = "4O-secret".parse::<AccountId>().unwrap_err().to_string();
        assert_eq!(
            error,
            "must be an AWS account: twelve digits (^[0-9]{12}$); got 9 characters (digits, lower-case letters, upper-case letters, punctuation)"
        );
    }
}
