//! Hashes in the header: their base64 and their number.

use super::{
    ForgedExport, NOT_AN_EXPORT, case,
    file::{File, GOOD, HEADER, SIZE},
    ledger,
};

/// Another base64 text of the same bytes: the last letter has one of its unused bits set.
pub(super) fn with_a_bit_more(hash: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (start, last) = hash.strip_suffix('=').unwrap().split_at(hash.len() - 2);
    let at = LETTERS.find(last).unwrap() + 1;
    format!("{start}{}=", &LETTERS[at..=at])
}

/// A partial export that ends before its checkpoint, with changed hashes.
fn part(member: &str, change: impl FnOnce(&mut Vec<String>)) -> File {
    let header = GOOD.header(11, 290, SIZE).to_line().unwrap();
    let mut header: serde_json::Value = serde_json::from_str(&header).unwrap();
    let mut hashes: Vec<String> = serde_json::from_value(header[member].take()).unwrap();
    let before = hashes.clone();
    change(&mut hashes);
    assert_ne!(hashes, before);
    header[member] = hashes.into();
    File::part(11, 290).put(HEADER, format!("{header}\n"))
}

pub(super) fn cases() -> Vec<ForgedExport> {
    const ZERO: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let mut cases = Vec::new();
    for member in ["left_hashes", "consistency_proof"] {
        let mut push = |name: &str, change: fn(&mut Vec<String>), answer: &str| {
            cases.push(case(format!("{member}: {name}"), part(member, change), answer));
        };
        push("one too few", |hashes| drop(hashes.pop()), &ledger());
        push("the first is missing", |hashes| drop(hashes.remove(0)), &ledger());
        push("none", Vec::clear, &ledger());
        push("one too many", |hashes| hashes.push(ZERO.into()), &ledger());
        push(
            "one too many in front",
            |hashes| hashes.insert(0, ZERO.into()),
            &ledger(),
        );
        push("two swapped", |hashes| hashes.swap(0, 1), &ledger());
        push("another hash", |hashes| hashes[0] = ZERO.into(), &ledger());
        push(
            "31 bytes",
            |hashes| hashes[0] = ZERO[..40].to_owned() + "AA==",
            NOT_AN_EXPORT,
        );
        push("33 bytes", |hashes| hashes[0] = "A".repeat(44), NOT_AN_EXPORT);
        push("an empty text", |hashes| hashes[0].clear(), NOT_AN_EXPORT);
        push("no padding", |hashes| hashes[0].truncate(43), NOT_AN_EXPORT);
        push(
            "a bit that does not count",
            |hashes| hashes[0] = with_a_bit_more(&hashes[0]),
            NOT_AN_EXPORT,
        );
        push("a space in it", |hashes| hashes[0].insert(9, ' '), NOT_AN_EXPORT);
        push("a line feed at its end", |hashes| hashes[0].push('\n'), NOT_AN_EXPORT);
        push(
            "a letter of base64url",
            |hashes| hashes[0].replace_range(..1, "-"),
            NOT_AN_EXPORT,
        );
        push(
            "a letter that is none",
            |hashes| hashes[0].replace_range(..1, "é"),
            NOT_AN_EXPORT,
        );
    }
    for (start, end) in [(0, 300), (100, 300), (0, 0), (300, 300)] {
        let proof = format!("\"consistency_proof\":[\"{ZERO}\"]");
        let file = File::part(start, end).replace(HEADER, "\"consistency_proof\":[]", proof);
        cases.push(case(
            format!("a proof that must be empty, {start} to {end}"),
            file,
            ledger(),
        ));
    }
    let file = File::good().replace(HEADER, "\"left_hashes\":[]", format!("\"left_hashes\":[\"{ZERO}\"]"));
    cases.push(case("left hashes of nothing", file, ledger()));
    cases
}
