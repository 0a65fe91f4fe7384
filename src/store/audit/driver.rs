//! Chooses the condition that a page of entries is looked up by. The other conditions filter what it finds.

use crate::{
    domain::{Action, Kind, KindName},
    store::connection::PlanCacheMode,
};

use super::EntryFilter;

/// The condition that a page is looked up by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Driver {
    /// A condition that few entries meet in the whole history.
    Few,
    /// A condition with an index in the order of time, or the text together with other conditions.
    Condition,
    /// The text alone. A short walk finds a frequent text. The index, which has no order, finds a rare one.
    Text,
    /// Each value of a column in turn: no index has the entries of several values in the order of time.
    Each(Column, Vec<String>),
    /// The time: there is no other condition, or only conditions that a walk meets soon.
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

    /// The distinct values of the filter for this column. Empty if the filter matches every value.
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

/// The kinds without an index. All other kinds are rare and have one.
const FREQUENT: [Kind; 2] = [Kind::ChangeRequested, Kind::ChangeSucceeded];

fn is_rare(kind: &KindName) -> bool {
    FREQUENT.iter().all(|frequent| frequent.name() != kind.as_str())
}

impl Driver {
    /// Chooses the condition that should match the fewest entries.
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

/// The `plan_cache_mode` of a page. With one condition, the driver's index finds the page and one plan is good for all values. With
/// several, the best plan depends on the values. A text alone has a statement for the walk and one for its index; a text with other
/// conditions can be rare where they are frequent.
pub(super) fn plan_cache_mode(filter: &EntryFilter) -> PlanCacheMode {
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
        conditions.into_iter().filter(|is_present| *is_present).count(),
    ) {
        (_, 0) | (None, 1) => PlanCacheMode::ForceGeneric,
        (None, _) => PlanCacheMode::Auto,
        (Some(_), _) => PlanCacheMode::ForceCustom,
    }
}

/// True when the trigram index can find the text: it has three letters or digits in a row.
pub(super) fn has_indexed_text(filter: &EntryFilter) -> bool {
    filter.text.as_deref().is_some_and(|text| {
        text.split(|letter: char| !letter.is_ascii_alphanumeric())
            .any(|word| word.len() >= 3)
    })
}
