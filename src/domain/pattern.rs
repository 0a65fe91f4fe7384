//! Wildcard patterns for principals.

use std::{fmt, str::FromStr};

use super::{Invalid, Principal, spiffe};

/// A principal, or a pattern for principals in which `*` stands for any number of characters, also none.
#[derive(Clone, PartialEq, Eq)]
pub struct PrincipalPattern(String);

impl PrincipalPattern {
    /// The pattern as it was parsed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if the whole principal matches the pattern. Comparison is case-sensitive.
    pub fn matches(&self, principal: &Principal) -> bool {
        let mut parts = self.0.split('*');
        let (first, text) = (parts.next().unwrap_or_default(), principal.as_str());
        let Some(mut rest) = text.strip_prefix(first) else {
            return false;
        };
        let mut parts: Vec<_> = parts.collect();
        let Some(last) = parts.pop() else {
            return rest.is_empty();
        };
        // The earliest match of each part leaves the most text for the parts after it.
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl FromStr for PrincipalPattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let holds = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !holds {
            return Err(Invalid::new(
                "a principal, or a pattern of principals with *: 1 to 256 visible ASCII characters without spaces",
                text,
            ));
        }
        if spiffe::has_scheme(text) && !spiffe::can_match(text) {
            return Err(Invalid::new(
                "a pattern that a valid SPIFFE ID can match if it begins with spiffe: (spiffe://, a trust domain in lower case, \
                 then segments of letters, digits, - . _ that are not empty, . or ..)",
                text,
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PrincipalPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PrincipalPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, principal: &str) -> bool {
        pattern
            .parse::<PrincipalPattern>()
            .unwrap()
            .matches(&principal.parse().unwrap())
    }

    #[test]
    fn a_pattern_matches_the_whole_name_and_a_star_matches_any_text() {
        for (pattern, principal) in [
            ("build", "build"),
            ("*", "build"),
            ("build*", "build"),
            ("*build", "build"),
            ("spiffe://example.org/*", "spiffe://example.org/ns/a/sa/b"),
            (
                "spiffe://example.org/ns/*/sa/build",
                "spiffe://example.org/ns/a/sa/build",
            ),
            ("a*b*a", "abaaba"),
            ("*a*a*", "aa"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, principal), "{pattern} {principal}");
        }
        for (pattern, principal) in [
            ("build", "builds"),
            ("build", "rebuild"),
            ("build", "BUILD"),
            ("build*", "rebuild"),
            ("a*a", "a"),
            ("*a*a*", "a"),
            ("spiffe://example.org/*", "spiffe://example.org.evil/x"),
            (
                "spiffe://example.org/ns/*/sa/build",
                "spiffe://example.org/ns/a/sa/build/x",
            ),
            ("a.c", "abc"),
            ("[a]", "a"),
            ("?", "a"),
        ] {
            assert!(!matches(pattern, principal), "{pattern} {principal}");
        }
    }

    #[test]
    fn a_pattern_follows_the_rule_of_principals() {
        for wrong in [
            "",
            "two words",
            "é",
            &"a".repeat(257),
            "spiffe://Example.org/*",
            "spiffe://example.org/ns/../*",
            "SPIFFE://example.org/*",
            "spiffe://example.org/ns/build/",
        ] {
            assert!(wrong.parse::<PrincipalPattern>().is_err(), "{wrong:?}");
        }
        for right in ["*", "spif*", "*://Example.org/*", "spiffe://*/ns/build", "spiffe:*"] {
            assert!(right.parse::<PrincipalPattern>().is_ok(), "{right:?}");
        }
    }
}
