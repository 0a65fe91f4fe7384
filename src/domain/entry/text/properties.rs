//! Property tests: every entry is written as RFC 8785 requires, and a text that is read and written again is unchanged.

use std::{sync::Arc, time::Duration};

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};
use uuid::Uuid;

use super::*;
use crate::domain::{
    decision::{Facts, ImageAttributes},
    *,
};

/// The largest integer that every JSON reader represents exactly.
const MAX: u64 = (1 << 53) - 1;

fn time() -> impl Strategy<Value = Timestamp> {
    let start = Timestamp::parse("1970-01-01T00:00:00Z").unwrap();
    (0..4_000_000_000_000_000_u64).prop_map(move |micros| start + Duration::from_micros(micros))
}

fn parsed<T: std::str::FromStr<Err = Invalid> + std::fmt::Debug>(pattern: &'static str) -> impl Strategy<Value = T> {
    pattern.prop_filter_map("does not follow its rule", |text| text.parse().ok())
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
            justification::tests::any(),
            option::of(parsed("[0-9a-f]{32}")),
            option::of(authentication()),
            option::of(decision()),
            option::of(time()),
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
                justification: texts.1,
                trace_id: texts.2,
                authentication: texts.3,
                decision: texts.4,
                end: texts.5.map(ShareEnd::At),
            },
        )
}

fn authentication() -> impl Strategy<Value = Authentication> {
    let credentials = vec(select(CredentialKind::ALL), 1..4);
    (claims(), credentials).prop_map(|(claims, credentials)| Authentication { claims, credentials })
}

fn claims() -> impl Strategy<Value = Claims> {
    let values = vec(".{0,20}", 0..3).prop_map(Claim::of);
    btree_map(".{0,20}", values, 0..3).prop_map(|claims| {
        let names = claims.keys().cloned().collect();
        Claims::all(claims).only(&names)
    })
}

fn decision() -> impl Strategy<Value = Decision> {
    let text = || option::of(".{0,20}");
    let image = (option::of(time()), ".{0,20}", ".{0,20}", ".{0,20}", ".{0,20}").prop_map(|texts| ImageAttributes {
        created_at: texts.0,
        name: texts.1,
        operating_system: texts.2,
        required_tenancy: texts.3,
        state: texts.4,
    });
    let tags = option::of(btree_map(".{0,20}", ".{0,20}", 0..3));
    let facts = (option::of(time()), option::of(image), tags, text());
    let facts = facts.prop_map(|(expire_time, image, tags, unknown)| Facts {
        expire_time,
        image,
        tags,
        unknown,
    });
    let ids = vec("[a-z.-]{1,9}".prop_map(PolicyId::from), 0..3);
    (time(), facts, ids, ".{0,9}").prop_map(|(decided_at, facts, policies, text)| Decision {
        decided_at,
        facts,
        policies,
        policy_set: PolicyDigest::of(&text),
    })
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (
        select(AwsOperation::ALL),
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

fn failure() -> impl Strategy<Value = ChangeFailure> {
    let texts = (option::of(".{0,20}"), option::of(".{0,20}"));
    (select(FailureReason::ALL), texts).prop_map(|(reason, (code, message))| ChangeFailure { reason, code, message })
}

type MakeBody = fn(ChangeBody) -> EntryBody;

/// An entry of a known kind.
fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![6 => change_entry(), 1 => denials_entry(), 1 => drift_entry(), 1 => observed_entry(), 1 => baseline_entry()]
}

fn drift_entry() -> impl Strategy<Value = Entry> {
    let resolved = (
        0..=MAX,
        select(DriftResolution::ALL),
        option::of(any::<u128>()),
        any::<bool>(),
    );
    let body = (
        select(DriftDifference::ALL),
        time(),
        time(),
        any::<u128>(),
        option::of(resolved),
    );
    (intent(), 0..=MAX, time(), body).prop_map(
        |(intent, log_index, recorded_at, (difference, first_seen_at, seen_at, scan, resolved))| {
            let (key, scan_id) = (intent.key, ScanId(Uuid::from_u128(scan)));
            let account = key.account;
            let body = match resolved {
                None => EntryBody::DriftFound(DriftFoundBody {
                    key,
                    difference,
                    first_seen_at,
                    seen_at,
                    scan_id,
                }),
                Some((found_index, resolution, change, is_seen)) => EntryBody::DriftResolved(DriftResolvedBody {
                    key,
                    difference,
                    found_index,
                    resolution,
                    change_id: change.map(|id| ChangeId(Uuid::from_u128(id))),
                    seen: is_seen.then_some((scan_id, seen_at)),
                }),
            };
            Entry {
                account,
                log_index,
                recorded_at,
                body,
            }
        },
    )
}

fn baseline_entry() -> impl Strategy<Value = Entry> {
    (intent(), 0..=MAX, time(), any::<bool>()).prop_map(|(intent, log_index, recorded_at, is_confirmed)| Entry {
        account: intent.key.account,
        log_index,
        recorded_at,
        body: EntryBody::DriftBaseline(DriftBaselineBody {
            is_confirmed,
            principal: intent.principal,
            justification: intent.justification,
        }),
    })
}

fn observed_entry() -> impl Strategy<Value = Entry> {
    let text = || option::of(".{0,20}");
    let event = (any::<u128>(), time(), any::<bool>(), text(), text(), text());
    (intent(), 0..=MAX, time(), event).prop_map(
        |(intent, log_index, recorded_at, (id, at, is_shared, principal_arn, source_ip, user_agent))| Entry {
            account: intent.key.account,
            log_index,
            recorded_at,
            body: EntryBody::DriftObserved(DriftObservedBody(SharingEvent {
                id: EventId(Uuid::from_u128(id)),
                at,
                key: intent.key,
                access: if is_shared { Access::Shared } else { Access::NotShared },
                principal_arn,
                source_ip,
                user_agent,
            })),
        },
    )
}

fn denials_entry() -> impl Strategy<Value = Entry> {
    let body = (1..=MAX, ".{0,20}", time(), time(), option::of(parsed("[!-~]{1,40}")));
    (parsed("[0-9]{12}"), 0..=MAX, time(), body).prop_map(
        |(account, log_index, recorded_at, (count, denied_by, first_at, last_at, principal))| Entry {
            account,
            log_index,
            recorded_at,
            body: EntryBody::ChangeDenials(DenialsBody {
                count,
                denied_by,
                first_at,
                last_at,
                principal,
            }),
        },
    )
}

fn basis() -> impl Strategy<Value = Basis> {
    (any::<u128>(), option::of(time())).prop_map(|(id, expire_time)| Basis {
        change_id: ChangeId(Uuid::from_u128(id)),
        expire_time,
    })
}

/// An entry with the body of a change.
fn change_entry() -> impl Strategy<Value = Entry> {
    let kinds: &[MakeBody] = &[
        EntryBody::ChangeRequested,
        EntryBody::ChangeDenied,
        EntryBody::ChangeSucceeded,
        EntryBody::ChangeFailed,
        EntryBody::ChangeSuperseded,
        EntryBody::ChangeJoined,
    ];
    (
        (0..=MAX, time(), select(kinds)),
        intent(),
        (
            option::of(1..=MAX),
            option::of(select(&[Access::Shared, Access::NotShared][..])),
            option::of(basis()),
        ),
        (vec(attempt(), 0..3), option::of(failure()), option::of(".{0,20}")),
    )
        .prop_map(
            |(
                (log_index, recorded_at, make),
                mut intent,
                (generation, previous, previous_basis),
                (attempts, failure, denied_by),
            )| {
                if generation.is_none() {
                    intent.change_id = ChangeId(Uuid::nil()); // not written for a refusal
                }
                Entry {
                    account: intent.key.account,
                    log_index,
                    recorded_at,
                    body: make(ChangeBody {
                        intent: Arc::new(intent),
                        generation,
                        previous,
                        previous_basis,
                        attempts,
                        failure,
                        denied_by,
                    }),
                }
            },
        )
}

/// The same text with an unknown kind.
fn of_an_unknown_kind(text: &str, kind: &str) -> String {
    text.replacen(&format!("\"kind\":\"{kind}\""), "\"kind\":\"test.invented\"", 1)
}

proptest! {
    #[test]
    fn an_entry_is_written_in_canonical_form(entry in entry(), version in "[0-9a-z.+-]{1,20}") {
        let text = encode(&entry, &version).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap(), text);
    }

    #[test]
    fn an_entry_is_read_back_unchanged(entry in entry(), version in "[0-9a-z.+-]{1,20}") {
        let text = encode(&entry, &version).unwrap();
        let recorded = decode(&text).unwrap();
        prop_assert_eq!(encode(&recorded.entry, &recorded.server_version).unwrap(), &text[..]);
        prop_assert_eq!(EntryColumns::of_text(&text), Some(entry.columns()));
        prop_assert_eq!(recorded, RecordedEntry { entry, server_version: version });
    }

    #[test]
    fn an_entry_of_an_unknown_kind_or_schema_keeps_its_text_and_its_columns(entry in entry(), version in "[0-9a-z.+-]{1,20}") {
        let text = encode(&entry, &version).unwrap();
        let newer = text.replacen("\"schema\":1,", "\"schema\":2,", 1);
        for text in [of_an_unknown_kind(&text, entry.body.kind_name()), newer] {
            let read = decode(&text).unwrap();
            prop_assert!(matches!(read.entry.body, EntryBody::Unknown(_)));
            prop_assert_eq!(encode(&read.entry, &version).unwrap(), &text[..]);
            prop_assert_eq!(EntryColumns::of_text(&text), Some(read.entry.columns()));
            let columns = EntryColumns { kind: entry.body.kind_name().into(), ..read.entry.columns() };
            prop_assert_eq!(columns, entry.columns());
        }
    }

    #[test]
    fn a_member_that_a_newer_build_added_to_the_body_is_ignored(entry in entry()) {
        let text = encode(&entry, "0.1.0").unwrap();
        let more = text.replacen("\"body\":{", "\"body\":{\"a_new_member\":{\"x\":[1]},", 1);
        prop_assert_eq!(decode(&more).unwrap().entry, entry);
    }

    #[test]
    fn a_text_with_an_extra_a_missing_or_a_repeated_top_member_is_refused(entry in entry(), at in any::<prop::sample::Index>()) {
        let text = encode(&entry, "0.1.0").unwrap();
        let more = text.replacen('{', r#"{"a":1,"#, 1);
        prop_assert!(decode(&more).is_err());
        let members = ["account_id", "body", "kind", "log_index", "recorded_at", "schema", "server_version"];
        let member = format!("\"{}\":", members[at.index(members.len())]);
        prop_assert!(decode(&text.replacen(&member, "\"other\":", 1)).is_err());
        let twice = text.replacen(&member, &format!("{member}0,{member}"), 1);
        prop_assert!(decode(&twice).is_err());
    }
}

const GOOD: &str = concat!(
    r#"{"account_id":"000011112222","body":{"action":"GRANT","cause":"CALLER","change_id":"00000000-0000-0000-0000-00000000000a","#,
    r#""generation":3,"image_id":"wsi-123456789","principal":"build","reason":"why","region":"eu-central-1","#,
    r#""request_id":"00000000-0000-0000-0000-000000000002","shared_account_id":"210987654321"},"kind":"change.requested","#,
    r#""log_index":7,"recorded_at":"2026-11-22T07:05:00.500000Z","schema":1,"server_version":"0.1.0"}"#
);

#[test]
fn an_invalid_value_of_a_top_member_is_refused() {
    assert!(decode(GOOD).is_ok());
    for (old, new) in [
        (".500000Z", ".5Z"),
        (".500000Z", ".500000+00:00"),
        ("07:05:00.5", "07:05:60.5"),
        ("000011112222", "11112222"),
        ("\"change.requested\"", "\"Change.requested\""),
        ("\"change.requested\"", "\"requested\""),
        ("\"schema\":1", "\"schema\":0"),
        ("\"schema\":1", "\"schema\":\"1\""),
        ("\"log_index\":7", "\"log_index\":-7"),
    ] {
        assert!(decode(&GOOD.replace(old, new)).is_err(), "{new}");
    }
    let array = GOOD
        .replace("\"body\":{", "\"body\":[{")
        .replace("},\"kind\"", "}],\"kind\"");
    assert!(decode(&array).is_err());
    assert!(decode("").is_err() && decode("[]").is_err() && decode(&GOOD.repeat(2)).is_err());
}

#[test]
fn counted_denials_with_a_value_that_this_build_never_writes_are_an_unknown_body() {
    let good = concat!(
        r#"{"account_id":"000011112222","body":{"count":3,"denied_by":"a rule","first_at":"2026-11-22T07:00:00.000000Z","#,
        r#""last_at":"2026-11-22T07:04:00.000000Z","principal":"build"},"kind":"change.denials","#,
        r#""log_index":7,"recorded_at":"2026-11-22T07:05:00.500000Z","schema":1,"server_version":"0.1.0"}"#
    );
    let read = decode(good).unwrap();
    assert!(matches!(read.entry.body, EntryBody::ChangeDenials(_)));
    assert_eq!(encode(&read.entry, "0.1.0").unwrap(), good);
    for (old, new) in [
        ("\"count\":3", "\"count\":0"),
        ("\"count\":3", "\"count\":-3"),
        ("07:04:00.000000Z", "07:04:00Z"),
        ("\"build\"", "\"a space\""),
        ("\"denied_by\":\"a rule\",", ""),
    ] {
        let read = decode(&good.replace(old, new)).unwrap();
        assert!(matches!(read.entry.body, EntryBody::Unknown(_)), "{new}");
    }
}

#[test]
fn a_body_with_a_value_that_this_build_never_writes_is_an_unknown_body() {
    assert!(decode(GOOD).unwrap().entry.body.change().is_some());
    for (old, new) in [
        ("00000000000a", "00000000000A"),
        ("GRANT", "LEND"),
        ("CALLER", "LENDING"),
        (
            "\"principal\"",
            "\"previous_basis\":{\"change_id\":\"A\"},\"principal\"",
        ),
        ("\"generation\"", "\"expire_time\":\"2026-12-31\",\"generation\""),
        ("\"generation\":3,", ""),
        ("\"generation\":3,", "\"generation\":-3,"),
        ("wsi-", ""),
        (r#""why""#, r#""""#),
        ("\"cause\"", "\"aws_request_id\":\"id\",\"cause\""),
        ("\"generation\"", "\"error_code\":\"Code\",\"generation\""),
    ] {
        let read = decode(&GOOD.replace(old, new)).unwrap();
        assert!(matches!(read.entry.body, EntryBody::Unknown(_)), "{new}");
        assert_eq!(read.entry.columns().region.as_deref(), Some("eu-central-1"));
    }
}
