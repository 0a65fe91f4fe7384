//! Signed checkpoints, their keys and their witnesses.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sharewarden::{
    clock::Clock,
    ledger::{Note, SigningKey, VerifierKey},
    proto::v1::AddCheckpointSignaturesRequest,
};
use sharewarden_testkit::stack::*;
use tonic::Code;

use crate::audit::*;

#[tokio::test]
async fn a_ledger_that_grew_gets_a_signed_checkpoint() {
    let stack = Stack::start().await;
    let mut audit = stack.audit().await;
    let status = audit.get_checkpoint(as_tester(latest(ACCOUNT))).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "CHECKPOINT_NOT_FOUND")
    );

    stack.grant_many(0, 2).await;
    let checkpoint = stack.checkpoint_of(ACCOUNT, 4).await;
    let open = open(&checkpoint, &[signing_key().verifier_key()]);
    assert_eq!(open.checkpoint.origin, format!("sharewarden.test/{ACCOUNT}"));
    let root: Vec<u8> = sqlx::query_scalar("SELECT root FROM ledger WHERE account_id = $1")
        .bind(ACCOUNT)
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    assert_eq!(checkpoint.root_hash, root);

    // The checkpoint stays when the ledger grows.
    stack.grant_many(2, 1).await;
    stack.checkpoint_of(ACCOUNT, 6).await;
    let mut older = latest(ACCOUNT);
    older.tree_size = checkpoint.tree_size;
    let answer = audit.get_checkpoint(as_tester(older)).await.unwrap().into_inner();
    assert_eq!(answer.checkpoint, Some(checkpoint));
    assert_eq!(answer.verifier_keys, [signing_key().verifier_key().to_string()]);
    let mut unknown = latest(ACCOUNT);
    unknown.tree_size = 5000;
    let status = audit.get_checkpoint(as_tester(unknown)).await.unwrap_err();
    assert_eq!(reason(&status), "CHECKPOINT_NOT_FOUND");
    stack.end().await;
}

#[tokio::test]
async fn after_a_key_rotation_the_old_key_is_listed_and_its_checkpoints_stay() {
    let mut stack = Stack::start().await;
    stack.grant_many(0, 1).await;
    let old = stack.checkpoint_of(ACCOUNT, 2).await;
    stack.stop_server().await;

    let key = SigningKey::from_seed("sharewarden.test".parse().unwrap(), &[9; 32]);
    let pem = secrecy::ExposeSecret::expose_secret(&key.to_pem().unwrap()).to_owned();
    let old_key = signing_key().verifier_key();
    let rotated = format!("checkpoint.key = \"\"\"\n{pem}\"\"\"\ncheckpoint.retired_keys = [\"{old_key}\"]\n");
    stack.start_server(&rotated, Clock::system()).await;
    let answer = stack
        .audit()
        .await
        .get_checkpoint(as_tester(latest(ACCOUNT)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.checkpoint, Some(old));
    assert_eq!(
        answer.verifier_keys,
        [key.verifier_key().to_string(), old_key.to_string()]
    );

    stack.grant_many(1, 1).await;
    let new = stack.checkpoint_of(ACCOUNT, 4).await;
    open(&new, &[key.verifier_key()]);
    stack.end().await;
}

fn witness(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name.parse().unwrap(), &[seed; 32])
}

/// The note with an additional signature.
fn signed_by(note: &str, key: &SigningKey) -> String {
    let mut note: Note = note.parse().unwrap();
    note.sign(key);
    note.to_string()
}

fn add(note: String) -> AddCheckpointSignaturesRequest {
    AddCheckpointSignaturesRequest {
        account_id: ACCOUNT.into(),
        note,
    }
}

#[tokio::test]
async fn only_signatures_of_configured_witnesses_are_kept() {
    let (known, other, unknown) = (
        witness("witness.test", 1),
        witness("other.test", 2),
        witness("unknown.test", 3),
    );
    let witnesses: [VerifierKey; 2] = [known.verifier_key(), other.verifier_key()];
    let config = format!("checkpoint.witnesses = [\"{}\", \"{}\"]\n", witnesses[0], witnesses[1]);
    let stack = Stack::start_with(&config).await;
    stack.grant_many(0, 1).await;
    let checkpoint = stack.checkpoint_of(ACCOUNT, 2).await;
    let mut audit = stack.audit().await;

    // Without a signature of a configured witness.
    let alone = signed_by(&checkpoint.note, &unknown);
    for note in [checkpoint.note.clone(), alone] {
        let status = audit.add_checkpoint_signatures(as_tester(add(note))).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "INVALID_SIGNATURE")
        );
    }
    // A witness's signature under a different text.
    let forged = checkpoint.note.replace("\n2\n", "\n3\n");
    let status = audit
        .add_checkpoint_signatures(as_tester(add(signed_by(&forged, &known))))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), "CHECKPOINT_NOT_FOUND");
    // A forged signature line in a witness's name.
    let id = known.verifier_key().id().to_be_bytes();
    let line = STANDARD.encode([&id[..], &[0; 64]].concat());
    let wrong = format!("{}— witness.test {line}\n", checkpoint.note);
    let status = audit
        .add_checkpoint_signatures(as_tester(add(wrong)))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), "INVALID_SIGNATURE");

    let both = signed_by(&signed_by(&checkpoint.note, &unknown), &known);
    let kept = audit
        .add_checkpoint_signatures(as_tester(add(both.clone())))
        .await
        .unwrap()
        .into_inner();
    let kept = kept.checkpoint.unwrap();
    assert_eq!(kept.note, signed_by(&checkpoint.note, &known));
    // The same signature is not added twice. Another witness's signature is appended.
    audit.add_checkpoint_signatures(as_tester(add(both))).await.unwrap();
    let second = signed_by(&checkpoint.note, &other);
    audit.add_checkpoint_signatures(as_tester(add(second))).await.unwrap();
    let answer = audit
        .get_checkpoint(as_tester(latest(ACCOUNT)))
        .await
        .unwrap()
        .into_inner();
    let note = answer.checkpoint.unwrap().note;
    assert_eq!(note, signed_by(&kept.note, &other));
    assert_eq!(note.parse::<Note>().unwrap().signatures().len(), 3);
    stack.end().await;
}
