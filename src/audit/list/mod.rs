//! Reads pages of entries, and single entries.

use std::collections::BTreeMap;

use crate::{
    domain::{AccountId, Entry, Principal, Timestamp},
    store::audit::{
        self, Archived, Column, CompleteList, Condition, Edge, EntryFilter, EntryPosition, EntryRows, Order, PageLimit,
        StoredEntry, Stretch,
    },
    store::changes,
};

use super::{Audit, AuditEntry, Error, reads};

/// Maximum archived ranges on a page.
const MAX_ARCHIVED: u32 = 1000;

/// Maximum bytes of text on a page; a page ends early beyond it. The message is at most about 1 MiB.
const MAX_TEXT_BYTES: usize = 384 * 1024;

/// A page of entries, each mapped by the caller.
#[derive(Debug)]
pub struct EntryPage<T> {
    /// In the requested order.
    pub entries: Vec<T>,
    /// The position that the next page starts after. None on the last page.
    pub next: Option<NextPage>,
    /// The ranges of the requested time that were archived, the latest first. A later page has only those archived since the page
    /// before it.
    pub archived: Vec<Archived>,
}

/// The start of a next page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextPage {
    /// The last entry of the page before.
    pub after: EntryPosition,
    /// When the page before was read, on the clock of the database. Entries archived since then may be missing from the next
    /// page.
    pub read_at: Timestamp,
}

impl Audit {
    /// True if the filter names one account and a change that the principal asked for there: with the request that opened it, or
    /// with one that joined it.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn is_asked_for_by(&self, filter: &EntryFilter, principal: &Principal) -> Result<bool, Error> {
        match (&filter.accounts[..], filter.change) {
            ([account], Some(change)) => {
                Ok(changes::is_asked_for_by(&self.database, *account, change, principal).await?)
            }
            _ => Ok(false),
        }
    }

    /// Lists at most `size` entries: the first page, or the `next` one. `present` maps each entry after it was verified, while
    /// Postgres sends the next ones.
    ///
    /// # Errors
    /// [`Error::Tampered`], or an error of the store.
    pub async fn entries<T: Send>(
        &self,
        filter: &EntryFilter,
        order: Order,
        next: Option<&NextPage>,
        size: u32,
        mut present: impl FnMut(AuditEntry) -> T + Send,
    ) -> Result<EntryPage<T>, Error> {
        let (now, after) = (self.clock.now(), next.map(|next| &next.after));
        let conditions = filter.conditions();
        let matches = |entry: &Entry| matches_filter(filter, &conditions, entry);
        let check = |stored: StoredEntry<'_>| PresentedEntry::verify(stored, matches, &mut present);
        let limit = PageLimit {
            entries: size.saturating_add(1),
            bytes: MAX_TEXT_BYTES,
        };
        let found = audit::entries(&self.database, filter, order, after, limit, now, check).await?;
        let nothing_archived = found.nothing_archived;
        let (entries, next_page) = page(found, size)?;
        // If only accounts and times are filtered, no entry of a ledger may be missing from the page.
        if filter.text.is_none() && conditions.iter().all(|condition| condition.column == Column::Account) {
            self.check_gaps(&entries).await?;
            let stretch = stretch(filter, order, next, next_page.as_ref());
            self.check_ends(filter, order, stretch, &entries, next_page.is_none())
                .await?;
        }
        Ok(EntryPage {
            entries: entries.into_iter().map(|entry| entry.presented).collect(),
            next: next_page,
            archived: match nothing_archived {
                true => Vec::new(),
                false => self.archived(filter, next).await?,
            },
        })
    }

    /// The archived ranges, or those archived since the page before. Read after the entries, so that what is archived in between
    /// is on the page, in this list, or in both.
    async fn archived(&self, filter: &EntryFilter, next: Option<&NextPage>) -> Result<Vec<Archived>, Error> {
        let EntryFilter { accounts, from, to, .. } = filter;
        let since = next.map(|next| next.read_at);
        Ok(audit::archived(&self.database, accounts, *from, *to, since, MAX_ARCHIVED).await?)
    }

    /// Reads one entry.
    ///
    /// # Errors
    /// [`Error::EntryNotFound`], [`Error::EntryArchived`], [`Error::Tampered`], or an error of the store.
    pub async fn entry(&self, account: AccountId, log_index: u64) -> Result<AuditEntry, Error> {
        if let Some(stored) = audit::entry(&self.database, account, log_index).await? {
            return AuditEntry::check(stored);
        }
        let tree_size = self.tree_size(account).await?;
        if log_index >= tree_size {
            return Err(Error::EntryNotFound {
                account,
                log_index,
                tree_size,
            });
        }
        self.missing(account, log_index).await
    }

    /// The error for an entry that was not found below the size of its ledger. The entry itself, if it was committed after the
    /// first read.
    async fn missing(&self, account: AccountId, log_index: u64) -> Result<AuditEntry, Error> {
        let error = reads::missing(&self.database, account, log_index).await?;
        if matches!(error, Error::EntryArchived { .. }) {
            return Err(error);
        }
        match audit::entry(&self.database, account, log_index).await? {
            Some(stored) => AuditEntry::check(stored),
            None => Err(error),
        }
    }

    /// Fails if an entry between two entries of the page is missing and not archived.
    async fn check_gaps<T>(&self, entries: &[PresentedEntry<T>]) -> Result<(), Error> {
        let gaps = gaps(entries);
        for (account, log_index) in gaps {
            match self.missing(account, log_index).await {
                Ok(_) | Err(Error::EntryArchived { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fails if an entry is missing before or after the entries of a ledger on the page, or if a ledger is missing.
    /// The end towards
    /// the next page is checked with that page.
    async fn check_ends<T>(
        &self,
        filter: &EntryFilter,
        order: Order,
        stretch: Stretch,
        entries: &[PresentedEntry<T>],
        is_last_page: bool,
    ) -> Result<(), Error> {
        let (below, above) = match order {
            Order::NewestFirst => (is_last_page, true),
            Order::OldestFirst => (true, is_last_page),
        };
        let ends = ends(entries);
        let below = ends.iter().filter(|_| below);
        let above = ends.iter().filter(|_| above);
        let below = below.filter_map(|(account, (first, _))| Some((*account, first.checked_sub(1)?)));
        let above = above.map(|(account, (_, last))| (*account, last.saturating_add(1)));
        let list = CompleteList {
            accounts: &filter.accounts,
            stretch,
            listed: &ends.keys().copied().collect::<Vec<_>>(),
            beside: &below.chain(above).collect::<Vec<_>>(),
        };
        match audit::first_absent(&self.database, &list).await? {
            Some((account, log_index)) => Err(Error::Tampered { account, log_index }),
            None => Ok(()),
        }
    }
}

/// A mapped entry, with what decides where the page ends.
struct PresentedEntry<T> {
    position: EntryPosition,
    text_bytes: usize,
    presented: T,
}

impl<T> PresentedEntry<T> {
    /// Verifies an entry and maps it. Postgres filtered by the columns; the filter must hold for the text too.
    fn verify(
        stored: StoredEntry<'_>,
        matches: impl Fn(&Entry) -> bool,
        present: impl FnOnce(AuditEntry) -> T,
    ) -> Result<Self, Error> {
        let entry = AuditEntry::check(stored)?;
        if !matches(&entry.recorded.entry) {
            return Err(Error::Tampered {
                account: entry.account(),
                log_index: entry.log_index(),
            });
        }
        Ok(Self {
            position: entry.position(),
            text_bytes: entry.text.len(),
            presented: present(entry),
        })
    }
}

/// The first `size` entries. An invalid entry is an error of the page that it is on, and not of the page before.
fn page<T>(
    found: EntryRows<Result<PresentedEntry<T>, Error>>,
    size: u32,
) -> Result<(Vec<PresentedEntry<T>>, Option<NextPage>), Error> {
    let mut entries = found.entries;
    let count = count_that_fits(&entries).min(size as usize);
    let more = entries.len() > count;
    entries.truncate(count);
    let entries: Vec<_> = entries.into_iter().collect::<Result<_, _>>()?;
    let last = entries.last().filter(|_| more).map(|last| last.position);
    let next = last.zip(found.read_at);
    Ok((entries, next.map(|(after, read_at)| NextPage { after, read_at })))
}

/// The number of entries within [`MAX_TEXT_BYTES`]. At least 1, so that every page makes progress.
fn count_that_fits<T>(entries: &[Result<PresentedEntry<T>, Error>]) -> usize {
    let mut bytes = 0;
    let fitting = entries.iter().take_while(|entry| {
        bytes += entry.as_ref().map_or(0, |entry| entry.text_bytes);
        bytes <= MAX_TEXT_BYTES
    });
    fitting.count().max(1)
}

/// True if the entry meets all conditions of the filter but `filter.text`. Postgres alone checks that one, because its rules
/// for upper and lower case differ from ours.
fn matches_filter(filter: &EntryFilter, conditions: &[Condition], entry: &Entry) -> bool {
    let columns = entry.columns();
    conditions.iter().all(|condition| condition.is_met_by(entry, &columns))
        && filter.from.is_none_or(|from| entry.recorded_at >= from)
        && filter.to.is_none_or(|to| entry.recorded_at < to)
}

/// The part of the order that a page covers: from the page before to the next one, within the times of the filter.
fn stretch(filter: &EntryFilter, order: Order, this: Option<&NextPage>, next: Option<&NextPage>) -> Stretch {
    let edge = |page: Option<&NextPage>| page.map(|page| Edge::from(page.after));
    let (after, before) = match order {
        Order::NewestFirst => (edge(next), edge(this)),
        Order::OldestFirst => (edge(this), edge(next)),
    };
    Stretch {
        after: filter.from.map(Edge::from).max(after),
        before: filter.to.map(Edge::from).into_iter().chain(before).min(),
    }
}

/// The lowest and the highest index of each ledger on the page.
fn ends<T>(entries: &[PresentedEntry<T>]) -> BTreeMap<AccountId, (u64, u64)> {
    let mut ends = BTreeMap::new();
    for EntryPosition { account, log_index, .. } in entries.iter().map(|entry| entry.position) {
        let (first, last) = ends.entry(account).or_insert((log_index, log_index));
        *first = log_index.min(*first);
        *last = log_index.max(*last);
    }
    ends
}

/// The first missing index of each gap between two entries of one ledger.
fn gaps<T>(entries: &[PresentedEntry<T>]) -> Vec<(AccountId, u64)> {
    let mut positions: Vec<_> = entries
        .iter()
        .map(|entry| (entry.position.account, entry.position.log_index))
        .collect();
    positions.sort_unstable();
    let neighbours = positions.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    neighbours
        .filter(|pair| pair[1].1 - pair[0].1 > 1)
        .map(|pair| (pair[0].0, pair[0].1 + 1))
        .collect()
}

#[cfg(test)]
mod tests;
