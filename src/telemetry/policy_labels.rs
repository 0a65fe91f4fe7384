//! The ids of policies as label values. Files are replaced while the server runs, so there can be more ids in the life of a
//! process than metrics may have: the first ones have a label of their own, and the others share one.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// Maximum ids with a label of their own.
const MAX_IDS: usize = 500;

/// The label of the other ids.
const OTHER: &str = "_OTHER";

/// The ids that have a label.
#[derive(Debug, Default)]
pub(super) struct PolicyLabels(Mutex<HashSet<Box<str>>>);

impl PolicyLabels {
    /// The label of an id. Once an id has a label of its own, it keeps it.
    pub(super) fn of(&self, id: &str) -> String {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !ids.contains(id) {
            if ids.len() >= MAX_IDS {
                return OTHER.to_owned();
            }
            ids.insert(id.into());
        }
        id.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_labels_is_bounded_over_all_reloads_and_a_label_stays() {
        let labels = PolicyLabels::default();
        let reloads = (0..2 * MAX_IDS).map(|number| labels.of(&format!("policy-{number}")));
        let told: HashSet<_> = reloads.collect();
        assert_eq!(told.len(), MAX_IDS + 1);
        assert!(told.contains(OTHER));
        assert_eq!(labels.of("policy-0"), "policy-0");
        assert_eq!(labels.of("policy-new"), OTHER);
    }
}
