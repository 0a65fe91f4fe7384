//! What a caller says about a change beyond the share itself.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::{Invalid, id::text};

text!(
    /// Why a change is asked for. 1 to 1024 characters, at least one of them visible, no control characters but line feed and
    /// tab.
    Reason,
    "a reason: 1 to 1024 characters, at least one of them visible, no control characters but line feed and tab",
    |text| (1..=1024).contains(&text.chars().count())
        && text.chars().any(is_visible)
        && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')
);

text!(
    /// The ticket that a change belongs to. 1 to 128 characters, at least one of them visible, no control characters.
    Ticket,
    "a ticket: at most 128 characters, at least one of them visible, no control characters",
    |text| (1..=128).contains(&text.chars().count())
        && text.chars().any(is_visible)
        && !text.chars().any(char::is_control)
);

/// True for a character that leaves a mark. Spaces, format characters and combining marks do not, nor do the fillers of Hangul
/// and the empty Braille pattern, which Unicode counts among letters and symbols.
fn is_visible(c: char) -> bool {
    let fillers = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];
    let leaves_a_mark = match c.general_category_group() {
        GeneralCategoryGroup::Letter
        | GeneralCategoryGroup::Number
        | GeneralCategoryGroup::Punctuation
        | GeneralCategoryGroup::Symbol => true,
        GeneralCategoryGroup::Mark | GeneralCategoryGroup::Separator | GeneralCategoryGroup::Other => false,
    };
    leaves_a_mark && !fillers.contains(&c)
}

/// What a caller says about a change, or an operator about a decision. The rooms between the parser, the store and the ledger
/// pass it on as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Justification {
    /// Why the caller asks.
    pub reason: Reason,
    /// Under which ticket.
    pub ticket: Option<Ticket>,
}

impl Justification {
    /// The texts that every decision has.
    pub fn new(reason: Reason, ticket: Option<Ticket>) -> Self {
        Self { reason, ticket }
    }

    /// The texts that are present, by their names in the ledger.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { reason, ticket } = self;
        let texts = [
            ("reason", Some(reason.as_str())),
            ("ticket", ticket.as_ref().map(Ticket::as_str)),
        ];
        texts.into_iter().filter_map(|(name, text)| Some((name, text?)))
    }

    /// For tests: a reason, and none of the optional texts.
    #[cfg(any(test, feature = "dev"))]
    pub fn example() -> Self {
        Self::new("a test".parse().expect("an example follows its rule"), None)
    }
}

#[cfg(test)]
pub(in crate::domain) mod tests {
    use proptest::{option, prelude::*};

    use super::*;

    /// Any justification.
    pub(in crate::domain) fn any() -> impl Strategy<Value = Justification> {
        let texts = ("(\\PC|[\n\t\"\\\\]){1,60}", option::of("\\PC{1,30}"));
        texts.prop_filter_map("breaks a rule", |(reason, ticket)| {
            Some(Justification {
                reason: reason.parse().ok()?,
                ticket: ticket.map(|text| text.parse()).transpose().ok()?,
            })
        })
    }

    #[test]
    fn reasons_count_characters_and_refuse_invisible_ones_and_control_characters() {
        assert!("é".repeat(1024).parse::<Reason>().is_ok());
        assert!("two\nlines\tand a tab".parse::<Reason>().is_ok());
        for blank in ["\u{200b}", "\u{2800}", "\u{3164}\u{a0}", "\u{202e}\u{feff}", "\u{fe0f}"] {
            assert!(blank.parse::<Reason>().is_err(), "{blank:?}");
            assert!(blank.parse::<Ticket>().is_err(), "{blank:?}");
        }
        for visible in ["é", "-", "中", "🎉", "\u{202e}7"] {
            assert!(visible.parse::<Reason>().is_ok(), "{visible:?}");
        }
        for wrong in ["", " \n\t ", "nul\0", "escape\u{1b}[0m", &"é".repeat(1025)] {
            assert!(wrong.parse::<Reason>().is_err(), "{wrong:?}");
        }
    }
}
