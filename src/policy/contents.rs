//! The contents of a set: accounts, groups, policies, schema and time zone. Their text is what a digest identifies, and a set can
//! be made of it again.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};

use crate::{
    config::{GroupConfig, ShareWith},
    domain::{AccountId, PolicyId},
};

use super::{
    lists,
    problem::{PolicyProblem, PolicyProblems},
    source::{NamedPolicy, PolicyOrigin},
};

/// The place of problems in a text.
pub(super) const TEXT: &str = "the text of the policy set";

/// What a set decides by.
#[derive(Debug)]
pub(super) struct Contents {
    /// The configured accounts.
    pub(super) accounts: BTreeSet<AccountId>,
    /// The groups of the configuration, and those that role bindings and recipients make.
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) policies: BTreeMap<PolicyId, NamedPolicy>,
    /// The schema, in the syntax of Cedar.
    pub(super) schema: Cow<'static, str>,
    /// The IANA name of the time zone.
    pub(super) zone: String,
}

/// A group of principals or of accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) accounts: BTreeSet<AccountId>,
    /// The claims that give the group: a principal with one of the values is in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) claims: BTreeMap<String, BTreeSet<String>>,
    /// The patterns of principals.
    pub(super) principals: BTreeSet<String>,
}

/// The text as JSON. The members stand in the order of their names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextJson<'a> {
    accounts: Cow<'a, BTreeSet<AccountId>>,
    groups: Cow<'a, BTreeMap<String, Group>>,
    policies: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    schema: Cow<'a, str>,
    zone: Cow<'a, str>,
}

impl Group {
    /// The group as the configuration has it.
    pub(super) fn configured(&self, name: &str) -> GroupConfig {
        let principals = self.principals.iter();
        // The configuration gives a group one claim at most.
        let claim = self.claims.first_key_value();
        GroupConfig {
            name: name.into(),
            principals: principals.filter_map(|pattern| pattern.parse().ok()).collect(),
            accounts: self.accounts.clone(),
            claim: claim.and_then(|(name, _)| name.parse().ok()),
            values: claim.map(|(_, values)| values.clone()).unwrap_or_default(),
        }
    }
}

impl Contents {
    /// One line of JSON. Equal sets have equal texts.
    pub(super) fn text(&self) -> String {
        let policies = self.policies.iter();
        let text = TextJson {
            accounts: Cow::Borrowed(&self.accounts),
            groups: Cow::Borrowed(&self.groups),
            policies: policies
                .map(|(id, policy)| (id.as_str().into(), policy.text.as_str().into()))
                .collect(),
            schema: Cow::Borrowed(&self.schema),
            zone: Cow::Borrowed(&self.zone),
        };
        serde_json::to_string(&text).expect("texts and sets of texts are JSON")
    }

    /// Reads what [`text`](Self::text) wrote.
    pub(super) fn of_text(text: &str) -> Result<Self, PolicyProblems> {
        let problem = |rule: String| PolicyProblem {
            place: TEXT.into(),
            line: None,
            rule,
        };
        let read = serde_json::from_str::<TextJson<'_>>(text);
        let read =
            read.map_err(|error| PolicyProblems(vec![problem(format!("is not that of a policy set: {error}"))]))?;
        let (mut policies, mut problems) = (BTreeMap::new(), Vec::new());
        for (id, text) in read.policies {
            match NamedPolicy::parse(id.to_string(), text.into_owned(), origin(&id)) {
                Ok(policy) => drop(policies.insert(policy.id.clone(), policy)),
                Err(unreadable) => problems.push(unreadable),
            }
        }
        let contents = Self {
            accounts: read.accounts.into_owned(),
            groups: read.groups.into_owned(),
            policies,
            schema: Cow::Owned(read.schema.into_owned()),
            zone: read.zone.into_owned(),
        };
        if problems.is_empty() && contents.text() != text {
            problems.push(problem("is not written as this build writes it".into()));
        }
        match problems.is_empty() {
            true => Ok(contents),
            false => Err(PolicyProblems(problems)),
        }
    }

    /// The accounts, each with the recipients that it allows.
    pub(super) fn recipients(&self) -> BTreeMap<AccountId, ShareWith> {
        let of = |account: &AccountId| match self.groups.get(&lists::recipients_group(*account)) {
            Some(group) => ShareWith::Only(group.accounts.clone()),
            None => ShareWith::Anyone,
        };
        self.accounts.iter().map(|account| (*account, of(account))).collect()
    }

    /// The groups of accounts by account, without those of recipients.
    pub(super) fn groups_with(&self) -> BTreeMap<AccountId, BTreeSet<String>> {
        let mut groups: BTreeMap<AccountId, BTreeSet<String>> = BTreeMap::new();
        for (name, group) in &self.groups {
            // The owner's image may go to these. Others' images are no matter of them.
            if !name.starts_with(lists::ACCOUNTS) {
                for account in &group.accounts {
                    groups.entry(*account).or_default().insert(name.clone());
                }
            }
        }
        groups
    }
}

/// Where a policy with this id comes from. Ids of files do not begin as those of the configuration do.
fn origin(id: &str) -> PolicyOrigin {
    let account = id.strip_prefix(lists::ACCOUNTS);
    let account = account.and_then(|rest| rest.split('.').next()?.parse().ok());
    match account {
        Some(account) => PolicyOrigin::Recipients(account),
        None if id.starts_with(lists::ROLES) => PolicyOrigin::Role,
        None => PolicyOrigin::File {
            name: TEXT.into(),
            line: 1,
        },
    }
}
