//! What a caller says about a change beyond the share itself.

use super::{Invalid, id::text};

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

/// What a caller says about a change. The rooms between the parser, the store and the ledger pass it on as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Justification {
    /// Why the caller asks.
    pub reason: Reason,
    /// Under which ticket.
    pub ticket: Option<Ticket>,
}

impl Justification {
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
        Self {
            reason: "a test".parse().expect("an example follows its rule"),
            ticket: None,
        }
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
    fn reasons_count_characters_and_refuse_blanks_and_control_characters() {
        assert!("é".repeat(1024).parse::<Reason>().is_ok());
        assert!("two\nlines\tand a tab".parse::<Reason>().is_ok());
        for wrong in ["", " \n\t ", "nul\0", "escape\u{1b}[0m", &"é".repeat(1025)] {
            assert!(wrong.parse::<Reason>().is_err(), "{wrong:?}");
        }
    }
}
