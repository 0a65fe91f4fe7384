//! `audit summary`: the request, and its tables, bars and CSV.

use sharewarden::{
    cli::{self, Console},
    proto::v1::*,
};

use crate::{
    harness::{parse, run},
    service::{Answer, Asked, Service},
};

fn count(day: i64, kind: &str, count: u64) -> SummaryCount {
    SummaryCount {
        start_time: Some(pbjson_types::Timestamp {
            seconds: 1_767_312_000 + day * 86_400,
            nanos: 0,
        }),
        kind: kind.into(),
        count,
        ..SummaryCount::default()
    }
}

fn counts() -> SummarizeAuditEntriesResponse {
    SummarizeAuditEntriesResponse {
        counts: vec![
            count(0, "change.requested", 16),
            count(0, "change.denied", 1),
            count(1, "change.requested", 9),
        ],
        rankings: Vec::new(),
    }
}

fn ranked() -> SummarizeAuditEntriesResponse {
    let rank = |value: &str, count| SummaryRank {
        value: value.into(),
        count,
    };
    SummarizeAuditEntriesResponse {
        counts: vec![SummaryCount {
            count: 5,
            ..SummaryCount::default()
        }],
        rankings: vec![SummaryRanked {
            ranking: SummaryRanking::Principal.into(),
            ranks: vec![rank("alice", 4), rank("bob", 1)],
        }],
    }
}

const BY_DAY: &str = "audit summary --since 2026-01-02 --until 2026-01-04 --by day --group-by kind";

#[tokio::test]
async fn every_option_is_sent_and_the_range_is_extended_to_full_days() {
    let service = Service::answering([
        Answer::Summary(SummarizeAuditEntriesResponse::default()),
        Answer::Summary(SummarizeAuditEntriesResponse::default()),
    ])
    .await;
    let range = "--since 2026-01-02T03:04:05Z --until 2026-01-04T00:00:01Z";
    let line = format!(
        "audit summary {range} --by week --account 012345678901 --top principal,image --top shared-account --top-n 3"
    );
    run(&service, &line).await.ok();
    let line = format!(
        "audit summary {range} --group-by account,region,action,kind --region r --action grant --kind change.failed"
    );
    run(&service, &line).await.ok();
    let time = |seconds| Some(pbjson_types::Timestamp { seconds, nanos: 0 });
    let rankings = SummarizeAuditEntriesRequest {
        start_time: time(1_767_312_000),
        end_time: time(1_767_571_200),
        interval: SummaryInterval::Week.into(),
        account_ids: vec!["012345678901".into()],
        rankings: vec![
            SummaryRanking::Principal.into(),
            SummaryRanking::Image.into(),
            SummaryRanking::SharedAccount.into(),
        ],
        top: 3,
        ..SummarizeAuditEntriesRequest::default()
    };
    let groups = SummarizeAuditEntriesRequest {
        start_time: time(1_767_322_800),
        end_time: time(1_767_488_400),
        group_by: vec![
            SummaryDimension::Account.into(),
            SummaryDimension::Region.into(),
            SummaryDimension::Action.into(),
            SummaryDimension::Kind.into(),
        ],
        regions: vec!["r".into()],
        actions: vec![Action::Grant.into()],
        kinds: vec!["change.failed".into()],
        ..SummarizeAuditEntriesRequest::default()
    };
    assert_eq!(service.asked(), [Asked::Summary(rankings), Asked::Summary(groups)]);
}

#[tokio::test]
async fn counts_in_a_pipe_have_no_bars() {
    let service = Service::answering([Answer::Summary(counts())]).await;
    let ran = run(&service, BY_DAY).await.ok();
    let expected = "\
FROM                  KIND              COUNT
2026-01-02T00:00:00Z  change.requested  16
2026-01-02T00:00:00Z  change.denied     1
2026-01-03T00:00:00Z  change.requested  9
";
    assert_eq!(ran.out, expected);
}

async fn in_terminal(answer: SummarizeAuditEntriesResponse, line: &str, unicode: bool) -> String {
    let service = Service::answering([Answer::Summary(answer)]).await;
    let cli = parse(&service.url(), line);
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let mut console = Console::new(&mut out, &mut notes)
        .with_width(Some(53))
        .with_unicode(unicode);
    cli::run(&cli.options.clone(), cli.into_command(), &mut console)
        .await
        .unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn counts_in_a_terminal_have_bars_scaled_to_its_width() {
    let expected = "\
FROM        KIND              COUNT
2026-01-02  change.requested  16     ████████████████
2026-01-02  change.denied     1      █
2026-01-03  change.requested  9      █████████
";
    assert_eq!(in_terminal(counts(), BY_DAY, true).await, expected);
    let ascii = expected.replace('█', "#");
    assert_eq!(in_terminal(counts(), BY_DAY, false).await, ascii);
}

#[tokio::test]
async fn rankings_are_tables_of_their_own() {
    let out = in_terminal(ranked(), "audit summary --top principal", false).await;
    let (counts, ranking) = out.split_once("\n\n").unwrap();
    assert!(counts.starts_with("COUNT"), "{out}");
    assert!(
        ranking.starts_with("PRINCIPAL  REQUESTS\nalice      4         ####"),
        "{out}"
    );
    assert!(ranking.contains("\nbob        1         ####"), "{out}");
}

#[tokio::test]
async fn csv_holds_one_table() {
    let service = Service::answering([Answer::Summary(counts()), Answer::Summary(ranked())]).await;
    let ran = run(&service, &format!("{BY_DAY} -o csv")).await.ok();
    let expected = "from,kind,count\r\n2026-01-02T00:00:00Z,change.requested,16\r\n2026-01-02T00:00:00Z,change.denied,1\r\n\
                    2026-01-03T00:00:00Z,change.requested,9\r\n";
    assert_eq!(ran.out, expected);
    let ran = run(&service, "audit summary --top principal -o csv").await.ok();
    assert_eq!(
        ran.out,
        "ranking,value,count\r\nprincipal,alice,4\r\nprincipal,bob,1\r\n"
    );
    let (code, text) = run(&service, &format!("{BY_DAY} --top image -o csv")).await.failure();
    assert_eq!(code, 2);
    assert!(text.starts_with("CSV holds one table"), "{text}");
}

#[tokio::test]
async fn json_is_the_answer() {
    let service = Service::answering([Answer::Summary(counts())]).await;
    let ran = run(&service, &format!("{BY_DAY} -o json")).await.ok();
    let back: SummarizeAuditEntriesResponse = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(back, counts());
}
