//! How deeply the conditions of a policy nest. Cedar evaluates them by recursion, and does not evaluate what would need more
//! stack than the thread has. Such a policy would refuse every change, so it is refused when it is loaded.

use cedar_policy::Policy;
use serde_json::Value;

use super::problem::PolicyProblem;
use super::source::NamedPolicy;

/// Maximum depth. A level takes much more stack without optimisation: 2 MiB, as threads have, end at about 40 levels then.
const MAX_DEPTH: usize = if cfg!(debug_assertions) { 28 } else { 100 };

/// The problem of a policy whose conditions nest too deeply.
pub(super) fn problem(policy: &NamedPolicy) -> Option<PolicyProblem> {
    let depth = depth(&policy.policy)?;
    (depth > MAX_DEPTH).then(|| {
        let rule = format!(
            "the conditions of the policy {:?} nest {depth} levels deep, and {MAX_DEPTH} at most: each && and || is a level; write \
             [\"a\", \"b\"].contains(…) for alternatives, or make two policies",
            policy.id.as_str()
        );
        policy.origin.problem(None, rule)
    })
}

/// The levels of all conditions together: Cedar joins them. None if it cannot be told.
fn depth(policy: &Policy) -> Option<usize> {
    let json = policy.to_json().ok()?;
    let conditions = json["conditions"].as_array()?;
    let deepest = conditions.iter().map(|condition| levels(&condition["body"])).max();
    Some(deepest.unwrap_or_default() + conditions.len())
}

/// The levels of operators in an expression. In JSON, an operator is an object with its operands.
fn levels(expression: &Value) -> usize {
    match expression {
        Value::Array(parts) => parts.iter().map(levels).max().unwrap_or_default(),
        Value::Object(parts) => parts
            .iter()
            .map(|(operator, operands)| match operator.as_str() {
                "left" | "right" | "arg" | "if" | "then" | "else" => levels(operands),
                _ => 1 + levels(operands),
            })
            .max()
            .unwrap_or_default(),
        _ => 0,
    }
}
