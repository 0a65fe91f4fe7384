//! docs/sharewarden.full.toml sets every key and is valid.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sharewarden::config::Config;

use super::{read, types};

const FILE: &str = "docs/sharewarden.full.toml";

/// Keys that exclude another key. The file has them in a comment, `# key = …`, below the other key.
const ALTERNATIVES: &[(&str, &str)] = &[("checkpoint.key", "checkpoint.key_file")];

/// Parses a TOML text without validation.
pub(crate) fn parsed(text: &str) -> Value {
    let file = config::File::from_str(text, config::FileFormat::Toml);
    let config = config::Config::builder().add_source(file).build();
    match config.and_then(config::Config::try_deserialize) {
        Ok(value) => value,
        Err(error) => panic!("{error}\nin\n{text}"),
    }
}

/// The values of each key of a file. A key such as `accounts.id` may have several. A table that is a value, not a section,
/// counts as one value.
pub(crate) fn leaves(value: &Value) -> BTreeMap<String, Vec<Value>> {
    let sections: BTreeSet<_> = types::sections().into_iter().map(|section| section.name).collect();
    let mut leaves = BTreeMap::new();
    collect("", value, &sections, &mut leaves);
    leaves
}

fn collect(name: &str, value: &Value, sections: &BTreeSet<String>, leaves: &mut BTreeMap<String, Vec<Value>>) {
    let is_section = name.is_empty() || sections.contains(name);
    match value {
        Value::Object(table) if is_section => {
            for (key, value) in table {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                collect(&name, value, sections, leaves);
            }
        }
        Value::Array(tables) if is_section => {
            for table in tables {
                collect(name, table, sections, leaves);
            }
        }
        _ => leaves.entry(name.to_owned()).or_default().push(value.clone()),
    }
}

#[test]
fn the_full_file_sets_every_key_and_is_valid() {
    let text = read(FILE);
    if let Err(error) = Config::from_toml(&text) {
        panic!("{FILE}: {error}");
    }
    let set: BTreeSet<_> = leaves(&parsed(&text)).into_keys().collect();
    let keys = types::sections().into_iter().flat_map(|section| section.keys);
    let missing: Vec<_> = keys
        .map(|key| key.name)
        .filter(|key| !set.contains(key) && !has_alternative(key, &set))
        .collect();
    assert_eq!(missing, [""; 0], "{FILE} must set them too");
}

fn has_alternative(key: &str, set: &BTreeSet<String>) -> bool {
    ALTERNATIVES
        .iter()
        .any(|(left_out, instead)| *left_out == key && set.contains(*instead))
}

#[test]
fn the_alternatives_in_the_full_file_are_valid_too() {
    for (left_out, instead) in ALTERNATIVES {
        let short = |key: &str| format!("{} = ", key.rsplit('.').next().unwrap_or(key));
        let (comment, line) = (format!("# {}", short(left_out)), short(instead));
        let text: Vec<_> = read(FILE)
            .lines()
            .filter(|text| !text.starts_with(&line))
            .map(|text| {
                let text = if text.starts_with(&comment) { &text[2..] } else { text };
                text.to_owned()
            })
            .collect();
        let text = text.join("\n");
        assert!(
            leaves(&parsed(&text)).contains_key(*left_out),
            "{FILE} has no line {comment:?}"
        );
        if let Err(error) = Config::from_toml(&text) {
            panic!("{FILE} with {left_out}: {error}");
        }
    }
}
