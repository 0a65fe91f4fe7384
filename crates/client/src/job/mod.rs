//! Many grants or revokes as one job, which may be interrupted and run again.
//!
//! [`ShareJob::plan`] asks the service what each change would do, and changes nothing. [`ShareJob::run`] makes the changes.
//! Each request id is derived from the principal, the change, and the permission that the plan saw ([`request_id()`]). So a
//! second run by the same principal, after any interruption, acts once. A job that is repeated later, after the shares were made
//! again, acts again.
//!
//! ```no_run
//! # async fn leave(client: sharewarden_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use sharewarden_client::job::{JobAction, JobChange, ShareSelection, ShareJob};
//!
//! let filter = ShareSelection { shared_account_id: Some("000011112222".into()), ..Default::default() };
//! let reason = "the partner left";
//! let revoke = |share| JobChange {
//!     action: JobAction::Revoke,
//!     share,
//!     reason: reason.into(),
//!     ticket: String::new(),
//!     end: None,
//! };
//! let changes = client.shares(filter).await?.into_iter().map(revoke).collect();
//! let job = ShareJob::plan(&client, changes, |_| ()).await?;
//! let report = job.run(&client, std::future::pending(), |_| ()).await;
//! for (step, ending) in job.steps().iter().zip(&report.endings) {
//!     println!("{}: {ending:?}", step.change.share);
//! }
//! # Ok(())
//! # }
//! ```

mod plan;
mod request_id;
mod run;

use std::fmt;

use pbjson_types::Timestamp;

use crate::{
    change::Outcome,
    connection::{Client, ShareStub},
    end::GrantEnd,
    error::Error,
    proto::v1::{
        Change, Finding, GrantSharePermissionRequest, ListSharePermissionsRequest, RevokeSharePermissionRequest,
        SharePermission, share_permission::State,
    },
};

pub use plan::{Step, Verdict};
pub use request_id::request_id;
pub use run::{Report, StepEnd};

/// Maximum calls of a job at the same time. Far below the calls that a principal may have open, because the job shares that quota
/// with the other calls of its principal, and AWS is slower than 32 calls at once in any case.
const CONCURRENCY: usize = 32;

/// The maximum page size of the service, in permissions.
const PAGE_SIZE: i32 = 500;

/// One permission: may `shared_account_id` copy the image? Displays as `ACCOUNT/REGION/IMAGE with RECIPIENT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareName {
    /// The AWS account that owns the image: 12 digits.
    pub account_id: String,
    /// The AWS Region of the image.
    pub region: String,
    /// The image id: `wsi-` and 9 to 63 lower-case letters and digits.
    pub image_id: String,
    /// The recipient, the AWS account that may copy the image: 12 digits.
    pub shared_account_id: String,
}

/// Selects shares. `None` selects all values; an empty text selects nothing, and is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShareSelection {
    /// Only images of this AWS account: 12 digits.
    pub account_id: Option<String>,
    /// Only images in this AWS Region.
    pub region: Option<String>,
    /// Only this image.
    pub image_id: Option<String>,
    /// Only this recipient, an AWS account: 12 digits.
    pub shared_account_id: Option<String>,
}

/// What to do with a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobAction {
    /// Let the recipient copy the image.
    Grant,
    /// Stop letting the recipient copy the image.
    Revoke,
    /// Make a share that AWS has and the ledger does not one of the service's.
    Adopt,
}

/// One change of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobChange {
    /// Grant, revoke or adopt.
    pub action: JobAction,
    /// Which share. A job should have each share once.
    pub share: ShareName,
    /// The reason, for the audit history: 1 to 1024 characters.
    pub reason: String,
    /// The ticket, for the audit history: at most 128 characters; may be empty.
    pub ticket: String,
    /// Of a grant or an adoption: when the share ends. `None` for a share without an end. With a TTL, each run of a job of
    /// grants renews the share.
    pub end: Option<GrantEnd>,
}

/// A planned job.
#[derive(Debug, Clone)]
pub struct ShareJob {
    steps: Vec<Step>,
}

impl ShareJob {
    /// The steps, in the order of the changes.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl fmt::Display for ShareName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account_id,
            region,
            image_id,
            shared_account_id,
        } = self;
        write!(f, "{account_id}/{region}/{image_id} with {shared_account_id}")
    }
}

impl Client {
    /// The shares that match the filter and may be in effect: all that are not NOT_SHARED. Reads all pages. The service knows
    /// the shares that were made through it, and no others.
    ///
    /// # Errors
    /// INVALID_FIELDS if a field of the filter is empty: the service would take it for all values. The error of the service,
    /// which needs the role of a reader for this.
    pub async fn shares(&self, filter: ShareSelection) -> Result<Vec<ShareName>, Error> {
        let mut filter = filter.into_request().map_err(|empty| Error::of_empty_fields(&empty))?;
        let mut shares = Vec::new();
        loop {
            let call = async |mut stub: ShareStub, request| stub.list_share_permissions(request).await;
            let page = self.call(self.deadline(), filter.clone(), call).await?;
            let in_effect = page.permissions.into_iter().filter(|it| it.state() != State::NotShared);
            shares.extend(in_effect.map(|permission| ShareName {
                account_id: permission.account_id,
                region: permission.region,
                image_id: permission.image_id,
                shared_account_id: permission.shared_account_id,
            }));
            if page.next_page_token.is_empty() {
                return Ok(shares);
            }
            filter.page_token = page.next_page_token;
        }
    }
}

impl ShareSelection {
    /// The request for the first page; or the names of the empty fields.
    fn into_request(self) -> Result<ListSharePermissionsRequest, Vec<&'static str>> {
        let mut empty = Vec::new();
        let mut text = |field, value: Option<String>| {
            if value.as_ref().is_some_and(String::is_empty) {
                empty.push(field);
            }
            value.unwrap_or_default()
        };
        let request = ListSharePermissionsRequest {
            account_id: text("account_id", self.account_id),
            region: text("region", self.region),
            image_id: text("image_id", self.image_id),
            shared_account_id: text("shared_account_id", self.shared_account_id),
            page_size: PAGE_SIZE,
            ..ListSharePermissionsRequest::default()
        };
        match empty.is_empty() {
            true => Ok(request),
            false => Err(empty),
        }
    }
}

/// The answer to a grant or a revoke.
struct Answer {
    permission: Option<SharePermission>,
    change: Option<Change>,
    findings: Vec<Finding>,
    /// Of a grant that was only checked: when the share would end.
    expire_time: Option<Timestamp>,
}

/// Sends the change, or only has it checked.
#[expect(
    clippy::needless_update,
    reason = "a revoke has no other fields yet; a new one needs no line here"
)]
async fn send(client: &Client, change: &JobChange, request_id: String, validate_only: bool) -> Outcome<Answer> {
    // Grants and revokes have these fields.
    macro_rules! request {
        ($request:ident) => {{
            let ShareName {
                account_id,
                region,
                image_id,
                shared_account_id,
            } = change.share.clone();
            $request {
                account_id,
                region,
                image_id,
                shared_account_id,
                request_id,
                reason: change.reason.clone(),
                ticket: change.ticket.clone(),
                validate_only,
                ..$request::default()
            }
        }};
    }
    match change.action {
        JobAction::Grant | JobAction::Adopt => {
            let mut request = request!(GrantSharePermissionRequest);
            request.adopt = change.action == JobAction::Adopt;
            if let Some(end) = change.end.clone() {
                end.set(&mut request);
            }
            client.grant(request).await.map(|answer| Answer {
                permission: answer.permission,
                change: answer.change,
                findings: answer.findings,
                expire_time: answer.expire_time,
            })
        }
        JobAction::Revoke => client
            .revoke(request!(RevokeSharePermissionRequest))
            .await
            .map(|answer| Answer {
                permission: answer.permission,
                change: answer.change,
                findings: answer.findings,
                expire_time: None,
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::ErrorReason;

    #[test]
    fn an_empty_id_selects_no_shares_and_its_field_is_named() {
        let everything = ShareSelection::default().into_request().unwrap();
        assert_eq!((everything.account_id.as_str(), everything.page_size), ("", PAGE_SIZE));
        let partner = |id: &str| ShareSelection {
            shared_account_id: Some(id.into()),
            ..ShareSelection::default()
        };
        let request = partner("000011112222").into_request().unwrap();
        assert_eq!(request.shared_account_id, "000011112222");
        let error = Error::of_empty_fields(&partner("").into_request().unwrap_err());
        assert_eq!(error.known_reason(), Some(ErrorReason::InvalidFields));
        assert_eq!(error.violations[0].field, "shared_account_id");
        assert!(error.to_string().contains("shared_account_id"), "{error}");
    }
}
