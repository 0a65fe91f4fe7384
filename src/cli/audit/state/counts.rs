//! The counts of entries and of requests, by hour, day and month (UTC).

use std::collections::{BTreeMap, BTreeSet};

use time::{Duration, OffsetDateTime};

use super::report::Difference;
use crate::{
    cli::{
        audit::time_arg::timestamp,
        connection::{AuditStub, Client},
        failure::Stop,
        format::{name, rfc3339},
    },
    domain::{
        AccountId, RecordedState, Timestamp,
        recorded_state::{CountKey, RankedColumn, RequestsKey},
    },
    proto::v1::{
        Action, SummarizeAuditEntriesRequest, SummarizeAuditEntriesResponse, SummaryDimension, SummaryInterval,
        SummaryRanking,
    },
};

/// The most values that the service lists in a ranking.
const TOP: usize = 100;

/// Counts by the name of their row.
pub(super) struct Tallies {
    counts: BTreeMap<String, u64>,
    /// Rankings with as many values as the service lists, each with its least count. Values that are not listed have no more.
    cut: BTreeMap<String, u64>,
}

impl Tallies {
    /// The counts that the entries give.
    pub(super) fn recorded(recorded: &RecordedState) -> Self {
        let mut counts = BTreeMap::new();
        for (
            CountKey {
                hour,
                region,
                action,
                kind,
            },
            count,
        ) in recorded.counts()
        {
            for interval in [SummaryInterval::Hour, SummaryInterval::Day, SummaryInterval::Month] {
                let name = count_name(start_of(interval, *hour), interval, region, action, kind);
                *counts.entry(name).or_default() += count;
            }
        }
        for (RequestsKey { day, ranking, value }, count) in recorded.requests() {
            for interval in [SummaryInterval::Day, SummaryInterval::Month] {
                let name = ranking_name(start_of(interval, *day), interval, wire(*ranking)) + value;
                *counts.entry(name).or_default() += count;
            }
        }
        Self {
            counts,
            cut: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    /// The counts that are not between those of a smaller and of a larger ledger.
    pub(super) fn differences(&self, fewest: &Self, most: &Self) -> Vec<Difference> {
        let names: BTreeSet<_> = self.counts.keys().chain(most.counts.keys()).collect();
        let of = |tallies: &Self, name: &String| tallies.counts.get(name).copied().unwrap_or_default();
        let wrong = names.into_iter().filter_map(|name| {
            let (fewest, most) = (of(fewest, name), of(most, name));
            let is_right = match self.counts.get(name) {
                Some(count) => (fewest..=most).contains(count),
                None => fewest <= self.limit(name),
            };
            let ledger = if fewest == most {
                most.to_string()
            } else {
                format!("{fewest} to {most}")
            };
            (!is_right).then(|| Difference {
                row: name.clone(),
                field: "count",
                ledger,
                table: of(self, name).to_string(),
            })
        });
        wrong.collect()
    }

    /// The most that a value can have that is not listed.
    fn limit(&self, name: &str) -> u64 {
        let cut = self.cut.iter().find(|(ranking, _)| name.starts_with(&***ranking));
        cut.map(|(_, least)| *least).unwrap_or_default()
    }

    fn add(&mut self, answer: &SummarizeAuditEntriesResponse, start: OffsetDateTime, interval: SummaryInterval) {
        for count in &answer.counts {
            let action = match count.action {
                0 => String::new(),
                action => name(action, "ACTION_", Action::as_str_name),
            };
            let start = rfc3339(count.start_time.as_ref());
            self.counts.insert(
                count_name(start, interval, &count.region, &action, &count.kind),
                count.count,
            );
        }
        for ranked in &answer.rankings {
            let ranking = ranking_name(text(start), interval, ranked.ranking());
            if ranked.ranks.len() >= TOP {
                self.cut
                    .extend(ranked.ranks.last().map(|least| (ranking.clone(), least.count)));
            }
            let ranks = ranked.ranks.iter();
            self.counts
                .extend(ranks.map(|rank| (format!("{ranking}{}", rank.value), rank.count)));
        }
    }
}

/// The counts that the service has: of all months from the first entry to the last one.
pub(super) async fn read(client: &Client, account: AccountId, recorded: &RecordedState) -> Result<Tallies, Stop> {
    let mut tallies = Tallies {
        counts: BTreeMap::new(),
        cut: BTreeMap::new(),
    };
    let hours = recorded
        .counts()
        .first_key_value()
        .zip(recorded.counts().last_key_value());
    let Some((first, last)) = hours.map(|((first, _), (last, _))| (month_of(first.hour), month_of(last.hour))) else {
        return Ok(tallies);
    };
    let mut month = Some(first);
    while let Some((start, end)) = month
        .filter(|start| *start <= last)
        .and_then(|start| Some((start, month_after(start)?)))
    {
        for interval in [SummaryInterval::Hour, SummaryInterval::Day, SummaryInterval::Month] {
            tallies.add(&counts(client, account, (start, end), interval).await?, start, interval);
        }
        tallies.add(
            &rankings(client, account, (start, end)).await?,
            start,
            SummaryInterval::Month,
        );
        let mut day = start;
        while day < end {
            let next = day + Duration::DAY;
            tallies.add(
                &rankings(client, account, (day, next)).await?,
                day,
                SummaryInterval::Day,
            );
            day = next;
        }
        month = Some(end);
    }
    Ok(tallies)
}

async fn counts(
    client: &Client,
    account: AccountId,
    span: (OffsetDateTime, OffsetDateTime),
    interval: SummaryInterval,
) -> Result<SummarizeAuditEntriesResponse, Stop> {
    let dimensions = [
        SummaryDimension::Region,
        SummaryDimension::Action,
        SummaryDimension::Kind,
    ];
    let request = SummarizeAuditEntriesRequest {
        interval: interval.into(),
        group_by: dimensions.map(Into::into).to_vec(),
        ..over(account, span)
    };
    ask(client, request).await
}

async fn rankings(
    client: &Client,
    account: AccountId,
    span: (OffsetDateTime, OffsetDateTime),
) -> Result<SummarizeAuditEntriesResponse, Stop> {
    let rankings = [
        SummaryRanking::Principal,
        SummaryRanking::Image,
        SummaryRanking::SharedAccount,
    ];
    let request = SummarizeAuditEntriesRequest {
        rankings: rankings.map(Into::into).to_vec(),
        top: i32::try_from(TOP).unwrap_or(i32::MAX),
        ..over(account, span)
    };
    // The counts of the whole span have no interval, and are not what is compared.
    let answer = ask(client, request).await?;
    Ok(SummarizeAuditEntriesResponse {
        counts: Vec::new(),
        ..answer
    })
}

fn over(account: AccountId, (start, end): (OffsetDateTime, OffsetDateTime)) -> SummarizeAuditEntriesRequest {
    SummarizeAuditEntriesRequest {
        start_time: Some(timestamp(start)),
        end_time: Some(timestamp(end)),
        account_ids: vec![account.to_string()],
        ..SummarizeAuditEntriesRequest::default()
    }
}

async fn ask(client: &Client, request: SummarizeAuditEntriesRequest) -> Result<SummarizeAuditEntriesResponse, Stop> {
    let ask = async |mut stub: AuditStub, request| stub.summarize_audit_entries(request).await;
    Ok(client.call(client.deadline(), request, ask).await?)
}

fn count_name(start: String, interval: SummaryInterval, region: &str, action: &str, kind: &str) -> String {
    let parts = [&*start, region, action, kind];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("entries by {} {}", unit(interval), parts.join(" "))
}

/// The name of a ranking, to which the value is appended.
fn ranking_name(start: String, interval: SummaryInterval, ranking: SummaryRanking) -> String {
    let ranking = ranking.as_str_name().trim_start_matches("SUMMARY_RANKING_");
    format!("requests by {} {start} {ranking} ", unit(interval))
}

fn unit(interval: SummaryInterval) -> &'static str {
    interval.as_str_name().trim_start_matches("SUMMARY_INTERVAL_")
}

fn wire(ranking: RankedColumn) -> SummaryRanking {
    match ranking {
        RankedColumn::Principal => SummaryRanking::Principal,
        RankedColumn::Image => SummaryRanking::Image,
        RankedColumn::SharedAccount => SummaryRanking::SharedAccount,
    }
}

fn start_of(interval: SummaryInterval, hour: Timestamp) -> String {
    let time = hour.to_offset_date_time();
    text(match interval {
        SummaryInterval::Day => time.truncate_to_day(),
        SummaryInterval::Month => month_of(hour),
        _ => time,
    })
}

fn month_of(time: Timestamp) -> OffsetDateTime {
    let day = time.to_offset_date_time().truncate_to_day();
    day.replace_day(1).unwrap_or(day)
}

/// The next month. 31 days after the first of a month are always in it. None after the last month that a time can have.
fn month_after(month: OffsetDateTime) -> Option<OffsetDateTime> {
    Some(month_of(Timestamp::new(month.checked_add(31 * Duration::DAY)?)))
}

fn text(time: OffsetDateTime) -> String {
    rfc3339(Some(&timestamp(time)))
}
