//! Counts and rankings.

use crate::{
    domain::{AccountId, Action, KindName, Region, Timestamp},
    store::audit::{self, Count, CountQuery, Dimension, Interval, Ranking},
};

use super::{Audit, Error};

/// More counts than this are refused: the message of so many, 70 bytes each at most, stays under the 4 MiB that gRPC clients
/// take by default.
pub const MOST_COUNTS: u32 = 50_000;

/// What to count and to rank. Empty lists of values match everything.
#[derive(Debug, PartialEq, Eq)]
pub struct SummaryQuery {
    /// From this full hour on; with rankings, from this midnight (UTC) on.
    pub from: Timestamp,
    /// Before this one.
    pub to: Timestamp,
    /// The buckets of the counts.
    pub interval: Interval,
    /// What counts are told apart by.
    pub group_by: Vec<Dimension>,
    /// Entries of these ledgers.
    pub accounts: Vec<AccountId>,
    /// Entries about images in these Regions. Not with rankings.
    pub regions: Vec<Region>,
    /// These actions. Not with rankings.
    pub actions: Vec<Action>,
    /// These kinds. Not with rankings.
    pub kinds: Vec<KindName>,
    /// What to rank.
    pub rankings: Vec<Ranking>,
    /// How many places each ranking has at most.
    pub top: u32,
}

/// Counts and rankings.
#[derive(Debug)]
pub struct Summary {
    /// In the order of time, then of what is told apart.
    pub counts: Vec<Count>,
    /// The rankings asked for, in their order: values with how often they were asked about, the most first.
    pub rankings: Vec<(Ranking, Vec<(String, u64)>)>,
}

impl Audit {
    /// Counts and ranks.
    ///
    /// # Errors
    /// [`Error::TooManyCounts`], or the store's.
    pub async fn summarize(&self, query: SummaryQuery) -> Result<Summary, Error> {
        let mut rankings = Vec::with_capacity(query.rankings.len());
        for &ranking in &query.rankings {
            let ranks = audit::ranking(
                &self.database,
                ranking,
                query.from,
                query.to,
                &query.accounts,
                query.top,
            );
            rankings.push((ranking, ranks.await?));
        }
        let counts = CountQuery {
            from: query.from,
            to: query.to,
            interval: query.interval,
            group_by: query.group_by,
            accounts: query.accounts,
            regions: query.regions,
            actions: query.actions,
            kinds: query.kinds,
            limit: MOST_COUNTS + 1,
        };
        let counts = audit::counts(&self.database, &counts).await?;
        if counts.len() > MOST_COUNTS as usize {
            return Err(Error::TooManyCounts);
        }
        Ok(Summary { counts, rankings })
    }
}
