//! The queries over gRPC. Most also run as handwritten SQL, in turns.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use sharewarden_client::proto::v1::{self, AuditEntryFilter, ListAuditEntriesRequest};
use sharewarden_testkit::load;
use sqlx::{
    AssertSqlSafe, Row,
    postgres::{PgArguments, PgRow},
};
use time::{Date, OffsetDateTime, UtcOffset};
use uuid::Uuid;

use crate::{
    measure::{Latencies, Table},
    stack::{Stack, as_bench},
};

const PAGE: i32 = 100;

/// The base cost: a call without a query, and a statement that reads nothing.
pub(crate) async fn nothing(stack: &Stack, rounds: usize, table: &mut Table) {
    let mut health = stack.health().await;
    let (mut grpc, mut direct) = (Latencies::default(), Latencies::default());
    for _ in 0..rounds + WARM_UP {
        let request = tonic_health::pb::HealthCheckRequest::default();
        grpc.measure(health.check(request)).await.unwrap();
        direct.measure(rows(stack, "SELECT 1")).await;
    }
    table.add("nothing", 1, &grpc, Some(&direct));
}

/// A page of 100 with each filter whose name contains `wanted`.
pub(crate) async fn pages(stack: &Stack, rounds: usize, wanted: &str, table: &mut Table) {
    let known = Known::read(stack).await;
    for (name, filter, condition) in known.filters() {
        if !name.contains(wanted) {
            continue;
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM audit_entry WHERE {condition}
             ORDER BY recorded_at DESC, account_id DESC, log_index DESC LIMIT {PAGE}"
        );
        let request = ListAuditEntriesRequest {
            filter: Some(filter),
            page_size: PAGE,
            ..Default::default()
        };
        let mut client = stack.audit().await;
        let (mut grpc, mut direct, mut found) = (Latencies::default(), Latencies::default(), 0);
        let begun = Instant::now();
        for round in 0..rounds + WARM_UP {
            if round == WARM_UP {
                (grpc, direct) = Default::default();
            }
            let page = grpc.measure(client.list_audit_entries(as_bench(request.clone()))).await;
            found = direct.measure(lines(stack, &sql)).await.len();
            assert_eq!(page.unwrap().into_inner().entries.len(), found, "{name}");
            if round >= 2 * WARM_UP && begun.elapsed() > TIME_LIMIT {
                break;
            }
        }
        table.add(&format!("page of 100: {name}"), found, &grpc, Some(&direct));
    }
}

/// The condition of the partial index on time (see the migrations).
const TIME_INDEX_CONDITION: &str = "log_index >= 0";

/// The columns of a page: the text, its hash, and the filter columns.
const COLUMNS: &str =
    "account_id, log_index, recorded_at, entry, leaf_hash, kind, action, cause, change_id, request_id, principal,
    reason, ticket, region, image_id, shared_account_id, generation, aws_request_id, error_reason";

const WARM_UP: usize = 10;
/// The maximum time to repeat one query.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A row of the history. Decoding it reads all values, as a client in SQL would.
#[derive(sqlx::FromRow)]
#[expect(dead_code, reason = "read, and dropped")]
struct Line {
    account_id: String,
    log_index: i64,
    recorded_at: OffsetDateTime,
    entry: String,
    leaf_hash: Vec<u8>,
    kind: String,
    action: Option<String>,
    cause: Option<String>,
    change_id: Option<Uuid>,
    request_id: Option<Uuid>,
    principal: Option<String>,
    reason: Option<String>,
    ticket: Option<String>,
    region: Option<String>,
    image_id: Option<String>,
    shared_account_id: Option<String>,
    generation: Option<i64>,
    aws_request_id: Option<String>,
    error_reason: Option<String>,
}

async fn lines(stack: &Stack, sql: &str) -> Vec<Line> {
    sqlx::query_as(AssertSqlSafe(sql.to_owned()))
        .fetch_all(&stack.pool)
        .await
        .unwrap()
}

async fn rows(stack: &Stack, sql: &str) -> Vec<PgRow> {
    sqlx::query_with(AssertSqlSafe(sql.to_owned()), PgArguments::default())
        .fetch_all(&stack.pool)
        .await
        .unwrap()
}

/// Values that occur in the history.
struct Known {
    row: HashMap<&'static str, String>,
    middle: OffsetDateTime,
}

impl Known {
    async fn read(stack: &Stack) -> Self {
        let row = sqlx::query(
            "SELECT region, image_id, shared_account_id, principal, change_id::text, request_id::text, aws_request_id
             FROM audit_entry WHERE kind = 'change.succeeded' AND account_id = $1 ORDER BY log_index DESC LIMIT 1 OFFSET 500",
        )
        .bind(load::account(0).to_string())
        .fetch_one(&stack.pool)
        .await
        .unwrap();
        let names = [
            "region",
            "image_id",
            "shared_account_id",
            "principal",
            "change_id",
            "request_id",
            "aws_request_id",
        ];
        Self {
            row: names.into_iter().map(|name| (name, row.get(name))).collect(),
            middle: OffsetDateTime::now_utc() - time::Duration::days(180),
        }
    }

    /// The name, the filter, and the same condition in SQL.
    fn filters(&self) -> Vec<(&'static str, AuditEntryFilter, String)> {
        let is = |column: &str| format!("{column} = '{}'", self.row[column]);
        let value = |column: &str| self.row[column].clone();
        let accounts = [load::account(0), load::account(60)];
        let none = AuditEntryFilter::default;
        let timestamp = |time: OffsetDateTime| {
            Some(pbjson_types::Timestamp {
                seconds: time.unix_timestamp(),
                nanos: 0,
            })
        };
        let middle = self.middle.replace_nanosecond(0).unwrap();
        vec![
            ("no filter", none(), TIME_INDEX_CONDITION.into()),
            (
                "account",
                AuditEntryFilter {
                    account_ids: vec![accounts[0].to_string()],
                    ..none()
                },
                format!("account_id = '{}'", accounts[0]),
            ),
            (
                "two accounts",
                AuditEntryFilter {
                    account_ids: accounts.iter().map(ToString::to_string).collect(),
                    ..none()
                },
                format!("account_id IN ('{}', '{}')", accounts[0], accounts[1]),
            ),
            (
                "region",
                AuditEntryFilter {
                    regions: vec![value("region")],
                    ..none()
                },
                is("region"),
            ),
            (
                "rare region",
                AuditEntryFilter {
                    regions: vec!["sa-east-1".into()],
                    ..none()
                },
                "region = 'sa-east-1'".into(),
            ),
            (
                "image",
                AuditEntryFilter {
                    image_id: value("image_id"),
                    ..none()
                },
                is("image_id"),
            ),
            (
                "shared account",
                AuditEntryFilter {
                    shared_account_id: value("shared_account_id"),
                    ..none()
                },
                is("shared_account_id"),
            ),
            (
                "principal",
                AuditEntryFilter {
                    principals: vec![value("principal")],
                    ..none()
                },
                is("principal"),
            ),
            (
                "action",
                AuditEntryFilter {
                    actions: vec![v1::Action::Revoke.into()],
                    ..none()
                },
                "action = 'REVOKE'".into(),
            ),
            (
                "kind",
                AuditEntryFilter {
                    kinds: vec!["change.denied".into()],
                    ..none()
                },
                "kind = 'change.denied'".into(),
            ),
            (
                "cause",
                AuditEntryFilter {
                    causes: vec![v1::Cause::Caller.into()],
                    ..none()
                },
                format!("cause = 'CALLER' AND {TIME_INDEX_CONDITION}"),
            ),
            (
                "change",
                AuditEntryFilter {
                    change_id: value("change_id"),
                    ..none()
                },
                is("change_id"),
            ),
            (
                "request",
                AuditEntryFilter {
                    request_id: value("request_id"),
                    ..none()
                },
                is("request_id"),
            ),
            (
                "AWS request",
                AuditEntryFilter {
                    aws_request_id: value("aws_request_id"),
                    ..none()
                },
                is("aws_request_id"),
            ),
            (
                "time range",
                AuditEntryFilter {
                    end_time: timestamp(middle),
                    ..none()
                },
                format!("recorded_at < '{middle}' AND {TIME_INDEX_CONDITION}"),
            ),
            (
                "rare text",
                AuditEntryFilter {
                    text: "ops-77777".into(),
                    ..none()
                },
                "(reason ILIKE '%ops-77777%' OR ticket ILIKE '%ops-77777%')".into(),
            ),
            (
                "common text",
                AuditEntryFilter {
                    text: "Rollout".into(),
                    ..none()
                },
                format!("(reason ILIKE '%Rollout%' OR ticket ILIKE '%Rollout%') AND {TIME_INDEX_CONDITION}"),
            ),
            (
                "account, principal and kind",
                AuditEntryFilter {
                    account_ids: vec![accounts[0].to_string()],
                    principals: vec![value("principal")],
                    kinds: vec!["change.failed".into()],
                    ..none()
                },
                format!(
                    "account_id = '{}' AND {} AND kind = 'change.failed'",
                    accounts[0],
                    is("principal")
                ),
            ),
        ]
    }
}

/// Counts over a year, and rankings.
pub(crate) async fn summaries(stack: &Stack, rounds: usize, table: &mut Table) {
    let end = OffsetDateTime::now_utc()
        .to_offset(UtcOffset::UTC)
        .date()
        .next_day()
        .unwrap();
    let start = end
        .replace_year(end.year() - 1)
        .unwrap_or(end - time::Duration::days(365));
    let month = |date: Date| date.replace_day(1).unwrap();
    let timestamp = |date: Date| {
        Some(pbjson_types::Timestamp {
            seconds: date.midnight().assume_utc().unix_timestamp(),
            nanos: 0,
        })
    };
    let year = v1::SummarizeAuditEntriesRequest {
        start_time: timestamp(month(start)),
        end_time: timestamp(month(end)),
        interval: v1::SummaryInterval::Month.into(),
        group_by: vec![v1::SummaryDimension::Action.into(), v1::SummaryDimension::Kind.into()],
        ..Default::default()
    };
    let one = load::account(0).to_string();
    let (from, to) = (month(start), month(end));
    let by = |bucket: &str, interval: &str, more: &str| {
        format!(
            "SELECT date_trunc('{interval}', start_time, 'UTC'), action, kind, sum(count)
             FROM audit_rollup WHERE bucket = '{bucket}' AND start_time >= '{from}' AND start_time < '{to}' {more}
             GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
    };
    let top = format!(
        "SELECT value, sum(count) FROM audit_ranking_total WHERE bucket = 'MONTH' AND ranking = 'PRINCIPAL'
         AND start_time >= '{from}' AND start_time < '{to}' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10"
    );
    let queries = [
        ("a year by month", year.clone(), by("MONTH", "month", "")),
        (
            "a year by day, one account",
            v1::SummarizeAuditEntriesRequest {
                interval: v1::SummaryInterval::Day.into(),
                account_ids: vec![one.clone()],
                ..year.clone()
            },
            by("DAY", "day", &format!("AND account_id = '{one}'")),
        ),
        (
            "a year by month, top 10 principals",
            v1::SummarizeAuditEntriesRequest {
                rankings: vec![v1::SummaryRanking::Principal.into()],
                group_by: vec![],
                interval: v1::SummaryInterval::Unspecified.into(),
                ..year
            },
            top,
        ),
    ];
    for (name, request, sql) in queries {
        let mut client = stack.audit().await;
        let (mut grpc, mut direct, mut count) = (Latencies::default(), Latencies::default(), 0);
        for _ in 0..rounds {
            let answer = grpc
                .measure(client.summarize_audit_entries(as_bench(request.clone())))
                .await;
            direct.measure(rows(stack, &sql)).await;
            count = answer.unwrap().into_inner().counts.len();
        }
        table.add(name, count, &grpc, Some(&direct));
    }
}

/// Inclusion and consistency proofs in the longest ledger, and the shares of half a year ago.
pub(crate) async fn proofs(stack: &Stack, rounds: usize, table: &mut Table) {
    let account_id = load::account(0).to_string();
    let mut client = stack.audit().await;
    let checkpoint = v1::GetCheckpointRequest {
        account_id: account_id.clone(),
        tree_size: 0,
    };
    let size = client
        .get_checkpoint(as_bench(checkpoint))
        .await
        .unwrap()
        .into_inner()
        .checkpoint
        .unwrap()
        .tree_size;
    let mut random = fastrand::Rng::with_seed(1);
    let (mut inclusion, mut consistency, mut at) = (Latencies::default(), Latencies::default(), Latencies::default());
    for _ in 0..rounds {
        let request = v1::GetInclusionProofRequest {
            account_id: account_id.clone(),
            log_index: random.u64(0..size),
            tree_size: 0,
        };
        inclusion
            .measure(client.get_inclusion_proof(as_bench(request)))
            .await
            .unwrap();
        let request = v1::GetConsistencyProofRequest {
            account_id: account_id.clone(),
            first_tree_size: random.u64(1..size),
            second_tree_size: 0,
        };
        consistency
            .measure(client.get_consistency_proof(as_bench(request)))
            .await
            .unwrap();
        let time = OffsetDateTime::now_utc() - time::Duration::days(180);
        let request = v1::GetSharePermissionsAtRequest {
            time: Some(pbjson_types::Timestamp {
                seconds: time.unix_timestamp(),
                nanos: 0,
            }),
            account_id: account_id.clone(),
            page_size: PAGE,
            ..Default::default()
        };
        at.measure(client.get_share_permissions_at(as_bench(request)))
            .await
            .unwrap();
    }
    table.add(&format!("inclusion proof in {size}"), 1, &inclusion, None);
    table.add(&format!("consistency proof to {size}"), 1, &consistency, None);
    table.add("shares half a year ago", 100, &at, None);
}
