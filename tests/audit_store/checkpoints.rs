//! Stored checkpoints.

use sharewarden::{
    clock::Clock,
    store::checkpoints::{self, Grown, NewCheckpoint, StoredCheckpoint},
};

use crate::store::*;

const ACCOUNT: &str = "111122223333";
const OTHER: &str = "000000000001";

#[tokio::test]
async fn one_checkpoint_is_kept_for_each_ledger_size() {
    let store = Store::open().await;
    let account = ACCOUNT.parse().unwrap();
    assert_eq!(checkpoints::latest(&store.database, account).await.unwrap(), None);
    let (two, ten) = (checkpoint(2, "two"), checkpoint(10, "ten"));
    let theirs = NewCheckpoint {
        account: OTHER.parse().unwrap(),
        ..checkpoint(2, "theirs")
    };
    let save = async |checkpoints: &[NewCheckpoint]| checkpoints::save(&store.database, checkpoints).await.unwrap();
    assert_eq!(save(std::slice::from_ref(&ten)).await, [account].into());
    assert_eq!(save(std::slice::from_ref(&two)).await, [account].into());
    let kept = save(&[checkpoint(2, "another"), theirs]).await;
    assert_eq!(
        kept,
        [OTHER.parse().unwrap()].into(),
        "the first checkpoint of a size stays"
    );

    let latest = checkpoints::latest(&store.database, account).await.unwrap();
    assert_eq!(latest.map(content), Some(ten));
    let of_two = checkpoints::of_size(&store.database, account, 2).await.unwrap();
    assert_eq!(of_two.map(content), Some(two));
    assert_eq!(checkpoints::of_size(&store.database, account, 3).await.unwrap(), None);
    let nobody = "999999999999".parse().unwrap();
    assert_eq!(checkpoints::latest(&store.database, nobody).await.unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn the_time_of_a_checkpoint_is_the_time_of_the_database() {
    let store = Store::open_on(Clock::system_off_by(-3600)).await;
    let before = store.database.now().await.unwrap();
    checkpoints::save(&store.database, &[checkpoint(2, "two")])
        .await
        .unwrap();
    let account = ACCOUNT.parse().unwrap();
    let stored = checkpoints::latest(&store.database, account).await.unwrap().unwrap();
    assert!((before..=store.database.now().await.unwrap()).contains(&stored.signed_at));
    store.close().await;
}

#[tokio::test]
async fn ledgers_grown_since_their_checkpoint_are_found_longest_waiting_first() {
    let store = Store::open().await;
    store.refuse(ACCOUNT, 2).await;
    store.refuse(OTHER, 1).await;
    let grown = checkpoints::grown(&store.database, None, 10).await.unwrap();
    let sizes: Vec<_> = grown
        .iter()
        .map(|grown| (grown.account.as_str(), grown.size, grown.signed.clone()))
        .collect();
    assert_eq!(sizes, [(ACCOUNT, 2, None), (OTHER, 1, None)]);
    let first: Vec<u8> = sqlx::query_scalar("SELECT root FROM ledger WHERE account_id = $1")
        .bind(ACCOUNT)
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert_eq!(grown[0].root.to_vec(), first);
    assert_eq!(checkpoints::grown(&store.database, None, 1).await.unwrap(), grown[..1]);

    let signed = NewCheckpoint {
        root: grown[0].root,
        ..checkpoint(2, "two")
    };
    checkpoints::save(&store.database, std::slice::from_ref(&signed))
        .await
        .unwrap();
    assert_eq!(checkpoints::grown(&store.database, None, 10).await.unwrap(), grown[1..]);
    store.refuse(ACCOUNT, 1).await;
    let again = checkpoints::grown(&store.database, None, 10).await.unwrap();
    let Grown {
        account,
        size,
        signed: before,
        ..
    } = &again[1];
    assert_eq!((account.as_str(), *size), (ACCOUNT, 3));
    assert_eq!(before.clone().map(content), Some(signed));
    store.close().await;
}

#[tokio::test]
async fn a_ledger_with_a_new_root_at_its_checkpoints_size_is_found_again() {
    let store = Store::open().await;
    store.refuse(ACCOUNT, 2).await;
    let grown = checkpoints::grown(&store.database, None, 10).await.unwrap();
    let signed = NewCheckpoint {
        root: grown[0].root,
        ..checkpoint(2, "two")
    };
    checkpoints::save(&store.database, std::slice::from_ref(&signed))
        .await
        .unwrap();
    assert_eq!(checkpoints::grown(&store.database, None, 10).await.unwrap(), []);
    sqlx::query("UPDATE ledger SET root = sha256('another') WHERE account_id = $1")
        .bind(ACCOUNT)
        .execute(&store.pool)
        .await
        .unwrap();
    let again = checkpoints::grown(&store.database, None, 10).await.unwrap();
    assert_eq!((again.len(), again[0].signed.clone().map(content)), (1, Some(signed)));
    store.close().await;
}

#[tokio::test]
async fn a_witness_adds_a_signature_and_changes_nothing_else() {
    let store = Store::open().await;
    let account = ACCOUNT.parse().unwrap();
    let ours = "origin\n2\nroot=\n\n— ours sig1\n";
    let witnessed = format!("{ours}— witness sig2\n");
    checkpoints::save(&store.database, &[checkpoint(2, ours)])
        .await
        .unwrap();
    let countersign = async |old: &str, new: &str| {
        checkpoints::countersign(&store.database, account, 2, old, new)
            .await
            .unwrap()
    };
    assert!(
        !countersign(ours, "origin\n3\nroot=\n\n— ours sig1\n").await,
        "the text differs"
    );
    assert!(
        !countersign(ours, "origin\n2\nroot=\n\n— witness sig2\n").await,
        "our signature is missing"
    );
    assert!(
        !countersign(&witnessed, &format!("{witnessed}— third sig3\n")).await,
        "the old note is not the stored one"
    );
    assert!(countersign(ours, &witnessed).await);
    assert!(
        !countersign(ours, &format!("{ours}— late sig4\n")).await,
        "the stored note changed before"
    );
    let kept = checkpoints::of_size(&store.database, account, 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.note, witnessed);
    store.close().await;
}

fn checkpoint(size: u64, note: &str) -> NewCheckpoint {
    NewCheckpoint {
        account: ACCOUNT.parse().unwrap(),
        size,
        root: [7; 32],
        note: note.into(),
    }
}

/// What was stored of a checkpoint, without its time.
fn content(stored: StoredCheckpoint) -> NewCheckpoint {
    let StoredCheckpoint {
        account,
        size,
        root,
        note,
        ..
    } = stored;
    NewCheckpoint {
        account,
        size,
        root,
        note,
    }
}
