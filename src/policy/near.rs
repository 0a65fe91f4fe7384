//! What was missing: the conditions of a policy that do not hold for a request.
//!
//! Cedar gives no reason if no policy permits. So the conditions of a permit are evaluated one by one.

use cedar_policy::{Authorizer, Decision, Policy, PolicyId, PolicySet};
use serde_json::{Value, json};

use crate::domain::{Action, PolicyId as OwnId};

use super::{
    query::CedarQuery,
    set::{self, NamedPolicy, PolicyOrigin},
};

/// Maximum policies that a refusal names.
const NAMED: usize = 3;

/// A policy that would permit a request if some of its conditions held.
#[derive(Debug)]
struct NearPolicy {
    /// The policy.
    id: OwnId,
    /// Its conditions that do not hold, in Cedar.
    missing: Vec<String>,
    /// True if it is about this principal, action and image.
    is_in_scope: bool,
}

impl set::PolicySet {
    /// The permits among these policies that are for the action and do not match, those with the fewest missing conditions first.
    fn near_policies<'a>(
        policies: impl Iterator<Item = &'a NamedPolicy>,
        action: Action,
        cedar: &CedarQuery,
    ) -> Vec<NearPolicy> {
        let permits = policies.filter(|policy| !policy.forbids() && set::actions(&policy.policy).contains(&action));
        let mut near: Vec<_> = permits.filter_map(|policy| near(policy, cedar)).collect();
        near.sort_by_key(|policy| (!policy.is_in_scope, policy.missing.len()));
        near
    }

    /// The end of a refusal: the policies of files that would permit the change, with what was missing.
    pub(super) fn near(&self, action: Action, cedar: &CedarQuery) -> String {
        let is_written = |policy: &&NamedPolicy| matches!(policy.origin, PolicyOrigin::File { .. });
        let near = Self::near_policies(self.policies().filter(is_written), action, cedar);
        let named = near.iter().filter(|policy| policy.is_in_scope).take(NAMED);
        let named = named.map(|policy| {
            let missing: Vec<_> = policy.missing.iter().map(|missing| format!("`{missing}`")).collect();
            format!(
                ", or the policy {:?}, which needs {}",
                policy.id.as_str(),
                missing.join(" and ")
            )
        });
        named.collect()
    }
}

/// The policy with what it misses. None if it matches, or if its conditions cannot be told apart.
fn near(rule: &NamedPolicy, cedar: &CedarQuery) -> Option<NearPolicy> {
    let policy = rule.policy.to_json().ok()?;
    let anything = json!({"op": "All"});
    let mut missing = Vec::new();
    for variable in ["principal", "resource"] {
        let scope = &policy[variable];
        let mut one = json!({"effect": "permit", "principal": anything, "action": anything, "resource": anything, "conditions": []});
        one[variable] = scope.clone();
        if let Some(text) = unmet(one, cedar) {
            missing.push(text);
        }
    }
    let is_in_scope = missing.is_empty();
    for condition in policy["conditions"].as_array()? {
        let kind = condition["kind"].clone();
        let bodies = match kind == "when" {
            true => conjuncts(&condition["body"]),
            false => vec![&condition["body"]],
        };
        for body in bodies {
            let one = json!({
                "effect": "permit", "principal": anything, "action": anything, "resource": anything,
                "conditions": [{"kind": kind, "body": body}],
            });
            missing.extend(unmet(one, cedar));
        }
    }
    (!missing.is_empty()).then(|| NearPolicy {
        id: rule.id.clone(),
        missing,
        is_in_scope,
    })
}

/// The parts of `a && b && c`.
fn conjuncts(body: &Value) -> Vec<&Value> {
    match body.get("&&") {
        Some(both) => {
            let mut parts = conjuncts(&both["left"]);
            parts.extend(conjuncts(&both["right"]));
            parts
        }
        None => vec![body],
    }
}

/// The condition of a policy with one condition, if it does not hold. One that fails depends on another one that does not hold.
fn unmet(policy: Value, cedar: &CedarQuery) -> Option<String> {
    let policy = Policy::from_json(Some(PolicyId::new("condition")), policy).ok()?;
    let text = policy.to_cedar()?;
    let set = PolicySet::from_policies([policy]).ok()?;
    let answer = Authorizer::new().is_authorized(&cedar.request, &set, &cedar.entities);
    let fails = answer.diagnostics().errors().next().is_some();
    (answer.decision() == Decision::Deny && !fails).then(|| condition(&text))
}

/// The condition in the text of a policy with one condition, on one line.
fn condition(policy: &str) -> String {
    let on_one_line = |text: &str| {
        text.lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ")
            .trim()
            .to_owned()
    };
    let body = policy.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    match body {
        Some((body, _)) if policy.contains(") unless {") => format!("!({})", on_one_line(body)),
        Some((body, _)) => on_one_line(body),
        // A limit of the scope. The other two variables have none.
        None => {
            let lines = policy.lines().map(|line| line.trim().trim_end_matches(','));
            let limit = lines.filter(|line| !["permit(", "principal", "action", "resource", ");"].contains(line));
            limit.collect()
        }
    }
}
