//! Which facts the policies of a set speak of. Only these must be known for a grant, or read from AWS.

use std::{collections::BTreeSet, time::Duration};

use cedar_policy::{Effect, Policy};
use serde_json::{Value, json};

use super::{
    action::PolicyAction,
    parts,
    schema::PolicySchema,
    source::{MAX_FACT_AGE, NamedPolicy},
};

/// The attributes of an image that AWS reports with its description.
const DESCRIBED: [&str; 5] = ["state", "operatingSystem", "tenancy", "created", "name"];

/// The facts that policies speak of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mentions {
    /// How the caller was authenticated.
    pub caller: bool,
    /// What AWS reports about an image.
    pub image: bool,
    /// The tags of an image.
    pub tags: bool,
    /// The end of the share.
    pub(super) end: bool,
}

/// How old the facts may be by which a set decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactAges {
    /// What AWS reports about an image.
    pub image: Duration,
    /// The tags of an image.
    pub tags: Duration,
}

impl FactAges {
    /// The smallest that those of the policies demand that can match the action, for the facts that each of them speaks of.
    pub(super) fn of<'a>(
        policies: impl IntoIterator<Item = &'a NamedPolicy>,
        action: PolicyAction,
        schema: &PolicySchema,
    ) -> Self {
        let mut ages = Self {
            image: MAX_FACT_AGE,
            tags: MAX_FACT_AGE,
        };
        for policy in policies {
            let Some(age) = policy.max_fact_age else { continue };
            let mentions = Mentions::of([policy], action, schema);
            if mentions.image {
                ages.image = ages.image.min(age);
            }
            if mentions.tags {
                ages.tags = ages.tags.min(age);
            }
        }
        ages
    }
}

impl Mentions {
    /// What those of the policies speak of that can match the action.
    pub(super) fn of<'a>(
        policies: impl IntoIterator<Item = &'a NamedPolicy>,
        action: PolicyAction,
        schema: &PolicySchema,
    ) -> Self {
        let mut mentions = Self::default();
        for policy in policies {
            if parts::actions(&policy.policy, schema).contains(&action) {
                mentions.read_policy(&policy.policy);
            }
        }
        mentions
    }

    /// What an expression speaks of, as Cedar writes it in JSON.
    pub(super) fn of_expression(expression: &Value) -> Self {
        let mut mentions = Self::default();
        mentions.read(expression);
        mentions
    }

    /// True if it is what AWS reports about the image.
    pub fn is_about_image(self) -> bool {
        self.image || self.tags
    }

    fn read_policy(&mut self, policy: &Policy) {
        match policy.to_json() {
            Ok(policy) => self.read(&policy["conditions"]),
            Err(_) => {
                *self = Self {
                    caller: true,
                    image: true,
                    tags: true,
                    end: true,
                };
            }
        }
    }

    fn read(&mut self, expression: &Value) {
        match expression {
            Value::Array(parts) => parts.iter().for_each(|part| self.read(part)),
            Value::Object(parts) => {
                for (operator, operands) in parts {
                    let of = operands["left"]["Var"].as_str();
                    let attribute = operands["attr"].as_str();
                    match operator.as_str() {
                        "." | "has" => {
                            self.caller |= attribute == Some("caller");
                            self.end |= attribute == Some("end");
                            let is_of_image = !matches!(of, Some("principal" | "context"));
                            self.image |= is_of_image && attribute.is_none_or(|name| DESCRIBED.contains(&name));
                        }
                        // The tags of the principal are its claims.
                        "getTag" | "hasTag" => self.tags |= of != Some("principal"),
                        _ => {}
                    }
                    self.read(operands);
                }
            }
            _ => {}
        }
    }
}

/// The keys of the tags that those of the policies read that can match the action. None if one of them computes a key.
pub(super) fn tag_keys<'a>(
    policies: impl IntoIterator<Item = &'a NamedPolicy>,
    action: PolicyAction,
    schema: &PolicySchema,
) -> Option<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    for policy in policies {
        if parts::actions(&policy.policy, schema).contains(&action) {
            read_tag_keys(&policy.policy.to_json().ok()?["conditions"], &mut keys)?;
        }
    }
    Some(keys)
}

fn read_tag_keys(expression: &Value, keys: &mut BTreeSet<String>) -> Option<()> {
    match expression {
        Value::Array(parts) => parts.iter().try_for_each(|part| read_tag_keys(part, keys)),
        Value::Object(parts) => parts.iter().try_for_each(|(operator, operands)| {
            let is_tag = matches!(operator.as_str(), "getTag" | "hasTag");
            if is_tag && operands["left"]["Var"] != "principal" {
                keys.insert(operands["right"]["Value"].as_str()?.to_owned());
            }
            read_tag_keys(operands, keys)
        }),
        _ => Some(()),
    }
}

/// What a policy says without facts about the image. A permit loses the conditions that speak of them, so that it matches
/// whenever the permit itself can. A forbid that speaks of them says nothing.
pub(super) fn without_facts(policy: &Policy) -> Option<Policy> {
    let mut mentions = Mentions::default();
    mentions.read_policy(policy);
    if !mentions.is_about_image() {
        return Some(policy.clone());
    }
    match policy.effect() {
        Effect::Forbid => None,
        Effect::Permit => Some(weakened(policy).unwrap_or_else(|| permit_all(policy))),
    }
}

fn weakened(policy: &Policy) -> Option<Policy> {
    let mut json = policy.to_json().ok()?;
    let is_kept = |body: &&Value| !Mentions::of_expression(body).is_about_image();
    let mut kept = Vec::new();
    for condition in json["conditions"].as_array()? {
        let bodies = match condition["kind"] == "when" {
            true => conjuncts(&condition["body"]),
            false => vec![&condition["body"]],
        };
        let bodies = bodies.into_iter().filter(is_kept);
        kept.extend(bodies.map(|body| json!({"kind": condition["kind"], "body": body})));
    }
    json["conditions"] = kept.into();
    Policy::from_json(Some(policy.id().clone()), json).ok()
}

/// A permit for everything, with the id of the policy.
pub(super) fn permit_all(policy: &Policy) -> Policy {
    Policy::parse(Some(policy.id().clone()), "permit (principal, action, resource);").expect("it is a policy")
}

/// The parts of `a && b && c`.
pub(super) fn conjuncts(body: &Value) -> Vec<&Value> {
    match body.get("&&") {
        Some(both) => {
            let mut parts = conjuncts(&both["left"]);
            parts.extend(conjuncts(&both["right"]));
            parts
        }
        None => vec![body],
    }
}
