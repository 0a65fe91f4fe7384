//! `key generate` and `key show`.

use std::{fs, os::unix::fs::PermissionsExt};

use clap::Parser;
use sharewarden::{
    cli::{self, ClientOptions, Console, KeyCommand},
    ledger::VerifierKey,
};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: ClientOptions,
    #[command(subcommand)]
    command: KeyCommand,
}

fn key(words: &[&str]) -> (Result<(), cli::Failure>, String, String) {
    let cli = Cli::try_parse_from(["key"].iter().chain(words)).unwrap_or_else(|error| panic!("{error}"));
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let result = cli::key(&cli.options, cli.command, &mut Console::new(&mut out, &mut notes));
    (
        result,
        String::from_utf8(out).unwrap(),
        String::from_utf8(notes).unwrap(),
    )
}

#[test]
fn a_key_file_is_only_for_its_owner_and_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let file = path.to_str().unwrap();
    let generate = ["generate", "--name", "example.com/audit", "--out", file];
    let (result, out, _) = key(&generate);
    result.unwrap();
    let made: VerifierKey = out.trim().parse().unwrap();
    assert_eq!(made.name().as_str(), "example.com/audit");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let pem = fs::read_to_string(&path).unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));

    let (result, shown, _) = key(&["show", "--name", "example.com/audit", "--key-file", file]);
    result.unwrap();
    assert_eq!(shown, out);

    let (result, out, _) = key(&generate);
    let failure = result.unwrap_err();
    assert_eq!((failure.exit_code(), out.as_str()), (2, ""));
    assert!(failure.to_string().contains("exists already"), "{failure}");
    assert_eq!(fs::read_to_string(&path).unwrap(), pem);
}

#[test]
fn a_key_on_standard_output_has_its_verifier_key_on_standard_error() {
    let (result, pem, vkey) = key(&["generate", "--name", "n"]);
    result.unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n") && pem.ends_with("-----END PRIVATE KEY-----\n"));
    assert!(vkey.trim().parse::<VerifierKey>().is_ok());
    let (_, again, _) = key(&["generate", "--name", "n"]);
    assert_ne!(pem, again);
}

#[test]
fn keys_are_printed_as_json_for_programs() {
    let (result, out, notes) = key(&["generate", "--name", "n", "-o", "json"]);
    result.unwrap();
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((out.lines().count(), notes.as_str()), (1, ""));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    fs::write(&path, made["privateKey"].as_str().unwrap()).unwrap();
    let (result, shown, _) = key(&[
        "show",
        "--name",
        "n",
        "--key-file",
        path.to_str().unwrap(),
        "-o",
        "json",
    ]);
    result.unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["verifierKey"], made["verifierKey"]);
}

#[test]
fn an_invalid_key_is_refused_and_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    fs::write(&path, "a secret of another kind").unwrap();
    let (result, _, _) = key(&["show", "--name", "n", "--key-file", path.to_str().unwrap()]);
    let text = result.unwrap_err().to_string();
    assert!(
        text.contains("not an Ed25519 private key") && !text.contains("another kind"),
        "{text}"
    );
}
