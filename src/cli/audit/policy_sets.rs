//! The texts of the policy sets that entries name, read from the service without trusting it.

use super::proof::TAMPERED;
use crate::{
    cli::{
        connection::{AuditStub, Client},
        failure::{Exit, Failure, Stop},
    },
    domain::PolicyDigest,
    ledger::{Hash, export::PolicySetText},
    proto::v1::{ErrorReason, GetPolicySetRequest},
};

/// The text of a policy set. None if the service has none, or is too old to be asked.
pub(super) async fn text(client: &Client, digest: Hash) -> Result<Option<PolicySetText>, Stop> {
    let name = PolicyDigest::from(digest);
    let (mut text, mut start) = (String::new(), 0);
    loop {
        let request = GetPolicySetRequest {
            digest: name.to_string(),
            start,
        };
        let answer = client
            .call(client.deadline(), request, async |mut stub: AuditStub, request| {
                stub.get_policy_set(request).await
            })
            .await;
        let part = match answer {
            Ok(part) => part,
            Err(error) => match error.known_reason() {
                Some(ErrorReason::PolicySetNotFound | ErrorReason::Unimplemented) => return Ok(None),
                _ => return Err(error.into()),
            },
        };
        text.push_str(&part.text);
        match part.next_start {
            0 => break,
            // A part is never empty, so this ends.
            next if next > start && !part.text.is_empty() => start = next,
            _ => break,
        }
    }
    if PolicyDigest::of(&text) != name {
        let what = format!("the text that the service has for the policy set {name} does not have this digest");
        return Err(Failure::new(Exit::Tampered, what, TAMPERED).into());
    }
    Ok(Some(PolicySetText { digest, text }))
}
