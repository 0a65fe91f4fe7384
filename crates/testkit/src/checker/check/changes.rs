//! The ledgers' entries, joined to changes.

use std::collections::{BTreeMap, HashMap};

use super::super::history::{Entry, History, Permission, Stage};

/// One change: its entries, in the order of the ledger.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) id: &'a str,
    pub(super) requested: &'a Entry,
    /// The requests that joined it.
    pub(super) joined: Vec<&'a Entry>,
    pub(super) terminal: Option<&'a Entry>,
}

impl<'a> Change<'a> {
    /// The request with this id, of those that it answers.
    pub(super) fn request(&self, id: &str) -> Option<&'a Entry> {
        let mut asked = std::iter::once(self.requested).chain(self.joined.iter().copied());
        asked.find(|entry| entry.request_id == id)
    }
}

/// All changes.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    /// Change ids are unique over all accounts.
    by_id: HashMap<&'a str, Change<'a>>,
    /// In the order of the ledger, which is that of acceptance.
    by_permission: BTreeMap<Permission, Vec<&'a str>>,
}

impl<'a> Changes<'a> {
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

    fn add(&mut self, entry: &'a Entry) {
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
            Change {
                id,
                requested: entry,
                joined: Vec::new(),
                terminal: None,
            }
        });
    }

    /// The change with this id.
    pub(super) fn get(&self, account: &str, id: &str) -> Option<&Change<'a>> {
        let change = self.by_id.get(id);
        change.filter(|change| change.requested.account_id == account)
    }

    /// The changes of one permission, in the order of the ledger.
    pub(super) fn of_permission(&self, permission: &Permission) -> impl DoubleEndedIterator<Item = &Change<'a>> {
        let keys = self
            .by_permission
            .get(permission)
            .map(Vec::as_slice)
            .unwrap_or_default();
        keys.iter().filter_map(|id| self.by_id.get(id))
    }

    /// All permissions that were ever to change.
    pub(super) fn permissions(&self) -> impl Iterator<Item = &Permission> {
        self.by_permission.keys()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Change<'a>> {
        self.by_permission
            .values()
            .flatten()
            .filter_map(|id| self.by_id.get(id))
    }
}
