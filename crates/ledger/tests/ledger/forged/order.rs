//! Entries in the wrong position: removed, repeated, swapped, of another account, or disguised as another kind of
//! line.

use super::{
    ForgedExport, at, case,
    file::{EntryLines, FIRST_HASHES, File, SIZE, entry, other_account},
};
use crate::fixtures::{account, line};

/// Lines that look like a hash line and like an entry.
fn disguises(index: usize) -> Vec<(&'static str, String)> {
    let real = line(account(), index as u64, "a reason");
    let inner = &real[1..real.len() - 1];
    let end = format!("\"leaf_hashes\":\"\",\"end_index\":{index}");
    vec![
        (
            "leaf_hashes and an account",
            format!("{{{end},\"account_id\":\"000011112222\"}}\n"),
        ),
        ("leaf_hashes first and then an entry", format!("{{{end},{inner}}}\n")),
        ("an entry and then leaf_hashes", format!("{{{inner},{end}}}\n")),
        (
            "an account and leaf_hashes",
            format!("{{\"account_id\":\"000011112222\",{end}}}\n"),
        ),
        (
            "leaf_hashes in another entry",
            format!("{{{},{end}}}\n", inner.replace("a reason", "a lie")),
        ),
        (
            "leaf_hashes and any other name",
            format!("{{\"leaf_hashes\":\"\",\"anything\":{index}}}\n"),
        ),
        ("leaf_hashes alone", "{\"leaf_hashes\":\"\"}\n".to_owned()),
        (
            "leaf_hashes with an escape",
            format!("{{\"leaf_h\\u0061shes\":\"\",\"end_index\":{index}}}\n"),
        ),
    ]
}

pub(super) fn cases() -> Vec<ForgedExport> {
    let mut cases = moved();
    for index in [7, 256, SIZE] {
        for (name, line) in disguises(index) {
            cases.push(case(
                format!("a line with {name} in front of entry {index}"),
                if index == SIZE {
                    File::good().push(line)
                } else {
                    File::good().insert(entry(index), line)
                },
                at(index),
            ));
        }
    }
    for (name, line) in disguises(7) {
        let file = File::good().put(entry(7), line);
        cases.push(case(format!("a line with {name} in place of entry 7"), file, at(7)));
    }
    for (name, line) in disguises(256) {
        let file = File::good().put(FIRST_HASHES, line);
        cases.push(case(
            format!("a line with {name} in place of the hashes of a tile"),
            file,
            at(255),
        ));
    }
    cases
}

fn moved() -> Vec<ForgedExport> {
    let good = File::good;
    let foreign = line(other_account(), 7, "a reason");
    let again = |index: usize| good().0.swap_remove(entry(index));
    let changed = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut history = EntryLines::good();
        change(&mut history.0);
        history
    };
    let swapped = changed(&|lines| lines.swap(100, 200));
    let of_other = changed(&|lines| lines[7] = foreign.clone().into());
    let removed = changed(&|lines| {
        lines.remove(7);
        lines.push(line(account(), SIZE as u64, "one more").into());
    });
    let twice = changed(&|lines| {
        lines.insert(8, lines[7].clone());
        lines.pop();
    });
    vec![
        case("two lines are swapped", good().swap(entry(100), entry(200)), at(100)),
        case(
            "two lines are swapped, with their hashes",
            swapped.recomputed(),
            at(100),
        ),
        case("two lines are swapped, and it is signed", swapped.signed(), at(100)),
        case(
            "two lines next to each other are swapped",
            good().swap(entry(7), entry(8)),
            at(7),
        ),
        case(
            "a line of another account",
            good().put(entry(7), foreign.clone() + "\n"),
            at(7),
        ),
        case("a line of another account, with its hash", of_other.recomputed(), at(7)),
        case("a line of another account, and it is signed", of_other.signed(), at(7)),
        case("an entry is removed", good().remove(entry(7)), at(7)),
        case("an entry is removed, with its hash", removed.recomputed(), at(7)),
        case("an entry is removed, and it is signed", removed.signed(), at(7)),
        case(
            "the last entry of a tile is removed",
            good().remove(entry(255)),
            at(255),
        ),
        case("the last entry is removed", good().remove(entry(299)), at(299)),
        case(
            "a tile is removed with its hashes",
            {
                let mut file = good();
                file.0.drain(1..=FIRST_HASHES);
                file
            },
            at(0),
        ),
        case("an entry is there twice", good().insert(entry(7), again(7)), at(8)),
        case("an entry is there twice, and it is signed", twice.signed(), at(8)),
        case("the first entry at the end", good().push(again(0)), at(SIZE)),
        case(
            "an entry after the last",
            good().push(line(account(), SIZE as u64, "one more") + "\n"),
            at(SIZE),
        ),
    ]
}
