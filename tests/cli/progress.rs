//! The progress bar of the program: on a terminal, and nowhere else.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::ledger::Ledger;

/// Runs a command line of the shell on a terminal of 100 columns. Returns what the terminal got.
fn on_a_terminal(line: &str) -> String {
    let output = Command::new("script")
        .args(["-qefc", &format!("stty cols 100; {line}"), "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_progress_bar_is_drawn_on_a_terminal_and_nowhere_else() {
    let (ledger, folder) = (Ledger::of(20), tempfile::tempdir().unwrap());
    let file = folder.path().join("ledger.jsonl");
    fs::write(&file, ledger.export()).unwrap();
    let line = format!(
        "{} audit verify --export {} --key '{}'",
        env!("CARGO_BIN_EXE_sharewarden"),
        file.display(),
        ledger.vkey()
    );
    let bar = "/20 entries, ";
    let seen = on_a_terminal(&line);
    assert!(seen.contains(bar) && seen.contains("entries 0 to 19"), "{seen:?}");
    // With the answer in a file, the bar is still on standard error.
    let seen = on_a_terminal(&format!("{line} -o json > {}", folder.path().join("out").display()));
    assert!(seen.contains(bar), "{seen:?}");
    let seen = on_a_terminal(&format!("{line} -o json 2>&1 | cat"));
    assert!(!seen.contains(bar) && seen.contains("treeSize"), "{seen:?}");
}
