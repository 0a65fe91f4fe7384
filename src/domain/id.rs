//! Identifiers and short texts, parsed once at the edge. A text type holds only values that follow its
//! rule.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use uuid::Uuid;

use crate::ledger::Invalid;

use super::spiffe;

/// Defines a type for texts that follow a rule.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $rule:literal, $holds:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The text as it was parsed.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let holds: fn(&str) -> bool = $holds;
                if holds(text) { Ok(Self(text.into())) } else { Err(Invalid::new($rule, text)) }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}
pub(super) use text;

fn is_lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_lowercase()
}

text!(
    /// An AWS Region, such as `eu-central-1`. Pattern `^[-0-9a-z]{1,31}$` (`Region` in the WorkSpaces API model).
    Region,
    "an AWS Region: 1 to 31 lower-case letters, digits and hyphens (^[-0-9a-z]{1,31}$)",
    |text| (1..=31).contains(&text.len()) && text.bytes().all(|b| b == b'-' || is_lower_alphanumeric(b))
);

/// The Regions with WorkSpaces at the time of this release (AWS General Reference, Amazon WorkSpaces endpoints).
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
    /// The AWS partition of the Region, by its prefix (IAM identifiers). Roles and accounts belong to one partition.
    pub fn partition(&self) -> &'static str {
        let prefixes = [
            ("cn-", "aws-cn"),
            ("us-gov-", "aws-us-gov"),
            ("us-isob-", "aws-iso-b"),
            ("us-iso-", "aws-iso"),
            ("eu-isoe-", "aws-iso-e"),
            ("us-isof-", "aws-iso-f"),
            ("eusc-", "aws-eusc"),
        ];
        let found = prefixes
            .into_iter()
            .find(|(prefix, _)| self.as_str().starts_with(prefix));
        found.map_or("aws", |(_, partition)| partition)
    }

    /// True if the Region had WorkSpaces at the time of this release. False deserves a warning, because the name may be mistyped.
    /// It is not an error, because AWS adds Regions.
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
    /// An authenticated caller. 1 to 256 visible ASCII characters. A name with the scheme `spiffe` is a valid SPIFFE ID.
    Principal,
    "a principal: 1 to 256 visible ASCII characters without spaces, and a valid SPIFFE ID if it begins with spiffe:",
    |text| (1..=256).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic())
        && (!spiffe::has_scheme(text) || spiffe::is_valid(text))
);

impl Principal {
    /// The name of the service itself, the actor of what it does without a caller. No caller may have it.
    pub const SERVICE: &str = "sharewarden";
}

text!(
    /// A W3C trace id: 32 lower-case hex digits, not all zero (W3C Trace Context, section 3.2.2.3).
    TraceId,
    "a W3C trace id: 32 lower-case hex digits, not all zero",
    |text| text.len() == 32
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        && text.bytes().any(|b| b != b'0')
);

/// Defines a type for UUIDs in the hyphenated form.
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

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            /// Upper-case letters are refused, because ids are written in lower case.
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<str>::deserialize(deserializer)?;
                let id: Self = text.parse().map_err(D::Error::custom)?;
                match text.bytes().any(|letter| letter.is_ascii_uppercase()) {
                    true => Err(D::Error::custom("a UUID has upper-case letters")),
                    false => Ok(id),
                }
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
    /// A change. The service makes it as a UUID version 7, so that ids sort by creation time.
    ChangeId
);
uuid!(
    /// A caller's idempotency key, unique within an account (AIP-155).
    RequestId
);
uuid!(
    /// One run of a server. New at each start.
    ReplicaId
);
uuid!(
    /// One comparison of what AWS holds in an account and Region with the ledger.
    ScanId
);
uuid!(
    /// An event of CloudTrail.
    EventId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_anchored_and_bounded() {
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
    fn a_principal_with_the_scheme_of_spiffe_is_a_valid_spiffe_id() {
        for right in [
            "spiffe://example.org/ns/a",
            "pipeline@example.com",
            "CN=a\\20b",
            "a:b",
            "../a",
        ] {
            assert!(right.parse::<Principal>().is_ok(), "{right}");
        }
        let long = |length: usize| format!("spiffe://example.org/{}", "a".repeat(length - 21));
        assert!(long(256).parse::<Principal>().is_ok());
        for wrong in [
            "spiffe://example.org/a/../b",
            "SPIFFE://example.org/a",
            "spiffe:a",
            &long(257),
            &long(2049),
        ] {
            assert!(wrong.parse::<Principal>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn uuids_are_accepted_in_the_hyphenated_form_only() {
        assert!("0192f0c1-7e6b-7a4e-8f00-000000000001".parse::<RequestId>().is_ok());
        assert!("0192f0c17e6b7a4e8f00000000000001".parse::<RequestId>().is_err());
        assert!("{0192f0c1-7e6b-7a4e-8f00-000000000001}".parse::<RequestId>().is_err());
    }
}
