//! The configurations that people copy can be used: those in `docker/` and in the README. And every key is
//! documented: `types` reads the keys off the types in `src/config`, `reference` makes docs/configuration.md of them, and `full`
//! compares them with the file that sets every one.

#![allow(clippy::panic, reason = "a test may fail")]

mod full;
mod reference;
mod types;

use std::{fs, path::Path};

use sharewarden::config::Config;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The contents of the fenced blocks of a language.
fn blocks<'a>(markdown: &'a str, language: &str) -> Vec<&'a str> {
    let fences = markdown.split("```").skip(1).step_by(2);
    fences
        .filter_map(|block| block.split_once('\n'))
        .filter(|(name, _)| name.trim() == language)
        .map(|(_, text)| text)
        .collect()
}

#[test]
fn the_configuration_of_the_containers_can_be_used() {
    let config = Config::from_toml(&read("docker/sharewarden.toml")).expect("docker/sharewarden.toml breaks no rule");
    let accounts: Vec<_> = config.accounts.iter().map(|account| account.id.to_string()).collect();
    assert_eq!(
        accounts,
        ["111122223333", "444455556666"],
        "those of the simulator's sample"
    );
}

#[test]
fn every_configuration_in_the_readme_can_be_used() {
    for block in blocks(&read("README.md"), "toml") {
        if let Err(error) = Config::from_toml(block) {
            panic!("{error}\nin this block of README.md:\n{block}");
        }
    }
}

#[test]
fn blocks_of_a_language_are_found_among_others() {
    let markdown = "text\n```sh\nls\n```\nmore\n```toml\na = 1\n```\n```\nplain\n```\n";
    assert_eq!(blocks(markdown, "toml"), ["a = 1\n"]);
}

/// The smallest configuration, with these lines about checkpoints.
fn with_checkpoint(lines: &str) -> Result<Config, sharewarden::config::ConfigError> {
    Config::from_toml(&format!(
        "{lines}\ndatabase.url = \"postgres://x\"\nauth.modes = [\"trusted-header\"]\n\
         [[accounts]]\nid = \"111122223333\"\nregions = [\"eu-central-1\"]\nshare_with = \"anyone\"\n"
    ))
}

#[test]
fn a_signing_key_is_needed_once_and_never_shown() {
    let name = "checkpoint.name = \"sharewarden.example.com\"";
    let key = "checkpoint.key = \"hunter2\"";
    let file = "checkpoint.key_file = \"key.pem\"";
    let shown = match with_checkpoint(&format!("{name}\n{key}")) {
        Ok(config) => config.to_toml().unwrap_or_default(),
        Err(error) => panic!("{error}"),
    };
    assert!(shown.contains("[checkpoint]") && !shown.contains("hunter2"), "{shown}");
    for (lines, problem) in [
        (name.to_owned(), "checkpoint.key or checkpoint.key_file must be there"),
        (format!("{name}\n{key}\n{file}"), "and not both"),
        (format!("checkpoint.name = \"a b\"\n{key}"), "checkpoint.name"),
        (format!("checkpoint.name = \"a+b\"\n{key}"), "checkpoint.name"),
        (
            format!("{name}\n{key}\ncheckpoint.every = \"10ms\""),
            "checkpoint.every",
        ),
        (String::new(), "checkpoint"),
    ] {
        match with_checkpoint(&lines) {
            Ok(_) => panic!("was taken: {lines}"),
            Err(error) => assert!(error.to_string().contains(problem), "{error}"),
        }
    }
}
