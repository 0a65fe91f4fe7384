//! Which facts the policies of a set speak of. Only these must be known for a grant, or read from AWS.

use serde_json::Value;

use super::set::NamedPolicy;

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
    /// The time of the decision, apart from hour and weekday.
    pub(super) now: bool,
}

impl Mentions {
    /// What these policies speak of.
    pub(super) fn of<'a>(rules: impl IntoIterator<Item = &'a NamedPolicy>) -> Self {
        let mut mentions = Self::default();
        for rule in rules {
            match rule.policy.to_json() {
                Ok(policy) => mentions.read(&policy["conditions"]),
                Err(_) => {
                    return Self {
                        caller: true,
                        image: true,
                        tags: true,
                        now: true,
                    };
                }
            }
        }
        mentions
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
                            self.now |= attribute == Some("now");
                            let is_of_image = !matches!(of, Some("principal" | "context"));
                            self.image |= is_of_image && attribute.is_none_or(|name| DESCRIBED.contains(&name));
                        }
                        // Only images have tags.
                        "getTag" | "hasTag" => self.tags = true,
                        _ => {}
                    }
                    self.read(operands);
                }
            }
            _ => {}
        }
    }
}
