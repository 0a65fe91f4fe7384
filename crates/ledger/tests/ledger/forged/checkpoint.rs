//! The checkpoint's note in the header. The Python script does not verify signatures, but parses the note as
//! strictly.

use super::{
    ForgedExport, NOT_AN_EXPORT, REFUSED, case,
    file::{EntryLines, File, GOOD, HEADER, SIZE, checkpoint_lines, checkpoint_of, signed_note},
    ledger,
};
use crate::fixtures::{account, line};

fn with(note: &str) -> File {
    File::good().note(note)
}

pub(super) fn cases() -> Vec<ForgedExport> {
    let [origin, size, root] = checkpoint_lines();
    let good = GOOD.checkpoint(SIZE);
    let (text, signatures) = good.split_once("\n\n").unwrap();
    let signed = |text: String| with(&signed_note(&text));
    let mut cases = vec![
        case(
            "checkpoint of another log",
            signed(format!("another.example/000011112222\n{size}\n{root}\n")),
            ledger(),
        ),
        case(
            "checkpoint whose origin ends like the account",
            signed(format!("{}0{}\n{size}\n{root}\n", &origin[..25], &origin[25..])),
            ledger(),
        ),
        case(
            "checkpoint without its account",
            signed(format!("sharewarden.example/test\n{size}\n{root}\n")),
            ledger(),
        ),
        case(
            "checkpoint with a line of the origin more",
            signed(format!("{origin}\n{origin}\n{size}\n{root}\n")),
            ledger(),
        ),
        case(
            "checkpoint without a root",
            signed(format!("{origin}\n{size}\n")),
            ledger(),
        ),
        case(
            "checkpoint with an empty line",
            signed(format!("{origin}\n{size}\n{root}\n\nmore\n")),
            ledger(),
        ),
        case(
            "checkpoint with an empty first line",
            signed(format!("\n{origin}\n{size}\n{root}\n")),
            ledger(),
        ),
        case("checkpoint without signatures", with(&format!("{text}\n\n")), ledger()),
        case(
            "checkpoint without the line in front of its signatures",
            with(&format!("{text}\n{signatures}")),
            ledger(),
        ),
        case(
            "checkpoint signed by another name",
            with(&good.replace("— sharewarden.example/test", "— sharewarden.example/best")),
            ledger(),
        ),
        case("checkpoint without its last line feed", with(good.trim_end()), ledger()),
        case(
            "checkpoint with carriage returns",
            with(&good.replace('\n', "\r\n")),
            REFUSED,
        ),
        case("checkpoint that is empty", with(""), ledger()),
        case(
            "checkpoint of no entries",
            signed(format!("{origin}\n0\n{root}\n")),
            ledger(),
        ),
    ];
    for (name, size) in [
        ("0300", "0300"),
        ("+300", "+300"),
        ("-300", "-300"),
        ("300 and a space", "300 "),
        ("300.0", "300.0"),
        ("3e2", "3e2"),
        ("3_00", "3_00"),
        ("other digits", "\u{663}\u{660}\u{660}"),
        ("nothing", " "),
        ("301", "301"),
        ("299", "299"),
        ("a huge number", &"9".repeat(5000)),
    ] {
        let file = signed(format!("{origin}\n{size}\n{root}\n"));
        cases.push(case(format!("checkpoint with the size {name}"), file, ledger()));
    }
    let hex = crate::python::root(&GOOD);
    let other_root = checkpoint_of(account(), &EntryLines::good().hashes()[..299])
        .to_string()
        .lines()
        .nth(2)
        .unwrap()
        .to_owned();
    for (name, root) in [
        ("another root", other_root.as_str()),
        ("a root in hex", hex.as_str()),
        ("a root of 31 bytes", &root[..40]),
        ("a root without padding", root.trim_end_matches('=')),
        ("a root and a space", &format!("{root} ")),
        (
            "a root with a bit that does not count",
            &super::base64::with_a_bit_more(&root),
        ),
    ] {
        let file = signed(format!("{origin}\n{size}\n{root}\n"));
        cases.push(case(format!("checkpoint with {name}"), file, ledger()));
    }
    let mut rewritten = EntryLines::good();
    rewritten.0[7] = line(account(), 7, "another reason").into();
    let forged = checkpoint_of(account(), &rewritten.hashes()).to_string();
    let with_old_signature = rewritten.recomputed().note(&format!("{forged}\n{signatures}"));
    cases.push(ForgedExport {
        root: vec![hex],
        ..case(
            "checkpoint of a rewritten history with the old signature",
            with_old_signature,
            ledger(),
        )
    });
    cases.push(case(
        "checkpoint as an object",
        File::good().replace(HEADER, "\"checkpoint\":\"", "\"checkpoint\":{},\"rest\":\""),
        NOT_AN_EXPORT,
    ));
    cases
}
