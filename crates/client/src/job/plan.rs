//! The plan of a job: what each of its changes would do.

use futures_util::{StreamExt, stream};
use pbjson_types::Timestamp;
use tokio::sync::watch;

use super::{CONCURRENCY, JobAction, JobChange, ShareJob, request_id, send};
use crate::{
    change::Outcome,
    connection::{AccessStub, Client},
    error::Error,
    proto::v1::{Finding, GetCallerIdentityRequest, SharePermission, share_permission::State},
};

/// One change of a planned job.
#[derive(Debug, Clone)]
pub struct Step {
    /// What is to be done, with which share.
    pub change: JobChange,
    /// The permission when the job was planned; `None` if the service has none, or refuses the change.
    pub before: Option<SharePermission>,
    /// What the job will do with the change.
    pub verdict: Verdict,
    /// What AWS's own rules say about the change, as the service predicts it. They do not change the verdict.
    pub findings: Vec<Finding>,
    /// The id of the request, a UUID.
    pub request_id: String,
}

/// What a job does with a change.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Sends it.
    Send,
    /// Nothing: the share is as the change wants it, and no other change is pending.
    Unchanged,
    /// Nothing: the service would refuse the change.
    Refused(Error),
}

impl ShareJob {
    /// Asks the service what each change would do, and changes nothing. `checked` is called after each answer, with the number
    /// of changes that are checked.
    ///
    /// # Errors
    /// The error that stops the job: the service does not answer, or does not know the caller. A change that the service would
    /// refuse is not an error: its [`Verdict`] says so.
    pub async fn plan(client: &Client, changes: Vec<JobChange>, mut checked: impl FnMut(usize)) -> Result<Self, Error> {
        let (_runs, stop) = watch::channel(false);
        let client = &client.for_job(stop);
        let call = async |mut stub: AccessStub, request| stub.get_caller_identity(request).await;
        let caller = client
            .call(client.deadline(), GetCallerIdentityRequest {}, call)
            .await?;
        let checks = changes
            .into_iter()
            .map(|change| check(client, &caller.principal, change));
        let mut answers = stream::iter(checks).buffered(CONCURRENCY);
        let mut steps = Vec::new();
        while let Some(step) = answers.next().await {
            steps.push(step?);
            checked(steps.len());
        }
        Ok(Self { steps })
    }
}

async fn check(client: &Client, principal: &str, change: JobChange) -> Result<Step, Error> {
    let (before, verdict, findings) = match send(client, &change, String::new(), true).await {
        Outcome::Succeeded(answer) => {
            let verdict = verdict(&change, answer.permission.as_ref(), answer.expire_time.as_ref());
            (answer.permission, verdict, answer.findings)
        }
        Outcome::Failed(error) if !error.stops_a_job() => (None, Verdict::Refused(error), Vec::new()),
        Outcome::Failed(error) | Outcome::Unresolved { error, .. } => return Err(error),
    };
    Ok(Step {
        request_id: request_id(principal, &change, before.as_ref()).to_string(),
        change,
        before,
        verdict,
        findings,
    })
}

/// `expire_time` is the end that the change would give to the share.
fn verdict(change: &JobChange, permission: Option<&SharePermission>, expire_time: Option<&Timestamp>) -> Verdict {
    let as_wanted = match (change.action, permission.map(SharePermission::state)) {
        (JobAction::Grant, Some(State::Shared)) => {
            let ends = permission.and_then(|it| it.bases.first()?.expire_time.as_ref());
            // A service that does not know ends leaves out the field, and ignores that of the request.
            ends == expire_time && expire_time.is_some() == change.end.is_some()
        }
        (JobAction::Revoke, Some(State::NotShared)) => true,
        // The service accepts an adoption only while the ledger has no share.
        _ => false,
    };
    if as_wanted { Verdict::Unchanged } else { Verdict::Send }
}
