//! Corrupts bytes in general, and protobuf messages in particular.

use crate::seed::{bytes, one_of};

/// A varint that is longer than allowed.
const ENDLESS: &[u8] = &[0xff; 11];

/// The bytes with one to three mutations.
pub(crate) fn corrupted(rng: &mut fastrand::Rng, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.u32(1..=3) {
        corrupt(rng, &mut bytes);
    }
    bytes
}

fn corrupt(rng: &mut fastrand::Rng, message: &mut Vec<u8>) {
    let at = rng.usize(..=message.len());
    match rng.u32(..13) {
        0 => flip(rng, message),
        1 => message.truncate(at),
        2 => insert(message, at, &bytes(rng, 40)),
        3 => {
            let end = rng.usize(at..=message.len());
            let part = message[at..end].to_vec();
            insert(message, at, &part);
        }
        4 => drop(message.drain(at..rng.usize(at..=message.len()))),
        5 => insert(message, at, ENDLESS),
        6 => {
            // A field whose length is beyond the end, some also beyond 32 and 63 bits.
            let tag = rng.u8(..16) << 3 | 2;
            let length = one_of(rng, &[1 << 20, u64::from(u32::MAX), i64::MAX as u64, u64::MAX]);
            insert(message, at, &[&[tag][..], &varint(length)].concat());
        }
        7 => {
            // Another wire type: 3 and 4 are groups, 6 and 7 do not exist.
            if let Some(byte) = message.get_mut(at) {
                *byte = *byte & !7 | rng.u8(..8);
            }
        }
        8 => {
            // Invalid UTF-8 in a field that may be a text.
            let field = [rng.u8(1..11) << 3 | 2, 4, 0xff, 0xfe, 0xc3, 0x28];
            message.extend_from_slice(&field);
        }
        9 => {
            let (field, depth) = (rng.u8(1..10), one_of(rng, &[3, 99, 101, 1000, 5000]));
            message.extend_from_slice(&nested(field, depth));
        }
        10 => {
            // Nested groups.
            let (field, depth) = (rng.u8(1..16), one_of(rng, &[1, 101, 20_000]));
            message.extend(std::iter::repeat_n(field << 3 | 3, depth));
        }
        11 => {
            let (field, count) = (rng.u8(1..12), one_of(rng, &[10, 1000, 8000]));
            message.extend(std::iter::repeat_n([field << 3 | 2, 0], count).flatten());
        }
        _ => *message = bytes(rng, 300),
    }
}

fn flip(rng: &mut fastrand::Rng, bytes: &mut [u8]) {
    for _ in 0..rng.u32(1..8) {
        if let Some(index) = (!bytes.is_empty()).then(|| rng.usize(..bytes.len())) {
            bytes[index] ^= 1 << rng.u32(..8);
        }
    }
}

fn insert(message: &mut Vec<u8>, at: usize, part: &[u8]) {
    message.splice(at..at, part.iter().copied());
}

/// Messages nested `depth` times, each in the same field.
fn nested(field: u8, depth: usize) -> Vec<u8> {
    let mut inner: Vec<u8> = Vec::new();
    for _ in 0..depth {
        let mut head = vec![field << 3 | 2];
        head.extend(varint(inner.len() as u64));
        head.append(&mut inner);
        inner = head;
    }
    inner
}

pub(crate) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
