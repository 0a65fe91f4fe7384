//! The string rules of the WorkSpaces API model: a pattern and a range of lengths.
//!
//! The patterns are the model's, anchored at both ends. (The model does not anchor the image id.)

use std::sync::LazyLock;

use regex::Regex;

pub(super) struct TextRule {
    /// The pattern for messages. Empty: any string matches.
    pub(super) shown: &'static str,
    regex: LazyLock<Regex>,
    pub(super) shortest: usize,
    pub(super) longest: usize,
}

impl TextRule {
    /// True if pattern and length match.
    pub(super) fn accepts(&self, text: &str) -> bool {
        self.fits(text) && self.matches(text)
    }

    /// True if the length in characters is in range.
    pub(super) fn fits(&self, text: &str) -> bool {
        (self.shortest..=self.longest).contains(&text.chars().count())
    }

    /// True if the pattern matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident = $pattern:literal, $shortest:literal ..= $longest:expr;)*) => {
        $($(#[$doc])* pub(super) static $name: TextRule = TextRule {
            shown: $pattern,
            regex: LazyLock::new(|| Regex::new($pattern).expect("a constant; a test compiles every one of them")),
            shortest: $shortest,
            longest: $longest,
        };)*
        #[cfg(test)]
        static ALL: &[&TextRule] = &[$(&$name),*];
    };
}

texts! {
    /// Twelve digits.
    ACCOUNT = r"^[0-9]{12}$", 0..=usize::MAX;
    /// A WorkSpaces image.
    IMAGE_ID = r"^wsi-[0-9a-z]{9,63}$", 0..=usize::MAX;
    /// A WorkSpace.
    WORKSPACE_ID = r"^ws-[0-9a-z]{8,63}$", 0..=usize::MAX;
    /// An EC2 image.
    EC2_IMAGE_ID = r"^ami\-([a-f0-9]{8}|[a-f0-9]{17})$", 0..=usize::MAX;
    /// An AWS Region.
    REGION = r"^[-0-9a-z]{1,31}$", 1..=31;
    /// The name of an image.
    IMAGE_NAME = r"^[a-zA-Z0-9_./()\\-]+$", 1..=64;
    /// The description of an image.
    IMAGE_DESCRIPTION = r"^[a-zA-Z0-9_./() -]+$", 1..=256;
    /// A pagination token.
    NEXT_TOKEN = r"", 1..=2048;
    /// A pagination token of tagging.
    PAGINATION_TOKEN = r"", 0..=2048;
    /// Any text.
    ANY = r"", 0..=usize::MAX;
    /// Any text of a service that requires one.
    NON_EMPTY = r"", 1..=usize::MAX;
    /// A resource of any service.
    RESOURCE_ARN = r"", 1..=1011;
    /// A service, or a service and its kind of resource.
    RESOURCE_TYPE = r"", 0..=256;
    /// The key of a tag.
    TAG_KEY = r"", 1..=127;
    /// The value of a tag.
    TAG_VALUE = r"", 0..=255;
    /// The value of an attribute of a lookup.
    LOOKUP_VALUE = r"", 1..=2000;
    /// An access key id in a SigV4 credential.
    ACCESS_KEY = r"^[0-9A-Za-z_]{16,128}$", 16..=128;
    /// A role to assume.
    ROLE_ARN = r"^arn:(aws|aws-cn|aws-us-gov):iam::([0-9]{12}):role/([0-9A-Za-z+=,.@_/-]+)$", 20..=2048;
    /// The name of an assumed role's session.
    SESSION_NAME = r"^[0-9A-Za-z_+=,.@-]*$", 2..=64;
    /// The external id of an assumed role.
    EXTERNAL_ID = r"^[0-9A-Za-z_+=,.@:/-]*$", 2..=1224;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for text in ALL {
            assert!(!text.matches("\u{0}\n") || text.shown.is_empty(), "{}", text.shown);
        }
    }

    #[test]
    fn patterns_are_anchored_at_both_ends() {
        assert!(IMAGE_ID.accepts("wsi-basewin11"));
        for odd in [
            "xwsi-basewin11",
            "wsi-basewin11\n",
            "wsi-basewin11 ",
            "wsi-Basewin11",
            "wsi-short",
        ] {
            assert!(!IMAGE_ID.accepts(odd), "{odd:?}");
        }
        assert!(ACCOUNT.accepts("000011112222"));
        for odd in ["11112222333", "1111222233334", "１１１１２２２２３３３３"] {
            assert!(!ACCOUNT.accepts(odd), "{odd:?}");
        }
    }
}
