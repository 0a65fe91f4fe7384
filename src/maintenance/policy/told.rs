//! Prints a decision with what is told about it: the same for a decision of this program, of the service and of the record.

use std::fmt::Write;

use serde_json::{Value, json};

use super::ResultPrinter;
use crate::{
    cli::{NearMiss, ToldDecision, ToldPolicy, escaped_line, escaped_lines},
    domain::decision::{Facts, ImageAttributes},
    policy::{NamedPolicy, NearPolicy, PolicySet, PolicyVerdict},
};

/// What is told about a decision of a set.
pub(super) fn of(set: &PolicySet, verdict: &PolicyVerdict, near: &[NearPolicy]) -> ToldDecision {
    let near = near.iter().filter_map(|near| {
        Some(NearMiss {
            policy: policy(set.policy(&near.id)?),
            missing: near.missing.clone(),
            hides_conditions: near.hides_conditions,
        })
    });
    let deciding = verdict.decision.policies.iter();
    ToldDecision {
        refusal: verdict.refusal.clone(),
        policies: deciding.filter_map(|id| set.policy(id)).map(policy).collect(),
        near: near.collect(),
        facts: verdict.decision.facts.clone(),
        policy_set: verdict.decision.policy_set.to_string(),
    }
}

/// What is told about a policy.
pub(super) fn policy(policy: &NamedPolicy) -> ToldPolicy {
    ToldPolicy {
        id: policy.id.to_string(),
        forbids: policy.forbids(),
        says: policy.says.clone(),
        text: Some(policy.text.clone()),
        origin: Some(policy.origin.to_string()),
    }
}

pub(super) fn print(told: &ToldDecision, results: ResultPrinter) -> std::io::Result<()> {
    results.json(&json(told))?;
    results.text(text(told))
}

fn text(told: &ToldDecision) -> String {
    let mut text = match &told.refusal {
        None => "allowed\n".to_owned(),
        Some(refusal) => format!("refused: {}\n", escaped_line(refusal)),
    };
    for policy in &told.policies {
        let _ = write!(text, "\n{}:\n{}\n", place(policy), body(policy));
    }
    for NearMiss {
        policy,
        missing,
        hides_conditions,
    } in &told.near
    {
        let missing = missing.iter().map(|condition| format!("`{}`", escaped_line(condition)));
        let hidden = hides_conditions.then(|| "conditions about the image".to_owned());
        let missing: Vec<_> = missing.chain(hidden).collect();
        let _ = write!(
            text,
            "\nnear, without {}: {}:\n{}\n",
            missing.join(" and "),
            place(policy),
            body(policy)
        );
    }
    let facts = facts_words(&told.facts);
    if !facts.is_empty() {
        let _ = write!(text, "\nfacts: {facts}\n");
    }
    let _ = write!(text, "\npolicy set {}\n", escaped_line(&told.policy_set));
    text
}

fn place(policy: &ToldPolicy) -> String {
    match &policy.origin {
        Some(origin) => escaped_line(origin),
        None => format!("the policy {:?}", escaped_line(&policy.id)),
    }
}

/// The text of a policy, or what it says.
fn body(policy: &ToldPolicy) -> String {
    match (&policy.text, &policy.says) {
        (Some(text), _) => escaped_lines(text.trim_end()),
        (None, Some(says)) => format!("{}: {}", effect(policy), escaped_line(says)),
        (None, None) => effect(policy).to_owned(),
    }
}

pub(super) fn effect(policy: &ToldPolicy) -> &'static str {
    match policy.forbids {
        true => "forbid",
        false => "permit",
    }
}

fn facts_words(facts: &Facts) -> String {
    let image = facts.image.iter().flat_map(attributes);
    let image = image.map(|(name, value)| format!("{name} {}", escaped_line(&value)));
    let tags = facts.tags.iter().flatten();
    let tags = tags.map(|(key, value)| format!("tag {}={}", escaped_line(key), escaped_line(value)));
    let unknown = facts
        .unknown
        .iter()
        .map(|reason| format!("not known: {}", escaped_line(reason)));
    let end = facts.expire_time.iter().map(|end| format!("end {end}"));
    let all = image.chain(tags).chain(end).chain(unknown);
    all.collect::<Vec<_>>().join(", ")
}

/// The known attributes, by the names of the schema.
fn attributes(image: &ImageAttributes) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let created = image.created_at.map(|time| time.to_string()).unwrap_or_default();
    let all = [
        ("state", image.state.clone()),
        ("operatingSystem", image.operating_system.clone()),
        ("tenancy", image.required_tenancy.clone()),
        ("created", created),
        ("name", image.name.clone()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty())
}

fn json(told: &ToldDecision) -> Value {
    let ids = told.policies.iter().map(|policy| &policy.id).collect::<Vec<_>>();
    let near = told.near.iter().map(|near| {
        json!({
            "policy": policy_json(&near.policy),
            "missing": near.missing,
            "hidesConditions": near.hides_conditions,
        })
    });
    let image = told.facts.image.as_ref();
    json!({
        "decision": { "allowed": told.refusal.is_none(), "policies": ids, "refusal": told.refusal },
        "policies": told.policies.iter().map(policy_json).collect::<Vec<_>>(),
        "near": near.collect::<Vec<_>>(),
        "facts": {
            "image": image.map(|image| attributes(image).collect::<std::collections::BTreeMap<_, _>>()),
            "tags": told.facts.tags,
            "end": told.facts.expire_time.map(|end| end.to_string()),
            "unknown": told.facts.unknown,
        },
        "policySet": told.policy_set,
    })
}

pub(super) fn policy_json(policy: &ToldPolicy) -> Value {
    json!({
        "id": policy.id,
        "effect": effect(policy),
        "origin": policy.origin,
        "says": policy.says,
        "text": policy.text,
    })
}
