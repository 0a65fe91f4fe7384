//! The handlers of `AuditService`. Each parses, asks the use case, and presents what came of it.

use std::time::Duration;

use tonic::{Request, Response, Status};

use crate::{
    audit::Audit,
    grpc::caller::Caller,
    proto::v1::{self, audit_service_server::AuditService},
};

use super::{proofs, stream};

/// `AuditService`.
#[derive(Debug, Clone)]
pub struct AuditApi {
    pub(super) audit: Audit,
    max_patience: Duration,
}

impl AuditApi {
    /// A service that works on no question longer than `max_patience`, whatever deadline the caller gives, or does not give.
    pub fn new(audit: Audit, max_patience: Duration) -> Self {
        Self { audit, max_patience }
    }

    pub(super) fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        Caller::of(request, &self.audit.clock, self.max_patience)
    }
}

#[tonic::async_trait]
impl AuditService for AuditApi {
    async fn list_audit_entries(
        &self,
        request: Request<v1::ListAuditEntriesRequest>,
    ) -> Result<Response<v1::ListAuditEntriesResponse>, Status> {
        self.caller(&request)?;
        Err(Status::unimplemented("not implemented"))
    }

    async fn get_audit_entry(
        &self,
        request: Request<v1::GetAuditEntryRequest>,
    ) -> Result<Response<v1::GetAuditEntryResponse>, Status> {
        self.caller(&request)?;
        Err(Status::unimplemented("not implemented"))
    }

    async fn list_permission_history(
        &self,
        request: Request<v1::ListPermissionHistoryRequest>,
    ) -> Result<Response<v1::ListPermissionHistoryResponse>, Status> {
        self.caller(&request)?;
        Err(Status::unimplemented("not implemented"))
    }

    async fn get_share_permissions_at(
        &self,
        request: Request<v1::GetSharePermissionsAtRequest>,
    ) -> Result<Response<v1::GetSharePermissionsAtResponse>, Status> {
        self.caller(&request)?;
        Err(Status::unimplemented("not implemented"))
    }

    async fn summarize_audit_entries(
        &self,
        request: Request<v1::SummarizeAuditEntriesRequest>,
    ) -> Result<Response<v1::SummarizeAuditEntriesResponse>, Status> {
        self.caller(&request)?;
        Err(Status::unimplemented("not implemented"))
    }

    type WatchAuditEntriesStream = stream::Watching;

    async fn watch_audit_entries(
        &self,
        request: Request<v1::WatchAuditEntriesRequest>,
    ) -> Result<Response<stream::Watching>, Status> {
        stream::watch(self, request).await
    }

    type ExportAuditEntriesStream = stream::Exporting;

    async fn export_audit_entries(
        &self,
        request: Request<v1::ExportAuditEntriesRequest>,
    ) -> Result<Response<stream::Exporting>, Status> {
        stream::export(self, request).await
    }

    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        proofs::checkpoint(self, request).await
    }

    async fn add_checkpoint_signatures(
        &self,
        request: Request<v1::AddCheckpointSignaturesRequest>,
    ) -> Result<Response<v1::AddCheckpointSignaturesResponse>, Status> {
        proofs::add_signatures(self, request).await
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<v1::GetInclusionProofRequest>,
    ) -> Result<Response<v1::GetInclusionProofResponse>, Status> {
        proofs::inclusion(self, request).await
    }

    async fn get_consistency_proof(
        &self,
        request: Request<v1::GetConsistencyProofRequest>,
    ) -> Result<Response<v1::GetConsistencyProofResponse>, Status> {
        proofs::consistency(self, request).await
    }
}
