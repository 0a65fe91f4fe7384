//! Counts and rankings, compared with the listed entries.

use std::collections::BTreeMap;

use sharewarden::proto::v1::{
    AuditEntry, SummarizeAuditEntriesRequest, SummaryDimension, SummaryInterval, SummaryRanking,
};
use sharewarden_testkit::stack::*;

use crate::auditor::*;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

fn second(entry: &AuditEntry) -> i64 {
    entry.record_time.unwrap().seconds
}

fn at(seconds: i64) -> Option<pbjson_types::Timestamp> {
    Some(pbjson_types::Timestamp { seconds, nanos: 0 })
}

/// A request from midnight before the first entry to midnight after the last one.
fn days(entries: &[AuditEntry]) -> SummarizeAuditEntriesRequest {
    let first = entries.iter().map(second).min().unwrap();
    let last = entries.iter().map(second).max().unwrap();
    SummarizeAuditEntriesRequest {
        start_time: at(first.div_euclid(DAY) * DAY),
        end_time: at((last.div_euclid(DAY) + 1) * DAY),
        ..Default::default()
    }
}

#[tokio::test]
async fn summary_counts_match_the_listed_entries() {
    let stack = stack_with_history().await;
    let mut auditor = auditor(&stack).await;
    let entries = all(&mut auditor, Default::default()).await;
    let request = SummarizeAuditEntriesRequest {
        interval: SummaryInterval::Hour.into(),
        group_by: vec![
            SummaryDimension::Kind.into(),
            SummaryDimension::Action.into(),
            SummaryDimension::Region.into(),
            SummaryDimension::Account.into(),
        ],
        ..days(&entries)
    };
    let mut expected = BTreeMap::new();
    for entry in &entries {
        let hour = second(entry).div_euclid(HOUR) * HOUR;
        let key = (
            hour,
            entry.account_id.clone(),
            change(entry).region.clone(),
            change(entry).action,
            entry.kind.clone(),
        );
        *expected.entry(key).or_insert(0) += 1;
    }
    let counts = auditor
        .summarize_audit_entries(as_tester(request))
        .await
        .unwrap()
        .into_inner()
        .counts;
    let counted: BTreeMap<_, _> = counts
        .into_iter()
        .map(|count| {
            let hour = count.start_time.unwrap().seconds;
            (
                (hour, count.account_id, count.region, count.action, count.kind),
                count.count,
            )
        })
        .collect();
    assert_eq!(counted, expected);
    stack.end().await;
}

#[tokio::test]
async fn ungrouped_dimensions_are_unset_and_filters_apply_to_counts() {
    let stack = stack_with_history().await;
    let mut auditor = auditor(&stack).await;
    let entries = all(&mut auditor, Default::default()).await;
    let count = async |auditor: &mut Auditor, request: SummarizeAuditEntriesRequest| {
        let counts = auditor
            .summarize_audit_entries(as_tester(request))
            .await
            .unwrap()
            .into_inner()
            .counts;
        assert!(
            counts.len() <= 1
                && counts
                    .iter()
                    .all(|count| count.account_id.is_empty() && count.kind.is_empty())
        );
        counts.first().map_or(0, |count| count.count as usize)
    };
    assert_eq!(count(&mut auditor, days(&entries)).await, entries.len());
    let denied = SummarizeAuditEntriesRequest {
        kinds: vec!["change.denied".into()],
        account_ids: vec![OTHER_ACCOUNT.into()],
        regions: vec![REGION.into()],
        ..days(&entries)
    };
    assert_eq!(count(&mut auditor, denied).await, 1);
    let invented = SummarizeAuditEntriesRequest {
        kinds: vec!["test.invented".into()],
        ..days(&entries)
    };
    assert_eq!(count(&mut auditor, invented).await, 0);
    let elsewhere = SummarizeAuditEntriesRequest {
        account_ids: vec!["999999999999".into()],
        ..days(&entries)
    };
    assert_eq!(count(&mut auditor, elsewhere).await, 0);
    stack.end().await;
}

#[tokio::test]
async fn rankings_count_requests_by_principal_image_and_shared_account() {
    let stack = stack_with_history().await;
    let mut auditor = auditor(&stack).await;
    let entries = all(&mut auditor, Default::default()).await;
    let request = SummarizeAuditEntriesRequest {
        rankings: vec![
            SummaryRanking::SharedAccount.into(),
            SummaryRanking::Principal.into(),
            SummaryRanking::Image.into(),
        ],
        top: 2,
        ..days(&entries)
    };
    let kinds = ["change.requested", "change.denied", "change.joined"];
    let asked = |entry: &&AuditEntry| kinds.contains(&entry.kind.as_str());
    let top = |value: fn(&AuditEntry) -> String| {
        let mut counts = BTreeMap::new();
        for entry in entries.iter().filter(asked) {
            *counts.entry(value(entry)).or_insert(0) += 1;
        }
        let mut ranks: Vec<(String, u64)> = counts.into_iter().collect();
        ranks.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
        ranks.truncate(2);
        ranks
    };
    let rankings = auditor
        .summarize_audit_entries(as_tester(request))
        .await
        .unwrap()
        .into_inner()
        .rankings;
    let found: Vec<_> = rankings
        .into_iter()
        .map(|ranked| {
            let ranks: Vec<_> = ranked
                .ranks
                .iter()
                .map(|rank| (rank.value.clone(), rank.count))
                .collect();
            (ranked.ranking(), ranks)
        })
        .collect();
    let expected = [
        (
            SummaryRanking::SharedAccount,
            top(|entry| change(entry).shared_account_id.clone()),
        ),
        (SummaryRanking::Principal, top(|entry| change(entry).principal.clone())),
        (SummaryRanking::Image, top(|entry| change(entry).image_id.clone())),
    ];
    assert_eq!(found, expected);
    stack.end().await;
}
