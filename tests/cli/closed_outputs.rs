//! The program when the reader of its output is gone, as in `sharewarden … | true`.

use std::{
    io::{self, PipeWriter},
    process::{Command, Stdio},
};

use crate::harness::WHICH;

/// A pipe that nobody reads.
fn closed() -> PipeWriter {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer
}

/// The program with these arguments, without the configuration of the environment.
pub(crate) fn program(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sharewarden"));
    command.args(arguments.split_whitespace()).stdin(Stdio::null());
    command
        .env_remove("SHAREWARDEN_CONFIG")
        .env_remove("SHAREWARDEN_SERVER");
    command
}

#[test]
fn a_closed_standard_error_does_not_change_the_exit_code() {
    for (arguments, code) in [
        (
            format!("grant --server http://127.0.0.1:1 --timeout 1s --principal x {WHICH} --reason x"),
            6,
        ),
        ("config check --config /nowhere.toml".to_owned(), 1),
        ("migrate --config /nowhere.toml".to_owned(), 1),
        ("serve --config /nowhere.toml".to_owned(), 1),
        ("audit verify --export /nowhere.jsonl".to_owned(), 2),
        ("grant --no-such-option".to_owned(), 2),
    ] {
        let status = program(&arguments)
            .stdout(Stdio::null())
            .stderr(closed())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(code), "{arguments}");
    }
}

#[test]
fn a_closed_standard_output_is_no_failure_and_nothing_is_said() {
    let full = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sharewarden.full.toml");
    for arguments in [
        "completions bash",
        "--help",
        "audit --help",
        "--version",
        &format!("config check --config {full}"),
    ] {
        let output = program(arguments)
            .stdout(closed())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.as_ref()), (Some(0), ""), "{arguments}");
    }
}
