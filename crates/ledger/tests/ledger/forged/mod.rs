//! Forged and damaged exports. Both verifiers refuse each of them with one sentence that names the account and the
//! entry.
//!
//! [`file`] edits an export. The other modules are tables of cases: a name, the file, and how the error of both
//! verifiers must begin.

mod base64;
mod checkpoint;
mod entries;
mod file;
mod hashes;
mod header;
mod lines;
mod order;
mod policy_sets;

use std::sync::LazyLock;

use sharewarden_ledger::verify::VerifiedRange;

use self::file::{File, GOOD, signed_note};
use crate::{
    fixtures::{TestLedger, account},
    python,
    verifying::verify,
};

/// A forged file and the expected error.
struct ForgedExport {
    name: String,
    export: Vec<u8>,
    answer: String,
    /// The trusted root for the Python script, which does not verify signatures.
    root: Vec<String>,
}

fn case(name: impl Into<String>, file: impl Into<Vec<u8>>, answer: impl Into<String>) -> ForgedExport {
    ForgedExport {
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

/// The error if the header is malformed.
const NOT_AN_EXPORT: &str = "not an export of a ledger: ";

/// Any error.
const REFUSED: &str = "";

/// The prefix of an error about the ledger.
fn ledger() -> String {
    format!("account {}: ", account())
}

/// The prefix of an error about an entry.
fn at(index: usize) -> String {
    format!("account {}, entry {index}: ", account())
}

static CASES: LazyLock<Vec<ForgedExport>> = LazyLock::new(|| {
    let groups = [
        header::cases(),
        checkpoint::cases(),
        base64::cases(),
        hashes::cases(),
        lines::cases(),
        order::cases(),
        entries::cases(),
        policy_sets::cases(),
    ];
    groups.into_iter().flatten().collect()
});

/// What is wrong with a verifier's result.
fn complaint(case: &ForgedExport, said: Result<String, String>) -> Option<String> {
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
fn no_forged_export_is_accepted() {
    let range = |verified: VerifiedRange| format!("{} to {}", verified.start_index, verified.end_index);
    let verify = |case: &ForgedExport| verify(&case.export, None).map_err(|wrong| wrong.to_string());
    check(CASES.iter().map(|case| verify(case).map(range)));
}

#[test]
fn no_forged_export_is_accepted_by_the_python_script() {
    let exports = CASES.iter().map(|case| (&case.export[..], &case.root[..]));
    let answers = python::run_many(exports);
    assert_eq!(answers.len(), CASES.len());
    check(answers.into_iter());
}

#[test]
fn both_verifiers_accept_a_valid_export_and_report_its_range() {
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
        let ok = |trust| Ok(python::ok(start, end, 300, &root, trust));
        assert_eq!(python::run(&good, &[]), ok(python::UNSIGNED));
        assert_eq!(python::run(&good, &[&root]), ok(python::TRUSTED));
    }
}

#[test]
fn extension_lines_and_unknown_signatures_are_accepted() {
    let text = file::checkpoint_lines().join("\n") + "\nan extension\n";
    let note = signed_note(&text) + "— a.witness.example AAAAAAAA\n";
    let good = File::good().note(&note).bytes();
    assert!(verify(&good, None).is_ok());
    assert!(
        python::run(&good, &[])
            .unwrap()
            .starts_with("OK entries 0 to 299 of account ")
    );
}

/// Nobody may take an empty file for the history of an account.
#[test]
fn an_export_without_entries_is_refused() {
    let empty = TestLedger::of(0).export_all().into_bytes();
    for (export, place) in [
        (File::part(0, 0).bytes(), 0),
        (File::part(100, 100).bytes(), 100),
        (File::part(300, 300).bytes(), 300),
        (empty, 0),
    ] {
        let says = ledger() + "the export has no entries: nothing was verified";
        assert_eq!(verify(&export, None).unwrap_err().to_string(), says, "{place}");
        assert_eq!(python::run(&export, &[]).unwrap_err(), says + "\n", "{place}");
    }
}
