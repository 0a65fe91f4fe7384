//! Parsers of untrusted input never panic: keys, notes, checkpoints, exports, proofs, entries. Both verifiers agree about
//! random edits.

use proptest::{collection::vec, prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use sharewarden_ledger::{
    Checkpoint, Envelope, Frontier, Hash, Note, SigningKey, VerifierKey,
    check::{verify_consistency, verify_inclusion},
    checkpoint,
    export::{Header, LeafHashes},
    verify::{LedgerVerifier, Verifier},
};

use crate::{
    fixtures::{TestLedger, account, key, keys, line, name},
    python,
    verifying::verify,
};

/// Numbers at limits, and random ones.
fn number() -> impl Strategy<Value = u64> {
    let edges = vec![
        0,
        1,
        2,
        255,
        256,
        257,
        1 << 32,
        (1 << 53) - 1,
        1 << 53,
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
    ];
    prop_oneof![select(edges), 0..600_u64, any::<u64>()]
}

fn hashes() -> impl Strategy<Value = Vec<Hash>> {
    vec(any::<Hash>(), 0..70)
}

/// An edit of a text: at an index, `length` bytes are replaced.
#[derive(Debug, Clone)]
struct Corruption {
    at: prop::sample::Index,
    length: usize,
    instead: Vec<u8>,
}

fn corruptions() -> impl Strategy<Value = Vec<Corruption>> {
    let words: &[&[u8]] = &[
        b"",
        b"\n",
        b"\n\n",
        b"\0",
        b"\xff",
        b"+",
        b"\xe2\x80\x94 ",
        b" ",
        b"\"",
        b"}",
        b"[[[[[[[[",
        b"null",
        b"-1",
        b"1e999",
        b"18446744073709551615",
        b"18446744073709551616",
        b"9007199254740993",
        b"\\ud800",
        b"=",
        b"AAAA",
        b"{\"account_id\"",
    ];
    let instead = prop_oneof![select(words).prop_map(<[u8]>::to_vec), vec(any::<u8>(), 0..20)];
    let corruption = (any::<prop::sample::Index>(), 0..40_usize, instead);
    vec(
        corruption.prop_map(|(at, length, instead)| Corruption { at, length, instead }),
        1..4,
    )
}

fn corrupted(text: &str, corruptions: &[Corruption]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for Corruption { at, length, instead } in corruptions {
        let start = at.index(bytes.len() + 1);
        let end = bytes.len().min(start + length);
        bytes.splice(start..end, instead.iter().copied());
    }
    bytes
}

/// Runs every parser. A parsed value is encoded and parsed again.
fn read(bytes: &[u8]) {
    let _ = Header::parse(bytes).map(|header| header.to_line().map(|line| Header::parse(line.as_bytes())));
    let _ = LeafHashes::parse(bytes).map(|hashes| hashes.to_line());
    let mut verifier = Verifier::new(keys(), Some(String::from_utf8_lossy(bytes).into_owned()));
    let _ = verifier.lines(bytes);
    let _ = verifier.progress();
    let _ = verifier.finish();

    let text = String::from_utf8_lossy(bytes);
    let _ = text
        .parse::<VerifierKey>()
        .map(|key| key.to_string().parse::<VerifierKey>().unwrap());
    let _ = SigningKey::from_pem(name(), &text);
    let _ = Envelope::decode(&text);
    let _ = text.parse::<Checkpoint>();
    let _ = checkpoint::open(&text, &keys(), account());
    if let Ok(note) = text.parse::<Note>() {
        let _ = note.verify(&keys());
        assert_eq!(note.to_string().parse::<Note>().unwrap(), note);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), text in "\\PC{0,100}") {
        read(&bytes);
        read(text.as_bytes());
    }

    #[test]
    fn corrupted_valid_input_never_panics(corruptions in corruptions()) {
        let ledger = TestLedger::of(3);
        let pem = key().to_pem().unwrap();
        for text in [
            ledger.checkpoint(3),
            key().verifier_key().to_string(),
            secrecy::ExposeSecret::expose_secret(&pem).to_owned(),
            line(account(), 7, "a reason"),
            ledger.export_all(),
        ] {
            read(&corrupted(&text, &corruptions));
        }
    }

    #[test]
    fn random_proofs_and_frontiers_never_panic(
        (first, second) in (number(), number()),
        path in hashes(),
        bytes in vec(any::<u8>(), 0..2100),
        root in any::<Hash>(),
    ) {
        prop_assert!(!verify_inclusion(&[1; 32], first, second, &path, &root));
        if first != second {
            prop_assert!(!verify_consistency(first, second, &root, &[9; 32], &path));
        }
        for frontier in [Frontier::from_bytes(first, &bytes), Frontier::from_hashes(first, path)] {
            let _ = frontier.map(|frontier| (frontier.root(), frontier.to_bytes()));
        }
    }
}

proptest! {
    // Signatures are slow without optimization.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_random_header_with_a_valid_checkpoint_never_panics(
        (start, end, size) in (number(), number(), number()),
        (left_hashes, consistency_proof) in (hashes(), hashes()),
        older in number(),
        ends in vec((any::<Hash>(), number()), 0..3),
    ) {
        let ledger = TestLedger::of(3);
        let signed = |size| {
            let checkpoint = Checkpoint { origin: checkpoint::origin(&name(), account()), size, root: [7; 32] };
            checkpoint.sign(&key()).unwrap().to_string()
        };
        for checkpoint in [ledger.checkpoint(3), signed(size)] {
            let header = Header {
                account: account(),
                start_index: start,
                end_index: end,
                checkpoint,
                left_hashes: left_hashes.clone(),
                consistency_proof: consistency_proof.clone(),
            };
            for older in [None, Some(signed(older))] {
                if let Ok(mut verifier) = LedgerVerifier::new(&header, &keys(), older.as_deref()) {
                    let _ = verifier.entry(line(account(), start, "a reason").as_bytes(), &[7; 32]);
                    let _ = verifier.progress();
                    let _ = verifier.finish();
                }
                let mut verifier = Verifier::new(keys(), older);
                let mut lines = vec![header.to_line().unwrap(), line(account(), start, "a reason")];
                lines.extend(ends.iter().map(|(hash, end_index)| {
                    LeafHashes { hashes: vec![*hash], end_index: *end_index }.to_line().unwrap()
                }));
                let _ = lines.iter().try_for_each(|line| verifier.line(format!("{line}\n").as_bytes()));
                let _ = verifier.progress();
                let _ = verifier.finish();
            }
        }
    }
}

/// Half of the forgers edit a file. The others edit an entry, and have the log's key.
#[test]
fn both_verifiers_agree_about_random_edits() {
    let ledger = TestLedger::of(5);
    let whole = ledger.export_all();
    let mut runner = TestRunner::default();
    let mut edits = || corruptions().new_tree(&mut runner).unwrap().current();
    let mut exports = vec![whole.clone().into_bytes()];
    for _ in 0..300 {
        exports.push(corrupted(&whole, &edits()));
        let mut lines = ledger.lines.clone();
        if let Ok(line) = String::from_utf8(corrupted(&lines[2], &edits())) {
            lines[2] = line;
            exports.push(TestLedger::of_lines(lines).export_all().into_bytes());
        }
    }
    let answers = python::run_many(exports.iter().map(|export| (&export[..], &[][..])));
    for (export, answer) in exports.iter().zip(answers) {
        let verified = verify(export, None).map_err(|wrong| wrong.to_string());
        // The script does not verify signatures, and says so.
        let is_unsigned = |wrong: &String| wrong.contains(": the checkpoint cannot be trusted: ");
        let agree = verified.is_ok() == answer.is_ok() || verified.as_ref().is_err_and(is_unsigned);
        assert!(agree, "{verified:?} {answer:?} {}", String::from_utf8_lossy(export));
    }
}
