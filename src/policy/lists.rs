//! The policies that are made of `roles` and `accounts.share_with`.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::{
    config::{Role, RoleConfig},
    domain::{AccountId, PolicyId},
};

use super::schema::quoted;

/// The beginning of the ids of policies that are made of `roles`.
pub(super) const ROLES: &str = "roles.";

/// The beginning of the ids of policies that are made of `accounts`.
pub(super) const ACCOUNTS: &str = "accounts.";

/// True for the name of a group of the configuration, false for one that a list makes.
pub(super) fn is_configured(group: &str) -> bool {
    !group.starts_with(ROLES) && !group.starts_with(ACCOUNTS)
}

/// The id of a policy as a label of metrics. The policies of recipients have one label, because accounts are no labels.
pub fn label(id: &PolicyId) -> &str {
    match id.as_str().starts_with(ACCOUNTS) {
        true => "accounts.share_with",
        false => id.as_str(),
    }
}

/// A policy that is made of a list, and the group that stands for its accounts. Cedar compares a group at once, and a list one
/// account after the other.
#[derive(Debug)]
pub(super) struct ListPolicy {
    /// The id of the policy, and the name of the group.
    pub(super) id: String,
    pub(super) text: String,
    /// The accounts of the group. None: the policy has no group.
    pub(super) accounts: Option<BTreeSet<AccountId>>,
}

/// The policy for a role binding. None for roles that let nobody change anything.
pub(super) fn role_policy(binding: &RoleConfig) -> Option<ListPolicy> {
    let is_nowhere = binding.accounts.as_ref().is_some_and(BTreeSet::is_empty);
    if !binding.roles.contains(&Role::Operator) || is_nowhere {
        return None;
    }
    let location = match &binding.accounts {
        None => String::new(),
        Some(accounts) => {
            let accounts: Vec<_> = accounts.iter().map(AccountId::as_str).collect();
            format!(" in {}", accounts.join(", "))
        }
    };
    let who = holder(binding)?;
    let says = format!("{} has the role operator{location}.", who.words);
    let digest = Sha256::digest(&says);
    let id = digest[..6]
        .iter()
        .fold(format!("{ROLES}operator."), |id, byte| format!("{id}{byte:02x}"));

    let resource = match &binding.accounts {
        Some(_) => format!("resource in {}", group(&id)),
        None => "resource".into(),
    };
    let actions = "[Sharewarden::Action::\"grant\", Sharewarden::Action::\"revoke\", Sharewarden::Action::\"adopt\"]";
    let text = format!(
        "@id({})\n@says({})\npermit ({}, action in {actions}, {resource}){};",
        quoted(&id),
        quoted(&says),
        who.principal,
        who.when,
    );
    Some(ListPolicy {
        id,
        text,
        accounts: binding.accounts.clone(),
    })
}

/// Whom a role binding gives its roles.
struct Holder {
    /// In the sentence of the policy. Its id follows from the sentence.
    words: String,
    principal: String,
    when: String,
}

fn holder(binding: &RoleConfig) -> Option<Holder> {
    if let Some(group) = &binding.group {
        return Some(Holder {
            words: format!("The group {group}"),
            principal: format!("principal in Sharewarden::PrincipalGroup::{}", quoted(group)),
            when: String::new(),
        });
    }
    let pattern = binding.principal.as_ref()?.as_str();
    let is_name = !pattern.contains('*');
    let is_anybody = pattern.bytes().all(|byte| byte == b'*');
    Some(Holder {
        words: pattern.to_owned(),
        principal: match is_name {
            true => format!("principal == Sharewarden::Principal::{}", quoted(pattern)),
            false => "principal".into(),
        },
        when: match is_name || is_anybody {
            true => String::new(),
            false => format!("\nwhen {{ principal.name like {} }}", quoted(pattern)),
        },
    })
}

/// The policy for the recipients of an account's images.
pub(super) fn recipients_policy(owner: AccountId, recipients: &BTreeSet<AccountId>) -> ListPolicy {
    let id = recipients_group(owner);
    let says = format!("Images of account {owner} are shared with the accounts of its share_with only.");
    let text = format!(
        "@id({})\n@says({})\n\
         forbid (principal, action in [Sharewarden::Action::\"grant\", Sharewarden::Action::\"adopt\"], \
         resource in Sharewarden::Account::\"{owner}\")\n\
         unless {{ context.recipient in {} }};",
        quoted(&id),
        quoted(&says),
        group(&id),
    );
    ListPolicy {
        id,
        text,
        accounts: Some(recipients.clone()),
    }
}

/// The name of the group of an account's recipients, which is also the id of its policy.
pub(super) fn recipients_group(owner: AccountId) -> String {
    format!("{ACCOUNTS}{owner}.share_with")
}

fn group(name: &str) -> String {
    format!("Sharewarden::AccountGroup::{}", quoted(name))
}
