//! The rooms depend on each other in one direction, and names that belong to a room stay in it. Cargo enforces what the
//! packages under `crates/` depend on.

#![allow(clippy::unwrap_used, reason = "tests fail so")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What each room may use of ours. ARCHITECTURE.md draws it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &["ledger"]),
    ("proto", &[]),
    // The package sharewarden-client, which lib.rs calls `client`.
    ("client", &[]),
    // The package sharewarden-ledger, which lib.rs calls `ledger`.
    ("ledger", &[]),
    ("clock", &["domain"]),
    ("config", &["domain"]),
    ("policy", &["config", "domain"]),
    ("worker", &["domain", "clock", "telemetry"]),
    ("edge", &["clock", "config", "domain", "policy", "telemetry", "worker"]),
    ("workspaces", &["config", "domain", "telemetry"]),
    ("telemetry", &["config", "domain"]),
    ("probe", &["clock", "edge", "store", "telemetry", "worker"]),
    ("store", &["config", "domain", "ledger", "clock", "telemetry", "worker"]),
    (
        "forwarder",
        &[
            "config",
            "domain",
            "policy",
            "store",
            "workspaces",
            "clock",
            "telemetry",
            "worker",
        ],
    ),
    (
        "changes",
        &[
            "domain",
            "store",
            "policy",
            "forwarder",
            "workspaces",
            "clock",
            "telemetry",
        ],
    ),
    ("audit", &["domain", "ledger", "store", "clock", "telemetry", "worker"]),
    (
        "grpc",
        &[
            "config",
            "changes",
            "audit",
            "store",
            "ledger",
            "edge",
            "policy",
            "domain",
            "probe",
            "proto",
            "clock",
            "telemetry",
        ],
    ),
    ("cli", &["client", "clock", "domain", "ledger", "proto"]),
    ("archive", &["audit", "domain", "ledger", "store"]),
    (
        "server",
        &[
            "archive",
            "audit",
            "changes",
            "clock",
            "config",
            "domain",
            "forwarder",
            "edge",
            "grpc",
            "ledger",
            "policy",
            "probe",
            "store",
            "telemetry",
            "worker",
            "workspaces",
        ],
    ),
    (
        "dev",
        &[
            "server",
            "clock",
            "config",
            "domain",
            "ledger",
            "store",
            "telemetry",
            "workspaces",
        ],
    ),
];

/// Names of libraries that belong to rooms.
const LOCKED: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("aws_sdk_", &["workspaces"]),
    ("aws_config", &["workspaces"]),
    ("aws_smithy_", &["workspaces"]),
    ("aws_types", &["workspaces"]),
    ("aws_credential_types", &["workspaces"]),
    // The exporter's own metadata and TLS are tonic's.
    ("tonic", &["grpc", "proto", "cli", "telemetry"]),
    ("opentelemetry", &["telemetry"]),
    ("rustls::", &["edge"]),
    ("tokio_rustls", &["edge"]),
    ("jsonwebtoken", &["edge"]),
    ("x509_cert", &["edge"]),
    ("reqwest", &["edge"]),
    ("tracing_opentelemetry", &["telemetry"]),
    ("prometheus", &["telemetry"]),
    ("SystemTime::now", &["clock"]),
    // Rooms call them `ledger` and `client`, so that the list above holds.
    ("sharewarden_ledger::", &[]),
    ("sharewarden_client::", &["proto"]),
];

#[test]
fn rooms_use_each_other_in_one_direction() {
    let allowed: BTreeMap<_, BTreeSet<_>> = MAY_USE
        .iter()
        .map(|(room, uses)| (*room, uses.iter().copied().collect()))
        .collect();
    let mut wrong = Vec::new();
    for (room, file, code) in sources() {
        let Some(allowed) = allowed.get(room.as_str()) else {
            wrong.push(format!("{}: the room {room} is not in the list", file.display()));
            continue;
        };
        for used in rooms_used(&code) {
            if used != room && !allowed.contains(used.as_str()) {
                wrong.push(format!("{}: {room} may not use {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_list_of_rooms_has_no_circle() {
    let uses: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    while settled.len() < uses.len() {
        let next: Vec<_> = uses
            .iter()
            .filter(|(room, uses)| !settled.contains(*room) && uses.iter().all(|used| settled.contains(used)))
            .map(|(room, _)| *room)
            .collect();
        assert!(!next.is_empty(), "a circle among the rooms that are not in {settled:?}");
        settled.extend(next);
    }
}

#[test]
fn names_of_libraries_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (room, file, code) in sources() {
        for (name, rooms) in LOCKED {
            if !rooms.contains(&room.as_str()) && names(&code, name) {
                wrong.push(format!("{}: {name} belongs to {rooms:?}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_edges_sees_every_way_to_write_one() {
    let code = "use crate::{\n    clock::Clock,\n    domain::{id::{A, B}, change},\n};\nlet x = crate::store::due::due(y);\npub(in crate::config) fn z() {}";
    let expected = ["clock", "config", "domain", "store"].map(String::from);
    assert_eq!(rooms_used(code), BTreeSet::from(expected));
    assert!(names("use sqlx::PgPool;", "sqlx") && !names("let mysqlx = 1;", "sqlx"));
}

/// Every source file of the library, with its room and its code without comments.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(&root).unwrap();
            let first = inside.components().next().unwrap().as_os_str().to_str().unwrap();
            let room = first.trim_end_matches(".rs").to_owned();
            if room != "lib" && room != "main" {
                let code = fs::read_to_string(&path).unwrap();
                let code: Vec<_> = code
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"))
                    .collect();
                sources.push((room, path.clone(), code.join("\n")));
            }
        }
    }
    assert!(sources.len() > 50, "the sources were found");
    sources
}

/// The rooms that are named after `crate::`, also in a group.
fn rooms_used(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => rooms.extend(identifier(rest)),
            Some(group) => rooms.extend(top_level(group).iter().filter_map(|item| identifier(item.trim()))),
        }
    }
    rooms
}

/// The items of a group `a::b, c::{d, e}}`, up to its closing brace.
fn top_level(group: &str) -> Vec<String> {
    let (mut items, mut item, mut depth) = (Vec::new(), String::new(), 0);
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(std::mem::take(&mut item));
                continue;
            }
            _ => {}
        }
        item.push(letter);
    }
    items.push(item);
    items
}

fn identifier(text: &str) -> Option<String> {
    let name: String = text
        .chars()
        .take_while(|c| c.is_ascii_lowercase() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

/// True when the name stands at the beginning of a word.
fn names(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}
