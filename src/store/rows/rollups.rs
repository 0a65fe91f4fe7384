//! `audit_rollup`: how many entries there are, kept in the commit that adds them.

use std::collections::BTreeMap;

use time::OffsetDateTime;

use crate::domain::Stage;

use super::{buckets::Bucket, entries::Line};

/// Counts of new lines, column by column: a row for each span that they are counted by, in the order of the key.
#[derive(Default)]
pub(in crate::store) struct Rollups<'a> {
    pub(in crate::store) accounts: Vec<&'a str>,
    pub(in crate::store) buckets: Vec<&'a str>,
    pub(in crate::store) starts: Vec<OffsetDateTime>,
    pub(in crate::store) regions: Vec<&'a str>,
    pub(in crate::store) actions: Vec<&'a str>,
    pub(in crate::store) requested: Vec<i64>,
    pub(in crate::store) denied: Vec<i64>,
    pub(in crate::store) succeeded: Vec<i64>,
    pub(in crate::store) failed: Vec<i64>,
    pub(in crate::store) superseded: Vec<i64>,
}

impl<'a> Rollups<'a> {
    pub(in crate::store) fn of(lines: &'a [Line<'a>]) -> Self {
        let mut counts: BTreeMap<_, Counts> = BTreeMap::new();
        for Line { entry, .. } in lines {
            let (key, action) = (&entry.intent.key, entry.intent.action.as_str());
            for bucket in [Bucket::Hour, Bucket::Day, Bucket::Month] {
                let start = bucket.start(entry.recorded_at);
                let counted = (key.account.as_str(), bucket, start, key.region.as_str(), action);
                counts.entry(counted).or_default().add(entry.stage);
            }
        }
        let mut columns = Self::default();
        for ((account, bucket, start, region, action), counts) in counts {
            columns.accounts.push(account);
            columns.buckets.push(bucket.as_str());
            columns.starts.push(start);
            columns.regions.push(region);
            columns.actions.push(action);
            columns.requested.push(counts.requested);
            columns.denied.push(counts.denied);
            columns.succeeded.push(counts.succeeded);
            columns.failed.push(counts.failed);
            columns.superseded.push(counts.superseded);
        }
        columns
    }
}

/// So many entries of each stage.
#[derive(Default)]
struct Counts {
    requested: i64,
    denied: i64,
    succeeded: i64,
    failed: i64,
    superseded: i64,
}

impl Counts {
    fn add(&mut self, stage: Stage) {
        *match stage {
            Stage::Requested => &mut self.requested,
            Stage::Denied => &mut self.denied,
            Stage::Succeeded => &mut self.succeeded,
            Stage::Failed => &mut self.failed,
            Stage::Superseded => &mut self.superseded,
        } += 1;
    }
}
