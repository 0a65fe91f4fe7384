//! The verifier script in docs/ agrees with this package, and needs only the standard library of Python.

use std::{fs::File, io::Write, process::Command};

use sharewarden_ledger::merkle::hex;

use crate::fixtures::{TestLedger, account, frontier, line};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/verify_export.py");

/// Runs the script on an export. Returns its output, or its error.
pub(crate) fn run(export: impl AsRef<[u8]>, arguments: &[&str]) -> Result<String, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(export.as_ref()).unwrap();
    let output = Command::new("python3")
        .arg(SCRIPT)
        .arg(file.path())
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.code() {
        Some(0) => Ok(text(output.stdout)),
        Some(1) => Err(text(output.stderr)),
        other => panic!("{other:?}: {}", text(output.stderr)),
    }
}

/// Runs the script for many command lines in one process: starting Python takes longer than verifying a file.
const MANY: &str = r#"
import contextlib, io, json, runpy, sys, traceback
for line in sys.stdin:
    sys.argv, out, wrong = json.loads(line), io.StringIO(), None
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        wrong = str(end.code)
    except BaseException:
        wrong = traceback.format_exc()
    print(json.dumps({"Ok": out.getvalue()} if wrong is None else {"Err": wrong}))
"#;

/// Runs the script on many exports, each with its arguments.
pub(crate) fn run_many<'a>(exports: impl Iterator<Item = (&'a [u8], &'a [String])>) -> Vec<Result<String, String>> {
    let folder = tempfile::tempdir().unwrap();
    let mut commands = String::new();
    for (number, (export, arguments)) in exports.enumerate() {
        let path = folder.path().join(number.to_string());
        std::fs::write(&path, export).unwrap();
        let command = [&[SCRIPT.to_owned(), path.to_str().unwrap().to_owned()], arguments].concat();
        commands += &format!("{}\n", serde_json::to_string(&command).unwrap());
    }
    let stdin = folder.path().join("commands");
    std::fs::write(&stdin, commands).unwrap();
    let output = Command::new("python3")
        .args(["-c", MANY])
        .stdin(File::open(stdin).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).unwrap();
    answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn root(ledger: &TestLedger) -> String {
    hex(&frontier(&ledger.hashes).root())
}

/// What the script prints about a root that was not given to it.
pub(crate) const UNSIGNED: &str = "whose signature is not verified: compare it with a root that you trust";
/// What the script prints about a root that was given to it.
pub(crate) const TRUSTED: &str = "which you trust";

/// What the script prints about a valid export.
pub(crate) fn ok(start: usize, end: usize, size: usize, root: &str, trust: &str) -> String {
    let (account, last) = (account(), end - 1);
    format!(
        "OK entries {start} to {last} of account {account} match the checkpoint of {size} entries with root {root}, {trust}\n"
    )
}

/// An endless line must not fill the memory, so the script runs with a limit of 1 GB.
#[test]
fn the_script_refuses_a_line_without_end() {
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 1000000; exec python3 \"$0\" /dev/zero", SCRIPT])
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, "not an export of a ledger: its first line is not a header\n");
}

#[test]
fn the_script_has_at_most_90_lines() {
    assert!(std::fs::read_to_string(SCRIPT).unwrap().lines().count() <= 90);
}

#[test]
fn the_script_verifies_a_whole_and_a_partial_export() {
    let ledger = TestLedger::of(600);
    let root = root(&ledger);
    for (start, end) in [(0, 600), (299, 600), (299, 512)] {
        let export = ledger.export(&ledger.header(start, end, 600));
        assert_eq!(run(&export, &[]), Ok(ok(start, end, 600, &root, UNSIGNED)));
        assert_eq!(run(&export, &[&root]), Ok(ok(start, end, 600, &root, TRUSTED)));
    }
    let wrong_root = run(ledger.export_all(), &[&super::python::root(&TestLedger::of(599))]).unwrap_err();
    assert!(wrong_root.contains("not the one you trust"), "{wrong_root}");
}

#[test]
fn the_script_verifies_every_range_of_a_small_ledger() {
    let ranges = (1..=9).flat_map(|size| (1..=size).flat_map(move |end| (0..end).map(move |start| (start, end, size))));
    let ranges: Vec<_> = ranges.collect();
    let ledger = TestLedger::of(9);
    let export = |(start, end, size): &(usize, usize, usize)| ledger.export(&ledger.header(*start, *end, *size));
    let exports: Vec<_> = ranges.iter().map(export).collect();
    let answers = run_many(exports.iter().map(|export| (export.as_bytes(), &[][..])));
    for ((start, end, size), answer) in ranges.into_iter().zip(answers) {
        let root = root(&TestLedger::of_lines(ledger.lines[..size].to_vec()));
        assert_eq!(answer, Ok(ok(start, end, size, &root, UNSIGNED)));
    }
}

#[test]
fn the_script_names_the_index_of_a_tampered_entry() {
    let good = TestLedger::of(600);
    let header = good.header(0, 600, 600);
    let says = |ledger: &TestLedger, expected: &str| {
        let error = run(ledger.export(&header), &[]).unwrap_err();
        assert!(error.starts_with(&format!("account 000011112222{expected}")), "{error}");
    };
    let mut changed = good.clone();
    changed.lines[300] = line(account(), 300, "another reason");
    says(&changed, ", entry 300: its text does not match its recorded hash");
    says(
        &TestLedger::of_lines(changed.lines),
        ": the root is not the checkpoint's",
    );
    let mut swapped = good.clone();
    swapped.lines.swap(100, 200);
    says(&swapped, ", entry 100: another entry is in its place");
    let mut foreign = good.clone();
    foreign.lines[7] = line("999999999999".parse().unwrap(), 7, "a reason");
    says(&foreign, ", entry 7: another entry is in its place");
    let export = good.export_all();
    let cut: Vec<_> = export.split_inclusive('\n').take(401).collect();
    let error = run(cut.concat(), &[]).unwrap_err();
    assert!(error.contains("entry 399: it is missing"), "{error}");
}
