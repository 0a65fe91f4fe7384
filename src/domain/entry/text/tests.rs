use std::{sync::Arc, time::Duration};

use super::*;
use crate::domain::*;

#[test]
fn an_entry_is_written_with_sorted_members_and_without_members_that_do_not_apply() {
    let mut intent = example::intent();
    intent.justification.reason = "say \"é\"\n".parse().unwrap();
    let body = ChangeBody {
        intent: Arc::new(intent),
        generation: Some(3),
        previous: Some(Access::NotShared),
        previous_basis: None,
        attempts: vec![Attempt {
            operation: AwsOperation::UpdateWorkspaceImagePermission,
            started_at: Timestamp::parse("2026-11-22T07:04:59Z").unwrap(),
            duration: Duration::from_millis(12),
            classification: Classification::Refused,
            aws_request_id: Some("id".into()),
            error_code: Some("ResourceNotFoundException".into()),
        }],
        failure: Some(ChangeFailure {
            reason: FailureReason::ImageNotFound,
            code: None,
            message: Some("gone".into()),
        }),
        denied_by: None,
    };
    let entry = Entry {
        account: "000011112222".parse().unwrap(),
        log_index: 7,
        recorded_at: Timestamp::parse("2026-11-22T07:05:00.5Z").unwrap(),
        body: EntryBody::ChangeFailed(body),
    };
    assert_eq!(
        encode(&entry, "0.1.0").unwrap(),
        concat!(
            r#"{"account_id":"000011112222","body":{"action":"GRANT","attempts":[{"aws_request_id":"id","#,
            r#""classification":"REFUSED","duration_us":12000,"error_code":"ResourceNotFoundException","#,
            r#""operation":"UpdateWorkspaceImagePermission","started_at":"2026-11-22T07:04:59.000000Z"}],"#,
            r#""authentication":{"claims":[{"name":"groups","values":["platform"]},{"name":"team","values":[]}],"#,
            r#""credentials":["TRUSTED_HEADER"]},"aws_request_id":"id","#,
            r#""cause":"CALLER","change_id":"00000000-0000-0000-0000-000000000001","#,
            r#""decision":{"decided_at":"2026-11-22T07:04:59.123456Z","facts":{"expire_time":"2026-12-31T23:00:00.000000Z","image":{"created_at":"2026-11-01T00:00:00.000000Z","#,
            r#""name":"Base 11","operating_system":"WINDOWS","required_tenancy":"DEFAULT","state":"AVAILABLE"},"#,
            r#""tags":[{"key":"release","value":"approved"}]},"policies":["pipelines-share"],"#,
            r#""policy_set":"73300871f44c168e7c949de2c750e60c2c9bb8ff530017c5a267234e9cb4db8e"},"error_message":"gone","#,
            r#""error_reason":"IMAGE_NOT_FOUND","generation":3,"image_id":"wsi-123456789","previous":"NOT_SHARED","#,
            r#""principal":"build","reason":"say \"é\"\n","region":"eu-central-1","#,
            r#""request_id":"00000000-0000-0000-0000-000000000002","shared_account_id":"210987654321"},"kind":"change.failed","#,
            r#""log_index":7,"recorded_at":"2026-11-22T07:05:00.500000Z","schema":1,"server_version":"0.1.0"}"#
        )
    );
}

#[test]
fn a_confirmation_is_written_with_sorted_members_and_read_back() {
    let reason = "compared with the export of yesterday".parse().unwrap();
    let justification = Justification::new(reason, Some("OPS-7".parse().unwrap()));
    let entry = Entry {
        account: "000011112222".parse().unwrap(),
        log_index: 3,
        recorded_at: Timestamp::parse("2026-11-22T07:05:00.5Z").unwrap(),
        body: EntryBody::CheckpointConfirmed(ConfirmationBody {
            operator: "ann@example.com".parse().unwrap(),
            justification,
            root: [0xab; 32],
            tree_size: 3,
        }),
    };
    let text = encode(&entry, "0.1.0").unwrap();
    let root = "ab".repeat(32);
    let body = format!(
        r#"{{"operator":"ann@example.com","reason":"compared with the export of yesterday","root_hash":"{root}","ticket":"OPS-7","tree_size":3}}"#
    );
    assert!(
        text.contains(&format!(r#""body":{body},"kind":"checkpoint.confirmed""#)),
        "{text}"
    );
    assert_eq!(decode(&text).unwrap().entry, entry);
    // A hash in another form is another text, which this build never writes.
    let other = text.replace(&root, &root.to_uppercase());
    assert!(matches!(decode(&other).unwrap().entry.body, EntryBody::Unknown(_)));
}

/// Lines of every kind, as builds have recorded them. Lines may be added at the end.
const RECORDED: &str = include_str!("recorded.jsonl");

#[test]
fn a_line_that_any_build_recorded_is_known_and_written_back_byte_for_byte() {
    for line in RECORDED.lines() {
        let RecordedEntry { entry, server_version } = decode(line).unwrap();
        assert!(!matches!(entry.body, EntryBody::Unknown(_)), "unknown: {line}");
        assert_eq!(encode(&entry, &server_version).unwrap(), line);
    }
    for kind in EntryKind::ALL {
        let members = format!(r#""kind":"{}","#, kind.name());
        let schema = format!(r#""schema":{},"#, kind.schema());
        let has_both = |line: &str| line.contains(&members) && line.contains(&schema);
        assert!(
            RECORDED.lines().any(has_both),
            "no line of {}, schema {}",
            kind.name(),
            kind.schema()
        );
    }
    let values = FailureReason::ALL.iter().map(|reason| reason.as_str());
    for value in values.chain(Classification::ALL.iter().map(|class| class.as_str())) {
        assert!(RECORDED.contains(&format!(":\"{value}\"")), "no line with {value}");
    }
    let drift = DriftDifference::ALL.iter().map(|difference| difference.as_str());
    for value in drift.chain(DriftResolution::ALL.iter().map(|resolution| resolution.as_str())) {
        assert!(RECORDED.contains(&format!(":\"{value}\"")), "no line with {value}");
    }
    for kind in CredentialKind::ALL {
        let name = format!("\"{}\"", kind.as_str());
        assert!(RECORDED.contains(&name), "no line with the credentials {name}");
    }
}
