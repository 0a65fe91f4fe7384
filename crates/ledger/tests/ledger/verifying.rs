//! A valid export is verified, whole or in part, also against an older checkpoint.

use proptest::prelude::*;
use sharewarden_ledger::{
    export::Header,
    verify::{EntryError, LedgerVerifier, VerifiedRange, Verifier, VerifyError, VerifyProgress},
};

use crate::fixtures::{TestLedger, account, keys};

/// Verifies an export line by line, and at once, with the same result.
pub(crate) fn verify(export: impl AsRef<[u8]>, older: Option<String>) -> Result<VerifiedRange, VerifyError> {
    let verifier = || Verifier::new(keys(), older.clone());
    let (mut by_line, mut at_once) = (verifier(), verifier());
    let mut lines = export.as_ref().split_inclusive(|byte| *byte == b'\n');
    let by_line = lines
        .try_for_each(|line| by_line.line(line))
        .and_then(|()| by_line.finish());
    let at_once = at_once.lines(export.as_ref()).and_then(|()| at_once.finish());
    assert_eq!(by_line, at_once);
    by_line
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_range_of_a_ledger_is_verified(
        (size, end, start) in (1_usize..700)
            .prop_flat_map(|size| (Just(size), 1..=size))
            .prop_flat_map(|(size, end)| (Just(size), Just(end), 0..end)),
        older in any::<prop::sample::Index>(),
    ) {
        let ledger = TestLedger::of(size as u64);
        let export = ledger.export(&ledger.header(start, end, size));
        let older = older.index(size + 1);
        let verified = verify(&export, Some(ledger.checkpoint(older))).unwrap();
        prop_assert_eq!((verified.start_index, verified.end_index), (start as u64, end as u64));
        prop_assert_eq!(verified.checkpoint.checkpoint.size, size as u64);
        let can_tell = older == 0 || older == size || (start..=end).contains(&older);
        prop_assert_eq!(verified.older.unwrap().is_prefix, can_tell);
        prop_assert!(verify(&export, None).unwrap().older.is_none());
    }
}

#[test]
fn entries_are_verified_without_a_file() {
    let ledger = TestLedger::of(300);
    let header = ledger.header(10, 290, 300);
    let verifier = || LedgerVerifier::new(&header, &keys(), None).unwrap();
    let mut entries: Vec<_> = ledger.lines.iter().cloned().zip(ledger.hashes.clone()).collect();
    let (mut one_by_one, mut in_pages) = (verifier(), verifier());
    for (line, hash) in &entries[10..290] {
        one_by_one.entry(line.as_bytes(), hash).unwrap();
    }
    in_pages.entries(&entries[10..200]).unwrap();
    in_pages.entries(&entries[200..290]).unwrap();
    for verifier in [one_by_one, in_pages] {
        assert_eq!(verifier.progress(), VerifyProgress { done: 280, total: 280 });
        assert_eq!(verifier.finish().unwrap().account, account());
    }
    let changed = |index| VerifyError::Entry {
        account: account(),
        index,
        error: EntryError::Changed,
    };
    // The first wrong entry is named.
    for index in [50, 40] {
        entries[index].1 = [7; 32];
        assert_eq!(verifier().entries(&entries[10..290]), Err(changed(index as u64)));
    }
}

#[test]
fn progress_is_reported_for_each_tile() {
    let export = TestLedger::of(300).export_all();
    let mut verifier = Verifier::new(keys(), None);
    assert_eq!(verifier.progress(), VerifyProgress::default());
    for line in export.split_inclusive('\n').take(280) {
        verifier.line(line.as_bytes()).unwrap();
    }
    assert_eq!(verifier.progress(), VerifyProgress { done: 256, total: 300 });
}

#[test]
fn a_header_is_parsed_back_and_only_entries_begin_with_account_id() {
    let ledger = TestLedger::of(600);
    let header = ledger.header(3, 590, 600);
    assert_eq!(Header::parse(header.to_line().unwrap().as_bytes()).unwrap(), header);
    let export = ledger.export(&header);
    let entries: Vec<_> = export
        .lines()
        .filter(|line| line.starts_with(r#"{"account_id""#))
        .collect();
    assert_eq!(entries, ledger.lines[3..590]);
    let others = export.lines().filter(|line| !line.starts_with(r#"{"account_id""#));
    assert_eq!(others.count(), 1 + 3, "the header, and hashes after 255, 511 and 589");
}
