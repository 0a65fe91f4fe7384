//! Lines: their ends, bytes between them, and malformed JSON.

use super::{
    ForgedExport, NOT_AN_EXPORT, at, case,
    file::{FIRST_HASHES, File, HEADER, LAST_HASHES, SIZE, entry},
};

const BYTE_ORDER_MARK: &str = "\u{feff}";

fn carriage_return(at: usize) -> File {
    File::good().replace(at, "}\n", "}\r\n")
}

pub(super) fn cases() -> Vec<ForgedExport> {
    [ends(), more(), not_json()].into_iter().flatten().collect()
}

fn ends() -> Vec<ForgedExport> {
    let good = File::good();
    let text = String::from_utf8(good.bytes()).unwrap();
    let utf_16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cut = |lines: usize, bytes: usize| {
        let mut file = good.clone().truncate(lines);
        let last = file.0.last_mut().unwrap();
        last.truncate(last.len() - bytes);
        file
    };
    vec![
        case("an empty file", [], NOT_AN_EXPORT),
        case("a line feed only", *b"\n", NOT_AN_EXPORT),
        case("the header only", cut(1, 0), at(0)),
        case("the header without its line feed", cut(1, 1), NOT_AN_EXPORT),
        case("half the header", cut(1, 100), NOT_AN_EXPORT),
        case("the last line feed is missing", cut(LAST_HASHES + 1, 1), at(299)),
        case("half the last line", cut(LAST_HASHES + 1, 100), at(299)),
        case("half an entry", cut(entry(8), 100), at(7)),
        case("an entry without its line feed, and no more", cut(entry(8), 1), at(7)),
        case(
            "an entry and its hashes in one line",
            good.clone().replace(entry(255), "}\n", "}"),
            at(255),
        ),
        case(
            "two entries in one line",
            good.clone().replace(entry(7), "}\n", "}"),
            at(7),
        ),
        case("carriage returns", text.replace('\n', "\r\n"), NOT_AN_EXPORT),
        case("carriage returns alone", text.replace('\n', "\r"), NOT_AN_EXPORT),
        case(
            "a carriage return after the header",
            carriage_return(HEADER),
            NOT_AN_EXPORT,
        ),
        case("a carriage return after an entry", carriage_return(entry(7)), at(7)),
        case(
            "a carriage return after a line of hashes",
            carriage_return(FIRST_HASHES),
            at(255),
        ),
        case(
            "a carriage return after the last line",
            carriage_return(LAST_HASHES),
            at(299),
        ),
        case("a byte order mark", format!("{BYTE_ORDER_MARK}{text}"), NOT_AN_EXPORT),
        case(
            "a byte order mark in front of an entry",
            good.clone()
                .replace(entry(7), "{\"account_id", format!("{BYTE_ORDER_MARK}{{\"account_id")),
            at(7),
        ),
        case("UTF-16", utf_16, NOT_AN_EXPORT),
        case(
            "UTF-16 with a byte order mark",
            [
                b"\xff\xfe".to_vec(),
                text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            ]
            .concat(),
            NOT_AN_EXPORT,
        ),
    ]
}

fn more() -> Vec<ForgedExport> {
    let good = File::good;
    vec![
        case("a blank line in front", good().insert(HEADER, "\n"), NOT_AN_EXPORT),
        case("a blank line behind the header", good().insert(1, "\n"), at(0)),
        case("a blank line between entries", good().insert(entry(7), "\n"), at(7)),
        case(
            "a blank line in front of a line of hashes",
            good().insert(FIRST_HASHES, "\n"),
            at(255),
        ),
        case(
            "a blank line behind a line of hashes",
            good().insert(FIRST_HASHES + 1, "\n"),
            at(256),
        ),
        case("a blank line at the end", good().push("\n"), at(SIZE)),
        case(
            "a line of spaces between entries",
            good().insert(entry(7), "  \n"),
            at(7),
        ),
        case("a zero byte at the end", good().push("\0"), at(SIZE)),
        case("spaces at the end", good().push("  "), at(SIZE)),
        case("garbage at the end", good().push("garbage"), at(SIZE)),
        case("an empty object at the end", good().push("{}\n"), at(SIZE)),
        case(
            "a comment between entries",
            good().insert(entry(7), "# a comment\n"),
            at(7),
        ),
        case(
            "the header twice",
            good().insert(1, good().0.swap_remove(HEADER)),
            at(0),
        ),
        case(
            "the header at the end",
            good().push(good().0.swap_remove(HEADER)),
            at(SIZE),
        ),
        case(
            "a second export at the end",
            [good().bytes(), good().bytes()].concat(),
            at(SIZE),
        ),
        case(
            "the rest of the ledger at the end of a part",
            [File::part(0, 256).bytes(), File::part(256, 300).bytes()].concat(),
            at(256),
        ),
    ]
}

/// Each kind of line replaced by something that is not JSON, not an object, or too large.
fn not_json() -> Vec<ForgedExport> {
    let deep = "[".repeat(100_000);
    let closed = format!("{deep}{}", "]".repeat(100_000));
    let objects = "{\"a\":".repeat(100_000);
    let in_entry = format!("{{\"account_id\":{closed}}}");
    let in_hashes = format!("{{\"leaf_hashes\":{closed},\"end_index\":256}}");
    let in_header = format!("{{\"format\":{closed}}}");
    let digits = "7".repeat(100_000);
    let mut cases = Vec::new();
    for (name, line) in [
        ("brackets that are not closed", deep.as_str()),
        ("brackets that are closed", &closed),
        ("objects that are not closed", &objects),
        ("brackets in an entry", &in_entry),
        ("brackets in a line of hashes", &in_hashes),
        ("brackets in a header", &in_header),
        ("a long number", &digits),
        ("NaN", "NaN"),
        ("null", "null"),
        ("true", "true"),
        ("a number", "7"),
        ("a text", "\"leaf_hashes account_id\""),
        ("an empty object", "{}"),
        ("an empty array", "[]"),
        ("an array of names", "[\"account_id\",\"leaf_hashes\",\"log_index\"]"),
        ("a text that is not closed", "\"account_id"),
        ("two objects", "{}{}"),
    ] {
        for (place, at_line, answer) in [
            ("the header", HEADER, NOT_AN_EXPORT.to_owned()),
            ("entry 7", entry(7), at(7)),
            ("the hashes of a tile", FIRST_HASHES, at(255)),
        ] {
            let file = File::good().put(at_line, format!("{line}\n"));
            cases.push(case(format!("{name} in place of {place}"), file, answer));
        }
    }
    cases
}
