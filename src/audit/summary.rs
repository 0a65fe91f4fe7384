//! Counts and rankings.

use crate::store::audit::{self, Count, CountQuery, Ranking};

use super::{Audit, Error};

/// Maximum counts in a summary. A count has at most 70 bytes, so the message stays below the 4 MiB that gRPC clients accept by
/// default.
pub const MAX_COUNTS: u32 = 50_000;

/// What to count and to rank.
#[derive(Debug, PartialEq, Eq)]
pub struct SummaryQuery {
    /// What to count. With rankings, the times must be midnight (UTC), and accounts are the only filter.
    pub counts: CountQuery,
    /// What to rank.
    pub rankings: Vec<Ranking>,
    /// Maximum values in each ranking.
    pub top: u32,
}

/// Counts and rankings.
#[derive(Debug)]
pub struct Summary {
    /// Ordered by time, then by the grouped dimensions.
    pub counts: Vec<Count>,
    /// The requested rankings, in the requested order. Each has values with their counts, the highest first.
    pub rankings: Vec<(Ranking, Vec<(String, u64)>)>,
}

impl Audit {
    /// Counts and ranks.
    ///
    /// # Errors
    /// [`Error::TooManyCounts`], or an error of the store.
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
