//! `audit export`: files are complete or absent, byte for byte, and in the formats of other tools.

use std::{fs, path::Path};

use serde_json::Value;
use sharewarden::proto::v1::*;
use tonic::Status;

use crate::{
    harness::{Ran, run, run_words},
    ledger::{ACCOUNT, Ledger, NAME},
    service::{Answer, Asked, Service},
    service_audit::Streamed,
};

async fn export(service: &Service, file: &Path) -> Ran {
    let words = ["audit", "export", "--account", ACCOUNT, "--to", file.to_str().unwrap()];
    run_words(&service.url(), &words).await
}

#[tokio::test]
async fn the_file_has_the_canonical_lines_byte_for_byte() {
    let ledger = Ledger::of(11);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.jsonl");
    fs::write(&file, "an older export").unwrap();
    let service = Service::answering([ledger.answer()]).await;
    let ran = export(&service, &file).await.ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), ledger.export());
    assert_eq!(ran.out, "");
    assert!(ran.notes.starts_with("note: 11 entries are in "), "{}", ran.notes);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn the_range_is_sent_and_standard_output_is_the_default() {
    let ledger = Ledger::of(4);
    let service = Service::answering([ledger.answer()]).await;
    let line = format!("audit export --account {ACCOUNT} --start 3 --end 9 --tree-size 12");
    let ran = run(&service, &line).await.ok();
    assert_eq!(ran.out, ledger.export());
    let expected = ExportAuditEntriesRequest {
        account_id: ACCOUNT.into(),
        start_index: 3,
        end_index: 9,
        tree_size: 12,
    };
    assert_eq!(service.asked(), [Asked::Export(expected)]);
}

#[tokio::test]
async fn an_interrupted_export_leaves_the_older_file_and_nothing_else() {
    let ledger = Ledger::of(4);
    let half = || Streamed::ending(ledger.messages().into_iter().take(2));
    for streamed in [half(), half().then(Status::unavailable("gone")), Streamed::ending([])] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.jsonl");
        fs::write(&file, "an older export").unwrap();
        let service = Service::answering([Answer::Export(streamed)]).await;
        export(&service, &file).await.failure();
        assert_eq!(fs::read_to_string(&file).unwrap(), "an older export");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_missing_folder_is_reported() {
    let service = Service::answering([Ledger::of(4).answer()]).await;
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = export(&service, &folder.path().join("no/ledger.jsonl")).await.failure();
    assert_eq!(code, 1);
    assert!(
        text.starts_with("cannot write ") && text.contains("check the folder"),
        "{text}"
    );
}

async fn exported_as(ledger: &Ledger, format: &str) -> String {
    let service = Service::answering([ledger.answer()]).await;
    let line = format!("audit export --account {ACCOUNT} --format {format}");
    run(&service, &line).await.ok().out
}

#[tokio::test]
async fn the_csv_of_an_export_equals_that_of_a_list() {
    let ledger = Ledger::of(4);
    let answer = ListAuditEntriesResponse {
        entries: (0..4).map(|index| ledger.entry(index)).collect(),
        ..ListAuditEntriesResponse::default()
    };
    let service = Service::answering([Answer::Entries(answer)]).await;
    let listed = run(&service, "audit list -o csv").await.ok().out;
    assert_eq!(exported_as(&ledger, "csv").await, listed);
}

#[tokio::test]
async fn ocsf_events_have_the_required_attributes_of_api_activity() {
    let mut ledger = Ledger::of(3);
    ledger.lines[1] = ledger.lines[1]
        .replace("\"kind\":\"change.requested\"", "\"kind\":\"change.failed\"")
        .replace("\"action\":\"GRANT\"", "\"action\":\"REVOKE\"")
        .replace(
            "\"generation\":2",
            "\"error_code\":\"AccessDeniedException\",\"error_message\":\"no\",\"error_reason\":\"UPSTREAM_ACCESS_DENIED\",\
             \"generation\":2",
        );
    ledger.lines[2] = ledger.lines[2]
        .replace("\"kind\":\"change.requested\"", "\"kind\":\"change.denied\"")
        .replace(
            "\"change_id\":\"00000000-0000-0000-0000-000000000003\",",
            "\"denied_by\":\"accounts.share_with\",",
        )
        .replace("\"generation\":3,", "");
    let events = exported_as(&ledger, "ocsf").await;
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 3);
    for (index, event) in events.iter().enumerate() {
        let number = |path: &str| {
            event
                .pointer(path)
                .and_then(Value::as_u64)
                .unwrap_or_else(|| panic!("{path} of {event}"))
        };
        let text = |path: &str| {
            event
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_else(|| panic!("{path} of {event}"))
        };
        assert_eq!(
            (number("/category_uid"), number("/class_uid"), number("/severity_id")),
            (6, 6003, 1)
        );
        assert_eq!(number("/type_uid"), 600_300 + number("/activity_id"));
        assert_eq!(number("/time"), 1_767_323_045_250 + 1000 * index as u64);
        assert_eq!(
            (text("/metadata/version"), text("/metadata/product/name")),
            ("1.3.0", "sharewarden")
        );
        assert_eq!(text("/metadata/uid"), format!("{ACCOUNT}/{index}"));
        assert_eq!(text("/actor/user/name"), "alice");
        assert_eq!(text("/src_endpoint/name"), "alice");
        assert_eq!(
            (text("/cloud/provider"), text("/cloud/region")),
            ("AWS", "eu-central-1")
        );
        assert_eq!(text("/cloud/account/uid"), ACCOUNT);
        assert_eq!(text("/resources/0/uid"), "wsi-0123456789");
        assert!(!text("/api/request/uid").is_empty() && !text("/unmapped/leaf_hash").is_empty());
    }
    assert_eq!(
        (&events[0]["activity_id"], &events[0]["api"]["operation"]),
        (&1.into(), &"GrantSharePermission".into())
    );
    assert_eq!(
        (&events[0]["status_id"], &events[0]["status"]),
        (&99.into(), &"change.requested".into())
    );
    assert_eq!(
        (
            &events[0]["metadata"]["event_code"],
            &events[0]["metadata"]["correlation_uid"]
        ),
        (
            &"change.requested".into(),
            &"00000000-0000-0000-0000-000000000001".into()
        )
    );
    assert_eq!(
        (&events[1]["activity_id"], &events[1]["api"]["operation"]),
        (&4.into(), &"RevokeSharePermission".into())
    );
    assert_eq!(
        (&events[1]["status_id"], &events[1]["status_detail"]),
        (&2.into(), &"UPSTREAM_ACCESS_DENIED".into())
    );
    assert_eq!(
        (&events[1]["status"], &events[1]["metadata"]["event_code"]),
        (&"Failure".into(), &"change.failed".into())
    );
    assert_eq!(
        events[1]["api"]["response"],
        serde_json::json!({ "error": "AccessDeniedException", "error_message": "no" })
    );
    assert_eq!(
        (
            &events[2]["status_id"],
            &events[2]["status_detail"],
            &events[2]["unmapped"]["denied_by"]
        ),
        (&2.into(), &"POLICY_DENIED".into(), &"accounts.share_with".into())
    );
    assert_eq!(events[2]["metadata"].get("correlation_uid"), None);
}

#[tokio::test]
async fn cloudevents_have_the_attributes_of_1_0_and_the_canonical_text_as_data() {
    let ledger = Ledger::of(3);
    let events = exported_as(&ledger, "cloudevents").await;
    for (index, line) in events.lines().enumerate() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], format!("{ACCOUNT}/{index}"));
        assert_eq!(event["source"], format!("//{NAME}/{ACCOUNT}"));
        assert_eq!(event["type"], "sharewarden.change.requested.v1");
        assert_eq!(event["subject"], "eu-central-1/wsi-0123456789/999999999999");
        assert_eq!(event["time"], format!("2026-01-02T03:04:{:02}.250000Z", 5 + index));
        assert_eq!(event["datacontenttype"], "application/json");
        assert!(
            line.ends_with(&format!(",\"data\":{}}}", ledger.lines[index])),
            "{line}"
        );
    }
    assert_eq!(events.lines().count(), 3);
}
