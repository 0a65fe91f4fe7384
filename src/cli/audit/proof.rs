//! Verifies the answers of the service about one entry: its hash, and the proof that it is in the ledger.

use super::{canonical::CanonicalEntry, fields};
use crate::{
    cli::{
        failure::{Exit, Failure},
        table::Cells,
        text::one_line,
    },
    domain::AccountId,
    ledger::{
        Hash, VerifierKey,
        check::verify_inclusion,
        checkpoint,
        merkle::{hex, leaf_hash},
    },
    proto::v1::{AuditEntry, GetInclusionProofResponse},
};

/// The hint for a history that is not what was recorded.
pub(super) const TAMPERED: &str = "do not trust the store: tell its operators and auditors, and keep this message";

/// Computes the hash of the entry. Fails if it is not the recorded hash, or if a field differs from the text.
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
            &format!("its {field} is not what its text says, and the text is what was recorded"),
        )),
        None => Ok(hash),
    }
}

/// Verifies the proof. Returns a line for each check with its label, verified or not verified.
pub(super) fn verify(
    entry: &AuditEntry,
    hash: &Hash,
    answer: &GetInclusionProofResponse,
    keys: &[VerifierKey],
) -> Result<Cells, Failure> {
    let hashes = hashes(&answer.hashes).ok_or_else(|| tampered(entry, "the proof has a hash of a wrong length"))?;
    let root = <Hash>::try_from(&answer.root_hash[..])
        .map_err(|_| tampered(entry, "the proof has a root of a wrong length"))?;
    if !verify_inclusion(hash, entry.log_index, answer.tree_size, &hashes, &root) {
        return Err(tampered(entry, "the proof does not lead from its hash to the root"));
    }
    let inclusion = format!(
        "verified: the entry is in the tree of {} entries, by {} hashes",
        answer.tree_size,
        hashes.len()
    );
    Ok(vec![
        ("Inclusion", inclusion),
        ("Root hash", hex(&root)),
        ("Signature", signature(entry, answer, &root, keys)?),
    ])
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
            "not verified: there is no signed checkpoint of this size, so the root comes only from the service"
                .to_owned(),
        );
    };
    if keys.is_empty() {
        return Ok("not verified: the signature of the checkpoint, because no --key was given".to_owned());
    }
    let account: AccountId = entry
        .account_id
        .parse()
        .map_err(|_| tampered(entry, "the account id is invalid"))?;
    let signed = checkpoint::open(&checkpoint.note, keys, account)
        .map_err(|error| tampered(entry, &format!("the checkpoint cannot be trusted: {error}")))?;
    let checkpoint = &signed.checkpoint;
    if checkpoint.size != answer.tree_size || checkpoint.root != *root {
        return Err(tampered(entry, "the signed checkpoint has another size or root"));
    }
    let signers: Vec<_> = signed.signed_by.iter().map(key_label).collect();
    Ok(format!(
        "verified: the root is that of the checkpoint of {}, signed by {}",
        one_line(&checkpoint.origin),
        signers.join(", ")
    ))
}

/// The name and the id of a key, for messages.
pub(super) fn key_label(key: &VerifierKey) -> String {
    format!("{}+{:08x}", key.name(), key.id())
}

/// Parses the hashes of a message; `None` if one has a wrong length.
pub(super) fn hashes<B: AsRef<[u8]>>(hashes: &[B]) -> Option<Vec<Hash>> {
    let hash = |bytes: &B| <Hash>::try_from(bytes.as_ref()).ok();
    hashes.iter().map(hash).collect()
}

fn tampered(entry: &AuditEntry, what: &str) -> Failure {
    let what = format!("account {}, entry {}: {what}", entry.account_id, entry.log_index);
    Failure::new(Exit::Tampered, what, TAMPERED)
}
