//! `audit summary`: counts over time, and rankings.

use clap::{Args, ValueEnum};
use time::{Duration, OffsetDateTime, Time};

use super::{
    filter::ActionFilter,
    summary_table,
    time_arg::{TimeArg, now, timestamp},
};
use crate::{
    cli::{
        connection::{AuditStub, Client},
        console::Console,
        failure::{Exit, Failure, Stop},
        options::{ClientOptions, Output},
    },
    proto::v1::{SummarizeAuditEntriesRequest, SummaryDimension, SummaryInterval, SummaryRanking},
};

/// Arguments of `audit summary`.
#[derive(Debug, Clone, Args)]
pub struct SummaryArgs {
    /// Count from this time: RFC 3339, a date (UTC), or a time ago such as 36h or 7d
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = TimeArg::parse)]
    since: TimeArg,
    /// Count up to this time: RFC 3339, a date (UTC), a time ago, or now
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = TimeArg::parse)]
    until: TimeArg,
    /// Count in buckets of this size (UTC); weeks begin on Monday [default: one bucket]
    #[arg(long, value_enum, value_name = "INTERVAL")]
    by: Option<BucketSize>,
    /// Count separately for each value of these dimensions, separated by commas [default: one count]
    #[arg(long, value_enum, value_name = "DIMENSION", value_delimiter = ',')]
    group_by: Vec<GroupBy>,
    /// Only the ledger of this AWS account: 12 digits. May be given more than once
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Vec<String>,
    /// Only images in this AWS Region. May be given more than once
    #[arg(short, long, value_name = "REGION", conflicts_with = "top")]
    region: Vec<String>,
    /// Only this action. May be given more than once
    #[arg(long, value_enum, conflicts_with = "top")]
    action: Vec<ActionFilter>,
    /// Only entries of this kind: change.requested, .succeeded, .failed, .superseded, .joined, .denied or .denials, or
    /// checkpoint.confirmed. May be given more than once
    #[arg(long, value_name = "KIND", conflicts_with = "top")]
    kind: Vec<String>,
    /// Rank these by the number of requests, separated by commas
    #[arg(long, value_enum, value_name = "RANKING", value_delimiter = ',')]
    top: Vec<RankBy>,
    /// The number of places of each ranking: 1 to 100
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=100))]
    top_n: i32,
}

/// The size of a bucket. Each value is the API's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
pub enum BucketSize {
    /// An hour
    Hour = SummaryInterval::Hour as i32,
    /// A day
    Day = SummaryInterval::Day as i32,
    /// A week, from Monday
    Week = SummaryInterval::Week as i32,
    /// A month
    Month = SummaryInterval::Month as i32,
}

/// A dimension of counts. Each value is the API's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
pub enum GroupBy {
    /// The account of the ledger
    Account = SummaryDimension::Account as i32,
    /// The AWS Region of the image
    Region = SummaryDimension::Region as i32,
    /// The action
    Action = SummaryDimension::Action as i32,
    /// The kind of the entry
    Kind = SummaryDimension::Kind as i32,
}

/// What a ranking ranks. Each value is the API's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
pub enum RankBy {
    /// The caller of the request
    Principal = SummaryRanking::Principal as i32,
    /// The image of the request
    Image = SummaryRanking::Image as i32,
    /// The recipient of the request
    SharedAccount = SummaryRanking::SharedAccount as i32,
}

pub(super) async fn summary(
    options: &ClientOptions,
    client: &Client,
    args: &SummaryArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let has_counts = args.by.is_some() || !args.group_by.is_empty();
    if options.output == Output::Csv && has_counts && !args.top.is_empty() {
        let what = "CSV holds one table, and this command prints two: counts and rankings";
        return Err(Failure::new(
            Exit::Invalid,
            what,
            "give only --top, or only --by and --group-by, or use -o json",
        )
        .into());
    }
    let request = request(args, now());
    let answer = client
        .call(
            client.deadline(),
            request.clone(),
            async |mut stub: AuditStub, request| stub.summarize_audit_entries(request).await,
        )
        .await?;
    match options.output {
        Output::Json => console.print_json(&answer),
        Output::Csv if !args.top.is_empty() => summary_table::csv_of_rankings(&answer, console),
        Output::Csv => summary_table::csv_of_counts(&request, &answer, console),
        Output::Table => summary_table::print(&request, &answer, console),
    }
}

fn request(args: &SummaryArgs, now: OffsetDateTime) -> SummarizeAuditEntriesRequest {
    let days = !args.top.is_empty() || args.by.is_some_and(|by| by != BucketSize::Hour);
    let start = args.since.resolve(now);
    let end = args.until.resolve(now);
    SummarizeAuditEntriesRequest {
        start_time: Some(timestamp(floor(start, days))),
        end_time: Some(timestamp(ceiling(end, days))),
        interval: args.by.map(|by| by as i32).unwrap_or_default(),
        group_by: args.group_by.iter().map(|dimension| *dimension as i32).collect(),
        account_ids: args.account.clone(),
        regions: args.region.clone(),
        actions: args.action.iter().map(|action| *action as i32).collect(),
        kinds: args.kind.clone(),
        rankings: args.top.iter().map(|ranking| *ranking as i32).collect(),
        top: if args.top.is_empty() { 0 } else { args.top_n },
    }
}

/// The start of the hour or the day of a time.
fn floor(time: OffsetDateTime, days: bool) -> OffsetDateTime {
    if days {
        return time.replace_time(Time::MIDNIGHT);
    }
    let hour = Time::from_hms(time.hour(), 0, 0).unwrap_or(Time::MIDNIGHT);
    time.replace_time(hour)
}

/// The time itself if it is the start of an hour or day, else the start of the next one.
fn ceiling(time: OffsetDateTime, days: bool) -> OffsetDateTime {
    let floor = floor(time, days);
    let step = if days { Duration::DAY } else { Duration::HOUR };
    if floor == time {
        time
    } else {
        floor.saturating_add(step)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_range_is_extended_to_full_hours_or_days() {
        let time = datetime!(2026-11-22 07:05:00.5 UTC);
        assert_eq!(floor(time, false), datetime!(2026-11-22 07:00 UTC));
        assert_eq!(ceiling(time, false), datetime!(2026-11-22 08:00 UTC));
        assert_eq!(floor(time, true), datetime!(2026-11-22 00:00 UTC));
        assert_eq!(ceiling(time, true), datetime!(2026-11-23 00:00 UTC));
        let midnight = datetime!(2026-12-31 00:00 UTC);
        assert_eq!((floor(midnight, true), ceiling(midnight, true)), (midnight, midnight));
        assert_eq!(
            ceiling(datetime!(2026-12-31 23:30 UTC), false),
            datetime!(2027-01-01 00:00 UTC)
        );
    }
}
