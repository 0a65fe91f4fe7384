//! The text of an entry. Some forgers change a line only, some also recompute its hash, and some have the log's key.
//! A text that breaks the format is detected in every case.

use super::{
    ForgedExport, at, case,
    file::{EntryLines, entry, replace},
    ledger,
};
use crate::{
    fixtures::{account, line},
    python,
    verifying::verify,
};

/// The index of the forged entry.
const FORGED: usize = 7;

/// The ledger with entry 7 changed.
fn with(old: &str, new: impl AsRef<[u8]>) -> EntryLines {
    let mut history = EntryLines::good();
    replace(&mut history.0[FORGED], old.as_bytes(), new.as_ref());
    history
}

/// A member of the entry with the comma after it.
fn member(name: &str) -> String {
    let text = line(account(), FORGED as u64, "a reason");
    let start = text.find(&format!("\"{name}\":")).unwrap();
    let length = text[start..].find(",\"").unwrap();
    text[start..=start + length].to_owned()
}

pub(super) fn cases() -> Vec<ForgedExport> {
    [contents(), texts(), members(), indexes(), times()]
        .into_iter()
        .flatten()
        .collect()
}

/// Valid entries whose hash, or the root, does not match.
fn contents() -> Vec<ForgedExport> {
    let mut cases = Vec::new();
    for (name, history) in [
        ("one byte changed", with("a reason", "a season")),
        ("a time changed", with("00:00:07.000000Z", "00:00:07.000001Z")),
    ] {
        let line = [&history.0[FORGED][..], b"\n"].concat();
        let only_the_line = super::File::good().put(entry(FORGED), line);
        cases.push(case(format!("entry with {name}"), only_the_line, at(FORGED)));
        cases.push(case(
            format!("entry with {name}, and its hash"),
            history.recomputed(),
            ledger(),
        ));
    }
    let line = [
        &with("{\"account_id\"", "{\"a_member\":1,\"account_id\"").0[FORGED][..],
        b"\n",
    ]
    .concat();
    cases.push(case(
        "entry with a member in front",
        super::File::good().put(entry(FORGED), line),
        at(FORGED),
    ));
    let last = line_end("\"more\":1}");
    let line = [&last.0[FORGED][..], b"\n"].concat();
    cases.push(case(
        "entry with a member more",
        super::File::good().put(entry(FORGED), line),
        at(FORGED),
    ));
    cases
}

/// Adds a member at the end of the body of entry 7.
fn body_end(member: &str) -> EntryLines {
    with("\"210987654321\"}", format!("\"210987654321\",{member}}}"))
}

/// Replaces the end of entry 7.
fn line_end(end: &str) -> EntryLines {
    let mut history = EntryLines::good();
    let line = &mut history.0[FORGED];
    assert_eq!(line.pop(), Some(b'}'));
    line.extend([b",", end.as_bytes()].concat());
    history
}

/// Signed entries that are not canonical JSON.
fn texts() -> Vec<ForgedExport> {
    let changes: [(&str, &str, &[u8]); 22] = [
        ("a space after the brace", "{\"account_id\"", b"{ \"account_id\""),
        ("a space in front", "{\"account_id\"", b" {\"account_id\""),
        ("a space after a colon", "\"log_index\":", b"\"log_index\": "),
        ("a space after a comma", ",\"log_index\"", b", \"log_index\""),
        ("a tab after a comma", ",\"log_index\"", b",\t\"log_index\""),
        ("a letter as an escape", "a reason", b"a re\\u0061son"),
        ("a slash as an escape", "a reason", b"a\\/reason"),
        ("a sign as two escapes", "a reason", b"a \\ud83d\\ude00 reason"),
        ("a line feed as a long escape", "a reason", b"a\\u000areason"),
        ("a surrogate alone", "a reason", b"a\\ud800reason"),
        ("surrogates in the wrong order", "a reason", b"a\\ude00\\ud83dreason"),
        ("a name with an escape", "\"log_index\"", b"\"log_inde\\u0078\""),
        ("a control character", "a reason", b"a\x01reason"),
        ("a byte that is not UTF-8", "a reason", b"a\xffreason"),
        ("a long form of UTF-8", "a reason", b"a\xc0\xafreason"),
        ("a surrogate in UTF-8", "a reason", b"a\xed\xa0\x80reason"),
        ("half a sign of UTF-8", "a reason", b"a\xe2\x82reason"),
        ("an escape that is none", "a reason", b"a\\xreason"),
        ("a tab in a name", "\"cause\"", b"\"cau\tse\""),
        ("a name with a letter outside ASCII", "\"trace\"", b"\"trac\xc3\xa9\""),
        ("a name with an escaped quotation mark", "\"trace\"", b"\"tra\\\"ce\""),
        ("a name with an escaped line feed", "\"trace\"", b"\"tra\\nce\""),
    ];
    let mut cases: Vec<_> = changes
        .into_iter()
        .map(|(name, old, new)| {
            let mut history = body_end("\"trace\":0");
            replace(&mut history.0[FORGED], old.as_bytes(), new);
            case(format!("signed entry with {name}"), history.signed(), at(FORGED))
        })
        .collect();
    for value in [
        "NaN",
        "Infinity",
        "0.5",
        "1.0",
        "1e2",
        "-0",
        "01",
        "9007199254740992",
        "-9007199254740992",
        "-9999999999999999",
        "18446744073709551616",
        &"7".repeat(5000),
        &nested(63),
        &nested(100_000),
    ] {
        let history = body_end(&format!("\"zzz\":{value}"));
        cases.push(case(
            format!("signed entry with the value {value:.30} in its body"),
            history.signed(),
            at(FORGED),
        ));
    }
    let mut history = EntryLines::good();
    history.0[FORGED].push(b' ');
    cases.push(case(
        "signed entry with a space at the end",
        history.signed(),
        at(FORGED),
    ));
    cases.push(case(
        "signed entry with the same name twice inside",
        body_end("\"zzz\":{\"a\":1,\"a\":1}").signed(),
        at(FORGED),
    ));
    cases.push(case(
        "signed entry with names in another order inside",
        body_end("\"zzz\":{\"b\":1,\"a\":1}").signed(),
        at(FORGED),
    ));
    cases.push(case(
        "signed entry with the same name twice in an array",
        body_end("\"zzz\":[{\"a\":1,\"a\":1}]").signed(),
        at(FORGED),
    ));
    cases
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// Signed entries with missing, duplicate or reordered members.
fn members() -> Vec<ForgedExport> {
    let mut cases = Vec::new();
    for name in ["account_id", "kind", "log_index", "recorded_at", "schema"] {
        let member = member(name);
        let twice = with(&member, member.repeat(2)).signed();
        cases.push(case(format!("signed entry with {name} twice"), twice, at(FORGED)));
        let empty = format!("\"{name}\":\"\",");
        let wrong_first = with(&member, empty.clone() + &member).signed();
        cases.push(case(
            format!("signed entry with {name} twice, the wrong one first"),
            wrong_first,
            at(FORGED),
        ));
        let wrong_last = with(&member, member.clone() + &empty).signed();
        cases.push(case(
            format!("signed entry with {name} twice, the wrong one last"),
            wrong_last,
            at(FORGED),
        ));
    }
    for name in ["account_id", "kind", "log_index", "recorded_at", "schema"] {
        let without = with(&member(name), "").signed();
        cases.push(case(format!("signed entry without {name}"), without, at(FORGED)));
    }
    for (old, new) in [
        (",\"server_version\":\"0.1.0\"", ""),
        ("\"kind\":\"change.requested\"", "\"kind\":\"requested\""),
        ("\"kind\":\"change.requested\"", "\"kind\":\"Change.requested\""),
        ("\"kind\":\"change.requested\"", "\"kind\":\"change.\""),
        ("\"kind\":\"change.requested\"", "\"kind\":[\"change.requested\"]"),
        ("\"schema\":1", "\"schema\":0"),
        ("\"schema\":1", "\"schema\":-1"),
        ("\"schema\":1", "\"schema\":\"1\""),
        ("\"server_version\":\"0.1.0\"", "\"server_version\":null"),
        ("\"body\":{", "\"body\":[],\"body_too\":{"),
        ("\"body\":{", "\"body\":{},\"extra\":{"),
        ("\"body\":{", "\"bodies\":{"),
    ] {
        cases.push(case(
            format!("signed entry with {new} in the place of {old}"),
            with(old, new).signed(),
            at(FORGED),
        ));
    }
    let (index, time) = (member("log_index"), member("recorded_at"));
    let mut other_order = with(&time, "");
    replace(&mut other_order.0[FORGED], index.as_bytes(), (time + &index).as_bytes());
    cases.push(case(
        "signed entry with its members in another order",
        other_order.signed(),
        at(FORGED),
    ));
    let account = member("account_id");
    let mut account_later = with(&account, "");
    replace(
        &mut account_later.0[FORGED],
        index.as_bytes(),
        (account + &index).as_bytes(),
    );
    cases.push(case(
        "signed entry whose account comes later",
        account_later.signed(),
        at(FORGED),
    ));
    cases
}

fn indexes() -> Vec<ForgedExport> {
    let huge = "9".repeat(5000);
    let values = [
        "\"7\"",
        "7.0",
        "7e0",
        "-7",
        "07",
        "+7",
        "8",
        "6",
        "true",
        "null",
        "[7]",
        "NaN",
        "18446744073709551623",
        &huge,
    ];
    let index = |value: &str| with("\"log_index\":7,", format!("\"log_index\":{value},")).signed();
    let account = |value: &str| with("\"account_id\":\"000011112222\"", format!("\"account_id\":{value}")).signed();
    let mut cases: Vec<_> = values
        .into_iter()
        .map(|value| {
            case(
                format!("signed entry with log_index {value:.30}"),
                index(value),
                at(FORGED),
            )
        })
        .collect();
    for value in ["11112222", "null", "\"0000111122222\"", "[\"000011112222\"]"] {
        cases.push(case(
            format!("signed entry with account_id {value}"),
            account(value),
            at(FORGED),
        ));
    }
    cases
}

fn times() -> Vec<ForgedExport> {
    let times = [
        "\"2025-11-22T00:00:07.000000Z\"",
        "\"2026-11-22T00:00:05.999999Z\"",
        "\"2026-11-22T00:00:07Z\"",
        "\"2026-11-22T00:00:07.000Z\"",
        "\"2026-11-22T00:00:07.000000000Z\"",
        "\"2026-11-22T00:00:07.000000+00:00\"",
        "\"2026-11-22T00:00:07.000000z\"",
        "\"2026-11-22 00:00:07.000000Z\"",
        "\"2026-11-22T00:00:07.000000Z\\n\"",
        "\"2026-11-22T00:00:07.00000\u{660}Z\"",
        "1795305607",
        "null",
    ];
    let signed = |time: &str| with("\"2026-11-22T00:00:07.000000Z\"", time).signed();
    times
        .into_iter()
        .map(|time| case(format!("signed entry recorded at {time}"), signed(time), at(FORGED)))
        .collect()
}

/// A ledger in which a newer build recorded entry 7.
fn of_a_newer_build() -> EntryLines {
    // The limits of a body: the largest numbers and the deepest nesting.
    let members = format!(
        "\"zzz\":{{\"deep\":{},\"kind\":\"change.denied\",\"limits\":[-9007199254740991,9007199254740991],\"numbers\":[1,2],\"text\":\"é\"}}",
        nested(61)
    );
    let mut history = body_end(&members);
    let newer = b"\"kind\":\"test.invented\"";
    replace(&mut history.0[FORGED], b"\"kind\":\"change.requested\"", newer);
    replace(&mut history.0[FORGED], b"\"schema\":1", b"\"schema\":9");
    history
}

#[test]
fn an_entry_of_an_unknown_kind_is_verified_and_a_change_in_it_is_detected() {
    let good = of_a_newer_build().signed();
    let mut changed = of_a_newer_build();
    replace(&mut changed.0[FORGED], b"[1,2]", b"[1,3]");
    let forged = of_a_newer_build()
        .signed()
        .put(entry(FORGED), [&changed.0[FORGED][..], b"\n"].concat());
    let (good, forged) = (good.bytes(), forged.bytes());
    assert!(verify(&good, None).is_ok());
    assert!(
        python::run(&good, &[])
            .unwrap()
            .starts_with("OK entries 0 to 299 of account ")
    );
    assert!(verify(&forged, None).unwrap_err().to_string().starts_with(&at(FORGED)));
    assert!(python::run(&forged, &[]).unwrap_err().starts_with(&at(FORGED)));
}
