use tonic::Code;
use tonic_types::StatusExt;

use super::*;
use crate::domain::{KindName, example};
use crate::store::audit::EntryPosition;

type Time = pbjson_types::Timestamp;

fn at(seconds: i64, nanos: i32) -> Option<Time> {
    Some(Time { seconds, nanos })
}

fn fields(status: &Status) -> Vec<String> {
    let bad_request = status.get_details_bad_request().unwrap();
    let violations = bad_request.field_violations.into_iter();
    violations.map(|violation| violation.field).collect()
}

fn with(filter: v1::AuditEntryFilter) -> v1::ListAuditEntriesRequest {
    v1::ListAuditEntriesRequest {
        filter: Some(filter),
        ..Default::default()
    }
}

#[test]
fn unset_filters_match_everything_and_the_newest_come_first() {
    let (list, page) = entries(&v1::ListAuditEntriesRequest::default()).unwrap();
    assert_eq!((list.filter, list.order), (EntryFilter::default(), Order::NewestFirst));
    assert_eq!((page.after, page.size), (None, 100));
    let size = |page_size| {
        let request = v1::ListAuditEntriesRequest {
            page_size,
            ..Default::default()
        };
        entries(&request)
            .map(|(_, page)| page.size)
            .map_err(|status| fields(&status))
    };
    assert_eq!((size(1), size(500), size(i32::MAX)), (Ok(1), Ok(500), Ok(500)));
    assert_eq!(size(-1), Err(vec!["page_size".into()]));
}

#[test]
fn values_are_sorted_without_duplicates() {
    let one = v1::AuditEntryFilter {
        account_ids: vec!["000000000002".into(), "000000000001".into(), "000000000002".into()],
        kinds: vec!["test.b".into(), "change.denied".into(), "test.b".into()],
        actions: vec![2, 1],
        ..Default::default()
    };
    let other = v1::AuditEntryFilter {
        account_ids: vec!["000000000001".into(), "000000000002".into()],
        kinds: vec!["change.denied".into(), "test.b".into()],
        actions: vec![1, 2],
        ..Default::default()
    };
    let (one, other) = (entries(&with(one)).unwrap().0, entries(&with(other)).unwrap().0);
    assert_eq!(one, other);
    assert_eq!(
        one.filter.kinds.iter().map(KindName::as_str).collect::<Vec<_>>(),
        ["change.denied", "test.b"]
    );
}

#[test]
fn a_filter_has_at_most_a_hundred_values() {
    let accounts = |count: u32| v1::AuditEntryFilter {
        account_ids: (0..count).map(|number| format!("{number:012}")).collect(),
        ..Default::default()
    };
    assert_eq!(entries(&with(accounts(100))).unwrap().0.filter.accounts.len(), 100);
    assert_eq!(
        fields(&entries(&with(accounts(101))).unwrap_err()),
        ["filter.account_ids"]
    );
}

#[test]
fn the_violations_of_any_request_fit_into_metadata() {
    let filter = v1::AuditEntryFilter {
        account_ids: vec!["x".into(); 100],
        regions: vec!["X".into(); 100],
        principals: vec![String::new(); 100],
        actions: vec![99; 10_000],
        kinds: vec!["X".into(); 100],
        causes: vec![99; 10_000],
        ..Default::default()
    };
    let status = entries(&with(filter)).unwrap_err();
    assert!(
        status.details().len() + status.message().len() < 6 * 1024,
        "{}",
        status.details().len()
    );
}

#[test]
fn times_are_rounded_to_microseconds_without_a_change_of_meaning() {
    let bounds = |time| {
        let filter = v1::AuditEntryFilter {
            start_time: time,
            end_time: time,
            ..Default::default()
        };
        let filter = entries(&with(filter)).unwrap().0.filter;
        assert_eq!(filter.from, filter.to);
        filter.from.unwrap().to_string()
    };
    assert_eq!(bounds(at(0, 1000)), "1970-01-01T00:00:00.000001Z");
    assert_eq!(bounds(at(0, 1001)), "1970-01-01T00:00:00.000002Z");
    assert_eq!(bounds(at(0, 999_999_999)), "1970-01-01T00:00:01.000000Z");
    assert_eq!(bounds(at(-1, 999_999_999)), "1970-01-01T00:00:00.000000Z");
    assert_eq!(bounds(at(-62_135_596_800, 0)), "0001-01-01T00:00:00.000000Z");
    // The last representable time is not rounded up.
    assert_eq!(bounds(at(253_402_300_799, 999_999_999)), "9999-12-31T23:59:59.999999Z");
    let request = v1::GetSharePermissionsAtRequest {
        time: at(0, 1999),
        ..Default::default()
    };
    let (shares, _) = shares_at(&request, Timestamp::parse("2026-11-22T00:00:00Z").unwrap()).unwrap();
    assert_eq!(shares.time.to_string(), "1970-01-01T00:00:00.000001Z");
}

#[test]
fn invalid_times_are_refused() {
    for time in [
        at(0, -1),
        at(0, 1_000_000_000),
        at(-62_135_596_801, 0),
        at(253_402_300_800, 0),
        at(i64::MAX, 0),
    ] {
        let filter = v1::AuditEntryFilter {
            start_time: time,
            ..Default::default()
        };
        assert_eq!(
            fields(&entries(&with(filter)).unwrap_err()),
            ["filter.start_time"],
            "{time:?}"
        );
    }
}

#[test]
fn the_time_of_past_shares_may_be_now_but_not_later() {
    let now = Timestamp::parse("1970-01-01T00:00:10Z").unwrap();
    let ask = |time| {
        let request = v1::GetSharePermissionsAtRequest {
            time,
            ..Default::default()
        };
        shares_at(&request, now).map(|_| ()).map_err(|status| fields(&status))
    };
    assert_eq!(ask(at(10, 0)), Ok(()));
    assert_eq!(ask(at(10, 1000)), Err(vec!["time".into()]));
    assert_eq!(ask(None), Ok(()));
}

#[test]
fn past_shares_may_be_asked_since_the_same_time_but_not_since_a_later_one() {
    let now = Timestamp::parse("1970-01-01T00:00:10Z").unwrap();
    let ask = |since| {
        let request = v1::GetSharePermissionsAtRequest {
            time: at(5, 0),
            since,
            ..Default::default()
        };
        let parsed = shares_at(&request, now).map(|(shares, _)| shares.filter.since);
        parsed.map_err(|status| fields(&status))
    };
    assert_eq!(ask(None), Ok(None));
    assert_eq!(ask(at(5, 0)), Ok(Timestamp::parse("1970-01-01T00:00:05Z")));
    assert_eq!(ask(at(5, 1000)), Err(vec!["since".into()]));
}

#[test]
fn a_page_token_continues_where_the_previous_page_ended() {
    let key = example::intent().key;
    let mut request = v1::ListPermissionHistoryRequest {
        account_id: key.account.to_string(),
        region: key.region.to_string(),
        image_id: key.image.to_string(),
        shared_account_id: key.shared_account.to_string(),
        ..Default::default()
    };
    let time = Timestamp::parse("2026-11-22T07:05:00.123456Z").unwrap();
    let position = NextPage {
        after: EntryPosition {
            recorded_at: time,
            account: key.account,
            log_index: 41,
        },
        read_at: time,
    };
    let (list, _) = history(&request).unwrap();
    request.page_token = crate::grpc::page_token::encode(&list, &position);
    assert_eq!(history(&request).unwrap().1.after, Some(position));
    request.order = v1::AuditEntryOrder::OldestFirst.into();
    let status = history(&request).unwrap_err();
    assert_eq!(status.get_details_error_info().unwrap().reason, "INVALID_PAGE_TOKEN");
}

fn day() -> v1::SummarizeAuditEntriesRequest {
    v1::SummarizeAuditEntriesRequest {
        start_time: at(0, 0),
        end_time: at(24 * 3600, 0),
        ..Default::default()
    }
}

fn refused(request: v1::SummarizeAuditEntriesRequest) -> Vec<String> {
    let status = summary(&request).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    fields(&status)
}

#[test]
fn a_summary_counts_full_hours_and_ranks_full_days() {
    summary(&day()).unwrap();
    let hour = v1::SummarizeAuditEntriesRequest {
        end_time: at(3600, 0),
        ..day()
    };
    summary(&hour).unwrap();
    let ranked = v1::SummarizeAuditEntriesRequest {
        rankings: vec![1],
        ..hour
    };
    assert_eq!(refused(ranked), ["end_time"]);
    for (start, end, field) in [
        (at(1, 0), at(24 * 3600, 0), "start_time"),
        (at(0, 1), at(24 * 3600, 0), "start_time"),
        (at(0, 0), at(0, 0), "end_time"),
        (at(0, 0), at(-3600, 0), "end_time"),
    ] {
        let request = v1::SummarizeAuditEntriesRequest {
            start_time: start,
            end_time: end,
            ..day()
        };
        assert_eq!(refused(request), [field]);
    }
}

#[test]
fn a_summary_has_each_dimension_and_ranking_once_and_no_filter_that_rankings_lack() {
    let wrong = v1::SummarizeAuditEntriesRequest {
        interval: 9,
        group_by: vec![1, 0, 1],
        regions: vec!["eu-central-1".into()],
        actions: vec![1],
        kinds: vec!["change.denied".into()],
        rankings: vec![2, 2],
        top: -1,
        ..day()
    };
    let expected = [
        "interval",
        "group_by[1]",
        "group_by",
        "regions",
        "actions",
        "kinds",
        "rankings",
        "top",
    ];
    assert_eq!(refused(wrong), expected);
    let right = v1::SummarizeAuditEntriesRequest {
        rankings: vec![3, 1],
        top: 1000,
        ..day()
    };
    let query = summary(&right).unwrap();
    assert_eq!(query.top, 100);
    assert_eq!(query.rankings.len(), 2);
}

#[test]
fn a_summary_has_at_most_ten_thousand_intervals() {
    let over = |interval: v1::SummaryInterval, hours: i64| v1::SummarizeAuditEntriesRequest {
        end_time: at(hours * 3600, 0),
        interval: interval.into(),
        ..day()
    };
    use v1::SummaryInterval as Interval;
    // 1970-01-01 was a Thursday: the first week has four days of it.
    let weeks = 24 * (4 + 7 * 9999);
    let months = 24 * (::time::macros::date!(2803 - 05 - 01) - ::time::macros::date!(1970 - 01 - 01)).whole_days();
    for (interval, max) in [
        (Interval::Hour, 10_000),
        (Interval::Day, 240_000),
        (Interval::Week, weeks),
        (Interval::Month, months),
    ] {
        summary(&over(interval, max)).unwrap();
        assert_eq!(refused(over(interval, max + 1)), ["interval"], "{interval:?}");
    }
    summary(&over(Interval::Unspecified, 24 * 365 * 5000)).unwrap();
}
