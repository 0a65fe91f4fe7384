//! `audit_ranking`: how often each principal asked, and how often each image and shared account was asked about. Kept in the
//! commit that adds the entries.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::domain::Stage;

use super::{buckets::Bucket, entries::Line};

/// Counts of those new lines that say what was asked (one for each change or refusal), column by column, in the order of the key.
#[derive(Default)]
pub(in crate::store) struct Rankings<'a> {
    pub(in crate::store) accounts: Vec<&'a str>,
    pub(in crate::store) buckets: Vec<&'a str>,
    pub(in crate::store) rankings: Vec<&'a str>,
    pub(in crate::store) starts: Vec<OffsetDateTime>,
    pub(in crate::store) values: Vec<&'a str>,
    pub(in crate::store) counts: Vec<i64>,
}

impl<'a> Rankings<'a> {
    pub(in crate::store) fn of(lines: &'a [Line<'a>]) -> Self {
        let mut counts: BTreeMap<_, i64> = BTreeMap::new();
        let asked = |line: &&Line<'_>| matches!(line.entry.stage, Stage::Requested | Stage::Denied);
        for Line { entry, .. } in lines.iter().filter(asked) {
            let (key, principal) = (&entry.intent.key, &entry.intent.principal);
            for bucket in [Bucket::Day, Bucket::Month] {
                let start = bucket.start(entry.recorded_at);
                for (ranking, value) in [
                    ("IMAGE", key.image.as_str()),
                    ("PRINCIPAL", principal.as_str()),
                    ("SHARED_ACCOUNT", key.shared_account.as_str()),
                ] {
                    let counted = (key.account.as_str(), bucket, ranking, start, value);
                    *counts.entry(counted).or_default() += 1;
                }
            }
        }
        let mut columns = Self::default();
        for ((account, bucket, ranking, start, value), count) in counts {
            columns.accounts.push(account);
            columns.buckets.push(bucket.as_str());
            columns.rankings.push(ranking);
            columns.starts.push(start);
            columns.values.push(value);
            columns.counts.push(count);
        }
        columns
    }
}
