//! The handlers that prove answers.

use tonic::{Request, Response, Status};

use crate::proto::v1;

use super::AuditApi;

pub(super) async fn checkpoint(
    _: &AuditApi,
    _: Request<v1::GetCheckpointRequest>,
) -> Result<Response<v1::GetCheckpointResponse>, Status> {
    Err(Status::unimplemented("not implemented"))
}

pub(super) async fn add_signatures(
    _: &AuditApi,
    _: Request<v1::AddCheckpointSignaturesRequest>,
) -> Result<Response<v1::AddCheckpointSignaturesResponse>, Status> {
    Err(Status::unimplemented("not implemented"))
}

pub(super) async fn inclusion(
    _: &AuditApi,
    _: Request<v1::GetInclusionProofRequest>,
) -> Result<Response<v1::GetInclusionProofResponse>, Status> {
    Err(Status::unimplemented("not implemented"))
}

pub(super) async fn consistency(
    _: &AuditApi,
    _: Request<v1::GetConsistencyProofRequest>,
) -> Result<Response<v1::GetConsistencyProofResponse>, Status> {
    Err(Status::unimplemented("not implemented"))
}
