//! Checks the answers that each request got, over all its repetitions.
//!
//! P8: a repetition under the same request id resolves every error. P5: the answers do not contradict each other.

use std::collections::HashMap;

use time::Duration;

use super::{
    super::history::{History, RpcOutcome, RpcRecord, ShareRequest},
    Violations, resolves,
};

/// The answers that one request got.
#[derive(Clone, Debug)]
pub struct RequestStory<'a> {
    pub request: &'a ShareRequest,
    /// In the order of their arrival.
    pub answers: Vec<&'a RpcRecord>,
}

impl RequestStory<'_> {
    /// How long after its first answer the request was resolved. None if it was not.
    pub fn resolved_after(&self) -> Option<Duration> {
        let resolved = self.answers.iter().find(|answer| resolves(&answer.told))?;
        Some(resolved.answered_at - self.answers.first()?.answered_at)
    }
}

/// The answers by request. The same request id for other content is another request.
pub fn stories(history: &History) -> Vec<RequestStory<'_>> {
    let mut found: HashMap<_, RequestStory<'_>> = HashMap::new();
    for answer in &history.answers {
        let request = &answer.request;
        let content = (request.reason.as_str(), request.action.allows(), request.ttl);
        let account = request.permission.account.as_str();
        let key = (account, request.request_id.as_str(), content);
        let story = found.entry(key).or_insert_with(|| RequestStory {
            request,
            answers: Vec::new(),
        });
        story.answers.push(answer);
    }
    let mut stories: Vec<_> = found.into_values().collect();
    for story in &mut stories {
        story.answers.sort_by_key(|answer| answer.answered_at);
    }
    stories
}

pub(super) fn check(history: &History, violations: &mut Violations) {
    let longest = history.upgrade.as_ref().map(|upgrade| upgrade.longest_unresolved);
    for story in stories(history) {
        let request = story.request;
        match story.resolved_after() {
            None => violations.add(
                "P8",
                format!("no repetition resolved {request:?}: {:?}", story.answers.last()),
            ),
            Some(after) if longest.is_some_and(|longest| after > longest) => {
                violations.add("P15", format!("{request:?} was resolved {after} after its first error"));
            }
            Some(_) => {}
        }
        // With a change id, it was accepted first.
        let is_denied = |answer: &&RpcRecord| match &answer.told {
            RpcOutcome::Refused { reason, change_id, .. } => reason == "POLICY_DENIED" && change_id.is_none(),
            _ => false,
        };
        let is_accepted = |answer: &&RpcRecord| matches!(answer.told, RpcOutcome::Ok { .. });
        // Another policy set may permit what was refused. What was accepted is never refused.
        if let Some(denied) = story.answers.iter().rfind(|answer| is_denied(answer))
            && let Some(accepted) = story.answers.iter().find(|answer| is_accepted(answer))
            && (history.policies.is_none() || accepted.answered_at < denied.asked_at)
        {
            violations.add(
                "P5",
                format!("{request:?} was denied and accepted: {denied:?}, {accepted:?}"),
            );
        }
    }
}
