//! An environment variable that is empty counts as not set: compose files pass an unset variable so.

use crate::{closed_outputs::program, harness::WHICH};

#[test]
fn an_empty_variable_of_an_option_is_not_set() {
    let line = format!("grant --server http://127.0.0.1:1 --timeout 1s {WHICH} --reason x");
    let mut program = program(&line);
    for name in [
        "TLS_CA",
        "TLS_CERTIFICATE",
        "TLS_KEY",
        "TOKEN_FILE",
        "PRINCIPAL",
        "SERVER",
        "CONFIG",
    ] {
        program.env(format!("SHAREWARDEN_{name}"), "");
    }
    let output = program.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("cannot connect to http://127.0.0.1:1"), "{said}");
}

#[test]
fn an_empty_variable_of_a_key_leaves_the_value_of_the_file() {
    let full = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sharewarden.full.toml");
    let mut program = program(&format!("config check --config {full}"));
    for key in ["DATABASE__URL", "SERVER__MAX_WAIT", "AWS__ENDPOINT_URL"] {
        program.env(format!("SHAREWARDEN__{key}"), "");
    }
    let output = program.output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("max_wait = \"30s\""), "{shown}");
}
