//! The texts of the policy sets that entries name, read from the service without trusting it.

use super::proof::TAMPERED;
use crate::{
    cli::{
        connection::{AuditStub, Client},
        failure::{Exit, Failure, Stop},
    },
    client::Error,
    domain::PolicyDigest,
    ledger::{Hash, export::PolicySetText},
    proto::v1::{ErrorReason, GetPolicySetRequest},
};

/// The text of a policy set. None if the service has none, or is too old to be asked.
pub(super) async fn text(client: &Client, digest: Hash) -> Result<Option<PolicySetText>, Stop> {
    match fetch(client, Some(PolicyDigest::from(digest))).await {
        Ok((_, text)) => Ok(Some(PolicySetText { digest, text })),
        Err(FetchError::Refused(error)) => match error.known_reason() {
            Some(ErrorReason::PolicySetNotFound | ErrorReason::Unimplemented) => Ok(None),
            _ => Err(error.into()),
        },
        Err(FetchError::Wrong(stop)) => Err(stop),
    }
}

/// Why there is no text.
pub(in crate::cli) enum FetchError {
    /// The service answered with an error.
    Refused(Error),
    /// The service sent something else.
    Wrong(Stop),
}

impl From<FetchError> for Stop {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Refused(error) => error.into(),
            FetchError::Wrong(stop) => stop,
        }
    }
}

/// A policy set with its text, which has this digest. Without a digest: the set in force.
pub(in crate::cli) async fn fetch(
    client: &Client,
    digest: Option<PolicyDigest>,
) -> Result<(PolicyDigest, String), FetchError> {
    let mut name = digest.map(|digest| digest.to_string()).unwrap_or_default();
    let (mut text, mut start) = (String::new(), 0);
    loop {
        let request = GetPolicySetRequest {
            digest: name.clone(),
            start,
        };
        let part = client
            .call(client.deadline(), request, async |mut stub: AuditStub, request| {
                stub.get_policy_set(request).await
            })
            .await
            .map_err(FetchError::Refused)?;
        if name.is_empty() {
            name = part.digest;
        }
        text.push_str(&part.text);
        match part.next_start {
            0 => break,
            // A part is never empty, so this ends.
            next if next > start && !part.text.is_empty() => start = next,
            _ => break,
        }
    }
    let read = PolicyDigest::of(&text);
    if read.to_string() != name {
        let what = format!("the text that the service has for the policy set {name} does not have this digest");
        return Err(FetchError::Wrong(Failure::new(Exit::Tampered, what, TAMPERED).into()));
    }
    Ok((read, text))
}
