//! Entries of the kind `change.denials`, which are about a number of requests: shown, compared with their text, and converted.

use serde_json::Value;
use sharewarden::proto::v1::*;

use crate::{
    harness::{Ran, records, run, run_words},
    ledger::{ACCOUNT, Ledger},
    service::{Answer, Service},
};

const DENIALS: &str = "{\"account_id\":\"012345678901\",\"body\":{\"count\":37000,\"denied_by\":\"accounts.share_with\",\
    \"first_at\":\"2026-01-02T03:04:00.500000Z\",\"last_at\":\"2026-01-02T03:04:06.750000Z\",\"principal\":\"mallory\"},\
    \"kind\":\"change.denials\",\"log_index\":2,\"recorded_at\":\"2026-01-02T03:04:07.250000Z\",\"schema\":1,\
    \"server_version\":\"0.1.0\"}";

fn ledger(line: &str) -> Ledger {
    Ledger::of(3).with_line(2, line.to_owned())
}

fn body() -> DenialsBody {
    let time = |seconds, nanos| Some(pbjson_types::Timestamp { seconds, nanos });
    DenialsBody {
        count: 37_000,
        first_time: time(1_767_323_040, 500_000_000),
        last_time: time(1_767_323_046, 750_000_000),
        principal: "mallory".into(),
        denied_by: "accounts.share_with".into(),
    }
}

async fn show(ledger: &Ledger, body: DenialsBody) -> Ran {
    let entry = AuditEntry {
        body: Some(audit_entry::Body::Denials(body)),
        ..ledger.entry(2)
    };
    let service = Service::answering([Answer::Entry(GetAuditEntryResponse { entry: Some(entry) })]).await;
    run_words(&service.url(), &["audit", "show", "--account", ACCOUNT, "2"]).await
}

async fn exported_as(ledger: &Ledger, format: &str) -> String {
    let service = Service::answering([ledger.answer()]).await;
    let line = format!("audit export --account {ACCOUNT} --format {format}");
    run(&service, &line).await.ok().out
}

#[tokio::test]
async fn the_number_and_the_times_are_shown() {
    let shown = show(&ledger(DENIALS), body()).await.ok().out;
    for row in [
        "Kind             change.denials\n",
        "Principal        mallory\n",
        "Denials          37000\n",
        "First denial at  2026-01-02T03:04:00.5Z\n",
        "Last denial at   2026-01-02T03:04:06.75Z\n",
        "Last denied by   accounts.share_with\n",
    ] {
        assert!(shown.contains(row), "{row} in\n{shown}");
    }
    let without_a_name = DENIALS.replace(",\"principal\":\"mallory\"", "");
    let several = DenialsBody {
        principal: String::new(),
        ..body()
    };
    let shown = show(&ledger(&without_a_name), several).await.ok().out;
    assert!(shown.contains("Principal        several\n"), "{shown}");
}

#[tokio::test]
async fn a_field_that_differs_from_the_text_is_found() {
    type Lie = fn(&mut DenialsBody);
    let lies: [(&str, Lie); 5] = [
        ("count", |body| body.count = 2),
        ("first_time", |body| body.first_time = None),
        ("last_time", |body| body.last_time = body.first_time),
        ("principal", |body| body.principal = "alice".into()),
        ("denied_by", |body| body.denied_by.clear()),
    ];
    for (field, lie) in lies {
        let mut wrong = body();
        lie(&mut wrong);
        let (code, message) = show(&ledger(DENIALS), wrong).await.failure();
        assert_eq!(code, 9, "{field}: {message}");
        assert!(message.contains(field), "{field}: {message}");
    }
}

#[tokio::test]
async fn an_export_as_csv_ocsf_and_cloudevents_has_the_number_and_the_times() {
    let ledger = ledger(DENIALS);
    let rows = records(&exported_as(&ledger, "csv").await);
    let row = &rows[2];
    assert_eq!(
        (&row["kind"], &row["count"]),
        (&"change.denials".into(), &"37000".into())
    );
    assert_eq!(row["first_at"], "2026-01-02T03:04:00.500000Z");
    assert_eq!((&row["principal"], row.get("action")), (&"mallory".into(), None));
    assert_eq!(rows[1].get("count"), None);

    let events = exported_as(&ledger, "ocsf").await;
    let event: Value = serde_json::from_str(events.lines().nth(2).unwrap()).unwrap();
    assert_eq!((&event["class_uid"], &event["activity_id"]), (&6003.into(), &99.into()));
    assert_eq!((&event["count"], &event["status"]), (&37_000.into(), &"Failure".into()));
    assert_eq!(
        (&event["start_time"], &event["end_time"]),
        (&1_767_323_040_500_u64.into(), &1_767_323_046_750_u64.into())
    );
    assert_eq!(event["status_detail"], "POLICY_DENIED");
    assert_eq!(event["actor"]["user"]["name"], "mallory");
    assert_eq!(
        event["resources"],
        serde_json::json!([{ "uid": ACCOUNT, "type": "AWS::Account" }])
    );
    assert_eq!(
        (event["cloud"].get("region"), event["api"].get("request")),
        (None, None)
    );

    let events = exported_as(&ledger, "cloudevents").await;
    let event: Value = serde_json::from_str(events.lines().nth(2).unwrap()).unwrap();
    assert_eq!(
        (&event["type"], &event["subject"], &event["data"]["body"]["count"]),
        (&"sharewarden.change.denials.v1".into(), &ACCOUNT.into(), &37_000.into())
    );
}
