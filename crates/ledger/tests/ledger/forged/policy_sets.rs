//! The texts of policy sets, after the entries.

use sha2::{Digest, Sha256};
use sharewarden_ledger::export::{ExportWriter, PolicySetText};

use super::{
    ForgedExport, NOT_AN_EXPORT, at, case,
    file::{File, HEADER},
    ledger,
};
use crate::{
    fixtures::{TestLedger, account, line},
    python,
    verifying::verify,
};

/// The number of entries, and of the lines before the first text.
const SIZE: usize = 3;
const LINES: usize = 1 + SIZE + 1;

/// Two policy sets, in the order of their digests. One text has characters that JSON escapes.
fn sets() -> [PolicySetText; 2] {
    let mut sets = ["{\"zone\":\"UTC\"}", "a \"text\" \\ with é, \u{1} and \n"].map(set);
    sets.sort_by_key(|set| set.digest);
    sets
}

fn set(text: &str) -> PolicySetText {
    PolicySetText {
        digest: Sha256::digest(text).into(),
        text: text.into(),
    }
}

fn hex(set: &PolicySetText) -> String {
    set.digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A ledger whose entries name both sets. One entry, of an unknown kind, names no set, although it looks so.
fn named() -> TestLedger {
    let [first, second] = sets();
    let with = |index, decision: String| {
        let line = line(account(), index, "a reason");
        line.replace("\"generation\"", &format!("\"decision\":{decision},\"generation\""))
    };
    let naming = |set| format!("{{\"policies\":[],\"policy_set\":\"{}\"}}", hex(set));
    let unlike = format!("{{\"policy_set\":\"{}\"}}", "A".repeat(64));
    TestLedger::of_lines(vec![
        with(0, naming(&second)),
        with(1, unlike).replace("change.requested", "test.invented"),
        with(2, naming(&first)),
    ])
}

/// An export with the texts of both sets.
fn good() -> File {
    let ledger = named();
    let header = ledger.header(0, SIZE, SIZE);
    let mut out = String::new();
    let mut writer = ExportWriter::begin(&header, &mut out).unwrap();
    for (line, hash) in ledger.lines.iter().zip(&ledger.hashes) {
        writer.entry(line, hash, &mut out).unwrap();
    }
    let [first, second] = sets();
    assert_eq!(writer.policy_sets().collect::<Vec<_>>(), [first.digest, second.digest]);
    for set in sets() {
        writer.policy_set(&set, &mut out).unwrap();
    }
    File(out.split_inclusive('\n').map(|line| line.into()).collect())
}

fn text_line(set: &PolicySetText) -> Vec<u8> {
    format!("{}\n", set.to_line().unwrap()).into()
}

/// The answer about a policy set.
fn about(set: &PolicySetText) -> String {
    format!("{}policy set {}: ", ledger(), hex(set))
}

pub(super) fn cases() -> Vec<ForgedExport> {
    let [first, second] = sets();
    let stranger = set("another set");
    let changed = PolicySetText {
        text: "changed".into(),
        ..first.clone()
    };
    let last = LINES + 1;
    let old_format = |file: File| file.replace(HEADER, "export.v2", "export.v1");
    let first_as = |old: &str, new: &str| good().replace(LINES, old, new);
    vec![
        case(
            "a policy set with another text",
            good().put(LINES, text_line(&changed)),
            about(&first),
        ),
        case(
            "a policy set that no entry names",
            good().push(text_line(&stranger)),
            about(&stranger),
        ),
        case("a policy set twice", good().push(text_line(&second)), about(&second)),
        case("policy sets out of order", good().swap(LINES, last), about(&first)),
        case(
            "a policy set between entries",
            good().insert(2, text_line(&first)),
            at(1),
        ),
        case(
            "a policy set in front of the hashes",
            good().insert(LINES - 1, text_line(&first)),
            at(2),
        ),
        case(
            "an entry after a policy set",
            good().push(good().0.swap_remove(1)),
            at(SIZE),
        ),
        case("policy sets in the first format", old_format(good()), at(SIZE)),
        case(
            "the format of a later version",
            good().replace(HEADER, "export.v2", "export.v3"),
            NOT_AN_EXPORT,
        ),
        case(
            "a digest in upper case",
            first_as(&hex(&first), &hex(&first).to_uppercase()),
            at(SIZE),
        ),
        case(
            "a digest that is too short",
            first_as(&hex(&first), &hex(&first)[1..]),
            at(SIZE),
        ),
        case(
            "a policy set without a text",
            first_as("\"text\"", "\"texts\""),
            at(SIZE),
        ),
        case(
            "a policy set with a member more",
            first_as("}\n", ",\"more\":1}\n"),
            at(SIZE),
        ),
        case(
            "a policy set with white space",
            first_as("\",\"text\":", "\", \"text\":"),
            at(SIZE),
        ),
        case("a policy set without its line feed", first_as("}\n", "}"), at(SIZE)),
        case(
            "a last policy set without its line feed",
            good().replace(last, "}\n", "}"),
            at(SIZE),
        ),
        case("a blank line after the policy sets", good().push("\n"), at(SIZE)),
        case(
            "another escape of a character",
            {
                let is_escaped = |line: &[u8]| line.windows(6).any(|bytes| bytes == b"\\u0001");
                let place = if is_escaped(&good().0[LINES]) { LINES } else { last };
                good().replace(place, "é", "\\u00e9")
            },
            at(SIZE),
        ),
    ]
}

#[test]
fn both_verifiers_accept_the_texts_of_policy_sets_and_tell_which_are_missing() {
    let root = python::root(&named());
    let said = |trust: &str, missing: usize| {
        let ok = python::ok(0, SIZE, SIZE, &root, trust);
        Ok(match missing {
            0 => ok,
            more => format!("{}; the texts of {more} policy sets are not in it\n", ok.trim_end()),
        })
    };
    let missing = |file: &File| verify(file.bytes(), None).unwrap().missing_policy_sets;
    let [first, second] = sets();
    assert_eq!(missing(&good()), [[0; 32]; 0]);
    assert_eq!(python::run(good().bytes(), &[&root]), said(python::TRUSTED, 0));
    let without = good().remove(LINES);
    assert_eq!(missing(&without), [first.digest]);
    assert_eq!(python::run(without.bytes(), &[&root]), said(python::TRUSTED, 1));
    // The first version of the format has no texts.
    let old = good().truncate(LINES).replace(HEADER, "export.v2", "export.v1");
    assert_eq!(missing(&old), [first.digest, second.digest]);
    assert_eq!(python::run(old.bytes(), &[&root]), said(python::TRUSTED, 2));
}
