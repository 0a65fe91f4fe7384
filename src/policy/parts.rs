//! A set in parts. Cedar evaluates every policy of a set, so the set is kept by effect, action and the account or group of the
//! owner that a policy is limited to. Only the parts that can match are evaluated.

use std::collections::HashMap;

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Effect, Policy as CedarPolicy, PolicySet as CedarSet,
    ResourceConstraint,
};

use crate::domain::{AccountId, PolicyId};

use super::{
    action::PolicyAction,
    query::CedarQuery,
    schema::{EntityType, PolicySchema},
};

/// Policies by what they can match.
#[derive(Debug, Default)]
pub(super) struct Parts(HashMap<Part, CedarSet>);

/// Which policies are evaluated together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Part {
    effect: Effect,
    action: PolicyAction,
    owner: Owner,
}

/// The owners of images that a policy is limited to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Owner {
    Any,
    Account(AccountId),
    Group(String),
}

/// The policies that match, and those that could not be evaluated.
#[derive(Debug, Default)]
pub(super) struct Satisfied {
    pub(super) ids: Vec<PolicyId>,
    pub(super) failed: Vec<PolicyId>,
}

impl Parts {
    /// The parts of these policies. Their ids are different.
    pub(super) fn of(policies: impl IntoIterator<Item = CedarPolicy>, schema: &PolicySchema) -> Self {
        let mut parts: HashMap<Part, CedarSet> = HashMap::new();
        for policy in policies {
            for action in actions(&policy, schema) {
                let (effect, owner) = (policy.effect(), owner(&policy));
                let part = parts.entry(Part { effect, action, owner }).or_default();
                part.add(policy.clone()).expect("ids are unique");
            }
        }
        Self(parts)
    }

    /// The policies of this effect that match. `groups` are those of the owner.
    pub(super) fn satisfied<'a>(
        &self,
        effect: Effect,
        action: PolicyAction,
        account: AccountId,
        groups: impl Iterator<Item = &'a str>,
        cedar: &CedarQuery,
    ) -> Satisfied {
        let groups = groups.map(|name| Owner::Group(name.to_owned()));
        let mut found = Satisfied::default();
        for owner in [Owner::Any, Owner::Account(account)].into_iter().chain(groups) {
            let Some(part) = self.0.get(&Part { effect, action, owner }) else {
                continue;
            };
            let answer = Authorizer::new().is_authorized(&cedar.request, part, &cedar.entities);
            found.ids.extend(answer.diagnostics().reason().map(own_id));
            let failed = answer
                .diagnostics()
                .errors()
                .map(|AuthorizationError::PolicyEvaluationError(error)| own_id(error.policy_id()));
            found.failed.extend(failed);
        }
        found.ids.sort();
        found.failed.sort();
        found
    }
}

pub(super) fn own_id(id: &cedar_policy::PolicyId) -> PolicyId {
    PolicyId::from(AsRef::<str>::as_ref(id).to_owned())
}

/// The actions that a policy can match.
pub(super) fn actions(policy: &CedarPolicy, schema: &PolicySchema) -> Vec<PolicyAction> {
    let named = match policy.action_constraint() {
        ActionConstraint::Any => return PolicyAction::ALL.to_vec(),
        ActionConstraint::In(actions) => actions,
        ActionConstraint::Eq(action) => vec![action],
    };
    let is_named = |action: &PolicyAction| {
        let action = EntityType::Action.entity(action.as_str());
        let groups = || schema.actions.ancestors(&action).into_iter().flatten().cloned();
        named.contains(&action) || groups().any(|group| named.contains(&group))
    };
    PolicyAction::ALL.into_iter().filter(is_named).collect()
}

/// The owners whose images a policy can match.
fn owner(policy: &CedarPolicy) -> Owner {
    let (ResourceConstraint::In(limit) | ResourceConstraint::IsIn(_, limit)) = policy.resource_constraint() else {
        return Owner::Any;
    };
    let id = limit.id().unescaped();
    if limit.type_name() == EntityType::AccountGroup.name() {
        return Owner::Group(id.to_owned());
    }
    let is_account = limit.type_name() == EntityType::Account.name();
    let account = is_account.then(|| id.parse().ok()).flatten();
    account.map_or(Owner::Any, Owner::Account)
}
