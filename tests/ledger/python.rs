//! The verifier in docs/ finds what this program's finds, with nothing but Python's standard library.

use std::{io::Write, process::Command};

use crate::world::{Ledger, account, frontier, line};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verify_export.py");

/// What the script says about an export: its answer, or its complaint.
fn run(export: &str, arguments: &[&str]) -> Result<String, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(export.as_bytes()).unwrap();
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

fn root(ledger: &Ledger) -> String {
    let root = frontier(&ledger.hashes).root();
    root.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_script_is_short() {
    assert!(std::fs::read_to_string(SCRIPT).unwrap().lines().count() <= 30);
}

#[test]
fn a_good_export_is_ok_whole_or_from_the_middle() {
    let ledger = Ledger::of(600);
    let ok = format!("OK 600 {}\n", root(&ledger));
    assert_eq!(run(&ledger.export_all(), &[]), Ok(ok.clone()));
    assert_eq!(run(&ledger.export_all(), &[&root(&ledger)]), Ok(ok.clone()));
    assert_eq!(run(&ledger.export(&ledger.header(299, 600, 600)), &[]), Ok(ok));
    let wrong_root = run(&ledger.export_all(), &[&root(&Ledger::of(599))]).unwrap_err();
    assert!(wrong_root.contains("not the one you trust"), "{wrong_root}");
}

#[test]
fn a_tampered_export_is_refused_with_the_index() {
    let good = Ledger::of(600);
    let header = good.header(0, 600, 600);
    let says = |ledger: &Ledger, expected: &str| {
        let error = run(&ledger.export(&header), &[]).unwrap_err();
        assert!(
            error.starts_with(&format!("account 000011112222, {expected}")),
            "{error}"
        );
    };
    let mut changed = good.clone();
    changed.lines[300] = line(account(), 300, "another reason");
    says(&changed, "entry 300: its text does not match its recorded hash");
    says(&Ledger::of_lines(changed.lines), "the root is not the checkpoint's");
    let mut swapped = good.clone();
    swapped.lines.swap(100, 200);
    says(&swapped, "entry 100: another is in its place");
    let mut foreign = good.clone();
    foreign.lines[7] = line("999999999999".parse().unwrap(), 7, "a reason");
    says(&foreign, "entry 7: another is in its place");
    let export = good.export_all();
    let cut: Vec<_> = export.split_inclusive('\n').take(401).collect();
    let error = run(&cut.concat(), &[]).unwrap_err();
    assert!(error.contains("entry 399: it is missing"), "{error}");
}
