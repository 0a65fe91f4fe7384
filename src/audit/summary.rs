//! Counts and rankings.

use crate::store::audit::{self, Count, CountQuery, Ranking};

use super::{Audit, Error};

/// More counts than this are refused: the message of so many, 70 bytes each at most, stays under the 4 MiB that gRPC clients
/// take by default.
pub const MAX_COUNTS: u32 = 50_000;

/// What to count and to rank.
#[derive(Debug, PartialEq, Eq)]
pub struct SummaryQuery {
    /// What to count. With rankings, from one midnight (UTC) to another, and with no values but accounts.
    pub counts: CountQuery,
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
        let SummaryQuery { counts, rankings, top } = query;
        let CountQuery { from, to, accounts, .. } = &counts;
        let mut ranked = Vec::with_capacity(rankings.len());
        for ranking in rankings {
            let ranks = audit::ranking(&self.database, ranking, *from, *to, accounts, top).await?;
            ranked.push((ranking, ranks));
        }
        let counts = audit::counts(&self.database, &counts, MAX_COUNTS + 1).await?;
        if counts.len() > MAX_COUNTS as usize {
            return Err(Error::TooManyCounts);
        }
        Ok(Summary {
            counts,
            rankings: ranked,
        })
    }
}
