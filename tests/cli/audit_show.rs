//! `audit show` and `checkpoint`: the program verifies hashes, proofs and signatures without trusting the service.

use std::fs;

use sharewarden::{
    ledger::{SigningKey, merkle::leaf_hash},
    proto::v1::*,
};

use crate::{
    harness::{Ran, run, run_words},
    ledger::{ACCOUNT, Ledger, NAME, change_of},
    service::{Answer, Asked, Service},
};

fn entry(ledger: &Ledger, index: usize) -> Answer {
    Answer::Entry(GetAuditEntryResponse {
        entry: Some(ledger.entry(index)),
    })
}

async fn show(service: &Service, more: &[&str]) -> Ran {
    let words = ["audit", "show", "--account", ACCOUNT, "2"];
    run_words(&service.url(), &[&words, more].concat()).await
}

#[tokio::test]
async fn an_entry_is_shown_with_its_calls_its_canonical_text_and_its_hash() {
    let mut ledger = Ledger::of(5);
    let attempts = "\"attempts\":[{\"aws_request_id\":\"aws-1\",\"classification\":\"ACCEPTED\",\"duration_us\":312000,\
        \"operation\":\"UpdateWorkspaceImagePermission\",\"started_at\":\"2026-01-02T03:04:05.250000Z\"}],\
        \"aws_request_id\":\"aws-1\",\"cause\"";
    ledger.lines[2] = ledger.lines[2].replace("\"cause\"", attempts);
    ledger.hashes[2] = leaf_hash(ledger.lines[2].as_bytes());
    let mut shown = ledger.entry(2);
    let called = crate::answers::change(change::State::Succeeded);
    let change = change_of(&mut shown);
    (change.attempts, change.aws_request_id) = (called.attempts, called.aws_request_id);
    let answer = GetAuditEntryResponse { entry: Some(shown) };
    let service = Service::answering([Answer::Entry(answer)]).await;
    let ran = show(&service, &[]).await.ok();
    let hash: String = ledger.hashes[2].iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(ran.out.contains(&format!("\nLeaf hash       {hash}\n")), "{}", ran.out);
    assert!(
        ran.out.contains("\nRecorded at     2026-01-02T03:04:07.25Z\n"),
        "{}",
        ran.out
    );
    let kind =
        "Kind            change.requested\nMeaning         A change was accepted. AWS had not been called yet.\n";
    assert!(ran.out.contains(kind), "{}", ran.out);
    assert!(
        ran.out
            .contains("\n\nCalls to AWS\nCALL TO AWS                     STARTED                  TOOK "),
        "{}",
        ran.out
    );
    let text = format!("\n\nText that the leaf hash covers\n{}\n", ledger.lines[2]);
    assert!(ran.out.ends_with(&text), "{}", ran.out);
    let expected = GetAuditEntryRequest {
        account_id: ACCOUNT.into(),
        log_index: 2,
    };
    assert_eq!(service.asked(), [Asked::Entry(expected)]);
}

#[tokio::test]
async fn the_proof_and_the_signature_of_the_checkpoint_are_verified() {
    let ledger = Ledger::of(5);
    let service = Service::answering([entry(&ledger, 2), Answer::Inclusion(ledger.inclusion(2))]).await;
    let ran = show(&service, &["--proof", "--key", &ledger.vkey()]).await.ok();
    let proof = "\n\nProof that the entry is in the ledger\n\
                 Inclusion  verified: the entry is in the tree of 5 entries, by 3 hashes\nRoot hash  ";
    assert!(ran.out.contains(proof), "{}", ran.out);
    let signed =
        format!("\nSignature  verified: the root is that of the checkpoint of {NAME}/{ACCOUNT}, signed by {NAME}+");
    assert!(ran.out.contains(&signed), "{}", ran.out);
}

#[tokio::test]
async fn without_a_key_the_signature_is_reported_as_not_verified() {
    let ledger = Ledger::of(5);
    let service = Service::answering([entry(&ledger, 2), Answer::Inclusion(ledger.inclusion(2))]).await;
    let ran = show(&service, &["--proof"]).await.ok();
    assert!(
        ran.out
            .contains("\nSignature  not verified: the signature of the checkpoint"),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn a_text_with_another_hash_is_reported_as_tampered() {
    let ledger = Ledger::of(5);
    let mut changed = ledger.entry(2);
    changed.canonical = changed.canonical.replace("reason 2", "reason 3");
    let answer = GetAuditEntryResponse { entry: Some(changed) };
    let service = Service::answering([Answer::Entry(answer)]).await;
    let (code, text) = show(&service, &[]).await.failure();
    assert_eq!(code, 9);
    assert!(
        text.starts_with("account 012345678901, entry 2: its text does not match"),
        "{text}"
    );
}

#[tokio::test]
async fn a_field_that_differs_from_the_text_is_reported_as_tampered() {
    let ledger = Ledger::of(5);
    type Lie = fn(&mut AuditEntry);
    let lies: [(&str, Lie); 25] = [
        ("record_time", |entry| entry.record_time = None),
        ("kind", |entry| entry.kind = "change.succeeded".into()),
        ("schema", |entry| entry.schema = 2),
        ("server_version", |entry| entry.server_version = "0.2.0".into()),
        ("action", |entry| change_of(entry).action = Action::Revoke.into()),
        ("action", |entry| change_of(entry).action = 99),
        ("change_id", |entry| change_of(entry).change_id.clear()),
        ("request_id", |entry| {
            change_of(entry).request_id = change_of(entry).change_id.replace('3', "4");
        }),
        ("principal", |entry| change_of(entry).principal = "mallory".into()),
        ("reason", |entry| change_of(entry).reason = "another".into()),
        ("ticket", |entry| change_of(entry).ticket = "CHG-1".into()),
        ("shared_account_id", |entry| {
            change_of(entry).shared_account_id = "000000000000".into();
        }),
        ("attempts", |entry| change_of(entry).attempts.push(Attempt::default())),
        ("authentication", |entry| {
            let stronger = vec![CredentialKind::Certificate.into()];
            authentication_of(entry).credentials = stronger;
        }),
        ("authentication", |entry| {
            change_of(entry).authentication = Some(Authentication::default());
        }),
        ("claims", |entry| {
            authentication_of(entry).claims[0].values.push("admins".into())
        }),
        ("claims", |entry| {
            authentication_of(entry).claims[1].unusable = "it is large".into()
        }),
        ("claims", |entry| drop(authentication_of(entry).claims.pop())),
        ("decision", |entry| {
            change_of(entry).decision = Some(Decision::default())
        }),
        ("decision", |entry| {
            decision_of(entry).tags.insert("release".into(), "another".into());
        }),
        ("decision", |entry| decision_of(entry).policies.clear()),
        ("expire_time", |entry| {
            change_of(entry).expire_time = Some(pbjson_types::Timestamp::default());
        }),
        ("previous_basis", |entry| {
            change_of(entry).previous_basis = Some(Basis::default());
        }),
        ("aws_request_id", |entry| {
            change_of(entry).aws_request_id = "aws-2".into()
        }),
        ("error_reason", |entry| {
            change_of(entry).error_reason = ErrorReason::ImageNotFound.into();
        }),
    ];
    for (field, lie) in lies {
        let mut changed = ledger.entry(2);
        lie(&mut changed);
        let answer = GetAuditEntryResponse { entry: Some(changed) };
        let service = Service::answering([Answer::Entry(answer)]).await;
        let (code, text) = show(&service, &[]).await.failure();
        assert_eq!(code, 9, "{text}");
        let expected = format!("account 012345678901, entry 2: its {field} is not what its text says");
        assert!(text.starts_with(&expected), "{text}");
    }
}

/// During an upgrade, a replica of an older build leaves out a field that it does not know.
#[tokio::test]
async fn a_field_that_an_older_service_leaves_out_is_not_reported() {
    let ledger = Ledger::of(5);
    let mut entry = ledger.entry(2);
    assert!(ledger.lines[2].contains("authentication"), "{}", ledger.lines[2]);
    change_of(&mut entry).authentication = None;
    change_of(&mut entry).decision = None;
    let answer = GetAuditEntryResponse { entry: Some(entry) };
    let service = Service::answering([Answer::Entry(answer)]).await;
    show(&service, &[]).await.ok();
}

#[tokio::test]
async fn an_invalid_proof_is_found() {
    let ledger = Ledger::of(5);
    let mut other_root = ledger.inclusion(2);
    other_root.root_hash = vec![0; 32];
    let mut short = ledger.inclusion(2);
    short.hashes.pop();
    let mut of_another = ledger.rewritten(4).inclusion(2);
    of_another.checkpoint = Some(ledger.checkpoint());
    let stranger = Ledger {
        key: SigningKey::from_seed(NAME.parse().unwrap(), &[8; 32]),
        ..ledger.clone()
    };
    let mut unsigned = ledger.rewritten(4).inclusion(2);
    unsigned.checkpoint = None;
    for (proof, what) in [
        (unsigned, "no signed checkpoint came with the proof"),
        (other_root, "the proof does not lead"),
        (short, "the proof does not lead"),
        (of_another, "another size or root"),
        (stranger.inclusion(2), "the checkpoint cannot be trusted"),
    ] {
        let service = Service::answering([entry(&ledger, 2), Answer::Inclusion(proof)]).await;
        let (code, text) = show(&service, &["--proof", "--key", &ledger.vkey()]).await.failure();
        assert_eq!(code, 9, "{text}");
        assert!(
            text.contains("account 012345678901, entry 2: ") && text.contains(what),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_checkpoint_is_printed_byte_for_byte() {
    let ledger = Ledger::of(5);
    let answer = || {
        Answer::Checkpoint(GetCheckpointResponse {
            checkpoint: Some(ledger.checkpoint()),
            verifier_keys: vec![ledger.vkey()],
        })
    };
    let service = Service::answering([answer(), answer()]).await;
    let ran = run(&service, "checkpoint --account 012345678901").await.ok();
    assert_eq!(ran.out, ledger.note());
    assert!(ran.notes.contains(&ledger.vkey()), "{}", ran.notes);
    let ran = run(&service, "checkpoint --account 012345678901 --tree-size 5 -o json")
        .await
        .ok();
    assert_eq!(ran.json()["checkpoint"]["note"], ledger.note());
    let asked = |tree_size| {
        Asked::Checkpoint(GetCheckpointRequest {
            account_id: ACCOUNT.into(),
            tree_size,
        })
    };
    assert_eq!(service.asked(), [asked(0), asked(5)]);
}

#[tokio::test]
async fn signatures_of_witnesses_are_sent_byte_for_byte() {
    let ledger = Ledger::of(5);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("note");
    fs::write(&file, ledger.note()).unwrap();
    let answer = AddCheckpointSignaturesResponse {
        checkpoint: Some(ledger.checkpoint()),
    };
    let service = Service::answering([Answer::Signatures(answer)]).await;
    let words = [
        "checkpoint",
        "add-signatures",
        "--account",
        ACCOUNT,
        file.to_str().unwrap(),
    ];
    let ran = run_words(&service.url(), &words).await.ok();
    assert_eq!(ran.out, ledger.note());
    let expected = AddCheckpointSignaturesRequest {
        account_id: ACCOUNT.into(),
        note: ledger.note(),
    };
    assert_eq!(service.asked(), [Asked::Signatures(expected)]);
}

fn authentication_of(entry: &mut AuditEntry) -> &mut Authentication {
    change_of(entry).authentication.as_mut().unwrap()
}

fn decision_of(entry: &mut AuditEntry) -> &mut Decision {
    change_of(entry).decision.as_mut().unwrap()
}
