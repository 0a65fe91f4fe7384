//! Inclusion and consistency proofs.

use std::collections::BTreeSet;

use sharewarden::{
    ledger::{Frontier, Hash, check, merkle::leaf_hash},
    proto::v1::{GetConsistencyProofRequest, GetInclusionProofRequest},
};
use sharewarden_testkit::stack::*;
use tonic::Code;

use crate::audit::forget_checkpoints;
use tonic_types::StatusExt;

fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap()
}

fn path(hashes: &[Vec<u8>]) -> Vec<Hash> {
    hashes.iter().map(|bytes| hash(bytes)).collect()
}

fn inclusion(log_index: u64, tree_size: u64) -> GetInclusionProofRequest {
    GetInclusionProofRequest {
        account_id: ACCOUNT.into(),
        log_index,
        tree_size,
    }
}

fn consistency(first_tree_size: u64, second_tree_size: u64) -> GetConsistencyProofRequest {
    GetConsistencyProofRequest {
        account_id: ACCOUNT.into(),
        first_tree_size,
        second_tree_size,
    }
}

/// The roots of a ledger at every size.
fn roots(lines: &[String]) -> Vec<Hash> {
    let mut frontier = Frontier::default();
    let mut roots = vec![frontier.root()];
    for line in lines {
        frontier.append(leaf_hash(line.as_bytes()));
        roots.push(frontier.root());
    }
    roots
}

#[tokio::test]
async fn proofs_across_tiles_verify_against_the_lines() {
    let stack = Stack::start().await;
    stack.grant_many(0, 165).await;
    let size = 330;
    let checkpoint = stack.checkpoint_of(ACCOUNT, size).await;
    let lines = stack.lines(ACCOUNT).await;
    let roots = roots(&lines);
    let mut audit = stack.audit().await;
    let mut random = fastrand::Rng::with_seed(7);

    let mut asked = BTreeSet::from([
        (0, 1),
        (255, 256),
        (256, 257),
        (255, size),
        (256, size),
        (size - 1, size),
        (0, size),
    ]);
    asked.extend((0..40).map(|_| {
        let size = random.u64(1..=size);
        (random.u64(..size), size)
    }));
    for (index, size) in asked {
        let proof = audit
            .get_inclusion_proof(as_tester(inclusion(index, size)))
            .await
            .unwrap()
            .into_inner();
        let leaf = leaf_hash(lines[index as usize].as_bytes());
        assert_eq!((proof.log_index, proof.tree_size), (index, size));
        assert_eq!(
            (hash(&proof.leaf_hash), hash(&proof.root_hash)),
            (leaf, roots[size as usize])
        );
        assert!(
            check::verify_inclusion(&leaf, index, size, &path(&proof.hashes), &roots[size as usize]),
            "{index} of {size}"
        );
    }

    let mut asked = BTreeSet::from([(1, size), (255, 256), (256, 257), (256, size), (size, size), (1, 1)]);
    asked.extend((0..40).map(|_| {
        let second = random.u64(1..=size);
        (random.u64(1..=second), second)
    }));
    for (first, second) in asked {
        let proof = audit
            .get_consistency_proof(as_tester(consistency(first, second)))
            .await
            .unwrap()
            .into_inner();
        let (older, newer) = (roots[first as usize], roots[second as usize]);
        assert_eq!(
            (hash(&proof.first_root_hash), hash(&proof.second_root_hash)),
            (older, newer)
        );
        assert!(
            check::verify_consistency(first, second, &older, &newer, &path(&proof.hashes)),
            "{first} to {second}"
        );
    }

    let latest = audit
        .get_inclusion_proof(as_tester(inclusion(3, 0)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((latest.tree_size, latest.checkpoint), (size, Some(checkpoint)));
    let latest = audit
        .get_consistency_proof(as_tester(consistency(3, 0)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(latest.second_tree_size, size);
    stack.end().await;
}

#[tokio::test]
async fn each_reason_for_a_missing_proof_has_its_own_status() {
    let mut stack = Stack::start().await;
    stack.grant_many(0, 1).await;
    forget_checkpoints(&mut stack).await;
    let mut audit = stack.audit().await;

    let status = audit.get_inclusion_proof(as_tester(inclusion(1, 0))).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "NOT_YET_COVERED")
    );
    assert!(status.get_details_retry_info().is_some());
    let status = audit.get_inclusion_proof(as_tester(inclusion(2, 0))).await.unwrap_err();
    assert_eq!(
        (reason(&status).as_str(), detail(&status, "tree_size").as_str()),
        ("ENTRY_NOT_FOUND", "2")
    );
    let status = audit.get_inclusion_proof(as_tester(inclusion(1, 3))).await.unwrap_err();
    assert_eq!(
        (reason(&status).as_str(), detail(&status, "log_index").as_str()),
        ("ENTRY_NOT_FOUND", "2")
    );
    let status = audit.get_inclusion_proof(as_tester(inclusion(2, 2))).await.unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INVALID_FIELDS")
    );

    // A request that names a size needs no checkpoint.
    audit.get_inclusion_proof(as_tester(inclusion(1, 2))).await.unwrap();
    audit.get_consistency_proof(as_tester(consistency(1, 2))).await.unwrap();

    for (first, second, expected) in [
        (1, 0, "NOT_YET_COVERED"),
        (3, 0, "ENTRY_NOT_FOUND"),
        (1, 3, "ENTRY_NOT_FOUND"),
    ] {
        let status = audit
            .get_consistency_proof(as_tester(consistency(first, second)))
            .await
            .unwrap_err();
        assert_eq!(reason(&status), expected, "{first} to {second}");
    }
    for (first, second) in [(0, 0), (2, 1), (u64::MAX, 0)] {
        let status = audit
            .get_consistency_proof(as_tester(consistency(first, second)))
            .await
            .unwrap_err();
        assert_eq!(reason(&status), "INVALID_FIELDS", "{first} to {second}");
    }
    stack.end().await;
}
