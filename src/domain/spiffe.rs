//! The syntax of SPIFFE IDs: `spiffe://trust-domain/path` (SPIFFE-ID standard, sections 2.1 and 2.2). It allows no other spelling
//! of an ID: no upper case in the trust domain, no port, user, query, fragment or percent encoding, and no segment that is empty,
//! `.` or `..`. So two texts are the same ID only if they are equal.
//!
//! The limits of the standard are 2048 bytes, and 255 for the trust domain. A principal has at most 256, so they always hold.

const SCHEME: &[u8] = b"spiffe://";
const TRUST_DOMAIN: u8 = SCHEME.len() as u8;

/// A position in an ID. The numbers below [`TRUST_DOMAIN`] are positions in the scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position(u8);

impl Position {
    const START: Self = Self(0);
    /// The trust domain has no character yet.
    const NO_TRUST_DOMAIN: Self = Self(TRUST_DOMAIN);
    const IN_TRUST_DOMAIN: Self = Self(TRUST_DOMAIN + 1);
    /// After a slash.
    const NO_SEGMENT: Self = Self(TRUST_DOMAIN + 2);
    /// The segment is `.` until now.
    const ONE_DOT: Self = Self(TRUST_DOMAIN + 3);
    /// The segment is `..` until now.
    const TWO_DOTS: Self = Self(TRUST_DOMAIN + 4);
    const IN_SEGMENT: Self = Self(TRUST_DOMAIN + 5);

    /// The position after one more byte. `None`: no ID continues so.
    fn after(self, byte: u8) -> Option<Self> {
        let in_segment = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        match self {
            Self::NO_TRUST_DOMAIN | Self::IN_TRUST_DOMAIN if in_segment && !byte.is_ascii_uppercase() => {
                Some(Self::IN_TRUST_DOMAIN)
            }
            Self::IN_TRUST_DOMAIN | Self::IN_SEGMENT if byte == b'/' => Some(Self::NO_SEGMENT),
            Self::NO_SEGMENT if byte == b'.' => Some(Self::ONE_DOT),
            Self::ONE_DOT if byte == b'.' => Some(Self::TWO_DOTS),
            Self::NO_SEGMENT | Self::ONE_DOT | Self::TWO_DOTS | Self::IN_SEGMENT if in_segment => {
                Some(Self::IN_SEGMENT)
            }
            Self(at) if SCHEME.get(usize::from(at)) == Some(&byte) => Some(Self(at + 1)),
            _ => None,
        }
    }

    /// True if an ID may end here.
    fn is_end(self) -> bool {
        [Self::IN_TRUST_DOMAIN, Self::IN_SEGMENT].contains(&self)
    }
}

/// True if the text has the scheme of SPIFFE IDs, in any spelling.
pub(super) fn has_scheme(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe"))
}

/// True for a valid ID.
pub(super) fn is_valid(text: &str) -> bool {
    let end = text.bytes().try_fold(Position::START, Position::after);
    end.is_some_and(Position::is_end)
}

/// True if a pattern, in which `*` stands for any text, matches a valid ID.
pub(super) fn can_match(pattern: &str) -> bool {
    let mut reached = vec![Position::START];
    for byte in pattern.bytes() {
        if byte == b'*' {
            let mut next = 0;
            while let Some(position) = reached.get(next).copied() {
                extend(&mut reached, (b'!'..=b'~').filter_map(|byte| position.after(byte)));
                next += 1;
            }
        } else {
            let before = std::mem::take(&mut reached);
            extend(
                &mut reached,
                before.into_iter().filter_map(|position| position.after(byte)),
            );
        }
    }
    reached.into_iter().any(Position::is_end)
}

/// Adds the positions that are not there yet.
fn extend(reached: &mut Vec<Position>, positions: impl Iterator<Item = Position>) {
    for position in positions {
        if !reached.contains(&position) {
            reached.push(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &[&str] = &[
        "spiffe://a",
        "spiffe://example.org",
        "spiffe://my-domain_1.example/ns/Build/sa/x.y-z_1",
        "spiffe://127.0.0.1/a",
        "spiffe://example.org/...",
        "spiffe://example.org/..a/.b/c./d..",
    ];

    const INVALID: &[&str] = &[
        "spiffe:",
        "spiffe:/example.org",
        "spiffe://",
        "spiffe:///a",
        "SPIFFE://example.org/a",
        "Spiffe:example.org",
        "spiffe://Example.org/a",
        "spiffe://example.org/",
        "spiffe://example.org/a/",
        "spiffe://example.org//a",
        "spiffe://example.org/a//b",
        "spiffe://example.org/.",
        "spiffe://example.org/..",
        "spiffe://example.org/a/./b",
        "spiffe://example.org/ns/build/../admin",
        "spiffe://example.org/ns/build/%2e%2e/admin",
        "spiffe://example.org/a%2Fb",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b",
        "spiffe://example.org?a",
        "spiffe://example.org#a",
        "spiffe://user@example.org/a",
        "spiffe://example.org/a@b",
        "spiffe://example.org:443/a",
        "spiffe://[::1]/a",
        "spiffe://example.org/a:b",
        "spiffe://example.org/a*b",
        "spiffe://example.org/a b",
        "spiffe://exämple.org/a",
        "spiffe://example.org/\u{2024}\u{2024}/a",
        "spiffe://example.org\\a",
    ];

    #[test]
    fn an_id_follows_the_standard() {
        for id in VALID {
            assert!(is_valid(id) && has_scheme(id), "{id}");
        }
        for id in INVALID {
            assert!(!is_valid(id) && has_scheme(id), "{id}");
        }
        for other in ["", "spiffe", "spiffer://a", "a:spiffe://b", "https://example.org"] {
            assert!(!has_scheme(other) && !is_valid(other), "{other}");
        }
    }

    #[test]
    fn a_pattern_can_match_only_if_some_valid_id_matches() {
        for pattern in [
            "spiffe://*",
            "spiffe:*",
            "spiffe://*/ns/*/sa/build",
            "spiffe://example.org/*",
            "spiffe://example.org*",
            "spiffe://example.org/ns/..*",
            "spiffe://example.org/*.",
            "spiffe://*.example.org/*",
            "spiffe:/*x",
            "*/a",
            "*",
        ] {
            assert!(can_match(pattern), "{pattern}");
        }
        for pattern in [
            "SPIFFE://*",
            "spiffe://Example.org*",
            "spiffe://example.org/*/",
            "spiffe://example.org/*/../*",
            "spiffe://example.org//*",
            "spiffe://*:443/*",
            "spiffe://*?*",
            "spiffe://example.org/%*",
            "*@*",
            "",
        ] {
            assert!(!can_match(pattern), "{pattern}");
        }
    }
}
