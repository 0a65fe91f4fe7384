//! Any entry is written as RFC 8785 asks for and read back as it was written, and any text as it was read.

use std::{sync::Arc, time::Duration};

use proptest::{collection::vec, option, prelude::*, sample::select};
use uuid::Uuid;

use super::*;
use crate::domain::*;

/// Whole numbers that JSON has everywhere.
const MAX: u64 = (1 << 53) - 1;

fn time() -> impl Strategy<Value = Timestamp> {
    let start = Timestamp::parse("1970-01-01T00:00:00Z").unwrap();
    (0..4_000_000_000_000_000_u64).prop_map(move |micros| start + Duration::from_micros(micros))
}

fn parsed<T: std::str::FromStr<Err = Invalid> + std::fmt::Debug>(pattern: &'static str) -> impl Strategy<Value = T> {
    pattern.prop_filter_map("breaks its rule", |text| text.parse().ok())
}

fn intent() -> impl Strategy<Value = Intent> {
    (
        (any::<u128>(), any::<u128>()),
        (
            parsed("[0-9]{12}"),
            parsed("[-0-9a-z]{1,31}"),
            parsed("wsi-[0-9a-z]{9,20}"),
            parsed("[0-9]{12}"),
        ),
        (select(Action::ALL), select(Cause::ALL)),
        (
            parsed("[!-~]{1,40}"),
            parsed("(\\PC|[\n\t\"\\\\]){1,60}"),
            option::of(parsed("\\PC{1,30}")),
            option::of(parsed("[0-9a-f]{32}")),
        ),
    )
        .prop_map(
            |((change, request), (account, region, image, shared_account), (action, cause), texts)| Intent {
                change_id: ChangeId(Uuid::from_u128(change)),
                request_id: RequestId(Uuid::from_u128(request)),
                key: PermissionKey {
                    account,
                    region,
                    image,
                    shared_account,
                },
                action,
                cause,
                principal: texts.0,
                reason: texts.1,
                ticket: texts.2,
                trace_id: texts.3,
            },
        )
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (
        select(Operation::ALL),
        time(),
        0..=MAX,
        select(Classification::ALL),
        option::of(".{0,20}"),
        option::of(".{0,20}"),
    )
        .prop_map(
            |(operation, started_at, micros, classification, aws_request_id, error_code)| Attempt {
                operation,
                started_at,
                duration: Duration::from_micros(micros),
                classification,
                aws_request_id,
                error_code,
            },
        )
}

fn failure() -> impl Strategy<Value = Failure> {
    let texts = (option::of(".{0,20}"), option::of(".{0,20}"));
    (select(FailureReason::ALL), texts).prop_map(|(reason, (code, message))| Failure { reason, code, message })
}

fn entry() -> impl Strategy<Value = Entry> {
    (
        (0..=MAX, time(), select(Stage::ALL)),
        intent(),
        (
            option::of(1..=MAX),
            option::of(select(&[Access::Shared, Access::NotShared][..])),
        ),
        (vec(attempt(), 0..3), option::of(failure()), option::of(".{0,20}")),
    )
        .prop_map(
            |((log_index, recorded_at, stage), mut intent, (generation, previous), (attempts, failure, denied_by))| {
                if generation.is_none() {
                    intent.change_id = ChangeId(Uuid::nil()); // is not written
                }
                Entry {
                    log_index,
                    recorded_at,
                    stage,
                    intent: Arc::new(intent),
                    generation,
                    previous,
                    attempts,
                    failure,
                    denied_by,
                }
            },
        )
}

proptest! {
    #[test]
    fn an_entry_is_written_as_a_canonicalizer_writes_it(entry in entry(), version in "[0-9a-z.+-]{1,20}") {
        let text = encode(&entry, &version).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap(), text);
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_written(entry in entry(), version in "[0-9a-z.+-]{1,20}") {
        let text = encode(&entry, &version).unwrap();
        let recorded = decode(&text).unwrap();
        prop_assert_eq!(encode(&recorded.entry, &recorded.server_version).unwrap(), text);
        prop_assert_eq!(recorded, Recorded { entry, server_version: version });
    }

    #[test]
    fn a_text_with_a_member_too_many_or_too_few_is_refused(entry in entry(), at in any::<prop::sample::Index>()) {
        let text = encode(&entry, "0.1.0").unwrap();
        let more = text.replacen('{', r#"{"a":1,"#, 1);
        prop_assert!(decode(&more).is_err());
        let members = ["account_id", "log_index", "recorded_at", "stage", "action", "cause", "request_id", "principal", "reason",
            "region", "image_id", "shared_account_id", "server_version"];
        let member = format!("\"{}\":", members[at.index(members.len())]);
        prop_assert!(decode(&text.replacen(&member, "\"other\":", 1)).is_err());
    }
}

#[test]
fn a_value_that_has_another_text_is_refused() {
    let good = concat!(
        r#"{"account_id":"000011112222","action":"GRANT","cause":"CALLER","change_id":"00000000-0000-0000-0000-00000000000a","#,
        r#""generation":3,"image_id":"wsi-123456789","log_index":7,"principal":"build","reason":"why","#,
        r#""recorded_at":"2026-11-22T07:05:00.500000Z","region":"eu-central-1","request_id":"00000000-0000-0000-0000-000000000002","#,
        r#""server_version":"0.1.0","shared_account_id":"210987654321","stage":"REQUESTED"}"#
    );
    assert!(decode(good).is_ok());
    for (old, new) in [
        ("00000000000a", "00000000000A"),
        (".500000Z", ".5Z"),
        (".500000Z", ".500000+00:00"),
        ("07:05:00.5", "07:05:60.5"),
        ("GRANT", "grant"),
        ("\"generation\":3,", ""),
        ("\"generation\":3,", "\"generation\":-3,"),
        ("wsi-", ""),
        ("000011112222", "11112222"),
        (r#""why""#, r#""""#),
    ] {
        assert!(decode(&good.replace(old, new)).is_err(), "{new}");
    }
    assert!(decode("").is_err() && decode("[]").is_err() && decode(&good.repeat(2)).is_err());
}
