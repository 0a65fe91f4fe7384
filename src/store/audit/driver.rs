//! What a page of entries is looked up by. The other conditions are checked on what is found so.

use crate::{
    domain::{Action, Kind},
    store::at_hand::Planning,
};

use super::{Column, Condition, EntryFilter};

/// What a page is looked up by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Driver {
    /// A condition that few entries meet, whenever they were recorded.
    Few,
    /// A condition that has an index in the order of time, or the text among others.
    Condition,
    /// The text: frequent, then a short walk finds it; or rare, then its index does, in no order.
    Text,
    /// Each value of a column, one after the other: no index holds the entries of several values in the order of time.
    Each(Condition),
    /// The time: there is nothing else, or nothing that is not soon found by walking.
    Time,
}

/// The kinds that have no index. All others, which are rare, have one.
const FREQUENT: [Kind; 2] = [Kind::ChangeRequested, Kind::ChangeSucceeded];

fn is_rare(kind: &str) -> bool {
    FREQUENT.iter().all(|frequent| frequent.name() != kind)
}

impl Driver {
    /// Chooses what to look a page up by: what is met by the fewest entries, as far as the kind of a condition tells.
    pub(super) fn of(filter: &EntryFilter, conditions: &[Condition]) -> Self {
        let on = |column| conditions.iter().find(|condition| condition.column == column);
        let few = [Column::Change, Column::Request, Column::AwsRequest, Column::Image];
        if few.into_iter().any(|column| on(column).is_some()) {
            return Self::Few;
        }
        let rare_kinds = on(Column::Kind).filter(|kinds| kinds.values.iter().all(|kind| is_rare(kind)));
        let several = on(Column::Principal)
            .or(on(Column::Account))
            .or(rare_kinds)
            .or(on(Column::Region));
        match several {
            _ if filter.shared_account.is_some() => Self::Condition,
            Some(condition) if condition.values.len() == 1 || has_indexed_text(filter) => Self::Condition,
            Some(condition) => Self::Each(condition.clone()),
            None if has_indexed_text(filter) => Self::Text,
            None if !filter.actions.is_empty() && !filter.actions.contains(&Action::Grant) => Self::Condition,
            None => Self::Time,
        }
    }
}

/// For which values a page is planned. One plan is good for all of them where the driver's index finds the page; where conditions
/// meet, how many entries meet both is in their values. A text that is alone is walked to or looked for in its index, each by a
/// statement for that; with others, it is rare where another is frequent.
pub(super) fn planning(filter: &EntryFilter, conditions: &[Condition]) -> Planning {
    match (&filter.text, conditions.len()) {
        (_, 0) | (None, 1) => Planning::Once,
        (None, _) => Planning::ByValues,
        (Some(_), _) => Planning::EachTime,
    }
}

/// True when the index of the texts can find the filter's: only three letters or digits in a row are sure to be in it.
pub(super) fn has_indexed_text(filter: &EntryFilter) -> bool {
    filter.text.as_deref().is_some_and(|text| {
        text.split(|letter: char| !letter.is_ascii_alphanumeric())
            .any(|word| word.len() >= 3)
    })
}
