//! Keys, notes and checkpoints follow C2SP: those of other implementations are accepted, and anything else is
//! refused.

use ed25519_dalek::Signer;
use secrecy::ExposeSecret;
use sharewarden_ledger::{
    Checkpoint, Note, SigningKey, VerifierKey,
    checkpoint::{CheckpointError, open},
    key::{KeyError, SignatureType},
    merkle::hex,
    note::{MAX_SIGNATURES, NoteError, Signature},
};

use crate::fixtures::{TestLedger, account, key, keys, name};

/// The example in the documentation of golang.org/x/mod/sumdb/note.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn a_note_signed_by_go_is_verified() {
    let keys = [GO_KEY.parse().unwrap()];
    let note: Note = GO_NOTE.parse().unwrap();
    assert_eq!(note.verify(&keys).unwrap().len(), 1);
    assert_eq!(note.to_string(), GO_NOTE);
    assert_eq!(keys[0].to_string(), GO_KEY);
    let changed: Note = GO_NOTE.replace("problem is", "problem was").parse().unwrap();
    assert!(matches!(changed.verify(&keys), Err(NoteError::WrongSignature(_))));
}

#[test]
fn a_private_key_survives_a_pem_round_trip_and_debug_hides_it() {
    let pem = key().to_pem().unwrap();
    let read = SigningKey::from_pem(name(), pem.expose_secret()).unwrap();
    assert_eq!(read.verifier_key(), key().verifier_key());
    assert!(pem.expose_secret().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert_eq!(format!("{read:?}"), format!("SigningKey({})", key().verifier_key()));
    for wrong in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        assert_eq!(SigningKey::from_pem(name(), wrong).unwrap_err(), KeyError::NotPem);
    }
}

#[test]
fn the_private_key_of_rfc_8410_is_parsed() {
    // Section 10.3, and the public key of section 10.1 that belongs to it.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let key = SigningKey::from_pem(name(), pem).unwrap().verifier_key().to_string();
    assert!(key.ends_with("ARm/RAlphM3+hUG6wWfcO5bIUIaqMLa2ywxcOK1wMWbh"), "{key}");
}

#[test]
fn a_verifier_key_that_was_changed_is_refused() {
    let key = key().verifier_key().to_string();
    assert_eq!(key.parse::<VerifierKey>().unwrap().to_string(), key);
    assert_eq!(
        key.replace("test", "rest").parse::<VerifierKey>(),
        Err(KeyError::WrongId)
    );
    for wrong in [
        "",
        "a",
        "a+b",
        "a+0000000g+AQ==",
        "a+00000000+",
        "a+00000000+AQ==",
        "a+00000000+????",
    ] {
        assert_eq!(wrong.parse::<VerifierKey>(), Err(KeyError::NotVerifierKey), "{wrong:?}");
    }
    assert_eq!("a b+00000000+AQ==".parse::<VerifierKey>(), Err(KeyError::Name));
    assert_eq!("a+00000000+AgAA".parse::<VerifierKey>(), Err(KeyError::UnknownType(2)));
}

#[test]
fn a_note_that_breaks_the_format_is_refused() {
    let good = TestLedger::of(1).checkpoint(1);
    assert_eq!(good.parse::<Note>().unwrap().to_string(), good);
    let wrong = [
        "".to_owned(),
        "text".to_owned(),
        "text\n\n".to_owned(),
        good.trim_end().to_owned(),
        good.replace("\n\n", "\n"),
        good.replace("— ", "- "),
        good.replace("— ", "—  "),
        good.replace('1', "\t"),
        good.replace("\n\n", "\r\n\r\n"),
        format!("{good}\n"),
        format!("{good}— name AAAAAA==\n"),
        format!("{good}— name !\n"),
        format!("{good}— na+me AAAAAAAAAAA=\n"),
        format!("{good}{}", "— name AAAAAAAAAAA=\n".repeat(MAX_SIGNATURES)),
        "a".repeat(200_000) + &good,
    ];
    for note in wrong {
        assert!(matches!(note.parse::<Note>(), Err(NoteError::Malformed(_))), "{note:?}");
    }
    assert!(Note::new("no line feed".into()).is_err());
}

#[test]
fn a_note_is_trusted_only_with_the_signature_of_a_known_key_of_its_ledger() {
    let note = TestLedger::of(3).checkpoint(3);
    let other = SigningKey::from_seed(name(), &[8; 32]).verifier_key();
    assert!(open(&note, &keys(), account()).is_ok());
    assert!(open(&note, &[other.clone(), key().verifier_key()], account()).is_ok());
    let unknown_key = open(&note, &[other], account()).unwrap_err();
    assert!(
        unknown_key.to_string().contains("signed by sharewarden.example/test+"),
        "{unknown_key}"
    );
    let changed = note.replace("\n3\n", "\n4\n");
    let error = open(&changed, &keys(), account()).unwrap_err();
    assert_eq!(error, CheckpointError::Note(NoteError::WrongSignature(name())));
    let other_account = "210987654321".parse().unwrap();
    let error = open(&note, &keys(), other_account).unwrap_err();
    assert!(matches!(error, CheckpointError::NotOfAccount { .. }), "{error}");
}

#[test]
fn signatures_of_rotated_keys_stay_valid() {
    let new = SigningKey::from_seed(name(), &[9; 32]);
    let mut note: Note = TestLedger::of(3).checkpoint(3).parse().unwrap();
    note.sign(&new);
    let both = [key().verifier_key(), new.verifier_key()];
    assert_eq!(open(&note.to_string(), &both, account()).unwrap().signed_by, both);
    assert_eq!(
        open(&note.to_string(), &both[1..], account()).unwrap().signed_by,
        both[1..]
    );
}

#[test]
fn a_cosignature_has_a_time_and_does_not_replace_the_signature_of_the_log() {
    let witness = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let witness_key = cosignature_key("witness.example/w1", &witness);
    assert_eq!(witness_key.signature_type(), SignatureType::Cosignature);
    assert_eq!(witness_key.to_string().parse(), Ok(witness_key.clone()));
    let mut note: Note = TestLedger::of(3).checkpoint(3).parse().unwrap();
    let time = 1_679_315_147_u64;
    let message = format!("cosignature/v1\ntime {time}\n{}", note.text());
    let signed = witness.sign(message.as_bytes()).to_bytes();
    let signature = Signature {
        name: witness_key.name().clone(),
        key_id: witness_key.id(),
        bytes: [time.to_be_bytes().as_slice(), &signed].concat(),
    };
    note.add(signature.clone()).unwrap();
    note.add(signature).unwrap();
    assert_eq!(note.signatures().len(), 2);
    let note = note.to_string();

    let opened = open(&note, &[key().verifier_key(), witness_key.clone()], account()).unwrap();
    assert_eq!(opened.signed_by, keys());
    assert_eq!((opened.witnesses.len(), opened.witnesses[0].time), (1, time));
    let alone = open(&note, std::slice::from_ref(&witness_key), account()).unwrap_err();
    assert!(matches!(alone, CheckpointError::NotOfAccount { .. }), "{alone}");

    let mut at_another_time: Note = note.parse().unwrap();
    let mut wrong = at_another_time.signatures()[1].clone();
    wrong.bytes[7] ^= 1;
    at_another_time.add(wrong).unwrap();
    assert!(at_another_time.verify(&[witness_key]).is_err());
}

/// The verifier key of a witness, made as C2SP tlog-cosignature says.
fn cosignature_key(name: &str, key: &ed25519_dalek::SigningKey) -> VerifierKey {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};
    let public = [&[4], key.verifying_key().as_bytes().as_slice()].concat();
    let id = Sha256::digest([name.as_bytes(), b"\n", &public].concat());
    let id = hex(&id[..4]);
    format!("{name}+{id}+{}", STANDARD.encode(public)).parse().unwrap()
}

#[test]
fn a_checkpoint_has_three_lines_and_optional_extension_lines() {
    let text = "sharewarden.example/000011112222\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let checkpoint: Checkpoint = text.parse().unwrap();
    assert_eq!((checkpoint.size, checkpoint.account()), (20_852_163, Some(account())));
    assert_eq!(checkpoint.to_string(), text);
    assert_eq!(format!("{text}an extension\n").parse(), Ok(checkpoint));
    for wrong in [
        text.trim_end().to_owned(),
        text.replace("20852163", "020852163"),
        text.replace("20852163", "+20852163"),
        text.replace("20852163", "18446744073709551616"),
        text.replace("CsUY", "CsU"),
        text.replace("CsUYapGG", ""),
        text.replace("20852163\n", ""),
        format!("{text}\n"),
        format!("\n{text}"),
    ] {
        assert!(wrong.parse::<Checkpoint>().is_err(), "{wrong:?}");
    }
}
