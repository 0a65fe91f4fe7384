//! Hash lines: their members, their values and their positions.

use super::{
    ForgedExport, at,
    base64::with_a_bit_more,
    case,
    file::{EntryLines, FIRST_HASHES, File, LAST_HASHES, SIZE, entry, hashes_line},
};

fn first(old: &str, new: &str) -> File {
    File::good().replace(FIRST_HASHES, old, new)
}

fn with_line_feed(mut line: Vec<u8>) -> Vec<u8> {
    line.push(b'\n');
    line
}

pub(super) fn cases() -> Vec<ForgedExport> {
    [members(), hashes(), places()].into_iter().flatten().collect()
}

fn members() -> Vec<ForgedExport> {
    let huge = format!("\"end_index\":{}", "9".repeat(5000));
    let changes = [
        ("a member more", "}\n", ",\"more\":1}\n"),
        ("the account", "}\n", ",\"account_id\":\"000011112222\"}\n"),
        ("no end_index", ",\"end_index\":256", ""),
        ("another name", "\"leaf_hashes\"", "\"leaf_hash\""),
        (
            "end_index twice",
            "\"end_index\":256",
            "\"end_index\":256,\"end_index\":256",
        ),
        (
            "two end indexes, the wrong one first",
            "\"end_index\":256",
            "\"end_index\":255,\"end_index\":256",
        ),
        (
            "two end indexes, the wrong one last",
            "\"end_index\":256",
            "\"end_index\":256,\"end_index\":255",
        ),
        (
            "leaf_hashes twice, the wrong ones first",
            "\"leaf_hashes\"",
            "\"leaf_hashes\":\"\",\"leaf_hashes\"",
        ),
        (
            "leaf_hashes twice, the wrong ones last",
            "}\n",
            ",\"leaf_hashes\":\"\"}\n",
        ),
        (
            "end_index first",
            "{\"leaf_hashes\"",
            "{\"end_index\":256,\"leaf_hashes\"",
        ),
        ("a name with an escape", "\"leaf_hashes\"", "\"leaf_h\\u0061shes\""),
        ("a space", ",\"end_index\"", ", \"end_index\""),
        ("a space at the end", "}\n", "} \n"),
        ("end_index one too low", "256}", "255}"),
        ("end_index one too high", "256}", "257}"),
        ("end_index of the next tile", "256}", "300}"),
        ("end_index as a text", "256}", "\"256\"}"),
        ("end_index as a float", "256}", "256.0}"),
        ("end_index below zero", "256}", "-256}"),
        ("end_index NaN", "256}", "NaN}"),
        ("end_index null", "256}", "null}"),
        ("end_index beyond all numbers", "\"end_index\":256", huge.as_str()),
        (
            "leaf_hashes null",
            "{\"leaf_hashes\":\"",
            "{\"leaf_hashes\":null,\"rest\":\"",
        ),
    ];
    changes
        .into_iter()
        .map(|(name, old, new)| case(format!("line of hashes with {name}"), first(old, new), at(255)))
        .collect()
}

/// The line after entry 255 with the base64 of its hashes changed.
fn changed(change: impl FnOnce(&mut String)) -> File {
    let line = String::from_utf8(hashes_line(&EntryLines::good().hashes()[..256], 256)).unwrap();
    let mut text = line.split('"').nth(3).unwrap().to_owned();
    change(&mut text);
    File::good().put(
        FIRST_HASHES,
        format!("{{\"leaf_hashes\":\"{text}\",\"end_index\":256}}\n"),
    )
}

fn hashes() -> Vec<ForgedExport> {
    let hashes = EntryLines::good().hashes();
    let line = |hashes: &[[u8; 32]]| File::good().put(FIRST_HASHES, with_line_feed(hashes_line(hashes, 256)));
    let mut other = hashes.clone();
    other[17][31] ^= 1;
    let more = [&hashes[..256], &[[0; 32]]].concat();
    let bytes = |bytes: usize| changed(|text| *text = "A".repeat(bytes / 3 * 4));
    let array = format!("[{},256]\n", super::file::json(&"A".repeat(8192)));
    let good_array = String::from_utf8(hashes_line(&hashes[..256], 256)).unwrap();
    let good_array = good_array
        .replace("{\"leaf_hashes\":", "[")
        .replace("\"end_index\":", "")
        .replace('}', "]\n");
    vec![
        case("another hash of entry 17", line(&other[..256]), at(17)),
        case("hashes that end one too early", line(&hashes[..255]), at(255)),
        case("hashes that begin one too late", line(&hashes[1..256]), at(255)),
        case("hashes of one entry more", line(&hashes[..257]), at(255)),
        case("hashes with one of zeros more", line(&more), at(255)),
        case("no hashes", line(&[]), at(255)),
        case("hashes of 3 bytes", bytes(3), at(255)),
        case("hashes of 256 times 33 bytes", bytes(256 * 33), at(255)),
        case(
            "hashes and a byte",
            changed(|text| text.replace_range(text.len() - 2.., "AA")),
            at(255),
        ),
        case(
            "hashes with a bit that does not count",
            changed(|text| *text = with_a_bit_more(text)),
            at(255),
        ),
        case(
            "hashes without padding",
            changed(|text| text.truncate(text.len() - 1)),
            at(255),
        ),
        case("hashes with a space", changed(|text| text.insert(9, ' ')), at(255)),
        case(
            "hashes with an escape",
            changed(|text| text.insert_str(9, "\\n")),
            at(255),
        ),
        case(
            "hashes in base64url",
            changed(|text| *text = text.replace('+', "-").replace('/', "_")),
            at(255),
        ),
        case(
            "hashes in base64 and more after the padding",
            changed(|text| text.push_str("AAAA")),
            at(255),
        ),
        case(
            "line of hashes as an array",
            File::good().put(FIRST_HASHES, good_array),
            at(255),
        ),
        case(
            "line of hashes as an array of other hashes",
            File::good().put(FIRST_HASHES, array),
            at(255),
        ),
    ]
}

fn places() -> Vec<ForgedExport> {
    let hashes = EntryLines::good().hashes();
    let good = File::good;
    let again = |at: usize| good().0.swap_remove(at);
    let empty = |index: usize| format!("{{\"leaf_hashes\":\"\",\"end_index\":{index}}}\n");
    let early = with_line_feed(hashes_line(&hashes[..100], 100));
    let rest = with_line_feed(hashes_line(&hashes[100..256], 256));
    let single = with_line_feed(hashes_line(&hashes[256..257], 257));
    vec![
        case("the hashes of a tile are missing", good().remove(FIRST_HASHES), at(255)),
        case("the last hashes are missing", good().remove(LAST_HASHES), at(299)),
        case(
            "all lines of hashes are missing",
            good().remove(LAST_HASHES).remove(FIRST_HASHES),
            at(255),
        ),
        case(
            "the hashes of a tile are there twice",
            good().insert(FIRST_HASHES, again(FIRST_HASHES)),
            at(256),
        ),
        case(
            "the last hashes are there twice",
            good().insert(LAST_HASHES, again(LAST_HASHES)),
            at(SIZE),
        ),
        case(
            "the hashes of both stretches are swapped",
            good().swap(FIRST_HASHES, LAST_HASHES),
            at(255),
        ),
        case(
            "a line of no hashes behind the header",
            good().insert(1, empty(0)),
            at(0),
        ),
        case(
            "a line of no hashes behind an entry",
            good().insert(entry(8), empty(8)),
            at(8),
        ),
        case(
            "a line of no hashes behind the hashes of a tile",
            good().insert(FIRST_HASHES + 1, empty(256)),
            at(256),
        ),
        case(
            "a line of no hashes behind the last hashes",
            good().push(empty(SIZE)),
            at(SIZE),
        ),
        case(
            "a line of no hashes in front of a part",
            File::part(256, 300).insert(1, empty(256)),
            at(256),
        ),
        case(
            "hashes inside a tile",
            good().insert(entry(100), early.clone()),
            at(100),
        ),
        case(
            "hashes of a tile in two lines",
            good().put(FIRST_HASHES, rest).insert(entry(100), early),
            at(100),
        ),
        case(
            "hashes of the first entry of a tile",
            good().insert(entry(257), single),
            at(257),
        ),
        case(
            "hashes in front of the last entry of a tile",
            good().swap(entry(255), FIRST_HASHES),
            at(255),
        ),
        case(
            "hashes behind the first entry of the next tile",
            good().swap(entry(256), FIRST_HASHES),
            at(255),
        ),
        case(
            "hashes in place of an entry",
            good().put(entry(9), again(FIRST_HASHES)),
            at(9),
        ),
    ]
}
