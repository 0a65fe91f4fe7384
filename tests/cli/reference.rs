//! docs/cli.md is what the help of the program prints, and the help keeps its rules. Write the document again with
//! `cargo test --test cli -- --ignored write_the_reference`.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use crate::{closed_outputs::program, ledger::Ledger};

const FILE: &str = "docs/cli.md";

const HEAD: &str = "\
# Command line

<!-- Made of the program's help. Do not edit: `cargo test --test cli -- --ignored write_the_reference` -->

`sharewarden COMMAND -h` is short, `--help` has everything, `sharewarden help concepts` explains the words, and
`sharewarden man` makes manual pages. Options of client commands may stand before or after the command.
";

/// The sections of a help text that all client commands share.
const SHARED: [&str; 2] = ["Client options:", "Display options:"];

fn print(arguments: &str, columns: u16) -> String {
    let mut command = program(arguments);
    let output = command
        .env_clear()
        .env("COLUMNS", columns.to_string())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn help(path: &str, columns: u16) -> String {
    let text = print(format!("{path} --help").trim_start(), columns);
    // The parser pads empty lines.
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The sections of a help text: each begins with a line that is not indented.
fn sections(help: &str) -> Vec<String> {
    let mut sections: Vec<String> = Vec::new();
    for line in help.lines() {
        match sections.last_mut() {
            Some(section) if line.is_empty() || line.starts_with(' ') => section.push_str(&format!("{line}\n")),
            _ => sections.push(format!("{line}\n")),
        }
    }
    sections
}

fn section(help: &str, name: &str) -> Option<String> {
    sections(help).into_iter().find(|section| section.starts_with(name))
}

/// The names of the commands below this one.
fn children(help: &str) -> Vec<String> {
    let commands = section(help, "Commands:").unwrap_or_default();
    let names = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

/// Every command with its path, parents first.
fn commands() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![String::new()];
    while let Some(path) = open.pop() {
        let text = help(&path, 100);
        let below = children(&text);
        open.extend(
            below
                .iter()
                .rev()
                .map(|name| format!("{path} {name}").trim_start().to_owned()),
        );
        found.push((path, text));
    }
    assert!(found.len() > 25, "the commands were found");
    found
}

/// The commands without commands below them.
fn leaves() -> Vec<(String, String)> {
    let leaves = commands()
        .into_iter()
        .filter(|(path, text)| path != "concepts" && children(text).is_empty());
    leaves.collect()
}

fn reference() -> String {
    let mut text = HEAD.to_owned();
    let root = help("", 100);
    let list = help("list", 100);
    let codes = section(&root, "Exit codes:").unwrap();
    write!(text, "\n## Exit codes\n\n```text\n{}\n```\n", codes.trim_end()).unwrap();
    text.push_str("\n## Options of all client commands\n");
    for name in SHARED {
        let shared = section(&list, name).unwrap();
        write!(text, "\n```text\n{}\n```\n", shared.trim_end()).unwrap();
    }
    for (path, help) in commands() {
        let own = sections(&help).into_iter().filter(|section| {
            let shared = SHARED.iter().any(|name| section.starts_with(name));
            !shared && !section.starts_with("Exit codes:")
        });
        let own: String = own.collect();
        let name = format!("sharewarden {path}");
        write!(text, "\n## {}\n\n```text\n{}\n```\n", name.trim_end(), own.trim_end()).unwrap();
    }
    text
}

#[test]
fn the_reference_matches_the_help() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let stored = fs::read_to_string(file).unwrap_or_default();
    assert!(
        stored == reference(),
        "{FILE} is stale: cargo test --test cli -- --ignored write_the_reference"
    );
}

#[test]
#[ignore = "writes the file; it tests nothing"]
fn write_the_reference() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    fs::write(&file, reference()).unwrap();
}

/// The examples of a help text, each on one line.
fn examples(help: &str) -> Vec<String> {
    let section = section(help, "Examples:").unwrap_or_default();
    let joined = section.replace(" \\\n      ", " ");
    joined
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The words of an example, as a shell splits them, without what follows a redirection or a pipe.
fn words(example: &str) -> Vec<String> {
    let example = example
        .replace("$VKEY", &Ledger::of(1).vkey())
        .replace("$ROOT", &"0".repeat(64));
    let mut words = Vec::new();
    let mut rest = example.trim();
    while !rest.is_empty() && !rest.starts_with(['>', '|']) {
        let (word, after) = match rest.strip_prefix(['\'', '"']) {
            Some(quoted) => quoted.split_once(['\'', '"']).unwrap(),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

#[test]
fn every_command_has_two_examples_that_the_program_accepts() {
    for (path, text) in leaves() {
        let examples = examples(&text);
        assert!(examples.len() >= 2, "{path}: {examples:?}");
        for example in examples {
            let words = words(&example);
            assert!(
                format!("{} ", words.join(" ")).starts_with(&format!("sharewarden {path} ")),
                "{path}: {example}"
            );
            // With --help the program parses all that stands before, and does nothing else.
            let output = program("").args(&words[1..]).arg("--help").output().unwrap();
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{example}: {error}");
        }
    }
}

#[test]
fn examples_are_not_wrapped_on_a_terminal_of_80_columns() {
    for (path, text) in leaves() {
        assert_eq!(
            section(&help(&path, 80), "Examples:"),
            section(&text, "Examples:"),
            "{path}"
        );
        assert!(
            section(&text, "Examples:")
                .unwrap()
                .lines()
                .all(|line| line.len() <= 80),
            "{path}"
        );
    }
}

#[test]
fn what_is_of_the_command_itself_fits_a_screen_in_the_long_help() {
    for (path, _) in leaves() {
        let text = help(&path, 80);
        let own = text.lines().take_while(|line| *line != "Client options:").count();
        assert!(own <= 55, "{path} has {own} lines:\n{text}");
        assert!(!text.starts_with('\n'), "{path}:\n{text}");
    }
}

#[test]
fn client_options_are_in_the_long_help_of_client_commands_only() {
    let without: BTreeSet<_> = [
        "serve",
        "dev",
        "simulate",
        "migrate",
        "config check",
        "policy schema",
        "policy check",
        "policy verify",
        "completions",
        "man",
        "audit archive",
        "audit confirm",
    ]
    .into();
    for (path, text) in leaves() {
        let short = print(&format!("{path} -h"), 100);
        assert!(
            SHARED.iter().all(|name| section(&short, name).is_none()),
            "{path}: {short}"
        );
        if without.contains(path.as_str()) {
            assert!(!text.contains("--server"), "{path}: {text}");
            let has_output = !["dev", "simulate", "completions", "man"].contains(&path.as_str());
            assert_eq!(text.contains("-o, --output"), has_output, "{path}: {text}");
            assert_eq!(short.contains("-o, --output"), has_output, "{path}: {short}");
        } else if ["context list", "context use"].contains(&path.as_str()) {
            assert!(
                !text.contains("--timeout") && !text.contains("--server"),
                "{path}: {text}"
            );
        } else if !path.starts_with("key") {
            assert!(
                SHARED.iter().all(|name| section(&text, name).is_some()),
                "{path}: {text}"
            );
        }
        assert!(section(&text, "Exit codes:").is_none(), "{path}: {text}");
    }
    assert!(help("", 100).contains("Exit codes:"));
    assert!(help("key generate", 100).contains("--output"));
}

#[test]
fn client_options_are_refused_by_commands_that_call_no_service() {
    for arguments in [
        "--server http://127.0.0.1:1 config check --config /nowhere.toml",
        "config check --config /nowhere.toml --server http://127.0.0.1:1",
        "completions bash --no-pager",
        "completions bash -o json",
        "context list --timeout 1s",
        "context use production --server http://127.0.0.1:1 -o json",
    ] {
        let output = program(arguments).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {error}");
        assert!(error.contains("has no meaning for `co"), "{error}");
    }
    // The environment of a client may be that of a service, too.
    let output = program("completions bash")
        .env("SHAREWARDEN_SERVER", "http://127.0.0.1:1")
        .output()
        .unwrap();
    assert!(output.status.success());
}

#[test]
fn every_word_of_ours_is_explained() {
    let text = print("help concepts", 80);
    assert_eq!(text, print("concepts", 80));
    for word in [
        "permission",
        "UNKNOWN",
        "change",
        "generation",
        "superseded",
        "in doubt",
        "lease",
        "replica",
        "request id",
        "principal",
        "ledger",
        "entry",
        "canonical text",
        "leaf hash",
        "checkpoint",
        "witness",
        "verifier key",
        "inclusion proof",
        "denials",
    ] {
        let line = text.lines().find(|line| line.starts_with(word));
        assert!(line.is_some_and(|line| line.contains(": ")), "{word} in\n{text}");
    }
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
}

#[test]
fn manual_pages_are_printed_and_written() {
    assert!(print("man", 80).contains(".TH sharewarden 1"));
    let folder = tempfile::tempdir().unwrap();
    print(&format!("man --to {}", folder.path().display()), 80);
    for (path, _) in commands() {
        let name = format!("sharewarden {path}").trim_end().replace(' ', "-");
        assert!(folder.path().join(format!("{name}.1")).is_file(), "{name}.1");
    }
}
