//! Which policies speak of a principal: those whose head names it, and whose conditions about the principal alone hold. The other
//! conditions depend on a change, and are left out.

use cedar_policy::{Authorizer, Context, Entities, Policy, PolicySet as CedarSet, Request};
use serde_json::{Value, json};

use super::{
    action::PolicyAction,
    attributes::ReadAttributes,
    lists, mentions,
    parts::own_id,
    query::{self, PolicyCaller},
    schema::EntityType,
    set::PolicySet,
    source::NamedPolicy,
};

/// The policies of a set without what depends on a change.
#[derive(Debug, Default)]
pub(super) struct SpokenPolicies(CedarSet);

impl SpokenPolicies {
    /// The policies that speak of some principals. Those for the recipients of an account speak of none.
    pub(super) fn of<'a>(policies: impl Iterator<Item = &'a NamedPolicy>) -> Self {
        let of_principals = policies.filter(|policy| !policy.id.as_str().starts_with(lists::ACCOUNTS));
        let reduced =
            of_principals.map(|policy| reduced(&policy.policy).unwrap_or_else(|| mentions::permit_all(&policy.policy)));
        Self(CedarSet::from_policies(reduced).expect("ids are unique"))
    }
}

impl PolicySet {
    /// The policies that speak of the caller, in the order of their ids. Those made of `share_with` speak of accounts.
    pub fn policies_of(&self, caller: PolicyCaller<'_>) -> Vec<&NamedPolicy> {
        let Some((request, entities)) = self.asked_of(caller) else {
            return Vec::new();
        };
        let answer = Authorizer::new().is_authorized(&request, &self.spoken.0, &entities);
        let ids = answer.diagnostics().reason().map(own_id);
        let mut found: Vec<_> = ids.filter_map(|id| self.policy(&id)).collect();
        found.sort_by(|one, other| one.id.cmp(&other.id));
        found
    }

    /// A request of the caller about nothing in particular.
    fn asked_of(&self, caller: PolicyCaller<'_>) -> Option<(Request, Entities)> {
        let asking = EntityType::Principal.entity(caller.principal.as_str());
        let action = EntityType::Action.entity(PolicyAction::Grant.as_str());
        let image = EntityType::Image.entity("any");
        let request = Request::new(asking, action, image, Context::empty(), None).ok()?;
        let entities = Entities::from_entities(
            [query::principal_entity(caller, self, &ReadAttributes::ALL).ok()?],
            None,
        )
        .ok()?;
        Some((request, entities))
    }
}

/// The head's principal, and the conditions that read the principal alone, as a permit. Cedar names all permits that match, and
/// no permit if a forbid matches.
fn reduced(policy: &Policy) -> Option<Policy> {
    let mut json = policy.to_json().ok()?;
    let mut kept = Vec::new();
    for condition in json["conditions"].as_array()? {
        let bodies = match condition["kind"] == "when" {
            true => mentions::conjuncts(&condition["body"]),
            false => vec![&condition["body"]],
        };
        let bodies = bodies.into_iter().filter(|body| reads_principal_alone(body));
        kept.extend(bodies.map(|body| json!({"kind": condition["kind"], "body": body})));
    }
    json["effect"] = "permit".into();
    json["action"] = json!({"op": "All"});
    json["resource"] = json!({"op": "All"});
    json["conditions"] = kept.into();
    Policy::from_json(Some(policy.id().clone()), json).ok()
}

fn reads_principal_alone(expression: &Value) -> bool {
    match expression {
        Value::Array(parts) => parts.iter().all(reads_principal_alone),
        Value::Object(parts) => parts.iter().all(|(operator, operand)| match operator.as_str() {
            "Var" => operand == "principal",
            "Value" => true,
            _ => reads_principal_alone(operand),
        }),
        _ => true,
    }
}
