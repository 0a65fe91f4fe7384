//! The audit half of the scripted service.

use std::pin::Pin;

use sharewarden::{
    domain::{PolicyDigest, example::EXAMPLE_SET},
    proto::v1::{audit_service_server::AuditService, *},
};
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status};

use crate::{
    answers::error,
    service::{Answer, Asked, Scripted, answer},
};

/// The messages of a stream, and how it ends.
pub(crate) struct Streamed<T> {
    messages: Vec<Result<T, Status>>,
    stays_open: bool,
}

impl<T> Streamed<T> {
    /// Sends these messages and ends.
    pub(crate) fn ending(messages: impl IntoIterator<Item = T>) -> Self {
        Self {
            messages: messages.into_iter().map(Ok).collect(),
            stays_open: false,
        }
    }

    /// Fails with this status after the messages.
    pub(crate) fn then(mut self, status: Status) -> Self {
        self.messages.push(Err(status));
        self
    }

    /// Stays open and silent after the messages.
    pub(crate) fn then_silent(mut self) -> Self {
        self.stays_open = true;
        self
    }
}

type Streaming<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn stream<T: Send + 'static>(streamed: Streamed<T>) -> Streaming<T> {
    let messages = tokio_stream::iter(streamed.messages);
    if streamed.stays_open {
        Box::pin(messages.chain(tokio_stream::pending()))
    } else {
        Box::pin(messages)
    }
}

#[tonic::async_trait]
impl AuditService for Scripted {
    type WatchAuditEntriesStream = Streaming<WatchAuditEntriesResponse>;
    type ExportAuditEntriesStream = Streaming<ExportAuditEntriesResponse>;

    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        answer!(self, request, Entries)
    }
    async fn get_audit_entry(
        &self,
        request: Request<GetAuditEntryRequest>,
    ) -> Result<Response<GetAuditEntryResponse>, Status> {
        answer!(self, request, Entry)
    }
    async fn list_permission_history(
        &self,
        request: Request<ListPermissionHistoryRequest>,
    ) -> Result<Response<ListPermissionHistoryResponse>, Status> {
        answer!(self, request, History)
    }
    async fn get_share_permissions_at(
        &self,
        request: Request<GetSharePermissionsAtRequest>,
    ) -> Result<Response<GetSharePermissionsAtResponse>, Status> {
        answer!(self, request, At)
    }
    async fn watch_audit_entries(
        &self,
        request: Request<WatchAuditEntriesRequest>,
    ) -> Result<Response<Self::WatchAuditEntriesStream>, Status> {
        let streamed: Result<Response<Streamed<_>>, Status> = answer!(self, request, Watch);
        streamed.map(|response| response.map(stream))
    }
    async fn summarize_audit_entries(
        &self,
        request: Request<SummarizeAuditEntriesRequest>,
    ) -> Result<Response<SummarizeAuditEntriesResponse>, Status> {
        answer!(self, request, Summary)
    }
    async fn export_audit_entries(
        &self,
        request: Request<ExportAuditEntriesRequest>,
    ) -> Result<Response<Self::ExportAuditEntriesStream>, Status> {
        let streamed: Result<Response<Streamed<_>>, Status> = answer!(self, request, Export);
        streamed.map(|response| response.map(stream))
    }
    async fn get_policy_set(
        &self,
        request: Request<GetPolicySetRequest>,
    ) -> Result<Response<GetPolicySetResponse>, Status> {
        // The set of the example, in parts of four characters. Not a part of the script: exports read it without being told.
        let GetPolicySetRequest { digest, start } = request.into_inner();
        let (text, start) = (EXAMPLE_SET, usize::try_from(start).unwrap());
        if digest != PolicyDigest::of(text).to_string() {
            return Err(error(
                Code::NotFound,
                ErrorReason::PolicySetNotFound,
                "it is not kept",
                &[],
            ));
        }
        let end = text.len().min(start + 4);
        Ok(Response::new(GetPolicySetResponse {
            text: text[start..end].into(),
            next_start: if end < text.len() { end as u64 } else { 0 },
            first_use_time: None,
            digest,
        }))
    }
    async fn get_checkpoint(
        &self,
        request: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        answer!(self, request, Checkpoint)
    }
    async fn add_checkpoint_signatures(
        &self,
        request: Request<AddCheckpointSignaturesRequest>,
    ) -> Result<Response<AddCheckpointSignaturesResponse>, Status> {
        answer!(self, request, Signatures)
    }
    async fn get_inclusion_proof(
        &self,
        request: Request<GetInclusionProofRequest>,
    ) -> Result<Response<GetInclusionProofResponse>, Status> {
        answer!(self, request, Inclusion)
    }
    async fn get_consistency_proof(
        &self,
        _: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        Err(Status::unimplemented("no command asks for it"))
    }
}
