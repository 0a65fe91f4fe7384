//! The claims of a caller: what its token says about it beside its name.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{Invalid, decision::MAX_FACT_BYTES, id::text};

/// Claims that say nothing about the caller, or that differ between two tokens of one caller.
const RESERVED: [&str; 6] = ["aud", "exp", "iat", "iss", "jti", "nbf"];

text!(
    /// The name of a claim, such as `groups`. Pattern `^[!-~]{1,100}$`.
    ClaimName,
    "the name of a claim: 1 to 100 visible ASCII characters without spaces, and not aud, exp, iat, iss, jti or nbf",
    |text| (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !RESERVED.contains(&text)
);

/// What a claim says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Its values. None: the caller does not have the claim, or it is an empty list.
    Values(BTreeSet<String>),
    /// The caller has the claim, and it cannot be used. Holds the reason.
    Unusable(String),
}

/// A claim that the caller does not have.
static ABSENT: Claim = Claim::Values(BTreeSet::new());

impl Claim {
    /// A claim with these values. Values that cannot be recorded make it unusable.
    pub fn of(values: impl IntoIterator<Item = String>) -> Self {
        let values: BTreeSet<_> = values.into_iter().collect();
        match values.iter().any(|value| value.contains(char::is_control)) {
            true => Self::Unusable("it has a control character".into()),
            false => Self::Values(values),
        }
    }

    /// A claim that is neither a text nor a list of texts.
    pub fn of_another_form() -> Self {
        Self::Unusable("it is neither a text nor a list of texts".into())
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Values(values) => serde_json::to_string(values).map_or(usize::MAX, |json| json.len()),
            Self::Unusable(_) => 0,
        }
    }
}

/// The claims of a caller that are known. Those of a call are all known, and those on record are the ones that the policy set
/// referred to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    known: BTreeMap<String, Claim>,
    /// True if the caller has no other claims. False if others are not known.
    are_all: bool,
}

impl Claims {
    /// All claims of a caller.
    pub fn all(claims: impl IntoIterator<Item = (String, Claim)>) -> Self {
        Self {
            known: claims.into_iter().collect(),
            are_all: true,
        }
    }

    /// Adds the claims of another credential of the caller. Only tokens have claims, and a call has one token at most.
    pub fn add(&mut self, of_another: Self) {
        self.known.extend(of_another.known);
    }

    /// What the claim says. None if it is not known.
    pub fn get(&self, name: &str) -> Option<&Claim> {
        let absent = self.are_all.then_some(&ABSENT);
        self.known.get(name).or(absent)
    }

    /// The known claims, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Claim)> {
        self.known.iter().map(|(name, claim)| (name.as_str(), claim))
    }

    /// True if no claim is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && !self.are_all
    }

    /// What is recorded: the claims with these names, as far as they are known. A claim with which all would have more than
    /// [`MAX_FACT_BYTES`] becomes unusable.
    #[must_use]
    pub fn only(&self, names: &BTreeSet<String>) -> Self {
        let mut left = MAX_FACT_BYTES;
        let recorded = names.iter().filter_map(|name| {
            let claim = self.get(name)?;
            let bytes = claim.bytes();
            let claim = match left.checked_sub(bytes) {
                Some(rest) => {
                    left = rest;
                    claim.clone()
                }
                None => Claim::Unusable(format!(
                    "it has {bytes} bytes, and an entry holds {MAX_FACT_BYTES} for all claims"
                )),
            };
            Some((name.clone(), claim))
        });
        Self {
            known: recorded.collect(),
            are_all: false,
        }
    }
}

/// A claim in JSON. The members stand in the order of their names (RFC 8785), and unknown ones are ignored.
#[derive(Serialize, Deserialize)]
struct ClaimJson<'a> {
    name: Cow<'a, str>,
    /// Why it cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unusable: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    values: Option<Cow<'a, BTreeSet<String>>>,
}

/// A list, because the names of members are ASCII words in the ledger, and an issuer names claims as it likes.
impl Serialize for Claims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|(name, claim)| {
            let (values, unusable) = match claim {
                Claim::Values(values) => (Some(Cow::Borrowed(values)), None),
                Claim::Unusable(reason) => (None, Some(reason.into())),
            };
            ClaimJson {
                name: name.into(),
                unusable,
                values,
            }
        }))
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::<ClaimJson<'_>>::deserialize(deserializer)?;
        if !list.is_sorted_by(|before, after| before.name < after.name) {
            return Err(D::Error::custom("the claims are not sorted by their names, each once"));
        }
        let claims = list.into_iter().map(|claim| {
            let read = match (claim.values, claim.unusable) {
                (Some(values), None) => Claim::Values(values.into_owned()),
                (None, Some(reason)) => Claim::Unusable(reason.into_owned()),
                _ => return Err(D::Error::custom("a claim has values, or says why it cannot be used")),
            };
            Ok((claim.name.into_owned(), read))
        });
        Ok(Self {
            known: claims.collect::<Result<_, _>>()?,
            are_all: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn values(of: &[&str]) -> Claim {
        Claim::of(of.iter().map(|value| (*value).to_owned()))
    }

    #[test]
    fn on_record_are_the_claims_that_are_asked_for_also_those_that_the_caller_does_not_have() {
        let all = Claims::all([
            ("team".into(), values(&["b", "a", "b"])),
            ("email".into(), values(&["x"])),
        ]);
        let recorded = all.only(&names(&["team", "groups"]));
        let text = serde_json::to_string(&recorded).unwrap();
        assert_eq!(
            text,
            r#"[{"name":"groups","values":[]},{"name":"team","values":["a","b"]}]"#
        );
        let read: Claims = serde_json::from_str(&text).unwrap();
        assert_eq!(read, recorded);
        assert_eq!(read.get("groups"), Some(&ABSENT), "it is known that there are none");
        assert_eq!(read.get("email"), None, "nothing is known about it");
        assert_eq!(read.only(&names(&["team", "groups", "email"])), recorded);
    }

    #[test]
    fn claims_that_no_entry_can_hold_are_unusable_with_the_reason() {
        let large = "x".repeat(MAX_FACT_BYTES - 10);
        let all = Claims::all([
            ("a".into(), values(&[&large])),
            ("b".into(), values(&["0123456789"])),
            ("c".into(), values(&["1"])),
            ("d".into(), values(&["line\n"])),
            ("e".into(), Claim::of_another_form()),
        ]);
        let asked = names(&["a", "b", "c", "d", "e"]);
        let recorded = all.only(&asked);
        assert_eq!(recorded.get("a"), Some(&values(&[&large])));
        assert!(matches!(recorded.get("b"), Some(Claim::Unusable(reason)) if reason.starts_with("it has 14 bytes")));
        assert_eq!(recorded.get("c"), Some(&values(&["1"])), "a smaller one has room");
        assert!(matches!(recorded.get("d"), Some(Claim::Unusable(_))));
        assert_eq!(recorded.only(&asked), recorded, "what was recorded is recorded again");
        let text = serde_json::to_string(&recorded).unwrap();
        assert_eq!(serde_json::from_str::<Claims>(&text).unwrap(), recorded);
    }

    #[test]
    fn claims_are_read_only_in_their_order_and_form() {
        for wrong in [
            r#"[{"name":"b","values":[]},{"name":"a","values":[]}]"#,
            r#"[{"name":"a","values":[]},{"name":"a","values":[]}]"#,
            r#"[{"name":"a"}]"#,
            r#"[{"name":"a","unusable":"it is large","values":[]}]"#,
        ] {
            assert!(serde_json::from_str::<Claims>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_claim_is_named_by_visible_ascii_and_says_something_about_the_caller() {
        for right in ["groups", "https://example.com/team", "cognito:groups", "sub"] {
            assert!(right.parse::<ClaimName>().is_ok(), "{right}");
        }
        for wrong in ["", "two words", "größe", &"x".repeat(101), "exp", "jti", "iss"] {
            assert!(wrong.parse::<ClaimName>().is_err(), "{wrong}");
        }
    }
}
