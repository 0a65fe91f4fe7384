//! Entries: pages of them, and single ones.

use crate::{
    domain::{AccountId, Entry, Timestamp},
    store::audit::{self, Archived, Column, Condition, EntryFilter, EntryPosition, EntryRows, Order, StoredEntry},
};

use super::{Audit, AuditEntry, Error, reads};

/// At most so many archived parts are told of.
const MAX_ARCHIVED: u32 = 1000;

/// A page ends early where its entries have more text than this: its message, about twice the size, has to stay under the
/// 4 MiB that gRPC clients take by default.
const MAX_TEXT_BYTES: usize = 3 * 512 * 1024;

/// A page of entries, as what was made of them.
#[derive(Debug)]
pub struct EntryPage<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// Where the next page begins. None on the last page.
    pub next: Option<NextPage>,
    /// Which history of that time is in files; on later pages, what was put there since the page before. The latest first.
    pub archived: Vec<Archived>,
}

/// Where the next page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextPage {
    /// After this entry.
    pub after: EntryPosition,
    /// When the page before was read, on the database's clock: what was archived since then may be missing behind it.
    pub read_at: Timestamp,
}

impl Audit {
    /// Lists `size` entries: the first ones, or those of the `next` page. Each is checked and then shown while the next ones are
    /// on their way.
    ///
    /// # Errors
    /// [`Error::Tampered`], or the store's.
    pub async fn entries<T: Send>(
        &self,
        filter: &EntryFilter,
        order: Order,
        next: Option<&NextPage>,
        size: u32,
        mut show: impl FnMut(AuditEntry) -> T + Send,
    ) -> Result<EntryPage<T>, Error> {
        let (now, after) = (self.clock.now(), next.map(|next| &next.after));
        let conditions = filter.conditions();
        let matches = |entry: &Entry| matches_filter(filter, &conditions, entry);
        let check = |stored: StoredEntry<'_>| PresentedEntry::of(stored, matches, &mut show);
        let found = audit::entries(&self.database, filter, order, after, size.saturating_add(1), now, check).await?;
        let nothing_archived = found.nothing_archived;
        let (entries, next_page) = page(found, size)?;
        // Nothing but their place decides which entries are on it: every entry of a ledger between two that match does so too.
        if filter.text.is_none() && conditions.iter().all(|condition| condition.column == Column::Account) {
            self.check_gaps(&entries).await?;
        }
        Ok(EntryPage {
            entries: entries.into_iter().map(|entry| entry.shown).collect(),
            next: next_page,
            archived: match nothing_archived {
                true => Vec::new(),
                false => self.archived(filter, next).await?,
            },
        })
    }

    /// What is in files, or was put there since the page before. Asked for after the entries: what is archived meanwhile is then on
    /// the page, or told of, or both.
    async fn archived(&self, filter: &EntryFilter, next: Option<&NextPage>) -> Result<Vec<Archived>, Error> {
        let EntryFilter { accounts, from, to, .. } = filter;
        let since = next.map(|next| next.read_at);
        Ok(audit::archived(&self.database, accounts, *from, *to, since, MAX_ARCHIVED).await?)
    }

    /// Reads one entry.
    ///
    /// # Errors
    /// [`Error::EntryNotFound`], [`Error::EntryArchived`], [`Error::Tampered`], or the store's.
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

    /// Why there is no entry where one must be. It may be there by now: it was recorded after it was looked for.
    async fn missing(&self, account: AccountId, log_index: u64) -> Result<AuditEntry, Error> {
        let why = reads::missing(&self.database, account, log_index).await?;
        if matches!(why, Error::EntryArchived { .. }) {
            return Err(why);
        }
        match audit::entry(&self.database, account, log_index).await? {
            Some(stored) => AuditEntry::check(stored),
            None => Err(why),
        }
    }

    /// Looks for entries that should be between those of a page, where nothing but their place decides what is on it.
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
}

/// An entry as what was made of it, and what the page needs to know of it.
struct PresentedEntry<T> {
    position: EntryPosition,
    text_bytes: usize,
    shown: T,
}

impl<T> PresentedEntry<T> {
    /// Shows an entry that is what was recorded, and what was asked for: it was its columns that were looked at.
    fn of(
        stored: StoredEntry<'_>,
        matches: impl Fn(&Entry) -> bool,
        show: impl FnOnce(AuditEntry) -> T,
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
            shown: show(entry),
        })
    }
}

/// The first `size` entries. One that is not what it should be is told of on the page that it would be on.
fn page<T>(
    found: EntryRows<Result<PresentedEntry<T>, Error>>,
    size: u32,
) -> Result<(Vec<PresentedEntry<T>>, Option<NextPage>), Error> {
    let mut entries = found.entries;
    let fitting = count_that_fits(&entries).min(size as usize);
    let more = entries.len() > fitting;
    entries.truncate(fitting);
    let entries: Vec<_> = entries.into_iter().collect::<Result<_, _>>()?;
    let last = entries.last().filter(|_| more).map(|last| last.position);
    let next = last.zip(found.read_at);
    Ok((entries, next.map(|(after, read_at)| NextPage { after, read_at })))
}

/// At least one, so that there is always a next page.
fn count_that_fits<T>(entries: &[Result<PresentedEntry<T>, Error>]) -> usize {
    let mut text = 0;
    let fitting = entries.iter().take_while(|entry| {
        text += entry.as_ref().map_or(0, |entry| entry.text_bytes);
        text <= MAX_TEXT_BYTES
    });
    fitting.count().max(1)
}

/// True when the text of an entry matches the filter. The words of the reason are left to Postgres, which has its own idea of
/// the cases of letters.
fn matches_filter(filter: &EntryFilter, conditions: &[Condition], entry: &Entry) -> bool {
    let columns = entry.columns();
    conditions.iter().all(|condition| condition.is_met_by(entry, &columns))
        && filter.from.is_none_or(|from| entry.recorded_at >= from)
        && filter.to.is_none_or(|to| entry.recorded_at < to)
}

/// The first index that is missing between two entries of a ledger, for every place where one is.
fn gaps<T>(entries: &[PresentedEntry<T>]) -> Vec<(AccountId, u64)> {
    let mut places: Vec<_> = entries
        .iter()
        .map(|entry| (entry.position.account, entry.position.log_index))
        .collect();
    places.sort_unstable();
    let neighbours = places.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    neighbours
        .filter(|pair| pair[1].1 - pair[0].1 > 1)
        .map(|pair| (pair[0].0, pair[0].1 + 1))
        .collect()
}

#[cfg(test)]
mod tests;
