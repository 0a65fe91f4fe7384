//! Whatever is tampered with, it is found, and named by account and index.

use sharewarden_ledger::verify::{EntryFault, LedgerFault, Verified, Wrong};

use crate::{
    verifying::verify,
    world::{Ledger, account, line},
};

const SIZE: usize = 600;

fn entry_fault(result: Result<Verified, Wrong>) -> (u64, EntryFault) {
    match result.unwrap_err() {
        Wrong::Entry { account, index, fault } => {
            assert_eq!(account, crate::world::account());
            (index, fault)
        }
        other => panic!("{other}"),
    }
}

fn ledger_fault(result: Result<Verified, Wrong>) -> LedgerFault {
    match result.unwrap_err() {
        Wrong::Ledger { account, fault } => {
            assert_eq!(account, crate::world::account());
            fault
        }
        other => panic!("{other}"),
    }
}

/// The store was changed after its checkpoint was signed; the export is what it says now.
fn export_after(change: impl FnOnce(&mut Ledger)) -> String {
    let mut ledger = Ledger::of(SIZE as u64);
    let header = ledger.header(0, SIZE, SIZE);
    change(&mut ledger);
    ledger.export(&header)
}

#[test]
fn a_changed_reason_is_found() {
    let export = export_after(|ledger| ledger.lines[300] = line(account(), 300, "another reason"));
    let error = verify(&export, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "account 000011112222, entry 300: its text does not match its recorded hash: one of them was changed"
    );
    assert_eq!((error.account(), error.index()), (Some(account()), Some(300)));
}

#[test]
fn a_deleted_entry_is_found() {
    let export = export_after(|ledger| {
        ledger.lines.remove(300);
        ledger.hashes.remove(300);
        ledger.lines.push(line(account(), 600, "one more"));
        ledger.hashes.push([0; 32]);
    });
    assert_eq!(entry_fault(verify(&export, None)), (300, EntryFault::OfIndex(301)));
}

#[test]
fn two_swapped_entries_are_found() {
    let export = export_after(|ledger| {
        ledger.lines.swap(100, 200);
        ledger.hashes.swap(100, 200);
    });
    assert_eq!(entry_fault(verify(&export, None)), (100, EntryFault::OfIndex(200)));
}

#[test]
fn two_entries_that_swapped_their_contents_are_found() {
    let export = export_after(|ledger| {
        ledger.lines[100] = line(account(), 100, "that of 200");
        ledger.lines[200] = line(account(), 200, "that of 100");
    });
    assert_eq!(entry_fault(verify(&export, None)), (100, EntryFault::Changed));
}

#[test]
fn a_changed_hash_is_found() {
    let export = export_after(|ledger| ledger.hashes[599][0] ^= 1);
    assert_eq!(entry_fault(verify(&export, None)), (599, EntryFault::Changed));
}

#[test]
fn a_foreign_entry_is_found() {
    let other = "999999999999".parse().unwrap();
    let export = export_after(|ledger| ledger.lines[256] = line(other, 256, "a reason"));
    let fault = EntryFault::OfAccount("999999999999".into());
    assert_eq!(entry_fault(verify(&export, None)), (256, fault));
}

#[test]
fn an_entry_from_before_the_one_in_front_of_it_is_found() {
    let mut ledger = Ledger::of(3);
    ledger.lines[2] = ledger.lines[2].replace("2026-11-22", "2025-11-22");
    let ledger = Ledger::of_lines(ledger.lines);
    let (index, fault) = entry_fault(verify(ledger.export_all(), None));
    assert_eq!(index, 2);
    assert!(matches!(fault, EntryFault::BackInTime { .. }), "{fault}");
}

#[test]
fn a_rewritten_chain_is_found_by_the_checkpoint() {
    let export = export_after(|ledger| {
        let mut lines = ledger.lines.clone();
        lines[300] = line(account(), 300, "another reason");
        *ledger = Ledger::of_lines(lines);
    });
    let error = verify(&export, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "account 000011112222: every entry matches its recorded hash, but together they do not lead to the checkpoint of 600 \
         entries. Rewritten was at least one of the entries 0 to 599, together with its hash"
    );
    assert_eq!((error.account(), error.index()), (Some(account()), Some(0)));
}

#[test]
fn an_older_checkpoint_narrows_down_what_was_rewritten() {
    let ledger = Ledger::of(SIZE as u64);
    let mut lines = ledger.lines.clone();
    lines[300] = line(account(), 300, "another reason");
    let rewritten = Ledger::of_lines(lines);
    let range = |older: usize, export: &str| match ledger_fault(verify(export, Some(ledger.checkpoint(older)))) {
        LedgerFault::Rewritten {
            start_index,
            end_index,
            size,
            older,
            left: false,
            right: false,
        } => (start_index, end_index, size, older),
        other => panic!("{other}"),
    };
    // The checkpoint of today is of the history as it was.
    let export = rewritten.export(&ledger.header(0, SIZE, SIZE));
    assert_eq!(range(200, &export), (200, 600, 600, false));
    assert_eq!(range(300, &export), (300, 600, 600, false));
    assert_eq!(range(301, &export), (0, 301, 301, true));
    assert_eq!(range(600, &export), (0, 600, 600, false));
    // Even the checkpoint of today is of the history as it was rewritten.
    let export = rewritten.export_all();
    assert!(verify(&export, None).is_ok());
    assert!(verify(&export, Some(ledger.checkpoint(300))).is_ok());
    assert_eq!(range(301, &export), (0, 301, 301, true));
    let fault = ledger_fault(verify(&export, Some(ledger.checkpoint(SIZE))));
    assert_eq!(fault, LedgerFault::Forked { size: 600 });
}

#[test]
fn a_truncated_ledger_is_found_by_an_older_checkpoint() {
    let ledger = Ledger::of(SIZE as u64);
    let truncated = Ledger::of(500);
    assert!(verify(truncated.export_all(), None).is_ok());
    let error = verify(truncated.export_all(), Some(ledger.checkpoint(SIZE))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "account 000011112222: truncated: the older checkpoint has 600 entries, this ledger has 500; entry 500 and those after it are gone"
    );
    assert_eq!(error.index(), Some(500));
}

#[test]
fn an_export_that_lost_its_end_is_found_wherever_it_was_cut() {
    let export = Ledger::of(SIZE as u64).export_all();
    let lines: Vec<_> = export.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 1 + SIZE + 3);
    for (kept, next) in [(1, 0), (2, 1), (257, 256), (258, 256), (259, 257), (SIZE + 2, 599)] {
        let fault = entry_fault(verify(lines[..kept].concat(), None));
        assert_eq!(fault, (next, EntryFault::Missing { end_index: 600 }), "{kept} lines");
    }
    let without_the_last_hashes = lines[..SIZE + 3].concat();
    assert_eq!(
        entry_fault(verify(&without_the_last_hashes, None)),
        (599, EntryFault::NoHashes)
    );
    assert!(matches!(verify("", None), Err(Wrong::Header(_))));
}

#[test]
fn a_line_that_is_added_removed_or_broken_is_found() {
    let export = Ledger::of(SIZE as u64).export_all();
    let lines: Vec<_> = export.split_inclusive('\n').collect();
    let with = |at: usize, new: &[&str], old: usize| [&lines[..at], new, &lines[at + old..]].concat().concat();
    let fault = |export: &str| entry_fault(verify(export, None));
    // Line 257 has the hashes of the entries 0 to 255.
    assert_eq!(fault(&with(257, &[], 1)), (255, EntryFault::NoHashes));
    assert_eq!(
        fault(&with(257, &[lines[257], lines[257]], 1)),
        (256, EntryFault::HashesInItsPlace)
    );
    assert_eq!(
        fault(&with(100, &[lines[257]], 0)),
        (99, EntryFault::Missing { end_index: 600 })
    );
    assert_eq!(fault(&with(256, &[], 1)), (255, EntryFault::Missing { end_index: 600 }));
    assert_eq!(
        fault(&with(10, &[lines[10], lines[10]], 1)),
        (10, EntryFault::OfIndex(9))
    );
    let more = line(account(), 600, "one more") + "\n";
    assert_eq!(fault(&(export.clone() + &more)), (600, EntryFault::PastTheEnd));
    for broken in [
        "\n",
        "{}\n",
        "{\"account_id\"\n",
        "\0\n",
        "{\"leaf_hashes\":\"AAAA\",\"end_index\":9}\n",
        lines[0],
    ] {
        let (index, fault) = fault(&with(10, &[broken], 1));
        assert_eq!(index, 9);
        assert!(matches!(fault, EntryFault::Unreadable(_)), "{broken:?}: {fault}");
    }
    assert!(matches!(verify(with(0, &[], 1), None), Err(Wrong::Header(_))));
}

#[test]
fn what_is_wrong_is_told_in_words_that_cannot_steer_a_terminal() {
    let error = verify("{\"\\u001b[31m\":1}\n", None).unwrap_err().to_string();
    assert!(error.contains("u{1b}") && !error.contains('\u{1b}'), "{error}");
}

#[test]
fn a_header_that_was_changed_is_found() {
    let ledger = Ledger::of(SIZE as u64);
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
        ledger_fault(verify(ledger.export(&larger), None)),
        LedgerFault::Checkpoint(_)
    ));

    let mut smaller = good.clone();
    smaller.checkpoint = ledger.checkpoint(399);
    assert!(matches!(
        ledger_fault(verify(ledger.export(&smaller), None)),
        LedgerFault::Range { size: 399, .. }
    ));

    let mut shorter = good.clone();
    shorter.left_hashes.pop();
    assert_eq!(
        ledger_fault(verify(ledger.export(&shorter), None)),
        LedgerFault::LeftHashes { start_index: 100 }
    );

    let mut left = good.clone();
    left.left_hashes[0][0] ^= 1;
    let mut right = good.clone();
    right.consistency_proof[0][0] ^= 1;
    for header in [left, right] {
        let fault = ledger_fault(verify(ledger.export(&header), None));
        assert!(
            matches!(
                fault,
                LedgerFault::Rewritten {
                    start_index: 100,
                    left: true,
                    right: true,
                    ..
                }
            ),
            "{fault}"
        );
    }
    let foreign = ledger.checkpoint(200).replace("\n200\n", "\n201\n");
    assert!(matches!(
        ledger_fault(verify(ledger.export(&good), Some(foreign))),
        LedgerFault::Older(_)
    ));
}
