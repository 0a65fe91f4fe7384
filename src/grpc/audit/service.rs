//! The handlers of `AuditService`. Each one parses the request, calls the use case, and presents the result.

use std::{future::Future, time::Duration};

use tonic::{Request, Response, Status};
use tracing::Span;

use crate::{
    audit::{Audit, Error, MAX_COUNTS},
    domain::AccountId,
    grpc::{
        access::NamesAccounts,
        caller::{Caller, with_timeout},
        status,
    },
    policy::Policy,
    proto::v1::{self, audit_service_server::AuditService},
    store::audit::EntryFilter,
};

use super::{parse, policy_sets, present, proofs, stream};

/// The largest entry, share, and summary as a message, in bytes. A page of entries ends early.
const ENTRY_BYTES: usize = 32 * 1024;
const SHARE_BYTES: usize = 512;
const SUMMARY_BYTES: usize = 70 * MAX_COUNTS as usize;

/// `AuditService`.
#[derive(Debug, Clone)]
pub struct AuditApi {
    pub(super) audit: Audit,
    pub(super) policy: Policy,
    max_timeout: Duration,
}

impl AuditApi {
    /// `max_timeout` is the maximum time for the work on a call, whatever its deadline.
    pub fn new(audit: Audit, policy: Policy, max_timeout: Duration) -> Self {
        Self {
            audit,
            policy,
            max_timeout,
        }
    }

    pub(super) fn caller<T: NamesAccounts>(&self, request: &Request<T>) -> Result<Caller, Status> {
        Caller::of(request, &self.audit.clock, self.max_timeout)
    }
}

#[tonic::async_trait]
impl AuditService for AuditApi {
    async fn list_audit_entries(
        &self,
        request: Request<v1::ListAuditEntriesRequest>,
    ) -> Result<Response<v1::ListAuditEntriesResponse>, Status> {
        let caller = self.caller(&request)?;
        let (list, page) = parse::entries(request.get_ref())?;
        let how = "; without it, name one account and the change in the filter (--account, --change) to list the entries of a \
                   change that you asked for";
        let asked_for = self.audit.is_asked_for_by(&list.filter, &caller.principal);
        caller.refuse_others(asked_for, how).await?;
        caller.reserve_page(page.size, ENTRY_BYTES).await?;
        if let [account] = list.filter.accounts[..] {
            record_account(account);
        }
        let found = self
            .audit
            .entries(&list.filter, list.order, page.after.as_ref(), page.size, present::entry);
        let found = run(&caller, found).await?;
        Ok(Response::new(present::entries(&list, found)))
    }

    async fn get_audit_entry(
        &self,
        request: Request<v1::GetAuditEntryRequest>,
    ) -> Result<Response<v1::GetAuditEntryResponse>, Status> {
        let caller = self.caller(&request)?;
        let (account, log_index) = parse::entry(request.get_ref())?;
        record_account(account);
        let entry = run(&caller, self.audit.entry(account, log_index)).await?;
        Ok(Response::new(v1::GetAuditEntryResponse {
            entry: Some(present::entry(entry)),
        }))
    }

    async fn list_permission_history(
        &self,
        request: Request<v1::ListPermissionHistoryRequest>,
    ) -> Result<Response<v1::ListPermissionHistoryResponse>, Status> {
        let caller = self.caller(&request)?;
        let (list, page) = parse::history(request.get_ref())?;
        caller.reserve_page(page.size, ENTRY_BYTES).await?;
        record_account(list.key.account);
        let filter = EntryFilter::about(&list.key);
        let found = self
            .audit
            .entries(&filter, list.order, page.after.as_ref(), page.size, present::entry);
        let found = run(&caller, found).await?;
        Ok(Response::new(present::history(&list, found)))
    }

    async fn get_share_permissions_at(
        &self,
        request: Request<v1::GetSharePermissionsAtRequest>,
    ) -> Result<Response<v1::GetSharePermissionsAtResponse>, Status> {
        let caller = self.caller(&request)?;
        let now = run(&caller, self.audit.now()).await?;
        let (list, page) = parse::shares_at(request.get_ref(), now)?;
        caller.reserve_page(page.size, SHARE_BYTES).await?;
        if let Some(account) = list.filter.account {
            record_account(account);
        }
        let found = self
            .audit
            .shares_at(list.time, &list.filter, page.after.as_ref(), page.size);
        let found = run(&caller, found).await?;
        Ok(Response::new(present::shares(&list, found)))
    }

    async fn summarize_audit_entries(
        &self,
        request: Request<v1::SummarizeAuditEntriesRequest>,
    ) -> Result<Response<v1::SummarizeAuditEntriesResponse>, Status> {
        let caller = self.caller(&request)?;
        let query = parse::summary(request.get_ref())?;
        caller.reserve(SUMMARY_BYTES).await?;
        let summary = run(&caller, self.audit.summarize(query)).await?;
        Ok(Response::new(present::summary(summary)))
    }

    type WatchAuditEntriesStream = stream::WatchStream;

    async fn watch_audit_entries(
        &self,
        request: Request<v1::WatchAuditEntriesRequest>,
    ) -> Result<Response<stream::WatchStream>, Status> {
        stream::watch(self, request).await
    }

    type ExportAuditEntriesStream = stream::ExportStream;

    async fn export_audit_entries(
        &self,
        request: Request<v1::ExportAuditEntriesRequest>,
    ) -> Result<Response<stream::ExportStream>, Status> {
        stream::export(self, request).await
    }

    async fn get_policy_set(
        &self,
        request: Request<v1::GetPolicySetRequest>,
    ) -> Result<Response<v1::GetPolicySetResponse>, Status> {
        policy_sets::policy_set(self, request).await
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

/// Runs a use case within the timeout of the caller.
async fn run<T>(caller: &Caller, work: impl Future<Output = Result<T, Error>>) -> Result<T, Status> {
    with_timeout(caller.timeout, work, status::store_unavailable).await
}

fn record_account(account: AccountId) {
    Span::current().record("account_id", account.as_str());
}
