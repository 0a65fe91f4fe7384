//! What was missing: the conditions of a policy that do not hold for a request.
//!
//! Cedar gives no reason if no policy permits. So each condition of a permit of a file is a policy of its own, which is evaluated
//! by itself. A caller can be refused often, so only some conditions are evaluated for a refusal.

use std::collections::HashMap;

use cedar_policy::{Authorizer, Decision, Effect, Policy, PolicyId as CedarId, PolicySet};
use serde_json::{Value, json};

use crate::domain::PolicyId;

use super::{
    mentions::{self, Mentions},
    parts::Parts,
    query::{CedarQuery, PolicyQuery},
    schema::PolicySchema,
    source::NamedPolicy,
};

/// Maximum policies that a refusal names.
const NAMED: usize = 3;

/// Maximum conditions that are evaluated for a refusal.
const EVALUATED: usize = 64;

/// What is told of conditions about an image to a caller that may not read it.
const ABOUT_IMAGE: &str = "conditions about the image";

/// The permits of files, taken apart.
#[derive(Debug, Default)]
pub(super) struct NearPermits {
    /// The permits without conditions: which of them are about a request.
    scopes: Parts,
    conditions: HashMap<PolicyId, Vec<PermitCondition>>,
}

/// A policy that would permit a change, with what was missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearPolicy {
    /// The id, as in decisions.
    pub id: PolicyId,
    /// The conditions that do not hold, in Cedar, each on one line.
    pub missing: Vec<String>,
    /// True if a condition about the image does not hold, and is not told.
    pub hides_conditions: bool,
}

/// A condition of a permit.
#[derive(Debug)]
struct PermitCondition {
    /// In Cedar, on one line.
    text: String,
    mentions: Mentions,
    /// One permit with this condition alone.
    set: PolicySet,
}

impl NearPermits {
    /// The permits among these policies.
    pub(super) fn of<'a>(policies: impl Iterator<Item = &'a NamedPolicy>, schema: &PolicySchema) -> Self {
        let (mut scopes, mut conditions) = (Vec::new(), HashMap::new());
        for policy in policies.filter(|policy| !policy.forbids()) {
            let Ok(mut json) = policy.policy.to_json() else {
                continue;
            };
            conditions.insert(policy.id.clone(), self::conditions(&json["conditions"]));
            json["conditions"] = json!([]);
            scopes.extend(Policy::from_json(Some(policy.policy.id().clone()), json).ok());
        }
        Self {
            scopes: Parts::of(scopes, schema),
            conditions,
        }
    }

    /// The end of a refusal: the first of the [policies that were near](Self::policies).
    pub(super) fn missing<'a>(
        &self,
        query: PolicyQuery<'_>,
        groups: impl Iterator<Item = &'a str>,
        may_read: bool,
        cedar: &CedarQuery,
    ) -> String {
        let near = self.policies(query, groups, may_read, cedar);
        near.iter().take(NAMED).map(NearPolicy::words).collect()
    }

    /// The policies that would permit the change, those with the fewest missing conditions first. `groups` are those of the
    /// owner. Conditions about the image are told if the reader may read what AWS reports.
    pub(super) fn policies<'a>(
        &self,
        query: PolicyQuery<'_>,
        groups: impl Iterator<Item = &'a str>,
        may_read: bool,
        cedar: &CedarQuery,
    ) -> Vec<NearPolicy> {
        let account = query.key.account;
        let in_scope = self
            .scopes
            .satisfied(Effect::Permit, query.asked(), account, groups, cedar);
        let (mut near, mut evaluated) = (Vec::new(), 0);
        for id in &in_scope.ids {
            let conditions = self.conditions.get(id).map_or(&[][..], Vec::as_slice);
            evaluated += conditions.len();
            if evaluated > EVALUATED {
                break;
            }
            let missing: Vec<_> = conditions
                .iter()
                .filter(|condition| condition.is_missing(query, cedar))
                .collect();
            if !missing.is_empty() {
                near.push((id, missing));
            }
        }
        near.sort_by_key(|(_, missing)| missing.len());
        let told = |(id, missing): (&PolicyId, Vec<&PermitCondition>)| {
            let (told, hidden): (Vec<_>, Vec<_>) = missing
                .into_iter()
                .partition(|condition| may_read || !condition.mentions.is_about_image());
            NearPolicy {
                id: id.clone(),
                missing: told.into_iter().map(|condition| condition.text.clone()).collect(),
                hides_conditions: !hidden.is_empty(),
            }
        };
        near.into_iter().map(told).collect()
    }
}

impl NearPolicy {
    fn words(&self) -> String {
        let told = self.missing.iter().map(|condition| format!("`{condition}`"));
        let words: Vec<_> = told
            .chain(self.hides_conditions.then(|| ABOUT_IMAGE.to_owned()))
            .collect();
        format!(
            ", or the policy {:?}, which needs {}",
            self.id.as_str(),
            words.join(" and ")
        )
    }
}

impl PermitCondition {
    fn new(kind: &Value, body: &Value) -> Option<Self> {
        let anything = json!({"op": "All"});
        let policy = json!({
            "effect": "permit", "principal": anything, "action": anything, "resource": anything,
            "conditions": [{"kind": kind, "body": body}],
        });
        let policy = Policy::from_json(Some(CedarId::new("condition")), policy).ok()?;
        Some(Self {
            text: on_one_line(&policy.to_cedar()?)?,
            mentions: Mentions::of_expression(body),
            set: PolicySet::from_policies([policy]).ok()?,
        })
    }

    /// True if it is known not to hold. One that fails depends on another one that does not hold.
    fn is_missing(&self, query: PolicyQuery<'_>, cedar: &CedarQuery) -> bool {
        if query.unknown_fact(self.mentions).is_some() {
            return false;
        }
        let answer = Authorizer::new().is_authorized(&cedar.request, &self.set, &cedar.entities);
        answer.decision() == Decision::Deny && answer.diagnostics().errors().next().is_none()
    }
}

fn conditions(of_policy: &Value) -> Vec<PermitCondition> {
    let mut found = Vec::new();
    for condition in of_policy.as_array().into_iter().flatten() {
        let bodies = match condition["kind"] == "when" {
            true => mentions::conjuncts(&condition["body"]),
            false => vec![&condition["body"]],
        };
        found.extend(
            bodies
                .into_iter()
                .filter_map(|body| PermitCondition::new(&condition["kind"], body)),
        );
    }
    found
}

/// The condition in the text of a policy with one condition.
fn on_one_line(policy: &str) -> Option<String> {
    let (_, rest) = policy.split_once('{')?;
    let (body, _) = rest.rsplit_once('}')?;
    let body = body.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    Some(match policy.contains(") unless {") {
        true => format!("!({})", body.trim()),
        false => body.trim().to_owned(),
    })
}
