//! Forged and damaged exports. Neither verifier says OK to one; both say what is wrong in one sentence, and name the
//! account and the entry.
//!
//! [`file`] takes an export apart and puts it together again. The other modules are the table of cases: a name, how the
//! file is made, and how the answer of both verifiers begins.

mod base64;
mod checkpoint;
mod entries;
mod file;
mod hashes;
mod header;
mod lines;
mod order;

use std::sync::LazyLock;

use sharewarden_ledger::verify::Verified;

use self::file::{File, GOOD, signed_note};
use crate::{
    python,
    verifying::verify,
    world::{Ledger, account},
};

/// A file, and what is to be said of it.
struct Case {
    name: String,
    export: Vec<u8>,
    answer: String,
    /// The root that the Python verifier is told to trust, as it does not verify signatures.
    root: Vec<String>,
}

fn case(name: impl Into<String>, file: impl Into<Vec<u8>>, answer: impl Into<String>) -> Case {
    Case {
        name: name.into(),
        export: file.into(),
        answer: answer.into(),
        root: Vec::new(),
    }
}

impl From<File> for Vec<u8> {
    fn from(file: File) -> Self {
        file.bytes()
    }
}

/// The file is not known to be an export of any ledger.
const NOT_AN_EXPORT: &str = "not an export of a ledger: ";

/// It is refused, by each verifier with words of its own.
const REFUSED: &str = "";

/// The ledger as a whole is at fault.
fn ledger() -> String {
    format!("account {}: ", account())
}

/// This entry is at fault.
fn at(index: usize) -> String {
    format!("account {}, entry {index}: ", account())
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let groups = [
        header::cases(),
        checkpoint::cases(),
        base64::cases(),
        hashes::cases(),
        lines::cases(),
        order::cases(),
        entries::cases(),
    ];
    groups.into_iter().flatten().collect()
});

/// What a verifier should have said of a case, if it said something else.
fn complaint(case: &Case, said: Result<String, String>) -> Option<String> {
    match said {
        Ok(ok) => Some(format!("{}: OK: {ok}", case.name)),
        Err(answer) if !answer.starts_with(&case.answer) || answer.trim_end().contains('\n') => {
            Some(format!("{}: {answer:?} is not {:?}", case.name, case.answer))
        }
        Err(_) => None,
    }
}

fn check(answers: impl Iterator<Item = Result<String, String>>) {
    let complaints: Vec<_> = CASES
        .iter()
        .zip(answers)
        .filter_map(|(case, said)| complaint(case, said))
        .collect();
    assert!(
        complaints.is_empty(),
        "{}:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

#[test]
fn no_forged_export_is_verified() {
    let range = |verified: Verified| format!("{} to {}", verified.start_index, verified.end_index);
    let verify = |case: &Case| verify(&case.export, None).map_err(|wrong| wrong.to_string());
    check(CASES.iter().map(|case| verify(case).map(range)));
}

#[test]
fn no_forged_export_is_verified_by_python() {
    let exports = CASES.iter().map(|case| (&case.export[..], &case.root[..]));
    let answers = python::run_many(exports);
    assert_eq!(answers.len(), CASES.len());
    check(answers.into_iter());
}

#[test]
fn a_good_export_is_verified_by_both_and_both_tell_its_range() {
    let root = python::root(&GOOD);
    for (start, end) in [
        (0, 300),
        (0, 1),
        (0, 255),
        (0, 256),
        (0, 257),
        (10, 290),
        (100, 300),
        (256, 299),
        (256, 300),
        (299, 300),
    ] {
        let good = File::part(start, end).bytes();
        let verified = verify(&good, None).unwrap();
        assert_eq!((verified.start_index, verified.end_index), (start as u64, end as u64));
        let ok = format!("OK entries {start} to {} of 300, root {root}\n", end - 1);
        assert_eq!(python::run(&good, &[]), Ok(ok.clone()));
        assert_eq!(python::run(&good, &[&root]), Ok(ok));
    }
}

#[test]
fn a_checkpoint_may_have_lines_of_extensions_and_signatures_of_others() {
    let text = file::checkpoint_lines().join("\n") + "\nan extension\n";
    let note = signed_note(&text) + "— a.witness.example AAAAAAAA\n";
    let good = File::good().note(&note).bytes();
    assert!(verify(&good, None).is_ok());
    assert!(
        python::run(&good, &[])
            .unwrap()
            .starts_with("OK entries 0 to 299 of 300, ")
    );
}

/// The service may sign that a ledger has no entries, and a part of a ledger may be empty. Whoever runs the script for
/// the history of an account must not take that for one.
#[test]
fn an_export_without_entries_is_verified_as_one_and_is_no_history() {
    let empty = Ledger::of(0).export_all().into_bytes();
    for (export, place) in [
        (File::part(0, 0).bytes(), 0),
        (File::part(100, 100).bytes(), 100),
        (File::part(300, 300).bytes(), 300),
        (empty, 0),
    ] {
        let verified = verify(&export, None).unwrap();
        assert_eq!((verified.start_index, verified.end_index), (place, place));
        let refused = python::run(&export, &[]).unwrap_err();
        assert_eq!(refused, ledger() + "the export has no entries: nothing was verified\n");
    }
}
