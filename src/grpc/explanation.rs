//! Presents how the policy decides about a change.

use crate::{
    changes::PolicyExplanation,
    policy::{NamedPolicy, NearPolicy},
    proto::v1,
};

use super::present;

/// Maximum bytes of the policies of an explanation; the lists end early beyond it.
const MAX_BYTES: usize = 768 * 1024;

/// The size of a policy without its texts as a message, and of the rest of an explanation, in bytes.
const POLICY_BYTES: usize = 256;
const REST_BYTES: usize = 16 * 1024;

/// An explanation as far as it is told to its reader.
#[derive(Debug)]
pub(super) struct ToldExplanation<'a> {
    explanation: &'a PolicyExplanation,
    deciding: Vec<&'a NamedPolicy>,
    near: Vec<(&'a NamedPolicy, &'a NearPolicy)>,
    has_texts: bool,
    /// The estimated size of the message.
    pub(super) bytes: usize,
}

impl<'a> ToldExplanation<'a> {
    /// `may_export` tells whether the reader may read the texts of policy sets.
    pub(super) fn of(explanation: &'a PolicyExplanation, may_export: bool) -> Self {
        let set = &explanation.set;
        let mut bytes = 0;
        let mut fits = |policy: &NamedPolicy, missing: &[String]| {
            let texts: usize = missing.iter().map(String::len).sum();
            bytes += POLICY_BYTES + texts + policy.says.as_ref().map_or(0, String::len);
            if may_export {
                bytes += policy.text.len() + policy.origin.to_string().len();
            }
            bytes <= MAX_BYTES
        };
        let deciding = explanation.verdict.decision.policies.iter();
        let deciding = deciding.filter_map(|id| set.policy(id));
        let deciding = deciding.take_while(|policy| fits(policy, &[])).collect();
        let near = explanation.near.iter();
        let near = near.filter_map(|near| Some((set.policy(&near.id)?, near)));
        let near = near.take_while(|(policy, near)| fits(policy, &near.missing)).collect();
        Self {
            explanation,
            deciding,
            near,
            has_texts: may_export,
            bytes: REST_BYTES + bytes.min(MAX_BYTES),
        }
    }

    /// The message.
    pub(super) fn present(&self) -> v1::ExplainPolicyResponse {
        let verdict = &self.explanation.verdict;
        let near = self.near.iter().map(|(policy, near)| v1::NearPolicy {
            policy: Some(self.policy(policy)),
            missing: near.missing.clone(),
            hides_conditions: near.hides_conditions,
        });
        v1::ExplainPolicyResponse {
            allowed: verdict.is_allowed(),
            refusal: verdict.refusal.clone().unwrap_or_default(),
            decision: Some(present::decision(&verdict.decision)),
            policies: self.deciding.iter().map(|policy| self.policy(policy)).collect(),
            near: near.collect(),
        }
    }

    fn policy(&self, policy: &NamedPolicy) -> v1::ExplainedPolicy {
        let told = |text: &dyn ToString| match self.has_texts {
            true => text.to_string(),
            false => String::new(),
        };
        v1::ExplainedPolicy {
            id: policy.id.to_string(),
            effect: present::policy_effect(policy).into(),
            says: policy.says.clone().unwrap_or_default(),
            text: told(&policy.text),
            origin: told(&policy.origin),
        }
    }
}
