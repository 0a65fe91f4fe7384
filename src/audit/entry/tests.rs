use std::sync::Arc;

use super::*;
use crate::domain::{ChangeBody, Entry, EntryBody, EntryColumns, Timestamp, entry::encode, example};

/// The entry of account 000011112222 with this index.
pub(in crate::audit) fn stored(log_index: u64) -> StoredEntry<'static> {
    let recorded_at = Timestamp::parse("2026-11-22T07:05:00.5Z").unwrap();
    let body = EntryBody::ChangeRequested(ChangeBody {
        intent: Arc::new(example::intent()),
        generation: Some(1),
        previous: None,
        previous_basis: None,
        attempts: vec![],
        failure: None,
        denied_by: None,
    });
    let entry: &'static Entry = Box::leak(Box::new(Entry {
        account: "000011112222".parse().unwrap(),
        log_index,
        recorded_at,
        body,
    }));
    let text = encode(entry, "0.1.0").unwrap();
    StoredEntry {
        account: entry.account,
        log_index,
        recorded_at,
        leaf_hash: leaf_hash(text.as_bytes()),
        text: text.into(),
        columns: entry.columns(),
    }
}

fn is_tampered(stored: StoredEntry) -> bool {
    let place = (stored.account, stored.log_index);
    match AuditEntry::check(stored) {
        Err(Error::Tampered { account, log_index }) => (account, log_index) == place,
        _ => false,
    }
}

#[test]
fn an_entry_verifies_only_with_its_own_hash_account_index_and_time() {
    let whole = AuditEntry::check(stored(7)).unwrap();
    assert_eq!((whole.account().as_str(), whole.log_index()), ("000011112222", 7));
    let mut other_text = stored(7);
    other_text.text = other_text.text.replace("a test", "a lie").into();
    let mut other_hash = stored(7);
    other_hash.leaf_hash[31] ^= 1;
    let mut other_account = stored(7);
    other_account.account = "999999999999".parse().unwrap();
    let mut other_index = stored(7);
    other_index.log_index = 8;
    let mut other_time = stored(7);
    other_time.recorded_at = Timestamp::parse("2026-11-22T07:05:00.6Z").unwrap();
    for (name, other) in [
        ("text", other_text),
        ("hash", other_hash),
        ("account", other_account),
        ("index", other_index),
        ("time", other_time),
    ] {
        assert!(is_tampered(other), "{name}");
    }
}

#[test]
fn a_text_that_is_not_an_entry_is_refused_even_with_the_right_hash() {
    let text = "{}".to_owned();
    let leaf_hash = leaf_hash(text.as_bytes());
    assert!(is_tampered(StoredEntry {
        text: text.into(),
        leaf_hash,
        ..stored(0)
    }));
}

/// The same entry as a newer build would have recorded it.
fn of_a_newer_build(change: impl FnOnce(&str) -> String) -> StoredEntry<'static> {
    let stored = stored(7);
    let text = change(&stored.text);
    StoredEntry {
        leaf_hash: leaf_hash(text.as_bytes()),
        text: text.into(),
        ..stored
    }
}

#[test]
fn an_entry_of_a_newer_build_verifies_only_if_its_columns_match_its_text() {
    let with_kind = |kind: &'static str| {
        let mut stored = of_a_newer_build(|text| text.replace("change.requested", kind));
        stored.columns.kind = kind.into();
        stored
    };
    for whole in [
        with_kind("test.invented"),
        of_a_newer_build(|text| text.replace("\"schema\":1", "\"schema\":2")),
        of_a_newer_build(|text| text.replace("\"body\":{", "\"body\":{\"a_new_member\":{},")),
    ] {
        assert_eq!(AuditEntry::check(whole).unwrap().log_index(), 7);
    }
    let mut other_cause = of_a_newer_build(|text| text.replace("CALLER", "EXPIRY"));
    assert!(is_tampered(other_cause.clone()), "the text has another cause");
    other_cause.columns.cause = Some("EXPIRY".into());
    assert!(AuditEntry::check(other_cause).is_ok());

    let changes: [fn(&mut EntryColumns<'static>); 4] = [
        |columns| columns.kind = "change.requested".into(),
        |columns| columns.principal = None,
        |columns| columns.region = Some("us-east-1".into()),
        |columns| columns.error_reason = Some("IMAGE_NOT_FOUND".into()),
    ];
    for change in changes {
        let mut stored = with_kind("test.invented");
        change(&mut stored.columns);
        assert!(is_tampered(stored.clone()), "{:?}", stored.columns);
    }
}
