//! Chooses the condition that a page of entries is looked up by. The other conditions filter what it finds.

use crate::{
    domain::{Action, EntryKind},
    store::connection::PlanCacheMode,
};

use super::{Column, Condition, EntryFilter};

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
    Each(Condition),
    /// The time: there is no other condition, or only conditions that a walk meets soon.
    Time,
}

/// The kinds without an index. All other kinds are rare and have one.
const FREQUENT: [EntryKind; 2] = [EntryKind::ChangeRequested, EntryKind::ChangeSucceeded];

fn is_rare(kind: &str) -> bool {
    FREQUENT.iter().all(|frequent| frequent.name() != kind)
}

impl Driver {
    /// Chooses the condition that should match the fewest entries.
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

/// The `plan_cache_mode` of a page. With one condition, the driver's index finds the page and one plan is good for all
/// values. With several, the best plan depends on the values. A text alone has a statement for the walk and one for its
/// index; a text with other conditions can be rare where they are frequent.
pub(super) fn plan_cache_mode(filter: &EntryFilter, conditions: &[Condition]) -> PlanCacheMode {
    match (&filter.text, conditions.len()) {
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
