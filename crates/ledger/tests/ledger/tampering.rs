//! Every kind of tampering is detected, and located by account and index.

use sharewarden_ledger::verify::{EntryError, LedgerError, VerifiedRange, VerifyError};

use crate::{
    fixtures::{TestLedger, account, line},
    verifying::verify,
};

const SIZE: usize = 600;

fn entry_error(result: Result<VerifiedRange, VerifyError>) -> (u64, EntryError) {
    match result.unwrap_err() {
        VerifyError::Entry { account, index, error } => {
            assert_eq!(account, crate::fixtures::account());
            (index, error)
        }
        other => panic!("{other}"),
    }
}

fn ledger_error(result: Result<VerifiedRange, VerifyError>) -> LedgerError {
    match result.unwrap_err() {
        VerifyError::Ledger { account, error } => {
            assert_eq!(account, crate::fixtures::account());
            error
        }
        other => panic!("{other}"),
    }
}

/// An export of a store that was changed after its checkpoint was signed.
fn export_after(change: impl FnOnce(&mut TestLedger)) -> String {
    let mut ledger = TestLedger::of(SIZE as u64);
    let header = ledger.header(0, SIZE, SIZE);
    change(&mut ledger);
    ledger.export(&header)
}

#[test]
fn a_changed_entry_is_detected() {
    let export = export_after(|ledger| ledger.lines[300] = line(account(), 300, "another reason"));
    let error = verify(&export, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "account 000011112222, entry 300: its text does not match its recorded hash: one of them was changed"
    );
    assert_eq!((error.account(), error.index()), (Some(account()), Some(300)));
}

#[test]
fn a_deleted_entry_is_detected() {
    let export = export_after(|ledger| {
        ledger.lines.remove(300);
        ledger.hashes.remove(300);
        ledger.lines.push(line(account(), 600, "one more"));
        ledger.hashes.push([0; 32]);
    });
    assert_eq!(entry_error(verify(&export, None)), (300, EntryError::OfIndex(301)));
}

#[test]
fn swapped_entries_are_detected() {
    let export = export_after(|ledger| {
        ledger.lines.swap(100, 200);
        ledger.hashes.swap(100, 200);
    });
    assert_eq!(entry_error(verify(&export, None)), (100, EntryError::OfIndex(200)));
}

#[test]
fn swapped_contents_of_entries_are_detected() {
    let export = export_after(|ledger| {
        ledger.lines[100] = line(account(), 100, "that of 200");
        ledger.lines[200] = line(account(), 200, "that of 100");
    });
    assert_eq!(entry_error(verify(&export, None)), (100, EntryError::Changed));
}

#[test]
fn a_changed_hash_is_detected() {
    let export = export_after(|ledger| ledger.hashes[599][0] ^= 1);
    assert_eq!(entry_error(verify(&export, None)), (599, EntryError::Changed));
}

#[test]
fn an_entry_of_another_account_is_detected() {
    let other = "999999999999".parse().unwrap();
    let export = export_after(|ledger| ledger.lines[256] = line(other, 256, "a reason"));
    let error = EntryError::OfAccount("999999999999".into());
    assert_eq!(entry_error(verify(&export, None)), (256, error));
}

#[test]
fn a_time_before_the_previous_entry_is_detected() {
    let mut ledger = TestLedger::of(3);
    ledger.lines[2] = ledger.lines[2].replace("2026-11-22", "2025-11-22");
    let ledger = TestLedger::of_lines(ledger.lines);
    let (index, error) = entry_error(verify(ledger.export_all(), None));
    assert_eq!(index, 2);
    assert!(matches!(error, EntryError::BackInTime { .. }), "{error}");
}

#[test]
fn a_rewritten_ledger_is_detected_by_its_checkpoint() {
    let export = export_after(|ledger| {
        let mut lines = ledger.lines.clone();
        lines[300] = line(account(), 300, "another reason");
        *ledger = TestLedger::of_lines(lines);
    });
    let error = verify(&export, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "account 000011112222: every entry matches its recorded hash, but their root differs from that of the checkpoint of 600 \
         entries; rewritten: at least one of the entries 0 to 599, and its hash"
    );
    assert_eq!((error.account(), error.index()), (Some(account()), Some(0)));
}

#[test]
fn an_older_checkpoint_narrows_the_range_of_rewritten_entries() {
    let ledger = TestLedger::of(SIZE as u64);
    let mut lines = ledger.lines.clone();
    lines[300] = line(account(), 300, "another reason");
    let rewritten = TestLedger::of_lines(lines);
    let range = |older: usize, export: &str| match ledger_error(verify(export, Some(ledger.checkpoint(older)))) {
        LedgerError::Rewritten {
            start_index,
            end_index,
            size,
            older,
            left: false,
            right: false,
        } => (start_index, end_index, size, older),
        other => panic!("{other}"),
    };
    // The checkpoint was signed before the ledger was rewritten.
    let export = rewritten.export(&ledger.header(0, SIZE, SIZE));
    assert_eq!(range(200, &export), (200, 600, 600, false));
    assert_eq!(range(300, &export), (300, 600, 600, false));
    assert_eq!(range(301, &export), (0, 301, 301, true));
    assert_eq!(range(600, &export), (0, 600, 600, false));
    // The checkpoint was signed after the ledger was rewritten.
    let export = rewritten.export_all();
    assert!(verify(&export, None).is_ok());
    assert!(verify(&export, Some(ledger.checkpoint(300))).is_ok());
    assert_eq!(range(301, &export), (0, 301, 301, true));
    let error = ledger_error(verify(&export, Some(ledger.checkpoint(SIZE))));
    assert_eq!(error, LedgerError::Forked { size: 600 });
}

#[test]
fn a_truncated_ledger_is_detected_by_an_older_checkpoint() {
    let ledger = TestLedger::of(SIZE as u64);
    let truncated = TestLedger::of(500);
    assert!(verify(truncated.export_all(), None).is_ok());
    let error = verify(truncated.export_all(), Some(ledger.checkpoint(SIZE))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "account 000011112222: truncated: the older checkpoint has 600 entries, this ledger has 500; entry 500 and all later entries are missing"
    );
    assert_eq!(error.index(), Some(500));
}

#[test]
fn a_truncated_export_is_detected_wherever_it_was_cut() {
    let export = TestLedger::of(SIZE as u64).export_all();
    let lines: Vec<_> = export.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 1 + SIZE + 3);
    for (kept, next) in [(1, 0), (2, 1), (257, 256), (258, 256), (259, 257), (SIZE + 2, 599)] {
        let error = entry_error(verify(lines[..kept].concat(), None));
        assert_eq!(error, (next, EntryError::Missing { end_index: 600 }), "{kept} lines");
    }
    let without_the_last_hashes = lines[..SIZE + 3].concat();
    assert_eq!(
        entry_error(verify(&without_the_last_hashes, None)),
        (599, EntryError::NoHashes)
    );
    assert!(matches!(verify("", None), Err(VerifyError::Header(_))));
}

#[test]
fn an_added_removed_or_malformed_line_is_detected() {
    let export = TestLedger::of(SIZE as u64).export_all();
    let lines: Vec<_> = export.split_inclusive('\n').collect();
    let with = |at: usize, new: &[&str], old: usize| [&lines[..at], new, &lines[at + old..]].concat().concat();
    let error = |export: &str| entry_error(verify(export, None));
    // Line 257 has the hashes of entries 0 to 255.
    assert_eq!(error(&with(257, &[], 1)), (255, EntryError::NoHashes));
    assert_eq!(
        error(&with(257, &[lines[257], lines[257]], 1)),
        (256, EntryError::HashesInItsPlace)
    );
    assert_eq!(
        error(&with(100, &[lines[257]], 0)),
        (99, EntryError::Missing { end_index: 600 })
    );
    assert_eq!(error(&with(256, &[], 1)), (255, EntryError::Missing { end_index: 600 }));
    assert_eq!(
        error(&with(10, &[lines[10], lines[10]], 1)),
        (10, EntryError::OfIndex(9))
    );
    let more = line(account(), 600, "one more") + "\n";
    assert_eq!(error(&(export.clone() + &more)), (600, EntryError::PastTheEnd));
    for broken in [
        "\n",
        "{}\n",
        "{\"account_id\"\n",
        "\0\n",
        "{\"leaf_hashes\":\"AAAA\",\"end_index\":9}\n",
        lines[0],
    ] {
        let (index, error) = error(&with(10, &[broken], 1));
        assert_eq!(index, 9);
        assert!(matches!(error, EntryError::Unreadable(_)), "{broken:?}: {error}");
    }
    assert!(matches!(verify(with(0, &[], 1), None), Err(VerifyError::Header(_))));
}

#[test]
fn error_messages_escape_control_characters() {
    let error = verify("{\"\\u001b[31m\":1}\n", None).unwrap_err().to_string();
    assert!(error.contains("u{1b}") && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn a_changed_header_is_detected() {
    let ledger = TestLedger::of(SIZE as u64);
    let good = ledger.header(100, 400, SIZE);
    assert!(verify(ledger.export(&good), None).is_ok());

    let mut other_account = good.clone();
    other_account.account = "999999999999".parse().unwrap();
    assert!(
        verify(ledger.export(&other_account), None)
            .unwrap_err()
            .to_string()
            .contains("999999999999")
    );

    let mut larger = good.clone();
    larger.checkpoint = larger.checkpoint.replace("\n600\n", "\n601\n");
    assert!(matches!(
        ledger_error(verify(ledger.export(&larger), None)),
        LedgerError::Checkpoint(_)
    ));

    let mut smaller = good.clone();
    smaller.checkpoint = ledger.checkpoint(399);
    assert!(matches!(
        ledger_error(verify(ledger.export(&smaller), None)),
        LedgerError::Range { size: 399, .. }
    ));

    let mut shorter = good.clone();
    shorter.left_hashes.pop();
    assert_eq!(
        ledger_error(verify(ledger.export(&shorter), None)),
        LedgerError::LeftHashes { start_index: 100 }
    );

    let mut left = good.clone();
    left.left_hashes[0][0] ^= 1;
    let mut right = good.clone();
    right.consistency_proof[0][0] ^= 1;
    for header in [left, right] {
        let error = ledger_error(verify(ledger.export(&header), None));
        assert!(
            matches!(
                error,
                LedgerError::Rewritten {
                    start_index: 100,
                    left: true,
                    right: true,
                    ..
                }
            ),
            "{error}"
        );
    }
    let foreign = ledger.checkpoint(200).replace("\n200\n", "\n201\n");
    assert!(matches!(
        ledger_error(verify(ledger.export(&good), Some(foreign))),
        LedgerError::Older(_)
    ));
}
