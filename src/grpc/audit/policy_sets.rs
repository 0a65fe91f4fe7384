//! The handler of the texts of policy sets.

use tonic::{Request, Response, Status};

use crate::{
    domain::PolicyDigest,
    grpc::{caller::with_timeout, fields::FieldReader, present::timestamp, status},
    proto::v1,
};

use super::AuditApi;

/// Maximum characters of a part. Each has at most four bytes, and a message at most 4 MiB by the default of clients.
const PART_CHARACTERS: u32 = 256 * 1024;

/// Maximum bytes of a part.
const PART_BYTES: usize = 4 * PART_CHARACTERS as usize;

pub(super) async fn policy_set(
    api: &AuditApi,
    request: Request<v1::GetPolicySetRequest>,
) -> Result<Response<v1::GetPolicySetResponse>, Status> {
    let caller = api.caller(&request)?;
    let request = request.get_ref();
    let mut fields = FieldReader::default();
    let digest: Option<PolicyDigest> = match request.digest.is_empty() {
        true => Some(api.policy.in_force().digest()),
        false => fields.required("digest", &request.digest),
    };
    let start = u32::try_from(request.start).ok().filter(|start| *start < 1 << 30);
    if start.is_none() {
        fields.violate("start", format!("must be less than {}; got {}", 1 << 30, request.start));
    }
    let (digest, start) = fields.finish(|| Some((digest?, start?)))?;
    caller.reserve(PART_BYTES).await?;
    let part = api.audit.policy_set(digest, start, PART_CHARACTERS);
    let part = with_timeout(caller.timeout, part, status::store_unavailable).await?;
    let next = u64::from(start) + u64::from(PART_CHARACTERS);
    Ok(Response::new(v1::GetPolicySetResponse {
        text: part.text,
        next_start: if next < part.length { next } else { 0 },
        first_use_time: Some(timestamp(part.first_used_at)),
        digest: digest.to_string(),
    }))
}
