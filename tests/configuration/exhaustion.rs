//! The table of bounds in SECURITY.md names settings and constants with the values that they have, and tests that exist. A bound
//! without a row fails.

use std::{collections::BTreeSet, fs, path::Path};

use super::{read, reference, types};

/// Settings with the look of a bound that bound nothing that a client can use up.
const NO_BOUNDS: &[(&str, &str)] = &[
    ("forwarder.backoff_base", "a delay takes nothing"),
    ("forwarder.backoff_cap", "a delay takes nothing"),
    ("forwarder.circuit_cool_down_cap", "a delay takes nothing"),
    ("forwarder.circuit_failures", "a threshold"),
    ("forwarder.min_calls_per_second", "a lower bound"),
    ("telemetry.sample_ratio", "a fraction"),
];

/// The folders in which each constant `MAX_…` has a row.
const FOLDERS: [&str; 2] = ["src/edge", "src/telemetry"];

/// The cells of a row.
struct Row {
    thing: String,
    /// `name = value` in the cells of the bound and of the share.
    bounds: Vec<(String, String)>,
    /// `file: function` in the last cell.
    tests: Vec<(String, String)>,
}

/// The code in a cell whose parts `separator` divides.
fn pairs(cells: &[&str], separator: &str) -> Vec<(String, String)> {
    let codes = cells.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let pairs = codes.filter_map(|code| code.split_once(separator));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn rows() -> Vec<Row> {
    let text = read("SECURITY.md");
    let (_, section) = text.split_once("### Exhaustion").expect("SECURITY.md has the section");
    let section = section.split("\n#").next().unwrap_or_default();
    let lines = section.lines().filter(|line| line.starts_with("| "));
    let rows: Vec<_> = lines
        .skip(1)
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [thing, bound, share, end, tests] = cells[..] else {
                panic!("a row has five cells: {line}");
            };
            assert!(cells.iter().all(|cell| !cell.is_empty()), "an empty cell: {line}");
            assert!(
                !end.contains('`'),
                "settings belong into the cells of the bound and the share: {line}"
            );
            Row {
                thing: thing.into(),
                bounds: pairs(&[bound, share], " = "),
                tests: pairs(&[tests], ": "),
            }
        })
        .collect();
    assert!(rows.len() > 20, "the table was read");
    rows
}

/// Names and values of all settings and constants in the table.
fn stated() -> Vec<(String, String)> {
    rows().into_iter().flat_map(|row| row.bounds).collect()
}

/// Every Rust source file below a folder.
fn sources(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut texts = Vec::new();
    for entry in entries {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            texts.extend(sources(&path.to_string_lossy()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(fs::read_to_string(&path).expect("a source file can be read"));
        }
    }
    texts
}

/// The constants of a source file: name and value.
fn constants(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let (_, constant) = line.split_once("const ")?;
        let (name, rest) = constant.split_once(": ")?;
        let (_, value) = rest.split_once(" = ")?;
        Some((name, value.trim_end_matches(';')))
    })
}

#[test]
fn settings_and_constants_of_the_table_have_the_stated_values() {
    let defaults = reference::all_defaults();
    let texts = sources("src");
    for (name, value) in stated() {
        if name.contains('.') {
            assert_eq!(defaults.get(&name), Some(&value), "{name}");
        } else {
            let found = texts
                .iter()
                .any(|text| constants(text).any(|found| found == (&name, &value)));
            assert!(found, "no constant of src is {name} = {value}");
        }
    }
}

#[test]
fn tests_of_the_table_exist() {
    for row in rows() {
        assert!(!row.tests.is_empty(), "{} has no test", row.thing);
        for (file, function) in row.tests {
            let text = read(&file);
            let Some((before, _)) = text.split_once(&format!("fn {function}() {{")) else {
                panic!("{file} has no function {function}");
            };
            let attribute = before
                .trim_end()
                .trim_end_matches("async")
                .trim_end()
                .lines()
                .next_back();
            assert!(
                attribute.is_some_and(|line| line.contains("test") && line.contains("#[")),
                "{function} in {file} is not a test"
            );
        }
    }
}

#[test]
fn every_setting_that_is_a_bound_has_a_row() {
    let stated: BTreeSet<_> = stated().into_iter().map(|(name, _)| name).collect();
    let sections = types::sections();
    let keys = sections.iter().flat_map(|section| &section.keys);
    let bounds = keys.filter(|key| {
        key.kind == "number"
            || key.kind == "duration" && (key.name.contains("timeout") || key.description.starts_with("Maximum"))
    });
    let mut count = 0;
    for key in bounds {
        count += 1;
        let is_exempt = NO_BOUNDS.iter().any(|(name, _)| *name == key.name);
        assert!(
            stated.contains(&key.name) != is_exempt,
            "{} must have a row in the table of bounds in SECURITY.md, or be in NO_BOUNDS, and not both",
            key.name
        );
    }
    assert!(count > 20, "the settings were read");
}

#[test]
fn every_constant_that_is_a_bound_of_the_edge_or_of_telemetry_has_a_row() {
    let stated: BTreeSet<_> = stated().into_iter().map(|(name, _)| name).collect();
    let texts: Vec<_> = FOLDERS.iter().flat_map(|folder| sources(folder)).collect();
    let maxima = texts.iter().flat_map(|text| constants(text));
    for (name, value) in maxima.filter(|(name, _)| name.starts_with("MAX_")) {
        assert!(
            stated.contains(name),
            "{name} = {value} has no row in the table of bounds in SECURITY.md"
        );
    }
}
