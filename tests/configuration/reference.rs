//! docs/configuration.md matches the types. Generate it again with
//! `cargo test --test configuration -- --ignored write_the_reference`.

use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

use serde_json::Value;
use sharewarden::config::Config;

use super::{
    full::{leaves, parsed},
    read,
    types::{Key, Section, sections},
};

const FILE: &str = "docs/configuration.md";

const HEAD: &str = "\
# Configuration

<!-- Made of the types in src/config. Do not edit: `cargo test --test configuration -- --ignored write_the_reference` -->

The configuration is one TOML file, given by `--config FILE` or by the environment variable `SHAREWARDEN_CONFIG`.
Environment variables override the file, and `--set` overrides both:

- `SHAREWARDEN__SERVER__LISTEN=0.0.0.0:7443` sets `listen` in `[server]`: write two underscores for each dot. Lists and
  tables can be set in the file only. An empty variable counts as unset.
- `--set server.listen=0.0.0.0:7443` can be given several times.

Unknown keys and values that break their rule are errors that name the key. `sharewarden config check` prints the
configuration in force, with secrets hidden. [`sharewarden.full.toml`](sharewarden.full.toml) sets every key.

Durations are texts such as `\"250ms\"`, `\"30s\"`, `\"10m\"` and `\"1day\"`. Addresses are texts such as
`\"127.0.0.1:7443\"` and `\"[::1]:7443\"`. Files are paths. **Bold** keys are required; in an optional section they are
required if the section is present.
";

#[test]
fn the_reference_matches_the_types() {
    assert!(
        read(FILE) == reference(),
        "{FILE} is stale: cargo test --test configuration -- --ignored write_the_reference"
    );
}

#[test]
#[ignore = "writes the file; it tests nothing"]
fn write_the_reference() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    fs::write(&file, reference()).expect("the file can be written");
}

fn reference() -> String {
    let sections = sections();
    let defaults = defaults(&sections);
    let mut text = HEAD.to_owned();
    for section in &sections {
        write_section(&mut text, section, &defaults);
    }
    text
}

fn write_section(text: &mut String, section: &Section, defaults: &BTreeMap<String, Vec<Value>>) {
    let (open, close) = if section.repeated { ("[[", "]]") } else { ("[", "]") };
    let name = &section.name;
    let mut description = section.description.clone();
    let needs_nothing = section.keys.iter().all(|key| !key.required);
    if section.optional && !needs_nothing {
        description.push_str(" May be left out.");
    }
    // Writing to a String cannot fail.
    let _ = write!(text, "\n## `{open}{name}{close}`\n\n{}", wrapped(&description));
    text.push_str("\n\n| key | value | default | |\n|---|---|---|---|\n");
    for key in &section.keys {
        let default = defaults.get(&key.name).and_then(|values| values.first());
        let _ = writeln!(text, "{}", row(name, key, default));
    }
}

/// The words in lines of at most 120 columns.
fn wrapped(words: &str) -> String {
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        let last = lines.len() - 1;
        match lines[last].chars().count() {
            0 => lines[last].push_str(word),
            columns if columns + 1 + word.chars().count() <= 120 => lines[last].extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

fn row(section: &str, key: &Key, default: Option<&Value>) -> String {
    let short = &key.name[section.len() + 1..];
    let name = if key.required {
        format!("**`{short}`**")
    } else {
        format!("`{short}`")
    };
    let default = if key.required { None } else { default.and_then(shown) };
    let mut description = without_default(key, default.as_deref());
    if !key.values.is_empty() {
        let values = key.values.iter();
        let values: Vec<_> = values.map(|(value, text)| format!("`{value}`: {text}")).collect();
        description = format!("{description} {}", values.join(" "));
    }
    let default = default.map(|default| format!("`{default}`")).unwrap_or_default();
    // A bar would end the cell of the table.
    let cells = [name, key.kind.clone(), default, description].map(|cell| cell.replace('|', "\\|"));
    format!("| {} |", cells.join(" | "))
}

/// A default as TOML. Empty if there is none.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Array(list) if list.is_empty() => Some("[]".into()),
        Value::Object(table) if table.is_empty() => Some("{}".into()),
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => {
            number.as_f64().map(|number| format!("{number:.0}"))
        }
        value => Some(value.to_string()),
    }
}

/// The description without its sentence about the default, which the table has. Fails if the sentence is wrong.
fn without_default(key: &Key, default: Option<&str>) -> String {
    let Key { name, description, .. } = key;
    let Some(default) = default else {
        return description.clone();
    };
    let is_empty = ["[]", "{}"].contains(&default);
    let Some((before, stated)) = description.rsplit_once("Default") else {
        assert!(
            is_empty,
            "the doc comment of {name} in src/config must name its default, {default}"
        );
        return description.clone();
    };
    let stated = stated.trim_start_matches([':', ' ']);
    let (stated, after) = match stated.split_once(". ") {
        Some((stated, after)) => (stated, after),
        None => (stated.trim_end_matches('.'), ""),
    };
    let plain = |text: &str| text.replace(['`', '"'], "");
    let duration = |text: &str| humantime::parse_duration(&plain(text)).ok();
    let is_none = is_empty && stated.starts_with("none");
    assert!(
        is_none
            || plain(stated) == plain(default)
            || duration(stated).is_some_and(|stated| Some(stated) == duration(default)),
        "the doc comment of {name} in src/config says that its default is {stated}, but it is {default}"
    );
    format!("{}{after}", before).trim().to_owned()
}

/// The default of each key that has one, without quotation marks.
pub(crate) fn all_defaults() -> BTreeMap<String, String> {
    let defaults = defaults(&sections()).into_iter();
    let shown = defaults.filter_map(|(name, values)| Some((name, shown(values.first()?)?.replace('"', ""))));
    shown.collect()
}

/// All values of a configuration that sets only the required keys.
fn defaults(sections: &[Section]) -> BTreeMap<String, Vec<Value>> {
    let mut text = parsed(&read("docs/sharewarden.full.toml"));
    for section in sections {
        for key in section.keys.iter().filter(|key| !key.required) {
            take_out(&mut text, &key.name);
        }
    }
    // One of two keys is required, which the types do not express.
    text["checkpoint"]["key"] = "not a default".into();
    let config = config::Config::try_from(&text).and_then(config::Config::try_deserialize::<Config>);
    let config = config.unwrap_or_else(|error| panic!("the required keys are not enough: {error}"));
    let shown = config.to_toml().expect("a configuration can be written");
    let mut defaults = leaves(&parsed(&shown));
    defaults.remove("checkpoint.key");
    defaults
}

fn take_out(value: &mut Value, name: &str) {
    match (value, name.split_once('.')) {
        (Value::Array(tables), _) => tables.iter_mut().for_each(|table| take_out(table, name)),
        (Value::Object(table), None) => drop(table.remove(name)),
        (Value::Object(table), Some((section, rest))) => {
            if let Some(inner) = table.get_mut(section) {
                take_out(inner, rest);
            }
        }
        _ => {}
    }
}
