//! Groups the entries of the ledgers by change.

use std::collections::{BTreeMap, HashMap};

use super::super::history::{History, ImagePermission, LedgerEntry, Stage};

/// A change and its entries, in the order of the ledger.
#[derive(Debug)]
pub(super) struct LedgerChange<'a> {
    pub(super) id: &'a str,
    pub(super) requested: &'a LedgerEntry,
    /// Requests that joined it.
    pub(super) joined: Vec<&'a LedgerEntry>,
    pub(super) terminal: Option<&'a LedgerEntry>,
}

impl<'a> LedgerChange<'a> {
    /// The entry of the request with this id.
    pub(super) fn request(&self, id: &str) -> Option<&'a LedgerEntry> {
        let mut asked = std::iter::once(self.requested).chain(self.joined.iter().copied());
        asked.find(|entry| entry.request_id == id)
    }
}

#[derive(Debug)]
pub(super) struct LedgerChanges<'a> {
    /// Change ids are unique across accounts.
    by_id: HashMap<&'a str, LedgerChange<'a>>,
    /// In the order of the ledger, which is the order of acceptance.
    by_permission: BTreeMap<ImagePermission, Vec<&'a str>>,
}

impl<'a> LedgerChanges<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut changes = Self {
            by_id: HashMap::new(),
            by_permission: BTreeMap::new(),
        };
        for entry in history.ledgers.iter().flat_map(|ledger| &ledger.entries) {
            changes.add(entry);
        }
        changes
    }

    fn add(&mut self, entry: &'a LedgerEntry) {
        let Some(id) = entry.change_id.as_deref() else { return };
        if entry.stage.is_terminal() {
            if let Some(change) = self.by_id.get_mut(id) {
                change.terminal.get_or_insert(entry);
            }
            return;
        }
        if entry.stage == Stage::Joined {
            if let Some(change) = self.by_id.get_mut(id) {
                change.joined.push(entry);
            }
            return;
        }
        self.by_id.entry(id).or_insert_with(|| {
            self.by_permission.entry(entry.permission()).or_default().push(id);
            LedgerChange {
                id,
                requested: entry,
                joined: Vec::new(),
                terminal: None,
            }
        });
    }

    /// The change with this id, if it is of this account.
    pub(super) fn get(&self, account: &str, id: &str) -> Option<&LedgerChange<'a>> {
        let change = self.by_id.get(id);
        change.filter(|change| change.requested.account_id == account)
    }

    /// The changes of a permission in the order of the ledger.
    pub(super) fn of_permission(
        &self,
        permission: &ImagePermission,
    ) -> impl DoubleEndedIterator<Item = &LedgerChange<'a>> {
        let keys = self
            .by_permission
            .get(permission)
            .map(Vec::as_slice)
            .unwrap_or_default();
        keys.iter().filter_map(|id| self.by_id.get(id))
    }

    /// All permissions with changes.
    pub(super) fn permissions(&self) -> impl Iterator<Item = &ImagePermission> {
        self.by_permission.keys()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &LedgerChange<'a>> {
        self.by_permission
            .values()
            .flatten()
            .filter_map(|id| self.by_id.get(id))
    }
}
