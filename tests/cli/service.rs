//! A scripted service. It records its requests and returns the given answers.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use sharewarden::proto::v1::{
    access_service_server::{AccessService, AccessServiceServer},
    audit_service_server::AuditServiceServer,
    drift_service_server::{DriftService, DriftServiceServer},
    share_permission_service_server::{SharePermissionService, SharePermissionServiceServer},
    *,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, metadata::MetadataMap};

use crate::service_audit::Streamed;

/// A received request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    Grant(GrantSharePermissionRequest),
    Revoke(RevokeSharePermissionRequest),
    Get(GetSharePermissionRequest),
    List(ListSharePermissionsRequest),
    Change(GetChangeRequest),
    Changes(ListChangesRequest),
    Images(ListImagesRequest),
    Entries(ListAuditEntriesRequest),
    Entry(GetAuditEntryRequest),
    History(ListPermissionHistoryRequest),
    At(GetSharePermissionsAtRequest),
    Watch(WatchAuditEntriesRequest),
    Summary(SummarizeAuditEntriesRequest),
    Export(ExportAuditEntriesRequest),
    Checkpoint(GetCheckpointRequest),
    Signatures(AddCheckpointSignaturesRequest),
    Inclusion(GetInclusionProofRequest),
    Identity(GetCallerIdentityRequest),
    Accounts(ListAccountsRequest),
    ScanNow(ScanNowRequest),
    DriftScans(ListDriftScansRequest),
    DriftFindings(ListDriftFindingsRequest),
    DriftFinding(GetDriftFindingRequest),
    DriftBaseline(GetDriftBaselineRequest),
    ConfirmBaseline(ConfirmDriftBaselineRequest),
    WithdrawBaseline(WithdrawDriftBaselineRequest),
}

/// A scripted answer.
pub(crate) enum Answer {
    Grant(GrantSharePermissionResponse),
    Revoke(RevokeSharePermissionResponse),
    Get(GetSharePermissionResponse),
    List(ListSharePermissionsResponse),
    Change(GetChangeResponse),
    Changes(ListChangesResponse),
    Images(ListImagesResponse),
    Entries(ListAuditEntriesResponse),
    Entry(GetAuditEntryResponse),
    History(ListPermissionHistoryResponse),
    At(GetSharePermissionsAtResponse),
    Watch(Streamed<WatchAuditEntriesResponse>),
    Summary(SummarizeAuditEntriesResponse),
    Export(Streamed<ExportAuditEntriesResponse>),
    Checkpoint(GetCheckpointResponse),
    Signatures(AddCheckpointSignaturesResponse),
    Inclusion(GetInclusionProofResponse),
    Identity(GetCallerIdentityResponse),
    Accounts(ListAccountsResponse),
    ScanNow(ScanNowResponse),
    DriftScans(ListDriftScansResponse),
    DriftFindings(ListDriftFindingsResponse),
    DriftFinding(GetDriftFindingResponse),
    DriftBaseline(GetDriftBaselineResponse),
    ConfirmBaseline(ConfirmDriftBaselineResponse),
    WithdrawBaseline(WithdrawDriftBaselineResponse),
    Refuse(Status),
    Never,
}

#[derive(Default)]
pub(crate) struct Script {
    answers: VecDeque<Answer>,
    asked: Vec<(Asked, MetadataMap)>,
}

/// A running service. Dropping it stops the service.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl Service {
    pub(crate) async fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Arc::new(Mutex::new(Script {
            answers: answers.into_iter().collect(),
            asked: Vec::new(),
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = SharePermissionServiceServer::new(Scripted(script.clone()));
        let serving = tonic::transport::Server::builder()
            .add_service(service)
            .add_service(AuditServiceServer::new(Scripted(script.clone())))
            .add_service(AccessServiceServer::new(Scripted(script.clone())))
            .add_service(DriftServiceServer::new(Scripted(script.clone())))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let task = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, script, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        let script = self.script.lock().unwrap();
        script.asked.iter().map(|(asked, _)| asked.clone()).collect()
    }

    pub(crate) fn has_metadata(&self, call: usize, key: &str) -> bool {
        let script = self.script.lock().unwrap();
        script.asked[call].1.contains_key(key)
    }

    pub(crate) fn metadata(&self, call: usize, key: &str) -> String {
        let script = self.script.lock().unwrap();
        script.asked[call].1.get(key).unwrap().to_str().unwrap().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
pub(crate) struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    pub(crate) fn next(&self, metadata: &MetadataMap, asked: Asked) -> Answer {
        let mut script = self.0.lock().unwrap();
        script.asked.push((asked, metadata.clone()));
        let end = || Answer::Refuse(Status::data_loss("the script has no further answer"));
        script.answers.pop_front().unwrap_or_else(end)
    }
}

/// Returns the next scripted answer. An answer to another call is a bug of the test.
macro_rules! answer {
    ($self:ident, $request:ident, $variant:ident) => {{
        let (metadata, _, message) = $request.into_parts();
        match $self.next(&metadata, Asked::$variant(message)) {
            Answer::$variant(answer) => Ok(Response::new(answer)),
            Answer::Refuse(status) => Err(status),
            Answer::Never => std::future::pending().await,
            _ => Err(Status::data_loss("the script has an answer to another call")),
        }
    }};
}
pub(crate) use answer;

#[tonic::async_trait]
impl SharePermissionService for Scripted {
    async fn grant_share_permission(
        &self,
        request: Request<GrantSharePermissionRequest>,
    ) -> Result<Response<GrantSharePermissionResponse>, Status> {
        answer!(self, request, Grant)
    }
    async fn revoke_share_permission(
        &self,
        request: Request<RevokeSharePermissionRequest>,
    ) -> Result<Response<RevokeSharePermissionResponse>, Status> {
        answer!(self, request, Revoke)
    }
    async fn get_share_permission(
        &self,
        request: Request<GetSharePermissionRequest>,
    ) -> Result<Response<GetSharePermissionResponse>, Status> {
        answer!(self, request, Get)
    }
    async fn list_share_permissions(
        &self,
        request: Request<ListSharePermissionsRequest>,
    ) -> Result<Response<ListSharePermissionsResponse>, Status> {
        answer!(self, request, List)
    }
    async fn get_change(&self, request: Request<GetChangeRequest>) -> Result<Response<GetChangeResponse>, Status> {
        answer!(self, request, Change)
    }
    async fn list_changes(
        &self,
        request: Request<ListChangesRequest>,
    ) -> Result<Response<ListChangesResponse>, Status> {
        answer!(self, request, Changes)
    }
    async fn list_images(&self, request: Request<ListImagesRequest>) -> Result<Response<ListImagesResponse>, Status> {
        answer!(self, request, Images)
    }
    async fn explain_policy(
        &self,
        _: Request<ExplainPolicyRequest>,
    ) -> Result<Response<ExplainPolicyResponse>, Status> {
        Err(Status::unimplemented("tests/service runs the commands about policies"))
    }
}

#[tonic::async_trait]
impl AccessService for Scripted {
    async fn get_caller_identity(
        &self,
        request: Request<GetCallerIdentityRequest>,
    ) -> Result<Response<GetCallerIdentityResponse>, Status> {
        answer!(self, request, Identity)
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        answer!(self, request, Accounts)
    }
}

#[tonic::async_trait]
impl DriftService for Scripted {
    async fn scan_now(&self, request: Request<ScanNowRequest>) -> Result<Response<ScanNowResponse>, Status> {
        answer!(self, request, ScanNow)
    }

    async fn list_drift_scans(
        &self,
        request: Request<ListDriftScansRequest>,
    ) -> Result<Response<ListDriftScansResponse>, Status> {
        answer!(self, request, DriftScans)
    }

    async fn list_drift_findings(
        &self,
        request: Request<ListDriftFindingsRequest>,
    ) -> Result<Response<ListDriftFindingsResponse>, Status> {
        answer!(self, request, DriftFindings)
    }

    async fn get_drift_finding(
        &self,
        request: Request<GetDriftFindingRequest>,
    ) -> Result<Response<GetDriftFindingResponse>, Status> {
        answer!(self, request, DriftFinding)
    }

    async fn get_drift_baseline(
        &self,
        request: Request<GetDriftBaselineRequest>,
    ) -> Result<Response<GetDriftBaselineResponse>, Status> {
        answer!(self, request, DriftBaseline)
    }

    async fn confirm_drift_baseline(
        &self,
        request: Request<ConfirmDriftBaselineRequest>,
    ) -> Result<Response<ConfirmDriftBaselineResponse>, Status> {
        answer!(self, request, ConfirmBaseline)
    }

    async fn withdraw_drift_baseline(
        &self,
        request: Request<WithdrawDriftBaselineRequest>,
    ) -> Result<Response<WithdrawDriftBaselineResponse>, Status> {
        answer!(self, request, WithdrawBaseline)
    }
}
