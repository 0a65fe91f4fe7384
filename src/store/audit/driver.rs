//! What a page of entries is looked up by. The other conditions are checked on what is found so.

use crate::{
    domain::{Action, EntryKind, KindName},
    store::at_hand::Planning,
};

use super::EntryFilter;

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
    Each(Column, Vec<String>),
    /// The time: there is nothing else, or nothing that is not soon found by walking.
    Time,
}

/// A column that a filter can have several values of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Account,
    Region,
    Principal,
    Kind,
}

impl Column {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Account => "account_id",
            Self::Region => "region",
            Self::Principal => "principal",
            Self::Kind => "kind",
        }
    }

    /// The values that the filter has for it, each once; none where that matches everything.
    pub(super) fn values(self, filter: &EntryFilter) -> Vec<String> {
        let mut values: Vec<_> = match self {
            Self::Account => filter.accounts.iter().map(ToString::to_string).collect(),
            Self::Region => filter.regions.iter().map(ToString::to_string).collect(),
            Self::Principal => filter.principals.iter().map(ToString::to_string).collect(),
            Self::Kind => filter.kinds.iter().map(ToString::to_string).collect(),
        };
        values.sort_unstable();
        values.dedup();
        values
    }
}

/// The kinds that have no index. All others, which are rare, have one.
const FREQUENT: [EntryKind; 2] = [EntryKind::ChangeRequested, EntryKind::ChangeSucceeded];

fn is_rare(kind: &KindName) -> bool {
    FREQUENT.iter().all(|frequent| frequent.name() != kind.as_str())
}

impl Driver {
    /// Chooses what to look a page up by: what is met by the fewest entries, as far as the kind of a condition tells.
    pub(super) fn of(filter: &EntryFilter) -> Self {
        let few = filter.change.is_some()
            || filter.request.is_some()
            || filter.aws_request.is_some()
            || filter.image.is_some();
        if few {
            return Self::Few;
        }
        let columns = [Column::Principal, Column::Account, Column::Kind, Column::Region];
        let several = columns
            .into_iter()
            .filter(|column| *column != Column::Kind || filter.kinds.iter().all(is_rare))
            .map(|column| (column, column.values(filter)))
            .find(|(_, values)| !values.is_empty());
        match several {
            _ if filter.shared_account.is_some() => Self::Condition,
            Some((_, values)) if values.len() == 1 || has_indexed_text(filter) => Self::Condition,
            Some((column, values)) => Self::Each(column, values),
            None if has_indexed_text(filter) => Self::Text,
            None if !filter.actions.is_empty() && !filter.actions.contains(&Action::Grant) => Self::Condition,
            None => Self::Time,
        }
    }
}

/// For which values a page is planned. One plan is good for all of them where the driver's index finds the page; where conditions
/// meet, how many entries meet both is in their values. A text that is alone is walked to or looked for in its index, each by a
/// statement for that; with others, it is rare where another is frequent.
pub(super) fn planning(filter: &EntryFilter) -> Planning {
    let conditions = [
        !filter.accounts.is_empty(),
        !filter.regions.is_empty(),
        filter.image.is_some(),
        filter.shared_account.is_some(),
        !filter.principals.is_empty(),
        !filter.actions.is_empty(),
        !filter.kinds.is_empty(),
        !filter.causes.is_empty(),
        filter.change.is_some(),
        filter.request.is_some(),
        filter.aws_request.is_some(),
    ];
    match (
        &filter.text,
        conditions.into_iter().filter(|is_there| *is_there).count(),
    ) {
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
