//! The handlers of checkpoints and proofs.

use tonic::{Request, Response, Status};

use crate::{
    audit::{ConsistencyProof, InclusionProof, VerifiedCheckpoint},
    domain::AccountId,
    grpc::{caller::with_timeout, fields::FieldReader, present::timestamp, status},
    ledger::{Hash, Note},
    proto::v1,
};

use super::AuditApi;

/// Maximum size of a note, in bytes.
const MAX_NOTE_BYTES: usize = 16 * 1024;

pub(super) async fn checkpoint(
    api: &AuditApi,
    request: Request<v1::GetCheckpointRequest>,
) -> Result<Response<v1::GetCheckpointResponse>, Status> {
    let timeout = api.caller(&request)?.timeout;
    let request = request.get_ref();
    let mut fields = FieldReader::default();
    let account: Option<AccountId> = fields.required("account_id", &request.account_id);
    let account = fields.finish(|| account)?;
    let checkpoint = api.audit.checkpoint(account, given(request.tree_size));
    let checkpoint = with_timeout(timeout, checkpoint, status::store_unavailable).await?;
    Ok(Response::new(v1::GetCheckpointResponse {
        checkpoint: Some(present_checkpoint(&checkpoint)),
        verifier_keys: api.audit.keys.verifiers().iter().map(ToString::to_string).collect(),
    }))
}

pub(super) async fn add_signatures(
    api: &AuditApi,
    request: Request<v1::AddCheckpointSignaturesRequest>,
) -> Result<Response<v1::AddCheckpointSignaturesResponse>, Status> {
    let timeout = api.caller(&request)?.timeout;
    let request = request.get_ref();
    let mut fields = FieldReader::default();
    let account: Option<AccountId> = fields.required("account_id", &request.account_id);
    let note = note(&mut fields, &request.note);
    let (account, note) = fields.finish(|| Some((account?, note?)))?;
    let checkpoint = api.audit.add_signatures(account, &note);
    let checkpoint = with_timeout(timeout, checkpoint, status::store_unavailable).await?;
    Ok(Response::new(v1::AddCheckpointSignaturesResponse {
        checkpoint: Some(present_checkpoint(&checkpoint)),
    }))
}

fn note(fields: &mut FieldReader, text: &str) -> Option<Note> {
    if text.len() > MAX_NOTE_BYTES {
        fields.violate(
            "note",
            format!("must be at most {MAX_NOTE_BYTES} bytes; got {}", text.len()),
        );
        return None;
    }
    match text.parse() {
        Ok(note) => Some(note),
        Err(_) => {
            fields.violate("note", "must be a signed note (C2SP signed-note), byte for byte");
            None
        }
    }
}

pub(super) async fn inclusion(
    api: &AuditApi,
    request: Request<v1::GetInclusionProofRequest>,
) -> Result<Response<v1::GetInclusionProofResponse>, Status> {
    let timeout = api.caller(&request)?.timeout;
    let request = request.get_ref();
    let (index, size) = (request.log_index, request.tree_size);
    let mut fields = FieldReader::default();
    let account: Option<AccountId> = fields.required("account_id", &request.account_id);
    if size > 0 && index >= size {
        fields.violate("log_index", format!("must be less than tree_size, {size}; got {index}"));
    }
    in_range(&mut fields, "log_index", index);
    in_range(&mut fields, "tree_size", size);
    let account = fields.finish(|| account)?;
    let proof = api.audit.inclusion(account, index, given(size));
    let proof = with_timeout(timeout, proof, status::store_unavailable).await?;
    Ok(Response::new(present_inclusion(&proof)))
}

pub(super) async fn consistency(
    api: &AuditApi,
    request: Request<v1::GetConsistencyProofRequest>,
) -> Result<Response<v1::GetConsistencyProofResponse>, Status> {
    let timeout = api.caller(&request)?.timeout;
    let request = request.get_ref();
    let (first, second) = (request.first_tree_size, request.second_tree_size);
    let mut fields = FieldReader::default();
    let account: Option<AccountId> = fields.required("account_id", &request.account_id);
    if first == 0 {
        fields.violate("first_tree_size", "is required: must be 1 or more");
    }
    if second > 0 && second < first {
        fields.violate(
            "second_tree_size",
            format!("must not be less than first_tree_size, {first}; got {second}"),
        );
    }
    in_range(&mut fields, "first_tree_size", first);
    in_range(&mut fields, "second_tree_size", second);
    let account = fields.finish(|| account)?;
    let proof = api.audit.consistency(account, first, given(second));
    let proof = with_timeout(timeout, proof, status::store_unavailable).await?;
    Ok(Response::new(present_consistency(&proof)))
}

/// Adds a violation unless the index or size is below 2^63, the maximum in the store.
pub(super) fn in_range(fields: &mut FieldReader, field: &str, number: u64) {
    if i64::try_from(number).is_err() {
        fields.violate(field, format!("must be less than 2^63; got {number}"));
    }
}

/// 0 means that the field is not set.
pub(super) fn given(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

pub(super) fn present_checkpoint(checkpoint: &VerifiedCheckpoint) -> v1::Checkpoint {
    let VerifiedCheckpoint { stored, signed } = checkpoint;
    v1::Checkpoint {
        account_id: stored.account.to_string(),
        origin: signed.origin.clone(),
        tree_size: signed.size,
        root_hash: signed.root.to_vec(),
        note: stored.note.clone(),
        sign_time: Some(timestamp(stored.signed_at)),
    }
}

fn present_inclusion(proof: &InclusionProof) -> v1::GetInclusionProofResponse {
    v1::GetInclusionProofResponse {
        log_index: proof.log_index,
        tree_size: proof.tree_size,
        leaf_hash: proof.leaf_hash.to_vec(),
        hashes: present_hashes(&proof.hashes),
        root_hash: proof.root.to_vec(),
        checkpoint: proof.checkpoint.as_ref().map(present_checkpoint),
    }
}

fn present_consistency(proof: &ConsistencyProof) -> v1::GetConsistencyProofResponse {
    v1::GetConsistencyProofResponse {
        first_tree_size: proof.first_size,
        second_tree_size: proof.second_size,
        hashes: present_hashes(&proof.hashes),
        first_root_hash: proof.first_root.to_vec(),
        second_root_hash: proof.second_root.to_vec(),
    }
}

pub(super) fn present_hashes(hashes: &[Hash]) -> Vec<Vec<u8>> {
    hashes.iter().map(|hash| hash.to_vec()).collect()
}
