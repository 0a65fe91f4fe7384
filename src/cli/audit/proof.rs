//! Verifies here what the service says of one entry: its hash, and that it is in the ledger.

use super::{canonical::CanonicalEntry, fields};
use crate::{
    cli::{
        failure::{Exit, Failure},
        text::one_line,
    },
    domain::AccountId,
    ledger::{Hash, VerifierKey, check::verify_inclusion, checkpoint, merkle::leaf_hash},
    proto::v1::{AuditEntry, GetInclusionProofResponse},
};

/// What to do when the history is not what was recorded.
pub(super) const TAMPERED: &str = "do not trust the store: tell its operators and auditors, and keep this message";

/// The hash of the entry, computed here; it must be the one that was recorded, and the fields must say what the text says.
pub(super) fn verified_hash(entry: &AuditEntry) -> Result<Hash, Failure> {
    let hash = leaf_hash(entry.canonical.as_bytes());
    if entry.leaf_hash != hash {
        return Err(tampered(entry, "its text does not match its recorded hash"));
    }
    let line = CanonicalEntry::parse(&entry.canonical)?;
    if line.account_id != entry.account_id || line.log_index != entry.log_index {
        return Err(tampered(entry, "its text is that of another entry"));
    }
    match fields::first_mismatch(entry, &line) {
        Some(field) => Err(tampered(
            entry,
            &format!("its {field} is not what its text says, which was recorded"),
        )),
        None => Ok(hash),
    }
}

/// Says what was verified.
pub(super) fn verify(
    entry: &AuditEntry,
    hash: &Hash,
    answer: &GetInclusionProofResponse,
    keys: &[VerifierKey],
) -> Result<Vec<String>, Failure> {
    let hashes = hashes(&answer.hashes).ok_or_else(|| tampered(entry, "the proof has a hash of a wrong length"))?;
    let root = <Hash>::try_from(&answer.root_hash[..])
        .map_err(|_| tampered(entry, "the proof has a root of a wrong length"))?;
    if !verify_inclusion(hash, entry.log_index, answer.tree_size, &hashes, &root) {
        return Err(tampered(entry, "the proof does not lead from its hash to the root"));
    }
    let mut said = vec![format!(
        "verified: the entry is in the tree of {} entries, by {} hashes",
        answer.tree_size,
        hashes.len()
    )];
    said.push(signature(entry, answer, &root, keys)?);
    Ok(said)
}

fn signature(
    entry: &AuditEntry,
    answer: &GetInclusionProofResponse,
    root: &Hash,
    keys: &[VerifierKey],
) -> Result<String, Failure> {
    let Some(checkpoint) = &answer.checkpoint else {
        if !keys.is_empty() {
            return Err(tampered(entry, "no signed checkpoint came with the proof"));
        }
        return Ok(
            "not verified: no checkpoint of this size was signed, so only the service vouches for the root".to_owned(),
        );
    };
    if keys.is_empty() {
        return Ok("not verified: the signature of the checkpoint, for want of a --key".to_owned());
    }
    let account: AccountId = entry
        .account_id
        .parse()
        .map_err(|_| tampered(entry, "the account is not one"))?;
    let signed = checkpoint::open(&checkpoint.note, keys, account)
        .map_err(|error| tampered(entry, &format!("the checkpoint cannot be trusted: {error}")))?;
    let said = &signed.checkpoint;
    if said.size != answer.tree_size || said.root != *root {
        return Err(tampered(
            entry,
            "the checkpoint that was signed has another size or root",
        ));
    }
    let signers: Vec<_> = signed.signed_by.iter().map(key_label).collect();
    Ok(format!(
        "verified: the root is that of the checkpoint of {}, signed by {}",
        one_line(&said.origin),
        signers.join(", ")
    ))
}

/// A key as it is named in notes.
pub(super) fn key_label(key: &VerifierKey) -> String {
    format!("{}+{:08x}", key.name(), key.id())
}

/// Hashes as they come in messages.
pub(super) fn hashes<B: AsRef<[u8]>>(hashes: &[B]) -> Option<Vec<Hash>> {
    let hash = |bytes: &B| <Hash>::try_from(bytes.as_ref()).ok();
    hashes.iter().map(hash).collect()
}

fn tampered(entry: &AuditEntry, what: &str) -> Failure {
    let what = format!("account {}, entry {}: {what}", entry.account_id, entry.log_index);
    Failure::new(Exit::Tampered, what, TAMPERED)
}
