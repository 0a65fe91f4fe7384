//! The claims that a set speaks of, and the groups of principals, which can be given by a claim.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::Policy;
use serde_json::Value;

use crate::domain::{ClaimName, PolicyId, PrincipalPattern};

use super::{
    action::PolicyAction,
    contents::Group,
    parts,
    problem::PolicyProblem,
    query::PolicyCaller,
    schema::{EntityType, PolicySchema},
    source::NamedPolicy,
};

/// Maximum claims that a set speaks of. An entry records each of them, also that the caller does not have it.
const MAX_CLAIMS: usize = 16;

/// Who is in a group of principals.
#[derive(Debug)]
pub(super) struct PrincipalGroup {
    patterns: Vec<PrincipalPattern>,
    claims: BTreeMap<String, BTreeSet<String>>,
}

impl PrincipalGroup {
    pub(super) fn of(group: &Group) -> Self {
        let patterns = group.principals.iter();
        Self {
            patterns: patterns.filter_map(|pattern| pattern.parse().ok()).collect(),
            claims: group.claims.clone(),
        }
    }

    /// True if the caller is known to be in the group.
    pub(super) fn has(&self, caller: PolicyCaller<'_>) -> bool {
        let mut claims = self.claims.iter();
        self.patterns.iter().any(|pattern| pattern.matches(caller.principal))
            || claims.any(|(name, values)| caller.has_value(name, values))
    }
}

/// The claims that the policies speak of that can match the action: those that they read, and those of the groups that they name.
pub(super) fn spoken_of<'a>(
    policies: impl Iterator<Item = &'a NamedPolicy>,
    action: PolicyAction,
    schema: &PolicySchema,
    groups: &BTreeMap<String, Group>,
) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for policy in policies.filter(|policy| parts::actions(&policy.policy, schema).contains(&action)) {
        names.extend(read_by(&policy.policy));
        let named = policy.policy.entity_literals().into_iter();
        let named = named.filter(|uid| uid.type_name() == EntityType::PrincipalGroup.name());
        let named = named.filter_map(|uid| groups.get(uid.id().unescaped()));
        names.extend(named.flat_map(|group| group.claims.keys().cloned()));
    }
    names
}

/// The claims that a policy reads.
pub(super) fn read_by(policy: &Policy) -> BTreeSet<String> {
    let read = reads(policy).into_iter();
    let names = read.filter_map(|read| match read {
        TagRead::Claim(name) => Some(name),
        TagRead::Computed(_) | TagRead::Image => None,
    });
    names.collect()
}

/// Claims that cannot be read: which ones are on record follows from the text of a policy.
pub(super) fn problems(policies: &BTreeMap<PolicyId, NamedPolicy>) -> Vec<PolicyProblem> {
    let mut problems = Vec::new();
    for policy in policies.values() {
        let id = policy.id.as_str();
        for read in reads(&policy.policy) {
            let rule = match read {
                TagRead::Image => continue,
                TagRead::Claim(name) => match name.parse::<ClaimName>() {
                    Ok(_) => continue,
                    Err(error) => format!("the policy {id:?} reads the claim {name:?}: {error}"),
                },
                TagRead::Computed(of) => format!(
                    "the policy {id:?} reads a tag of {of}: write principal.getTag(\"NAME\"), with the name of the claim"
                ),
            };
            problems.push(policy.origin.problem(None, rule));
        }
    }
    problems
}

/// The problem of a set that speaks of too many claims.
pub(super) fn too_many(names: &BTreeSet<String>) -> Option<PolicyProblem> {
    (names.len() > MAX_CLAIMS).then(|| PolicyProblem {
        place: "the policy set".into(),
        line: None,
        rule: format!(
            "speaks of {} claims, and of {MAX_CLAIMS} at most: each is recorded with each change",
            names.len()
        ),
    })
}

/// A tag that a policy reads.
enum TagRead {
    /// A tag of the principal, which is a claim.
    Claim(String),
    /// A tag of the resource.
    Image,
    /// It does not follow from the text which tag, or of what.
    Computed(&'static str),
}

fn reads(policy: &Policy) -> Vec<TagRead> {
    let mut found = Vec::new();
    if let Ok(policy) = policy.to_json() {
        collect(&policy["conditions"], &mut found);
    }
    found
}

fn is_of_principal(expression: &Value) -> bool {
    match expression {
        Value::Array(parts) => parts.iter().any(is_of_principal),
        Value::Object(parts) => {
            let mut parts = parts.iter();
            parts
                .any(|(operator, operands)| (operator == "Var" && operands == "principal") || is_of_principal(operands))
        }
        _ => false,
    }
}

fn collect(expression: &Value, found: &mut Vec<TagRead>) {
    match expression {
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, found)),
        Value::Object(parts) => {
            for (operator, operands) in parts {
                if matches!(operator.as_str(), "getTag" | "hasTag") {
                    let of = operands["left"]["Var"].as_str();
                    let name = operands["right"]["Value"].as_str();
                    found.push(match (of, name) {
                        (Some("principal"), Some(name)) => TagRead::Claim(name.to_owned()),
                        (Some("principal"), None) => TagRead::Computed("the principal whose name is computed"),
                        _ if is_of_principal(&operands["left"]) => {
                            TagRead::Computed("an expression with the principal")
                        }
                        _ => TagRead::Image,
                    });
                }
                collect(operands, found);
            }
        }
        _ => {}
    }
}
