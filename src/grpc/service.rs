//! The handlers of `SharePermissionService`. Each one parses the request, calls the use case, and presents the result.

use std::{future::ready, sync::Arc, time::Duration};

use tonic::{Request, Response, Status};
use tracing::Span;

use crate::{
    changes::{ChangeService, CompletedChange, Error, Submission},
    domain::{Action, Authentication, ChangeId, PermissionKey},
    policy::roles::Privilege,
    proto::v1::{self, share_permission_service_server::SharePermissionService},
};

use super::{
    access::NamesAccounts,
    caller::{Caller, with_timeout},
    explanation::ToldExplanation,
    parse,
    parse::ParsedChange,
    present, status,
};

/// The largest permission, change, and list of images as a message, in bytes. A page of changes ends early.
const PERMISSION_BYTES: usize = 1024;
const CHANGE_BYTES: usize = 64 * 1024;
const IMAGES_BYTES: usize = 1024 * 1024;

/// `SharePermissionService`.
#[derive(Clone)]
pub struct ShareService {
    changes: ChangeService,
    max_timeout: Duration,
}

impl ShareService {
    /// `max_timeout` is the maximum time for the work on a call, whatever its deadline.
    pub fn new(changes: ChangeService, max_timeout: Duration) -> Self {
        Self { changes, max_timeout }
    }

    fn caller<T: NamesAccounts>(&self, request: &Request<T>) -> Result<Caller, Status> {
        Caller::of(request, &self.changes.clock, self.max_timeout)
    }

    /// Grants or revokes. With `validate_only`, only checks whether the change would be accepted.
    async fn change(
        &self,
        action: Action,
        caller: Caller,
        request: ParsedChange,
    ) -> Result<v1::GrantSharePermissionResponse, Status> {
        record_account(&request.key);
        let submission = Submission {
            cause: request.cause,
            actor: caller.principal,
            authentication: Some(Arc::unwrap_or_clone(caller.authentication)),
            action,
            key: request.key,
            request_id: request.request_id,
            justification: request.justification,
            end: request.end,
            trace_id: caller.trace_id,
        };
        if request.validate_only {
            // Boxed because it is rare: otherwise it enlarges the future of every call.
            let validated = Box::pin(self.changes.validate(submission, caller.timeout));
            let validated = with_timeout(caller.timeout, validated, status::store_unavailable).await?;
            return Ok(present::validated(&validated));
        }
        let result = self.submit_and_wait(submission, caller.timeout).await;
        if let Some(change_id) = change_id(&result) {
            Span::current().record("change_id", tracing::field::display(change_id));
        }
        result.map(present::granted).map_err(status::of)
    }

    async fn submit_and_wait(&self, submission: Submission, timeout: Duration) -> Result<CompletedChange, Error> {
        let clock = &self.changes.clock;
        let started = clock.monotonic_now();
        let receipt = self.changes.submit(submission, timeout).await?;
        let left = timeout.saturating_sub(clock.monotonic_now().since(started));
        self.changes.wait(receipt, left).await
    }
}

#[tonic::async_trait]
impl SharePermissionService for ShareService {
    async fn grant_share_permission(
        &self,
        request: Request<v1::GrantSharePermissionRequest>,
    ) -> Result<Response<v1::GrantSharePermissionResponse>, Status> {
        let caller = self.caller(&request)?;
        let change = parse::grant(
            request.get_ref(),
            &self.changes.policy.in_force(),
            self.changes.clock.now(),
        )?;
        Ok(Response::new(self.change(Action::Grant, caller, change).await?))
    }

    async fn revoke_share_permission(
        &self,
        request: Request<v1::RevokeSharePermissionRequest>,
    ) -> Result<Response<v1::RevokeSharePermissionResponse>, Status> {
        let caller = self.caller(&request)?;
        let change = parse::revoke(request.get_ref())?;
        let answer = self.change(Action::Revoke, caller, change).await?;
        Ok(Response::new(present::revoked(answer)))
    }

    async fn get_share_permission(
        &self,
        request: Request<v1::GetSharePermissionRequest>,
    ) -> Result<Response<v1::GetSharePermissionResponse>, Status> {
        let caller = self.caller(&request)?;
        let key = parse::get(request.get_ref())?;
        record_account(&key);
        let read = async { tokio::try_join!(self.changes.get(key.clone()), self.changes.last_look(&key)) };
        let (permission, look) = with_timeout(caller.timeout, read, status::store_unavailable).await?;
        Ok(Response::new(v1::GetSharePermissionResponse {
            permission: Some(present::permission(&permission)),
            last_look: look.map(present::last_look),
        }))
    }

    async fn list_share_permissions(
        &self,
        request: Request<v1::ListSharePermissionsRequest>,
    ) -> Result<Response<v1::ListSharePermissionsResponse>, Status> {
        let caller = self.caller(&request)?;
        let list = parse::list(request.get_ref())?;
        caller.reserve_page(list.page.size, PERMISSION_BYTES).await?;
        let page = self
            .changes
            .list(&list.filter, list.page.after.as_ref(), list.page.size);
        let page = with_timeout(caller.timeout, page, status::store_unavailable).await?;
        Ok(Response::new(present::page(&list.filter, &page)))
    }

    async fn get_change(
        &self,
        request: Request<v1::GetChangeRequest>,
    ) -> Result<Response<v1::GetChangeResponse>, Status> {
        let caller = self.caller(&request)?;
        let (account, id) = parse::get_change(request.get_ref())?;
        Span::current().record("account_id", account.as_str());
        Span::current().record("change_id", tracing::field::display(id));
        let asked_for = self.changes.is_asked_for_by(account, id, &caller.principal);
        caller.refuse_others(asked_for, "").await?;
        let change = self.changes.get_change(account, id);
        let change = with_timeout(caller.timeout, change, status::store_unavailable).await?;
        Ok(Response::new(v1::GetChangeResponse {
            change: Some(present::change_status(&change)),
        }))
    }

    async fn list_changes(
        &self,
        request: Request<v1::ListChangesRequest>,
    ) -> Result<Response<v1::ListChangesResponse>, Status> {
        let caller = self.caller(&request)?;
        let (list, page) = parse::list_changes(request.get_ref())?;
        let is_own = list.filter.principal.as_ref() == Some(&caller.principal);
        let how = "; without it, name yourself in `principal` (--asked-by) to list the changes that you asked for";
        caller.refuse_others(ready(Ok::<_, Error>(is_own)), how).await?;
        caller.reserve_page(page.size, CHANGE_BYTES).await?;
        let changes = self
            .changes
            .list_changes(&list.filter, list.order, page.after.as_ref(), page.size);
        let changes = with_timeout(caller.timeout, changes, status::store_unavailable).await?;
        Ok(Response::new(present::changes(&list, &changes)))
    }

    async fn list_images(
        &self,
        request: Request<v1::ListImagesRequest>,
    ) -> Result<Response<v1::ListImagesResponse>, Status> {
        let caller = self.caller(&request)?;
        let (account, region, ownership) = parse::list_images(request.get_ref())?;
        caller.reserve(IMAGES_BYTES).await?;
        Span::current().record("account_id", account.as_str());
        let images = self.changes.list_images(account, &region, ownership);
        let images = with_timeout(caller.timeout, images, status::upstream_unavailable).await?;
        Ok(Response::new(v1::ListImagesResponse {
            images: images.into_iter().map(present::image).collect(),
        }))
    }

    async fn explain_policy(
        &self,
        request: Request<v1::ExplainPolicyRequest>,
    ) -> Result<Response<v1::ExplainPolicyResponse>, Status> {
        let caller = self.caller(&request)?;
        let change = parse::explain(request.get_ref())?;
        record_account(&change.key);
        let policy = self.changes.policy.in_force();
        let may_audit = policy.scope(caller.for_policy(), Privilege::Export);
        let is_own = change
            .principal
            .as_ref()
            .is_none_or(|principal| *principal == caller.principal);
        if !is_own && !may_audit.covers(change.key.account) {
            let rule = Privilege::Export.refusal(&caller.principal, Some(change.key.account));
            let how = "; without it, leave out `principal` (--as) to ask about yourself";
            return Err(caller.refuse(format!("{rule}{how}")));
        }
        let own = is_own.then(|| (*caller.authentication).clone());
        let authentication = match change.credentials {
            presented if presented.is_empty() => own,
            credentials => Some(Authentication {
                credentials,
                claims: own.map(|own| own.claims).unwrap_or_default(),
            }),
        };
        let submission = Submission {
            cause: change.cause,
            actor: change.principal.unwrap_or_else(|| caller.principal.clone()),
            authentication,
            action: change.action,
            key: change.key,
            request_id: None,
            justification: change.justification,
            end: change.end,
            trace_id: None,
        };
        let explained = self.changes.explain(submission, caller.for_policy(), caller.timeout);
        let explained = with_timeout(caller.timeout, explained, status::upstream_unavailable).await?;
        let told = ToldExplanation::of(&explained, !may_audit.is_empty());
        caller.reserve(told.bytes).await?;
        Ok(Response::new(told.present()))
    }
}

fn record_account(key: &PermissionKey) {
    Span::current().record("account_id", key.account.as_str());
}

/// The id of the change, if the call has one.
fn change_id(result: &Result<CompletedChange, Error>) -> Option<ChangeId> {
    match result {
        Ok(changed) => Some(changed.change.id()),
        Err(Error::Failed(ended) | Error::Superseded(ended)) => Some(ended.change.id()),
        Err(Error::Pending(status)) => Some(status.change.id()),
        Err(_) => None,
    }
}
