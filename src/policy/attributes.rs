//! Which attributes the policies read. Cedar is given only these, because to make an attribute takes longer than to read it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{action::PolicyAction, parts, schema::PolicySchema, source::NamedPolicy};

/// The names of attributes of entities and of the context. None: all.
#[derive(Debug)]
pub(super) struct ReadAttributes(Option<BTreeSet<String>>);

impl ReadAttributes {
    /// All attributes.
    pub(super) const ALL: Self = Self(None);

    /// Those that are read by policies that can match the action.
    pub(super) fn of<'a>(
        policies: impl IntoIterator<Item = &'a NamedPolicy>,
        action: PolicyAction,
        schema: &PolicySchema,
    ) -> Self {
        let mut names = BTreeSet::new();
        for policy in policies {
            if parts::actions(&policy.policy, schema).contains(&action) {
                let json = policy.policy.to_json().ok();
                if json.and_then(|json| read(&json["conditions"], &mut names)).is_none() {
                    return Self::ALL;
                }
            }
        }
        Self(Some(names))
    }

    /// True if a policy may read the attribute.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(name))
    }
}

/// Adds the names that an expression reads, as Cedar writes it in JSON. None if it uses the context as a whole.
fn read(expression: &Value, names: &mut BTreeSet<String>) -> Option<()> {
    match expression {
        Value::Array(parts) => parts.iter().try_for_each(|part| read(part, names)),
        Value::Object(parts) => parts
            .iter()
            .try_for_each(|(operator, operands)| match operator.as_str() {
                "." | "has" => {
                    names.insert(operands["attr"].as_str()?.to_owned());
                    match operands["left"]["Var"].is_string() {
                        true => Some(()),
                        false => read(&operands["left"], names),
                    }
                }
                "Var" => (operands != "context").then_some(()),
                _ => read(operands, names),
            }),
        _ => Some(()),
    }
}
