//! Listing entries, and getting single ones.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use sharewarden::domain::EntryKind;
use sharewarden::proto::v1::{
    Action, AuditEntry, AuditEntryFilter, AuditEntryOrder, Cause, GetAuditEntryRequest, ListAuditEntriesRequest,
    audit_entry::Body,
};
use sharewarden_testkit::stack::*;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::Code;

use crate::auditor::*;

/// A name, a filter, and the condition of the entries that it must return.
type Case = (&'static str, AuditEntryFilter, Box<dyn Fn(&AuditEntry) -> bool>);

#[tokio::test]
async fn every_filter_returns_exactly_the_matching_entries() {
    let stack = stack_with_history().await;
    let mut auditor = auditor(&stack).await;
    let entries = all(&mut auditor, AuditEntryFilter::default()).await;
    let kinds: BTreeSet<_> = entries.iter().map(|entry| entry.kind.as_str()).collect();
    let every_kind = EntryKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(kinds, every_kind, "{entries:#?}");
    for (name, filter, matches) in cases(&entries) {
        let expected: Vec<_> = entries.iter().filter(|entry| matches(entry)).map(position).collect();
        let found: Vec<_> = all(&mut auditor, filter).await.iter().map(position).collect();
        assert_eq!(found, expected, "{name}");
        assert!(name == "nothing" || !found.is_empty(), "{name}");
        assert!(found.len() < entries.len(), "{name}");
    }
    stack.end().await;
}

fn cases(entries: &[AuditEntry]) -> Vec<Case> {
    let with = AuditEntryFilter::default;
    let middle = entries.iter().find(|entry| entry.kind == "change.failed").unwrap();
    let (change_id, request) = (change(middle).change_id.clone(), change(middle).request_id.clone());
    let time = middle.record_time;
    let called = entries
        .iter()
        .filter_map(|entry| change(entry).attempts.last().cloned());
    let aws = called.map(|attempt| attempt.aws_request_id).find(|id| !id.is_empty());
    let aws = aws.unwrap();
    let moment = move |entry: &AuditEntry| entry.record_time.map(|time| (time.seconds, time.nanos));
    let middle_moment = moment(middle);
    let mut cases: Vec<Case> = Vec::new();
    let mut case = |name, filter, matches: Box<dyn Fn(&AuditEntry) -> bool>| cases.push((name, filter, matches));
    let account = AuditEntryFilter {
        account_ids: vec![OTHER_ACCOUNT.into(), "999999999999".into()],
        ..with()
    };
    case("accounts", account, Box::new(|entry| entry.account_id == OTHER_ACCOUNT));
    let region = AuditEntryFilter {
        regions: vec!["us-east-1".into()],
        ..with()
    };
    case("regions", region, Box::new(|entry| change(entry).region == "us-east-1"));
    let image = AuditEntryFilter {
        image_id: IMAGE.into(),
        ..with()
    };
    case("image", image, Box::new(|entry| change(entry).image_id == IMAGE));
    let shared = AuditEntryFilter {
        shared_account_id: OTHER_RECIPIENT.into(),
        ..with()
    };
    case(
        "shared account",
        shared,
        Box::new(|entry| change(entry).shared_account_id == OTHER_RECIPIENT),
    );
    let principal = AuditEntryFilter {
        principals: vec!["pipeline".into()],
        ..with()
    };
    case(
        "principals",
        principal,
        Box::new(|entry| change(entry).principal == "pipeline"),
    );
    let action = AuditEntryFilter {
        actions: vec![Action::Revoke.into()],
        ..with()
    };
    case(
        "actions",
        action,
        Box::new(|entry| change(entry).action() == Action::Revoke),
    );
    let kinds = AuditEntryFilter {
        kinds: vec!["change.denied".into(), "test.invented".into(), "change.failed".into()],
        ..with()
    };
    case(
        "kinds",
        kinds,
        Box::new(|entry| ["change.denied", "change.failed"].contains(&entry.kind.as_str())),
    );
    let change_filter = AuditEntryFilter {
        change_id: change_id.clone(),
        ..with()
    };
    case(
        "change",
        change_filter,
        Box::new(move |entry| change(entry).change_id == change_id),
    );
    let request_filter = AuditEntryFilter {
        request_id: request.clone(),
        ..with()
    };
    case(
        "request",
        request_filter,
        Box::new(move |entry| change(entry).request_id == request),
    );
    let aws_filter = AuditEntryFilter {
        aws_request_id: aws.clone(),
        ..with()
    };
    case(
        "AWS request",
        aws_filter,
        Box::new(move |entry| {
            let change = change(entry);
            change.attempts.last().is_some_and(|call| call.aws_request_id == aws)
        }),
    );
    let since = AuditEntryFilter {
        start_time: time,
        ..with()
    };
    case("since", since, Box::new(move |entry| moment(entry) >= middle_moment));
    let until = AuditEntryFilter {
        end_time: time,
        ..with()
    };
    case("until", until, Box::new(move |entry| moment(entry) < middle_moment));
    let reason = AuditEntryFilter {
        text: "oF zOë".into(),
        ..with()
    };
    case(
        "text of the reason",
        reason,
        Box::new(|entry| change(entry).reason.contains("of Zoë")),
    );
    let ticket = AuditEntryFilter {
        text: "chg-0".into(),
        ..with()
    };
    case(
        "text of the ticket",
        ticket,
        Box::new(|entry| change(entry).ticket == "CHG-0042"),
    );
    let both = AuditEntryFilter {
        account_ids: vec![ACCOUNT.into()],
        kinds: vec!["change.succeeded".into(), "change.succeeded".into()],
        causes: vec![Cause::Caller.into(), Cause::Caller.into()],
        principals: vec!["pipeline".into(), "nobody".into()],
        ..with()
    };
    case(
        "several at once",
        both,
        Box::new(|entry| entry.kind == "change.succeeded" && change(entry).principal == "pipeline"),
    );
    let none = AuditEntryFilter {
        text: "100%_nothing\\".into(),
        ..with()
    };
    case("nothing", none, Box::new(|_| false));
    let unknown = AuditEntryFilter {
        kinds: vec!["test.invented".into()],
        ..with()
    };
    case("nothing", unknown, Box::new(|_| false));
    cases
}

#[tokio::test]
async fn paging_returns_each_entry_once_while_entries_are_added() {
    let stack = Stack::start().await;
    grant_to_many(&stack, 0..12).await;
    let mut auditor = auditor(&stack).await;
    let mut added = 100;
    for order in [AuditEntryOrder::NewestFirst, AuditEntryOrder::OldestFirst] {
        let at_start: BTreeSet<_> = all(&mut auditor, Default::default())
            .await
            .iter()
            .map(position)
            .collect();
        let mut request = ListAuditEntriesRequest {
            order: order.into(),
            page_size: 5,
            ..Default::default()
        };
        let mut read = Vec::new();
        while read.len() < at_start.len() {
            let page = page(&mut auditor, &request).await;
            assert!(page.entries.len() <= 5);
            read.extend(page.entries.iter().map(position));
            request.page_token = page.next_page_token;
            grant_to_many(&stack, added..added + 1).await;
            added += 1;
        }
        let distinct: BTreeSet<_> = read.iter().cloned().collect();
        assert_eq!(distinct.len(), read.len(), "{order:?}: no entry twice");
        assert!(distinct.is_superset(&at_start), "{order:?}");
        let indexes: Vec<_> = read.iter().map(|(_, index)| *index).collect();
        let in_order = match order {
            AuditEntryOrder::OldestFirst => indexes.is_sorted(),
            _ => indexes.iter().rev().is_sorted(),
        };
        assert!(in_order, "{order:?}: {indexes:?}");
    }
    stack.end().await;
}

const TOP_MEMBERS: [&str; 7] = [
    "account_id",
    "body",
    "kind",
    "log_index",
    "recorded_at",
    "schema",
    "server_version",
];

#[tokio::test]
async fn entry_fields_match_the_canonical_text_and_the_leaf_hash() {
    let stack = stack_with_history().await;
    let mut auditor = auditor(&stack).await;
    for entry in all(&mut auditor, Default::default()).await {
        let mut hash = Sha256::new_with_prefix([0]);
        hash.update(&entry.canonical);
        assert_eq!(entry.leaf_hash[..], hash.finalize()[..]);
        let text: serde_json::Value = serde_json::from_str(&entry.canonical).unwrap();
        let members: Vec<_> = text.as_object().unwrap().keys().collect();
        assert_eq!(members, TOP_MEMBERS);
        assert_eq!(text["account_id"], entry.account_id);
        assert_eq!(text["log_index"], entry.log_index);
        assert_eq!(text["kind"], entry.kind);
        assert_eq!(text["schema"], entry.schema);
        assert_eq!(text["server_version"], entry.server_version);
        let body = &text["body"];
        if let Some(Body::Denials(denials)) = &entry.body {
            assert_eq!(entry.kind, "change.denials");
            assert_eq!(body["count"], denials.count);
            assert_eq!(body["principal"], denials.principal);
            assert_eq!(body["denied_by"], denials.denied_by);
            for (text, time) in [("first_at", denials.first_time), ("last_at", denials.last_time)] {
                let text = OffsetDateTime::parse(body[text].as_str().unwrap(), &Rfc3339).unwrap();
                let time = time.unwrap();
                let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
                assert_eq!(text.unix_timestamp_nanos(), nanos);
            }
            continue;
        }
        if let Some(Body::CheckpointConfirmed(confirmed)) = &entry.body {
            assert_eq!(body["operator"], confirmed.operator);
            assert_eq!(body["reason"], confirmed.reason);
            assert_eq!(body["ticket"], confirmed.ticket);
            assert_eq!(body["tree_size"], confirmed.tree_size);
            assert_eq!(body["root_hash"], "07".repeat(32));
            assert_eq!(confirmed.root_hash, [7; 32]);
            continue;
        }
        let change = change(&entry);
        if entry.kind == "drift.baseline" {
            assert_eq!(body["principal"], change.principal);
            assert_eq!(body["reason"], change.reason);
            assert_eq!(body["ticket"].as_str().unwrap_or_default(), change.ticket);
            continue;
        }
        if entry.kind.starts_with("drift.") {
            assert_eq!(body["region"], change.region);
            assert_eq!(body["image_id"], change.image_id);
            assert_eq!(body["shared_account_id"], change.shared_account_id);
            continue;
        }
        assert_eq!(body["reason"], change.reason);
        assert_eq!(body["principal"], change.principal);
        assert_eq!(body["region"], change.region);
        assert_eq!(body["image_id"], change.image_id);
        assert_eq!(body["shared_account_id"], change.shared_account_id);
        assert_eq!(body["request_id"], change.request_id);
        assert_eq!(
            format!("ACTION_{}", body["action"].as_str().unwrap()),
            change.action().as_str_name()
        );
        assert_eq!(
            body["aws_request_id"].as_str().unwrap_or_default(),
            change.aws_request_id
        );
        assert_eq!(body["change_id"].as_str().unwrap_or_default(), change.change_id);
        assert_eq!(body["generation"].as_u64().unwrap_or_default(), change.generation);
        assert_eq!(body["denied_by"].as_str().unwrap_or_default(), change.denied_by);
        assert_eq!(change.change_id.is_empty(), entry.kind == "change.denied");
        assert_eq!(change.generation == 0, entry.kind == "change.denied");
        assert_eq!(!change.denied_by.is_empty(), entry.kind == "change.denied");
        let request = GetAuditEntryRequest {
            account_id: entry.account_id.clone(),
            log_index: entry.log_index,
        };
        let alone = auditor.get_audit_entry(as_tester(request)).await.unwrap().into_inner();
        assert_eq!(alone.entry, Some(entry));
    }
    stack.end().await;
}

#[tokio::test]
async fn a_missing_entry_is_not_found_and_the_status_has_the_ledger_size() {
    let stack = Stack::start().await;
    let mut auditor = auditor(&stack).await;
    let ask = |account: &str, log_index| GetAuditEntryRequest {
        account_id: account.into(),
        log_index,
    };
    stack
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap();
    for (account, log_index, size) in [(ACCOUNT, 2, "2"), (ACCOUNT, u64::MAX, "2"), ("999999999999", 0, "0")] {
        let status = auditor
            .get_audit_entry(as_tester(ask(account, log_index)))
            .await
            .unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::NotFound, "ENTRY_NOT_FOUND")
        );
        assert_eq!(detail(&status, "tree_size"), size);
        assert_eq!(detail(&status, "log_index"), log_index.to_string());
    }
    stack.end().await;
}
