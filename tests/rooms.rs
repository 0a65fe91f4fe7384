//! Rooms (the modules under `src`) depend on each other in one direction, and some libraries may be used in one room only.
//! Cargo enforces the dependencies of the packages under `crates/`.

#![allow(clippy::unwrap_used, reason = "tests fail so")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The rooms that each room may use. ARCHITECTURE.md has the picture.
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
    ("workspaces", &["clock", "config", "domain", "telemetry"]),
    ("telemetry", &["config", "domain"]),
    ("probe", &["clock", "edge", "store", "telemetry", "worker"]),
    (
        "store",
        &[
            "store::audit",
            "store::commit",
            "store::drift",
            "store::notifications",
            "store::policy_sets",
            "store::reads",
            "store::tree",
            "store::upkeep",
        ],
    ),
    // The rooms inside `store`. Rooms outside it see it as one room.
    ("store::error", &["config", "domain", "ledger"]),
    (
        "store::connection",
        &["store::error", "domain", "clock", "config", "telemetry"],
    ),
    ("store::rows", &["store::error", "domain", "ledger"]),
    (
        "store::reads",
        &["store::connection", "store::error", "store::rows", "domain"],
    ),
    (
        "store::drift",
        &["store::connection", "store::error", "store::rows", "domain"],
    ),
    (
        "store::policy_sets",
        &["store::connection", "store::error", "store::rows", "domain"],
    ),
    (
        "store::tree",
        &["store::connection", "store::error", "store::rows", "domain", "ledger"],
    ),
    (
        "store::audit",
        &["store::connection", "store::error", "store::rows", "domain", "ledger"],
    ),
    (
        "store::notifications",
        &[
            "store::connection",
            "store::error",
            "store::reads",
            "domain",
            "ledger",
            "clock",
            "worker",
        ],
    ),
    (
        "store::commit",
        &[
            "store::connection",
            "store::error",
            "store::notifications",
            "store::rows",
            "domain",
            "ledger",
            "clock",
            "config",
            "telemetry",
        ],
    ),
    (
        "store::upkeep",
        &[
            "store::audit",
            "store::connection",
            "store::error",
            "store::rows",
            "domain",
            "clock",
            "worker",
        ],
    ),
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
            "config",
            "domain",
            "store",
            "policy",
            "forwarder",
            "workspaces",
            "clock",
            "telemetry",
            "worker",
        ],
    ),
    (
        "drift",
        &[
            "config",
            "domain",
            "store",
            "forwarder",
            "workspaces",
            "clock",
            "telemetry",
            "worker",
        ],
    ),
    ("audit", &["domain", "ledger", "store", "clock", "telemetry", "worker"]),
    (
        "grpc",
        &[
            "config",
            "changes",
            "drift",
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
            "drift",
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
        "maintenance",
        &[
            "archive",
            "audit",
            "cli",
            "clock",
            "config",
            "domain",
            "ledger",
            "policy",
            "server",
            "store",
            "telemetry",
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

/// Libraries and calls, and the rooms that may use them.
const RESTRICTED: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("aws_sdk_", &["workspaces"]),
    ("aws_config", &["workspaces"]),
    ("aws_smithy_", &["workspaces"]),
    ("aws_types", &["workspaces"]),
    ("aws_credential_types", &["workspaces"]),
    // The exporter in `telemetry` takes its metadata and TLS settings as tonic types.
    ("tonic", &["grpc", "proto", "cli", "telemetry"]),
    ("opentelemetry", &["telemetry"]),
    ("rustls::", &["edge"]),
    ("tokio_rustls", &["edge"]),
    ("jsonwebtoken", &["edge"]),
    ("x509_cert", &["edge"]),
    ("reqwest", &["edge"]),
    ("url::", &["config"]),
    ("cedar_policy", &["policy"]),
    ("jiff", &["policy"]),
    ("miette", &["policy"]),
    ("tracing_opentelemetry", &["telemetry"]),
    ("prometheus", &["telemetry"]),
    ("SystemTime::now", &["clock"]),
    // Rooms use these packages as `crate::ledger` and `crate::client`, so that the list above covers them.
    ("sharewarden_ledger::", &[]),
    ("sharewarden_client::", &["proto"]),
];

#[test]
fn rooms_use_each_other_in_one_direction() {
    let allowed: BTreeMap<_, BTreeSet<_>> = MAY_USE
        .iter()
        .map(|(room, uses)| (*room, uses.iter().copied().collect()))
        .collect();
    let mut violations = Vec::new();
    for (room, file, code) in sources() {
        let Some(allowed) = allowed.get(room.as_str()) else {
            violations.push(format!("{}: the room {room} is not in the list", file.display()));
            continue;
        };
        for used in rooms_used(&code) {
            let used = match room.starts_with("store") {
                true => &used[..],
                false => used.split("::").next().unwrap(),
            };
            if used != room && !allowed.contains(used) {
                violations.push(format!("{}: {room} may not use {used}", file.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// `super::` can leave a room, and [`rooms_used`] sees only `crate::`.
#[test]
fn rooms_inside_the_store_are_entered_by_their_full_path() {
    for (room, file, code) in sources() {
        let is_top = room == "store::error" || (room != "store" && file.ends_with("mod.rs"));
        if room.starts_with("store") {
            assert!(!code.contains("super::super"), "{}", file.display());
            assert!(
                !is_top || !code.replace("super::*", "").contains("super::"),
                "{}",
                file.display()
            );
        }
    }
}

#[test]
fn the_list_of_rooms_has_no_cycle() {
    let uses: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut settled: BTreeSet<&str> = BTreeSet::new();
    while settled.len() < uses.len() {
        let next: Vec<_> = uses
            .iter()
            .filter(|(room, uses)| !settled.contains(*room) && uses.iter().all(|used| settled.contains(used)))
            .map(|(room, _)| *room)
            .collect();
        assert!(!next.is_empty(), "a cycle among the rooms that are not in {settled:?}");
        settled.extend(next);
    }
}

#[test]
fn names_of_libraries_stay_in_their_rooms() {
    let mut violations = Vec::new();
    for (room, file, code) in sources() {
        for (name, rooms) in RESTRICTED {
            if !rooms.contains(&room.split("::").next().unwrap()) && contains_name(&code, name) {
                violations.push(format!("{}: {name} may be used only in {rooms:?}", file.display()));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn every_form_of_use_is_recognized() {
    let code = "use crate::{\n    clock::Clock,\n    domain::{id::{A, B}, change},\n};\nlet x = crate::store::due::due(y);\npub(in crate::config) fn z() {}";
    let expected = ["clock", "domain", "store::due"].map(String::from);
    assert_eq!(rooms_used(code), BTreeSet::from(expected));
    let code = "use crate::{clock::Clock, store::{Database, audit::{self, Order}, error::StoreError}};";
    let expected = ["clock", "store", "store::audit", "store::error"].map(String::from);
    assert_eq!(rooms_used(code), BTreeSet::from(expected));
    assert!(contains_name("use sqlx::PgPool;", "sqlx") && !contains_name("let mysqlx = 1;", "sqlx"));
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
            let mut room = first.trim_end_matches(".rs").to_owned();
            if let Some(second) = inside.iter().nth(1).filter(|_| room == "store")
                && second != "mod.rs"
            {
                room = format!("store::{}", second.to_str().unwrap().trim_end_matches(".rs"));
            }
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
    assert!(sources.len() > 50, "too few source files were found");
    sources
}

/// The rooms that the code uses through `crate::` and `crate::store::`, also in groups.
fn rooms_used(code: &str) -> BTreeSet<String> {
    code.match_indices("crate::")
        // `pub(in crate::…)` is a visibility, not a use.
        .filter(|(at, _)| !code[..*at].ends_with("in "))
        .flat_map(|(at, _)| items(&code[at + "crate::".len()..]))
        .flat_map(|item| match item.strip_prefix("store::") {
            Some(below) => {
                let inside = |item: String| identifier(&item).map_or("store".into(), |room| format!("store::{room}"));
                items(below).into_iter().map(inside).collect()
            }
            None => Vec::from_iter(identifier(&item)),
        })
        .collect()
}

/// The items after a path: one item, or the items of a group.
fn items(rest: &str) -> Vec<String> {
    match rest.strip_prefix('{') {
        None => vec![rest.to_owned()],
        Some(group) => top_level(group),
    }
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
    let items = items.iter().map(|item| item.trim().to_owned());
    items.filter(|item| !item.is_empty()).collect()
}

fn identifier(text: &str) -> Option<String> {
    let name: String = text
        .chars()
        .take_while(|c| c.is_ascii_lowercase() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

/// True if the name occurs at the start of a word.
fn contains_name(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}
