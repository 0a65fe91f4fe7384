//! Entries of a newer version: a kind, or a schema of a known kind, that this program does not know. It still lists, shows,
//! exports and verifies them.

use std::fs;

use serde_json::{Value, json};
use sharewarden::proto::v1::{watch_audit_entries_response::Event, *};

use crate::{
    harness::{Ran, WHICH, records, run, run_words},
    ledger::{ACCOUNT, INVENTED, Ledger, NAME, change_body},
    service::{Answer, Asked, Service},
    service_audit::Streamed,
};

/// The indexes of the two unknown entries of [`Ledger::of_a_newer_build`], and their labels in tables.
const UNKNOWN: [(usize, &str); 2] = [
    (2, "test.invented (unknown)"),
    (3, "change.requested (unknown schema 2)"),
];

const ROWS: &str = "\
ACCOUNT       INDEX  RECORDED              KIND                                 ACTION  REGION        IMAGE           RECIPIENT     PRINCIPAL  REASON    ENDS
012345678901  1      2026-01-02T03:04:06Z  change.requested                     GRANT   eu-central-1  wsi-0123456789  999999999999  alice      reason 1
012345678901  2      2026-01-02T03:04:07Z  test.invented (unknown)              MERGE   us-east-1     wsi-9999999999  888888888888  carol      \n\
012345678901  3      2026-01-02T03:04:08Z  change.requested (unknown schema 2)  GRANT   eu-central-1  wsi-0123456789  999999999999  alice      reason 3
";

fn entries(ledger: &Ledger) -> Vec<AuditEntry> {
    (1..4).map(|index| ledger.entry(index)).collect()
}

fn listed(ledger: &Ledger) -> Answer {
    Answer::Entries(ListAuditEntriesResponse {
        entries: entries(ledger),
        ..ListAuditEntriesResponse::default()
    })
}

fn hash(ledger: &Ledger, index: usize) -> String {
    ledger.hashes[index].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A table without the spaces at the end of its lines.
fn trimmed(table: &str) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[tokio::test]
async fn tables_label_them_and_show_the_known_members() {
    let ledger = Ledger::of_a_newer_build();
    let history = Answer::History(ListPermissionHistoryResponse {
        entries: entries(&ledger),
        ..ListPermissionHistoryResponse::default()
    });
    let service = Service::answering([listed(&ledger), history]).await;
    for line in [
        "audit list --kind test.invented".to_owned(),
        format!("audit history {WHICH}"),
    ] {
        let ran = run(&service, &line).await.ok();
        assert_eq!(trimmed(&ran.out), trimmed(ROWS), "{line}");
    }
    let Asked::Entries(request) = &service.asked()[0] else {
        panic!("another call");
    };
    assert_eq!(request.filter.as_ref().unwrap().kinds, ["test.invented"]);
}

#[tokio::test]
async fn a_watch_prints_them_like_a_list() {
    let ledger = Ledger::of_a_newer_build();
    let watch = || {
        let entries = WatchEntries {
            entries: entries(&ledger),
        };
        let started = WatchStarted {
            positions: vec![WatchPosition {
                account_id: ACCOUNT.into(),
                next_index: 1,
            }],
        };
        let events = [Event::Started(started), Event::Entries(entries)];
        Answer::Watch(Streamed::ending(
            events.map(|event| WatchAuditEntriesResponse { event: Some(event) }),
        ))
    };
    let service = Service::answering([watch(), watch()]).await;
    let table = run(&service, "audit watch --limit 3").await.ok();
    for (_, label) in UNKNOWN {
        assert!(table.out.contains(label), "{}", table.out);
    }
    let lines = run(&service, "audit watch --limit 3 -o json").await.ok();
    let printed: Vec<AuditEntry> = lines
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(printed, entries(&ledger));
}

#[tokio::test]
async fn json_has_their_text() {
    let ledger = Ledger::of_a_newer_build();
    let service = Service::answering([listed(&ledger)]).await;
    let ran = run(&service, "audit list -o json").await.ok();
    let list: ListAuditEntriesResponse = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(list.entries, entries(&ledger));
    let entry = &ran.json()["entries"][1];
    assert_eq!(
        (&entry["kind"], &entry["schema"], &entry["canonical"]),
        (&"test.invented".into(), &1.into(), &INVENTED.into())
    );
    assert_eq!(entry.get("change"), None);
}

async fn show(answers: [Answer; 2], index: usize, key: &str) -> Ran {
    let service = Service::answering(answers).await;
    let index = index.to_string();
    let words = ["audit", "show", "--account", ACCOUNT, &index, "--proof", "--key", key];
    run_words(&service.url(), &words).await
}

fn entry(entry: AuditEntry) -> Answer {
    Answer::Entry(GetAuditEntryResponse { entry: Some(entry) })
}

#[tokio::test]
async fn one_is_shown_with_its_text_and_its_proof_is_verified() {
    let ledger = Ledger::of_a_newer_build();
    for (index, label) in UNKNOWN {
        let answers = [
            entry(ledger.entry(index)),
            Answer::Inclusion(ledger.inclusion(index as u64)),
        ];
        let ran = show(answers, index, &ledger.vkey()).await.ok();
        for row in [
            format!("Kind            {label}\n"),
            "Meaning         This version does not know this kind or schema. The text is below.\n".to_owned(),
            "Server version  9.0.0\n".to_owned(),
            format!("Leaf hash       {}\n", hash(&ledger, index)),
        ] {
            assert!(ran.out.contains(&row), "{row} in {}", ran.out);
        }
        let text = format!("\n\nText that the leaf hash covers\n{}\n\n", ledger.lines[index]);
        assert!(ran.out.contains(&text), "{}", ran.out);
        assert!(
            ran.out
                .contains("\nInclusion  verified: the entry is in the tree of 5 entries, by 3 hashes\n"),
            "{}",
            ran.out
        );
        let signed = format!("verified: the root is that of the checkpoint of {NAME}/{ACCOUNT}, signed by {NAME}+");
        assert!(ran.out.contains(&signed), "{}", ran.out);
    }
}

#[tokio::test]
async fn a_body_that_only_the_service_knows_is_neither_compared_nor_shown() {
    let ledger = Ledger::of_a_newer_build();
    let mut newer = ledger.entry(3);
    let change = ChangeBody {
        previous: Access::Shared.into(),
        ..change_body(3)
    };
    newer.body = Some(audit_entry::Body::Change(change));
    let answers = [entry(newer), Answer::Inclusion(ledger.inclusion(3))];
    let ran = show(answers, 3, &ledger.vkey()).await.ok();
    assert!(
        !ran.out.contains("Principal") && ran.out.contains("\"principal\":\"alice\""),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn a_known_kind_that_the_service_does_not_know_is_shown_with_its_text() {
    let ledger = Ledger::of(5);
    let mut older = ledger.entry(2);
    older.body = None;
    let answers = [entry(older), Answer::Inclusion(ledger.inclusion(2))];
    let ran = show(answers, 2, &ledger.vkey()).await.ok();
    assert!(ran.out.contains("Kind            change.requested\n"), "{}", ran.out);
    assert!(ran.out.contains(&format!("\n{}\n", ledger.lines[2])), "{}", ran.out);
}

#[tokio::test]
async fn a_known_kind_with_a_value_that_only_newer_builds_know_is_labelled() {
    let ledger = Ledger::of(5);
    let mut newer = ledger.entry(2);
    newer.canonical = newer.canonical.replace("\"cause\":\"CALLER\"", "\"cause\":\"MOON\"");
    assert_ne!(newer.canonical, ledger.lines[2]);
    newer.body = None;
    let answer = Answer::Entries(ListAuditEntriesResponse {
        entries: vec![newer],
        ..ListAuditEntriesResponse::default()
    });
    let service = Service::answering([answer]).await;
    let ran = run(&service, "audit list").await.ok();
    assert!(ran.out.contains("change.requested (unknown value)"), "{}", ran.out);
}

#[tokio::test]
async fn a_field_that_differs_from_the_text_is_found() {
    let ledger = Ledger::of_a_newer_build();
    type Lie = fn(&mut AuditEntry);
    let lies: [(&str, Lie); 4] = [
        ("kind", |entry| entry.kind = "change.succeeded".into()),
        ("schema", |entry| entry.schema += 1),
        ("server_version", |entry| entry.server_version.clear()),
        ("record_time", |entry| entry.record_time = None),
    ];
    for (index, _) in UNKNOWN {
        for (field, lie) in lies {
            let mut changed = ledger.entry(index);
            lie(&mut changed);
            let answers = [entry(changed), Answer::Inclusion(ledger.inclusion(index as u64))];
            let (code, text) = show(answers, index, &ledger.vkey()).await.failure();
            let expected = format!("account {ACCOUNT}, entry {index}: its {field} is not what its text says");
            assert_eq!(code, 9, "{text}");
            assert!(text.starts_with(&expected), "{text}");
        }
    }
}

async fn exported_as(ledger: &Ledger, format: &str) -> String {
    let service = Service::answering([ledger.answer()]).await;
    let line = format!("audit export --account {ACCOUNT} --format {format}");
    run(&service, &line).await.ok().out
}

#[tokio::test]
async fn the_verifiable_export_has_their_text_byte_for_byte() {
    let ledger = Ledger::of_a_newer_build();
    let export = exported_as(&ledger, "jsonl").await;
    assert_eq!(export, ledger.export());
    for (index, _) in UNKNOWN {
        assert!(export.contains(&ledger.lines[index]), "{export}");
    }
}

#[tokio::test]
async fn csv_has_their_text_members_by_name() {
    let ledger = Ledger::of_a_newer_build();
    let csv = exported_as(&ledger, "csv").await;
    let exported = records(&csv);
    let invented = json!({
        "account_id": ACCOUNT, "log_index": "2", "recorded_at": "2026-01-02T03:04:07.250000Z", "kind": "test.invented",
        "schema": "1", "action": "MERGE", "region": "us-east-1", "image_id": "wsi-9999999999",
        "shared_account_id": "888888888888", "principal": "carol", "ticket": "OPS-9",
        "change_id": "00000000-0000-0000-0000-00000000000c", "generation": "9", "attempts": "0",
        "server_version": "9.0.0", "leaf_hash": hash(&ledger, 2),
    });
    let newer = json!({
        "account_id": ACCOUNT, "log_index": "3", "recorded_at": "2026-01-02T03:04:08.250000Z", "kind": "change.requested",
        "schema": "2", "action": "GRANT", "cause": "CALLER", "region": "eu-central-1", "image_id": "wsi-0123456789",
        "shared_account_id": "999999999999", "principal": "alice", "reason": "reason 3",
        "change_id": "00000000-0000-0000-0000-000000000004", "request_id": "00000000-0000-0000-0000-000000000004",
        "generation": "4", "attempts": "0", "credentials": "TRUSTED_HEADER",
            "policies": "pipelines-share", "policy_set": "73300871f44c168e7c949de2c750e60c2c9bb8ff530017c5a267234e9cb4db8e", "server_version": "9.0.0", "leaf_hash": hash(&ledger, 3),
    });
    assert_eq!(exported[2..4], [invented, newer]);
    let service = Service::answering([listed(&ledger)]).await;
    let list = run(&service, "audit list -o csv").await.ok().out;
    assert_eq!(records(&list)[..3], exported[1..4]);
}

#[tokio::test]
async fn in_ocsf_they_are_base_events_with_the_text_as_raw_data() {
    let ledger = Ledger::of_a_newer_build();
    let events = exported_as(&ledger, "ocsf").await;
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let classes: Vec<_> = events
        .iter()
        .map(|event| event["class_uid"].as_u64().unwrap())
        .collect();
    assert_eq!(classes, [6003, 6003, 0, 0, 6003]);
    for (index, kind, schema) in [(2, "test.invented", 1), (3, "change.requested", 2)] {
        let event = &events[index];
        assert_eq!(event["raw_data"].as_str().unwrap(), ledger.lines[index]);
        for (attribute, expected) in [
            ("category_uid", json!(0)),
            ("class_name", json!("Base Event")),
            ("activity_id", json!(99)),
            ("activity_name", json!(kind)),
            ("type_uid", json!(99)),
            ("severity_id", json!(1)),
            ("time", json!(1_767_323_045_250_u64 + 1000 * index as u64)),
            (
                "message",
                json!(format!("{kind} (schema {schema}) is not known to this version")),
            ),
        ] {
            assert_eq!(event[attribute], expected, "{attribute} of {event}");
        }
        let metadata = &event["metadata"];
        assert_eq!(
            (&metadata["event_code"], &metadata["uid"], &metadata["sequence"]),
            (&kind.into(), &format!("{ACCOUNT}/{index}").into(), &index.into())
        );
        assert_eq!(metadata["product"]["version"], "9.0.0");
        assert_eq!(event["unmapped"]["leaf_hash"], hash(&ledger, index));
        assert_eq!(event["unmapped"]["origin"], format!("{NAME}/{ACCOUNT}"));
        // The profile `cloud`, which the metadata names, requires it.
        assert_eq!(metadata["profiles"], json!(["cloud"]));
        assert_eq!(
            (&event["cloud"]["provider"], &event["cloud"]["account"]["uid"]),
            (&"AWS".into(), &ACCOUNT.into())
        );
    }
    assert_eq!(
        events[2]["metadata"]["correlation_uid"],
        "00000000-0000-0000-0000-00000000000c"
    );
}

#[tokio::test]
async fn a_cloud_event_has_a_type_of_its_kind_and_schema_and_the_text_as_data() {
    let mut ledger = Ledger::of_a_newer_build();
    ledger = ledger.with_line(4, about_no_image());
    let events = exported_as(&ledger, "cloudevents").await;
    let lines: Vec<_> = events.lines().collect();
    for (index, kind, subject) in [
        (1, "change.requested.v1", "eu-central-1/wsi-0123456789/999999999999"),
        (2, "test.invented.v1", "us-east-1/wsi-9999999999/888888888888"),
        (3, "change.requested.v2", "eu-central-1/wsi-0123456789/999999999999"),
        (4, "test.invented.v3", ACCOUNT),
    ] {
        let event: Value = serde_json::from_str(lines[index]).unwrap();
        assert_eq!(event["type"], format!("sharewarden.{kind}"));
        assert_eq!(event["subject"], subject);
        assert_eq!(event["id"], format!("{ACCOUNT}/{index}"));
        assert!(
            lines[index].ends_with(&format!(",\"data\":{}}}", ledger.lines[index])),
            "{}",
            lines[index]
        );
    }
}

/// An entry 4 whose body names no share, and has nested objects, and texts with escapes, braces and every kind of bracket.
fn about_no_image() -> String {
    format!(
        "{{\"account_id\":\"{ACCOUNT}\",\"body\":{{\"a\":{{\"b\":[{{}},[],15,true,null]}},\"text\":\"}}]\\\"\\\\ \\u0000 é\"}},\
         \"kind\":\"test.invented\",\"log_index\":4,\"recorded_at\":\"2026-01-02T03:04:09.250000Z\",\"schema\":3,\
         \"server_version\":\"9.0.0\"}}"
    )
}

#[tokio::test]
async fn members_of_other_json_types_are_left_out_and_nothing_fails() {
    let members = "\"action\":1,\"attempts\":\"x\",\"aws_request_id\":{},\"cause\":[],\"change_id\":false,\"denied_by\":0,\
                   \"error_code\":0,\"error_message\":0,\"error_reason\":0,\"generation\":\"9\",\"image_id\":null,\"previous\":0,\
                   \"principal\":0,\"reason\":0,\"region\":0,\"request_id\":0,\"shared_account_id\":0,\"ticket\":0,\"trace_id\":0";
    let body_at = INVENTED.find("\"body\":{").unwrap() + 8;
    let body_end = INVENTED.find("},\"kind\"").unwrap();
    let line = format!("{}{members}{}", &INVENTED[..body_at], &INVENTED[body_end..]);
    let ledger = Ledger::of_a_newer_build().with_line(2, line);
    let csv = exported_as(&ledger, "csv").await;
    let expected = json!({
        "account_id": ACCOUNT, "log_index": "2", "recorded_at": "2026-01-02T03:04:07.250000Z", "kind": "test.invented",
        "schema": "1", "attempts": "0", "server_version": "9.0.0", "leaf_hash": hash(&ledger, 2),
    });
    assert_eq!(records(&csv)[2], expected);
    for format in ["ocsf", "cloudevents"] {
        let events = exported_as(&ledger, format).await;
        assert!(
            events.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
            "{events}"
        );
    }
    let service = Service::answering([listed(&ledger)]).await;
    let table = run(&service, "audit list").await.ok().out;
    assert!(table.contains("test.invented (unknown)"), "{table}");
}

async fn verify_file(ledger: &Ledger, text: &str) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.jsonl");
    fs::write(&file, text).unwrap();
    let words = [
        "audit",
        "verify",
        "--export",
        file.to_str().unwrap(),
        "--key",
        &ledger.vkey(),
    ];
    run_words("http://127.0.0.1:1", &words).await
}

async fn verify_live(ledger: &Ledger) -> Ran {
    let service = Service::answering([ledger.answer()]).await;
    let words = ["audit", "verify", "--account", ACCOUNT, "--key", &ledger.vkey()];
    run_words(&service.url(), &words).await
}

#[tokio::test]
async fn a_ledger_with_them_is_verified_from_a_file_and_live() {
    let ledger = Ledger::of_a_newer_build().with_line(4, about_no_image());
    for ran in [verify_file(&ledger, &ledger.export()).await, verify_live(&ledger).await] {
        let ran = ran.ok();
        assert!(ran.out.contains("Verified    entries 0 to 4, "), "{}", ran.out);
    }
}

/// The member that is changed: one with a column, an unknown one, and one outside the body.
const CHANGES: [(usize, &str, &str); 6] = [
    (2, "us-east-1", "us-east-2"),
    (2, "\"zone\":\"a\"", "\"zone\":\"b\""),
    (2, "test.invented", "test.inventex"),
    (3, "reason 3", "reason x"),
    (3, "\"zone\":\"a\"", "\"zone\":\"b\""),
    (3, "\"schema\":2", "\"schema\":3"),
];

#[tokio::test]
async fn a_changed_byte_is_found_in_a_file_in_a_live_ledger_and_by_show() {
    let ledger = Ledger::of_a_newer_build();
    for (index, from, to) in CHANGES {
        let mut changed = ledger.clone();
        changed.lines[index] = changed.lines[index].replace(from, to);
        assert_ne!(changed.lines[index], ledger.lines[index]);
        let named = format!("account {ACCOUNT}, entry {index}: ");
        let answers = [
            entry(changed.entry(index)),
            Answer::Inclusion(ledger.inclusion(index as u64)),
        ];
        for ran in [
            verify_file(
                &ledger,
                &ledger.export().replace(&ledger.lines[index], &changed.lines[index]),
            )
            .await,
            verify_live(&changed).await,
            show(answers, index, &ledger.vkey()).await,
        ] {
            let (code, text) = ran.failure();
            assert_eq!(code, 9, "{to}: {text}");
            assert!(text.starts_with(&named), "{to}: {text}");
        }
        // With a recomputed hash, the entry no longer leads to the signed root.
        let line = changed.lines[index].clone();
        let rehashed = changed.with_line(index, line);
        let answers = [
            entry(rehashed.entry(index)),
            Answer::Inclusion(ledger.inclusion(index as u64)),
        ];
        let (code, text) = show(answers, index, &ledger.vkey()).await.failure();
        assert_eq!(code, 9, "{to}: {text}");
        assert!(text.contains("the proof does not lead"), "{to}: {text}");
    }
}
