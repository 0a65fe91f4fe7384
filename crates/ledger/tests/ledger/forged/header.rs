//! The header: its members, their values and the range.

use super::{
    ForgedExport, NOT_AN_EXPORT, at, case,
    file::{EntryLines, File, GOOD, HEADER, SIZE, checkpoint_lines, checkpoint_of, json, other_account, signed_note},
    ledger,
};
use crate::fixtures::key;

/// The members of a valid header, each with a comma.
const MEMBERS: [&str; 6] = [
    r#""format":"sharewarden.export.v2","#,
    r#""account_id":"000011112222","#,
    r#""start_index":0,"#,
    r#""end_index":300,"#,
    r#""left_hashes":[],"#,
    r#","consistency_proof":[]"#,
];

fn header(old: &str, new: &str) -> File {
    File::good().replace(HEADER, old, new)
}

pub(super) fn cases() -> Vec<ForgedExport> {
    [members(), values(), ranges()].into_iter().flatten().collect()
}

fn members() -> Vec<ForgedExport> {
    let mut cases = Vec::new();
    for member in MEMBERS {
        cases.push(case(
            format!("header without {member}"),
            header(member, ""),
            NOT_AN_EXPORT,
        ));
        let twice = member.repeat(2);
        cases.push(case(
            format!("header with twice {member}"),
            header(member, &twice),
            NOT_AN_EXPORT,
        ));
    }
    let note = format!("\"checkpoint\":{},", json(&GOOD.checkpoint(SIZE)));
    cases.push(case("header without its checkpoint", header(&note, ""), NOT_AN_EXPORT));
    for (name, old, new) in [
        ("a member more at the end", "]}\n", "],\"more\":1}\n"),
        ("a member more at the start", "{\"format\"", "{\"more\":1,\"format\""),
        ("a member of a line of hashes", "]}\n", "],\"leaf_hashes\":\"\"}\n"),
        ("a member with another name", "\"format\"", "\"formats\""),
        ("a name with an escape", "\"format\"", "\"form\\u0061t\""),
        (
            "a value with an escape",
            "\"sharewarden.export.v2\"",
            "\"sh\\u0061rewarden.export.v2\"",
        ),
        (
            "two end indexes, the wrong one first",
            "\"end_index\":300",
            "\"end_index\":299,\"end_index\":300",
        ),
        (
            "two end indexes, the wrong one last",
            "\"end_index\":300",
            "\"end_index\":300,\"end_index\":299",
        ),
        (
            "two accounts",
            "\"account_id\":\"0",
            "\"account_id\":\"999999999999\",\"account_id\":\"0",
        ),
        (
            "two checkpoints",
            "\"checkpoint\":",
            "\"checkpoint\":\"\",\"checkpoint\":",
        ),
        (
            "members in another order",
            "\"start_index\":0,\"end_index\":300",
            "\"end_index\":300,\"start_index\":0",
        ),
        ("a space after the brace", "{\"format\"", "{ \"format\""),
        ("a space after a comma", ",\"start_index\"", ", \"start_index\""),
        ("a space at the end", "}\n", "} \n"),
        ("a space in front", "{\"format\"", " {\"format\""),
    ] {
        cases.push(case(format!("header with {name}"), header(old, new), NOT_AN_EXPORT));
    }
    cases
}

fn values() -> Vec<ForgedExport> {
    let mut cases = Vec::new();
    let huge = "9".repeat(5000);
    for number in [
        "\"0\"",
        "0.0",
        "-0",
        "0e0",
        "00",
        "+0",
        "-1",
        "true",
        "null",
        "[]",
        "NaN",
        "Infinity",
        "-Infinity",
        "18446744073709551616",
        &huge,
    ] {
        let file = header("\"start_index\":0", &format!("\"start_index\":{number}"));
        cases.push(case(
            format!("header with start_index {number:.40}"),
            file,
            NOT_AN_EXPORT,
        ));
    }
    let values = [
        ("\"sharewarden.export.v2\"", "\"sharewarden.export.v3\""),
        ("\"sharewarden.export.v2\"", "\"\""),
        ("\"sharewarden.export.v2\"", "null"),
        ("\"000011112222\"", "11112222"),
        ("\"000011112222\"", "\"00001111222\""),
        ("\"000011112222\"", "\"00001111222\u{661}\""),
        ("\"000011112222\"", "\"00001111222\\n\""),
        ("\"left_hashes\":[]", "\"left_hashes\":{}"),
        ("\"left_hashes\":[]", "\"left_hashes\":\"\""),
        ("\"left_hashes\":[]", "\"left_hashes\":[0]"),
        ("\"left_hashes\":[]", "\"left_hashes\":[[]]"),
    ];
    for (old, new) in values {
        let name = format!("header with {new} in place of {old}");
        cases.push(case(name, header(old, new), NOT_AN_EXPORT));
    }
    let whole = json("sharewarden.example/test/000011112222\n300\n");
    cases.push(case(
        "header with a surrogate alone in the checkpoint",
        header(
            whole.trim_end_matches('"'),
            &whole.trim_end_matches('"').replace("test", "\\ud800"),
        ),
        NOT_AN_EXPORT,
    ));
    cases.push(case(
        "header with bytes that are not UTF-8",
        File::good().replace(HEADER, "sharewarden.export", b"sharewarden\xff.export"),
        NOT_AN_EXPORT,
    ));
    let extended = signed_note(&(checkpoint_lines().join("\n") + "\nan extension\n"));
    cases.push(case(
        "header with bytes that are not UTF-8 in the checkpoint",
        File::good()
            .note(&extended)
            .replace(HEADER, "extension", b"exten\xffion"),
        NOT_AN_EXPORT,
    ));
    let as_array = |line: &str| -> Option<Vec<u8>> {
        let object: serde_json::Map<_, _> = serde_json::from_str(line).ok()?;
        Some(
            format!(
                "{}\n",
                serde_json::Value::Array(object.into_iter().map(|(_, value)| value).collect())
            )
            .into(),
        )
    };
    let line = String::from_utf8(File::good().0.swap_remove(HEADER)).unwrap();
    cases.push(case(
        "header as an array",
        File::good().put(HEADER, as_array(&line).unwrap()),
        NOT_AN_EXPORT,
    ));
    for scalar in ["null\n", "7\n", "\"account_id\"\n", "true\n", "[]\n", "{}\n"] {
        let file = File::good().put(HEADER, scalar);
        cases.push(case(
            format!("{} in place of the header", scalar.trim()),
            file,
            NOT_AN_EXPORT,
        ));
    }
    cases
}

fn ranges() -> Vec<ForgedExport> {
    let other = other_account();
    let foreign = EntryLines::of_other_account();
    let foreign_note = checkpoint_of(other, &foreign.hashes())
        .sign(&key())
        .unwrap()
        .to_string();
    let of_other = |file: File| file.replace(HEADER, "000011112222\",\"start", "999999999999\",\"start");
    let first = || "\"start_index\":0,\"end_index\":300";
    vec![
        case(
            "start_index past end_index",
            header(first(), "\"start_index\":301,\"end_index\":300"),
            ledger(),
        ),
        case(
            "end_index past the size",
            header(first(), "\"start_index\":0,\"end_index\":301"),
            ledger(),
        ),
        case(
            "huge indexes",
            header(
                first(),
                "\"start_index\":9007199254740989,\"end_index\":9007199254740990",
            ),
            ledger(),
        ),
        case(
            "end_index one too low",
            header(first(), "\"start_index\":0,\"end_index\":299"),
            at(298),
        ),
        case(
            "start_index without left hashes",
            header(first(), "\"start_index\":1,\"end_index\":300"),
            ledger(),
        ),
        case(
            "an empty range, and entries",
            File::part(0, 0).push(File::good().0.swap_remove(1)),
            at(0),
        ),
        case(
            "an empty range, and a line of hashes",
            File::part(0, 0).push("{\"leaf_hashes\":\"\",\"end_index\":0}\n"),
            at(0),
        ),
        case(
            "the account of another header",
            of_other(File::good()),
            "account 999999999999: ",
        ),
        case(
            "header and checkpoint of another account",
            of_other(File::good().note(&foreign_note)),
            "account 999999999999, entry 0: ",
        ),
        case(
            "checkpoint of another account",
            File::good().note(&foreign_note),
            ledger(),
        ),
        case("lines of another account", foreign.recomputed(), at(0)),
    ]
}
