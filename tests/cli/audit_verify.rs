//! `audit verify`: finds each kind of tampering, with exit code 9 and the index of the entry.

use std::{fs, io::Write, path::Path};

use flate2::write::GzEncoder;
use sharewarden::{
    domain::{PolicyDigest, example::EXAMPLE_SET},
    ledger::{Frontier, SigningKey},
    proto::v1::{watch_audit_entries_response::Event, *},
};
use tonic::Code;

use crate::{
    answers::error,
    harness::{Ran, run_words},
    ledger::{ACCOUNT, Ledger, NAME},
    service::{Answer, Service},
    service_audit::Streamed,
};

/// No service listens here: the verification of an export makes no calls.
const NOWHERE: &str = "http://127.0.0.1:1";

async fn verify(file: &Path, more: &[&str]) -> Ran {
    let words = ["audit", "verify", "--export", file.to_str().unwrap()];
    run_words(NOWHERE, &[&words, more].concat()).await
}

async fn verify_text(ledger: &Ledger, text: &str, more: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.jsonl");
    fs::write(&file, text).unwrap();
    verify(&file, &[&["--key", &ledger.vkey()], more].concat()).await
}

#[tokio::test]
async fn an_export_is_verified_offline_and_unverified_facts_are_listed() {
    let ledger = Ledger::of(20);
    let ran = verify_text(&ledger, &ledger.export(), &[]).await.ok();
    let root: String = ledger.root().iter().map(|byte| format!("{byte:02x}")).collect();
    for line in [
        "Verified    entries 0 to 19, the root and its signature\n".to_owned(),
        format!("Account     {ACCOUNT}\n"),
        format!("Checkpoint  {NAME}/{ACCOUNT}\n"),
        format!("Root        {root}\n"),
        format!("Signed by   {NAME}+"),
        "whether the history was rewritten before this checkpoint: compare it with a kept one, with --against\n"
            .to_owned(),
        "when the checkpoint was signed: it has no signature of a witness\n".to_owned(),
    ] {
        assert!(ran.out.contains(&line), "{line} in {}", ran.out);
    }
    let json = verify_text(&ledger, &ledger.export(), &["-o", "json"])
        .await
        .ok()
        .json();
    assert_eq!((&json["accountId"], &json["treeSize"]), (&ACCOUNT.into(), &"20".into()));
    assert_eq!(json["signedBy"][0], ledger.vkey());
    let unverified = json["unverified"].as_array().unwrap();
    assert_eq!(unverified.len(), 2, "{json}");
}

#[tokio::test]
async fn the_text_of_a_policy_set_is_verified_and_a_missing_one_is_listed() {
    let ledger = Ledger::of(3);
    let export = ledger.export();
    let set = export.lines().last().unwrap();
    assert!(set.starts_with("{\"policy_set\":"), "{set}");
    let digest = PolicyDigest::of(EXAMPLE_SET);
    let missing = format!("the decisions by the policy set {digest}: its text is missing");
    let verify = async |export: &str| verify_text(&ledger, export, &[]).await;
    assert!(!verify(&export).await.ok().out.contains("policy set"));
    let stripped = export.replace(&format!("{set}\n"), "");
    let out = verify(&stripped).await.ok().out;
    assert!(
        out.split_whitespace().collect::<Vec<_>>().join(" ").contains(&missing),
        "{out}"
    );
    let (code, text) = verify(&export.replace("\"an example\"", "\"another\"")).await.failure();
    assert_eq!(code, 9);
    assert!(
        text.contains(&format!("policy set {digest}: its text does not match its digest")),
        "{text}"
    );
}

#[tokio::test]
async fn a_compressed_export_is_recognised_by_content_and_damage_is_found() {
    let ledger = Ledger::of(20);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("no-name-for-it");
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(ledger.export().as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    fs::write(&file, &packed).unwrap();
    verify(&file, &["--key", &ledger.vkey()]).await.ok();
    let twice = [&packed[..], &packed].concat();
    let garbage = [&packed[..], b"garbage"].concat();
    for damaged in [
        &packed[..packed.len() - 20],
        &packed[..packed.len() - 4],
        &twice,
        &garbage,
    ] {
        fs::write(&file, damaged).unwrap();
        let (code, text) = verify(&file, &["--key", &ledger.vkey()]).await.failure();
        assert_eq!(code, 9, "{text}");
    }
}

/// An export with changed lines.
fn edited(ledger: &Ledger, edit: impl FnOnce(&mut Vec<String>)) -> String {
    let mut lines: Vec<String> = ledger.export().lines().map(str::to_owned).collect();
    edit(&mut lines);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn every_kind_of_tampering_is_found_with_the_index_of_the_entry() {
    let ledger = Ledger::of(20);
    let header_then = |index: usize| 1 + index;
    let changed = edited(&ledger, |lines| {
        lines[header_then(5)] = lines[header_then(5)].replace("reason 5", "reason x");
    });
    let removed = edited(&ledger, |lines| {
        lines.remove(header_then(6));
    });
    let swapped = edited(&ledger, |lines| lines.swap(header_then(7), header_then(8)));
    let truncated = edited(&ledger, |lines| lines.truncate(header_then(9)));
    let other_account = edited(&ledger, |lines| {
        lines[header_then(4)] = lines[header_then(4)].replace(ACCOUNT, "111111111111");
    });
    for (text, named) in [
        (changed, "entry 5: "),
        (removed, "entry 6: "),
        (swapped, "entry 7: "),
        (truncated, "entry 9: "),
        (other_account, "entry 4: "),
    ] {
        let (code, text) = verify_text(&ledger, &text, &[]).await.failure();
        assert_eq!(code, 9, "{text}");
        assert!(text.starts_with(&format!("account {ACCOUNT}, {named}")), "{text}");
        assert!(text.contains("do not trust the store"), "{text}");
    }
}

#[tokio::test]
async fn a_file_with_damaged_line_ends_is_refused() {
    let ledger = Ledger::of(20);
    let good = ledger.export();
    let not_an_export = "not an export of a ledger: ".to_owned();
    let entry = |index: usize| format!("account {ACCOUNT}, entry {index}: ");
    for (text, says) in [
        (String::new(), not_an_export.clone() + "it is empty"),
        (format!("\u{feff}{good}"), not_an_export.clone()),
        (good.replace('\n', "\r\n"), not_an_export),
        (good.trim_end().to_owned(), entry(20)),
        (good.replacen("reason 7", "reason 7\n", 1), entry(7)),
        (good.clone() + "\n", entry(20)),
        (good.repeat(2), entry(20)),
    ] {
        let (code, text) = verify_text(&ledger, &text, &[]).await.failure();
        assert_eq!(code, 9, "{text}");
        assert!(text.starts_with(&says), "{text}");
    }
}

#[tokio::test]
async fn an_export_without_entries_is_refused() {
    let ledger = Ledger::of(20);
    let (code, text) = verify_text(&ledger, &ledger.export_from(20), &[]).await.failure();
    assert_eq!(code, 2, "{text}");
    let says = format!("account {ACCOUNT}: the export has no entries: nothing was verified");
    assert!(text.starts_with(&says), "{text}");
}

/// An endless line. Both verifiers read a part of it and refuse it.
#[tokio::test]
async fn a_line_without_end_is_refused() {
    let (code, text) = verify(Path::new("/dev/zero"), &["--key", &Ledger::of(1).vkey()])
        .await
        .failure();
    assert_eq!(code, 9, "{text}");
    assert!(text.starts_with("not an export of a ledger: "), "{text}");
}

#[tokio::test]
async fn a_rewritten_ledger_with_recomputed_hashes_does_not_match_the_checkpoint() {
    let ledger = Ledger::of(20);
    let header = ledger.export().lines().next().unwrap().to_owned();
    let forged = edited(&ledger.rewritten(3), |lines| lines[0] = header);
    let (code, text) = verify_text(&ledger, &forged, &[]).await.failure();
    assert_eq!(code, 9);
    assert!(
        text.starts_with(&format!("account {ACCOUNT}: every entry matches")),
        "{text}"
    );
}

#[tokio::test]
async fn a_checkpoint_of_another_key_is_not_trusted() {
    let ledger = Ledger::of(20);
    let stranger = Ledger {
        key: SigningKey::from_seed(NAME.parse().unwrap(), &[8; 32]),
        ..ledger.clone()
    };
    let (code, text) = verify_text(&ledger, &stranger.export(), &[]).await.failure();
    assert_eq!(code, 9);
    assert!(text.contains("the checkpoint cannot be trusted"), "{text}");
}

#[tokio::test]
async fn a_kept_checkpoint_shows_that_the_ledger_only_grew() {
    let ledger = Ledger::of(20);
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let against = ["--against", kept.to_str().unwrap()];
    fs::write(&kept, ledger.first(7).note()).unwrap();
    let ran = verify_text(&ledger, &ledger.export(), &against).await.ok();
    assert!(
        ran.out
            .contains("the ledger extends the kept checkpoint of 7 entries\n"),
        "{}",
        ran.out
    );

    // The service can sign a rewritten ledger, but the kept checkpoint shows the change.
    let (code, text) = verify_text(&ledger, &ledger.rewritten(3).export(), &against)
        .await
        .failure();
    assert_eq!(code, 9);
    assert!(text.contains("older checkpoint") && text.contains(ACCOUNT), "{text}");
    let (code, text) = verify_text(&ledger, &ledger.first(5).export(), &against)
        .await
        .failure();
    assert_eq!(code, 9);
    assert!(text.contains("truncated") && text.contains("entry 5"), "{text}");

    fs::write(&kept, "nonsense").unwrap();
    let (code, text) = verify_text(&ledger, &ledger.export(), &against).await.failure();
    assert_eq!(code, 2, "{text}");
}

#[tokio::test]
async fn a_verified_checkpoint_is_saved() {
    let ledger = Ledger::of(20);
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let save = ["--save-checkpoint", kept.to_str().unwrap()];
    verify_text(&ledger, &ledger.first(12).export(), &save).await.ok();
    assert_eq!(fs::read_to_string(&kept).unwrap(), ledger.first(12).note());
    let words = [
        "--against",
        kept.to_str().unwrap(),
        "--save-checkpoint",
        kept.to_str().unwrap(),
    ];
    verify_text(&ledger, &ledger.export(), &words).await.ok();
    assert_eq!(fs::read_to_string(&kept).unwrap(), ledger.note());
}

#[tokio::test]
async fn a_live_ledger_is_verified_without_trusting_the_service() {
    let ledger = Ledger::of(20);
    let service = Service::answering([ledger.answer()]).await;
    let words = ["audit", "verify", "--account", ACCOUNT, "--key", &ledger.vkey()];
    let ran = run_words(&service.url(), &words).await.ok();
    assert!(ran.out.contains("Verified    entries 0 to 19, "), "{}", ran.out);

    let mut changed = ledger.clone();
    changed.lines[5] = changed.lines[5].replace("reason 5", "reason x");
    let service = Service::answering([changed.answer()]).await;
    let (code, text) = run_words(&service.url(), &words).await.failure();
    assert_eq!(code, 9);
    assert!(text.starts_with(&format!("account {ACCOUNT}, entry 5: ")), "{text}");
}

#[tokio::test]
async fn all_ledgers_are_verified_and_the_most_severe_failure_is_reported() {
    const OTHER: &str = "111111111111";
    let (ledger, other) = (Ledger::of(5), Ledger::of_account(OTHER, 4));
    let folder = tempfile::tempdir().unwrap();
    let words = [
        "audit",
        "verify",
        "--all",
        "--key",
        &ledger.vkey(),
        "--save-checkpoint",
        folder.path().to_str().unwrap(),
    ];
    let both = [ACCOUNT, OTHER];
    let service = Service::answering([started(&both), ledger.answer(), other.answer()]).await;
    let ran = run_words(&service.url(), &words).await.ok();
    assert_eq!(ran.out.matches("Verified ").count(), 2);
    let kept = fs::read_to_string(folder.path().join(format!("{OTHER}.checkpoint"))).unwrap();
    assert_eq!(kept, other.note());

    let mut changed = ledger.clone();
    changed.lines[2] = changed.lines[2].replace("reason 2", "reason x");
    let service = Service::answering([started(&both), changed.answer(), other.answer()]).await;
    let ran = run_words(&service.url(), &words).await;
    let (code, text) = ran.failure();
    assert_eq!(code, 9);
    assert!(text.starts_with(&format!("account {ACCOUNT}, entry 2: ")), "{text}");
    assert_eq!(ran.out.matches("Verified ").count(), 1);
    assert!(ran.out.starts_with("Verified "), "{:?}", ran.out);
    assert_eq!(ran.notes, "", "the error of the command is not a note too");

    let service = Service::answering([started(&both), no_checkpoint(), changed.answer()]).await;
    let ran = run_words(&service.url(), &words).await;
    assert_eq!(ran.failure().0, 9);
    let lesser = format!("error: account {ACCOUNT}: there is no such checkpoint (CHECKPOINT_NOT_FOUND)");
    assert!(ran.notes.starts_with(&lesser), "{}", ran.notes);
    assert_eq!(ran.notes.lines().count(), 1, "{}", ran.notes);
}

fn started(accounts: &[&str]) -> Answer {
    let place = |account_id: &&str| WatchPosition {
        account_id: (*account_id).into(),
        next_index: 4,
    };
    let positions = accounts.iter().map(place).collect();
    let event = Some(Event::Started(WatchStarted { positions }));
    Answer::Watch(Streamed::ending([WatchAuditEntriesResponse { event }]).then_silent())
}

fn no_checkpoint() -> Answer {
    let reason = ErrorReason::CheckpointNotFound;
    Answer::Refuse(error(Code::NotFound, reason, "there is no such checkpoint", &[]))
}

#[tokio::test]
async fn a_kept_checkpoint_shows_that_its_ledger_is_missing() {
    let ledger = Ledger::of(20);
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    fs::write(&kept, ledger.first(7).note()).unwrap();
    let (key, kept) = (ledger.vkey(), kept.to_str().unwrap());
    let words = [
        "audit",
        "verify",
        "--account",
        ACCOUNT,
        "--key",
        &key,
        "--against",
        kept,
    ];
    let service = Service::answering([no_checkpoint(), no_checkpoint(), no_checkpoint()]).await;
    let (code, text) = run_words(&service.url(), &words).await.failure();
    assert_eq!(code, 9, "{text}");
    let gone = format!("account {ACCOUNT}: truncated: the older checkpoint has 7 entries, this ledger has 0");
    assert!(text.starts_with(&gone), "{text}");

    // Without a kept checkpoint, or with one that no trusted key signed, there is no evidence of a ledger.
    let (code, text) = run_words(&service.url(), &words[..6]).await.failure();
    assert_eq!(code, 3, "{text}");
    let stranger = SigningKey::from_seed(NAME.parse().unwrap(), &[8; 32]);
    let untrusted = Ledger {
        key: stranger,
        ..ledger
    };
    fs::write(kept, untrusted.note()).unwrap();
    let (code, text) = run_words(&service.url(), &words).await.failure();
    assert_eq!(code, 2, "{text}");
}

#[tokio::test]
async fn all_includes_the_ledgers_of_kept_checkpoints() {
    const LEFT_OUT: &str = "111111111111";
    let (ledger, left_out) = (Ledger::of(20), Ledger::of_account(LEFT_OUT, 4));
    let folder = tempfile::tempdir().unwrap();
    for (account, note) in [(ACCOUNT, ledger.first(7).note()), (LEFT_OUT, left_out.note())] {
        fs::write(folder.path().join(format!("{account}.checkpoint")), note).unwrap();
    }
    fs::write(folder.path().join("read-me.checkpoint"), "no account").unwrap();
    let (key, kept) = (ledger.vkey(), folder.path().to_str().unwrap());
    let words = ["audit", "verify", "--all", "--key", &key, "--against", kept];

    // The service does not list the ledger, but still has it.
    let service = Service::answering([started(&[ACCOUNT]), ledger.answer(), left_out.answer()]).await;
    let ran = run_words(&service.url(), &words).await.ok();
    assert_eq!(ran.out.matches("Verified ").count(), 2, "{}", ran.out);
    // The service no longer has the ledger.
    let service = Service::answering([started(&[ACCOUNT]), ledger.answer(), no_checkpoint()]).await;
    let ran = run_words(&service.url(), &words).await;
    let (code, text) = ran.failure();
    assert_eq!(code, 9, "{text}");
    let gone = format!("account {LEFT_OUT}: truncated: the older checkpoint has 4 entries, this ledger has 0");
    assert!(text.starts_with(&gone), "{text}");
    assert_eq!(ran.out.matches("Verified ").count(), 1, "{}", ran.out);
}

#[tokio::test]
async fn a_part_of_a_live_ledger_is_refused() {
    let ledger = Ledger::of(20);
    // The range is empty, so it has no invalid entry.
    let mut left_hashes = Frontier::default();
    ledger.hashes.iter().for_each(|hash| left_hashes.append(*hash));
    let header = ExportHeader {
        checkpoint: Some(ledger.checkpoint()),
        start_index: 20,
        end_index: 20,
        left_hashes: left_hashes.hashes().iter().map(|hash| hash.to_vec()).collect(),
        consistency_proof: Vec::new(),
    };
    let part = Some(export_audit_entries_response::Part::Header(header));
    let sent = Streamed::ending([ExportAuditEntriesResponse { part }]);
    let service = Service::answering([Answer::Export(sent)]).await;
    let words = ["audit", "verify", "--account", ACCOUNT, "--key", &ledger.vkey()];
    let ran = run_words(&service.url(), &words).await;
    let (code, text) = ran.failure();
    assert_eq!((code, ran.out.as_str()), (1, ""), "{text}");
    assert!(text.contains("the service sent a part of the ledger"), "{text}");
}

#[tokio::test]
async fn a_kept_checkpoint_is_not_replaced_without_a_comparison() {
    let ledger = Ledger::of(20);
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    fs::write(&kept, ledger.first(7).note()).unwrap();
    let path = kept.to_str().unwrap();
    // The last 4 entries. The ledger may have been rewritten before them.
    let part = ledger.rewritten(3).export_from(16);
    let ran = verify_text(&ledger, &part, &["--against", path, "--save-checkpoint", path]).await;
    let (code, text) = ran.failure();
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("do not show that the ledger begins with the 7 entries of --against"),
        "{text}"
    );
    assert!(ran.out.contains("Verified    entries 16 to 19, "), "{}", ran.out);
    assert_eq!(fs::read_to_string(&kept).unwrap(), ledger.first(7).note());
    verify_text(
        &ledger,
        &ledger.export_from(7),
        &["--against", path, "--save-checkpoint", path],
    )
    .await
    .ok();
    assert_eq!(fs::read_to_string(&kept).unwrap(), ledger.note());
}

#[tokio::test]
async fn a_missing_file_is_reported() {
    let ledger = Ledger::of(1);
    let (code, text) = verify(Path::new("/nowhere/at-all"), &["--key", &ledger.vkey()])
        .await
        .failure();
    assert_eq!(code, 2);
    assert!(text.starts_with("cannot read /nowhere/at-all: "), "{text}");
}
