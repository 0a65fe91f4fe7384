//! The policy set: what it consists of, and what it says about a principal. `compile` makes one, `decide` asks it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::tz::TimeZone;

use crate::{
    config::{RoleConfig, ShareWith},
    domain::{
        AccountId, PolicyDigest, PolicyId, Timestamp,
        decision::{Facts, MAX_FACT_BYTES},
    },
};

use super::{
    action::PolicyAction,
    attributes::ReadAttributes,
    claims::{self, PrincipalGroup},
    contents::Contents,
    lists,
    mentions::{self, FactAges, Mentions},
    near::NearPermits,
    parts::Parts,
    problem::PolicyProblem,
    query::PolicyCaller,
    roles::{self, Privilege, Scope},
    schema::PolicySchema,
    source::{NamedPolicy, PolicyOrigin, PolicySource},
    spoken::SpokenPolicies,
};

/// The policies for changes, and the role bindings for reads. Without a policy, nothing is allowed.
#[derive(Debug)]
pub struct PolicySet {
    policies: BTreeMap<PolicyId, NamedPolicy>,
    pub(super) parts: Parts,
    /// What can be decided before facts about an image are read: the permits without the conditions that speak of them, and the
    /// forbids that do not speak of them.
    pub(super) without_facts: Parts,
    pub(super) near: NearPermits,
    pub(super) spoken: SpokenPolicies,
    mentions: [Mentions; PolicyAction::ALL.len()],
    attributes: [ReadAttributes; PolicyAction::ALL.len()],
    fact_ages: [FactAges; PolicyAction::ALL.len()],
    /// The keys of the tags that policies read, by action. None: all.
    tag_keys: [Option<BTreeSet<String>>; PolicyAction::ALL.len()],
    /// The names of the claims that policies speak of, by action: those that they read, and those of the groups that they name.
    claims: [BTreeSet<String>; PolicyAction::ALL.len()],
    read_claims: BTreeSet<String>,
    pub(super) schema: Arc<PolicySchema>,
    roles: Vec<RoleConfig>,
    recipients: BTreeMap<AccountId, ShareWith>,
    /// The groups of principals.
    principal_groups: BTreeMap<String, PrincipalGroup>,
    /// The groups of accounts by account, without those of recipients.
    groups_with: BTreeMap<AccountId, BTreeSet<String>>,
    zone: TimeZone,
    text: String,
    digest: PolicyDigest,
    warnings: Vec<PolicyProblem>,
}

impl Default for PolicySet {
    fn default() -> Self {
        Self::new([], [])
    }
}

impl PolicySet {
    /// A set from the recipients that each account allows, and the role bindings, without files and groups.
    pub fn new(
        accounts: impl IntoIterator<Item = (AccountId, ShareWith)>,
        roles: impl IntoIterator<Item = RoleConfig>,
    ) -> Self {
        let source = PolicySource {
            accounts: accounts.into_iter().collect(),
            roles: roles.into_iter().collect(),
            groups: Vec::new(),
            zone: "UTC".into(),
            files: Vec::new(),
        };
        Self::compile(source).expect("policies that are made of lists are valid")
    }

    /// The set of contents without problems.
    pub(super) fn of(
        contents: Contents,
        roles: Vec<RoleConfig>,
        zone: TimeZone,
        schema: Arc<PolicySchema>,
        warnings: Vec<PolicyProblem>,
    ) -> Self {
        let text = contents.text();
        let policies = || contents.policies.values();
        let weakened = policies().filter_map(|policy| mentions::without_facts(&policy.policy));
        Self {
            parts: Parts::of(policies().map(|policy| policy.policy.clone()), &schema),
            without_facts: Parts::of(weakened, &schema),
            near: NearPermits::of(policies().filter(|policy| is_written(policy)), &schema),
            fact_ages: PolicyAction::ALL.map(|action| FactAges::of(policies(), action, &schema)),
            tag_keys: PolicyAction::ALL.map(|action| mentions::tag_keys(policies(), action, &schema)),
            spoken: SpokenPolicies::of(policies()),
            mentions: PolicyAction::ALL.map(|action| Mentions::of(policies(), action, &schema)),
            attributes: PolicyAction::ALL.map(|action| ReadAttributes::of(policies(), action, &schema)),
            roles,
            recipients: contents.recipients(),
            claims: PolicyAction::ALL.map(|action| claims::spoken_of(policies(), action, &schema, &contents.groups)),
            read_claims: policies().flat_map(|policy| claims::read_by(&policy.policy)).collect(),
            principal_groups: contents
                .groups
                .iter()
                .filter(|(_, group)| !group.principals.is_empty() || !group.claims.is_empty())
                .map(|(name, group)| (name.clone(), PrincipalGroup::of(group)))
                .collect(),
            groups_with: contents.groups_with(),
            zone,
            digest: PolicyDigest::of(&text),
            text,
            policies: contents.policies,
            warnings,
            schema,
        }
    }

    /// What the set may be wrong about: policies that can never match, and files and templates that are not used.
    pub fn warnings(&self) -> &[PolicyProblem] {
        &self.warnings
    }

    /// The digest of [`text`](Self::text).
    pub fn digest(&self) -> PolicyDigest {
        self.digest
    }

    /// The whole set as one line of JSON: the accounts, groups, policies, schema and time zone.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The facts that the policies for an action speak of. A grant is refused if one of them is not known.
    pub fn mentions(&self, action: PolicyAction) -> Mentions {
        self.mentions[action as usize]
    }

    /// The attributes that the policies for an action read.
    pub(super) fn attributes(&self, action: PolicyAction) -> &ReadAttributes {
        &self.attributes[action as usize]
    }

    /// The facts that a decision about the action uses and records: without the tags that no policy reads. Facts that are too
    /// large for an entry are not known.
    pub fn used_facts(&self, action: PolicyAction, mut facts: Facts) -> Facts {
        if let (Some(tags), Some(keys)) = (&mut facts.tags, &self.tag_keys[action as usize]) {
            tags.retain(|key, _| keys.contains(key));
        }
        match facts.bytes() {
            0..=MAX_FACT_BYTES => facts,
            bytes => Facts {
                unknown: Some(format!(
                    "it has {bytes} bytes, and an entry holds {MAX_FACT_BYTES} at most"
                )),
                ..Facts::default()
            },
        }
    }

    /// How old the facts may be by which the policies decide about an action.
    pub fn fact_ages(&self, action: PolicyAction) -> FactAges {
        self.fact_ages[action as usize]
    }

    /// The policies, in the order of their ids.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &NamedPolicy> {
        self.policies.values()
    }

    /// The policy with this id.
    pub fn policy(&self, id: &PolicyId) -> Option<&NamedPolicy> {
        self.policies.get(id)
    }

    /// The accounts in which the caller has this privilege. Its own changes may be anywhere if a group permits them.
    pub fn scope(&self, caller: PolicyCaller<'_>, privilege: Privilege) -> Scope {
        match privilege == Privilege::Own && self.groups_of(caller).next().is_some() {
            true => Scope::Everywhere,
            false => self.scope_of_roles(caller, privilege),
        }
    }

    /// The accounts in which the caller has this privilege by its roles.
    pub fn scope_of_roles(&self, caller: PolicyCaller<'_>, privilege: Privilege) -> Scope {
        roles::scope(self.bindings_of(caller), privilege)
    }

    /// True if a role binding or a group names the caller.
    pub fn has_binding(&self, caller: PolicyCaller<'_>) -> bool {
        self.bindings_of(caller).next().is_some() || self.groups_of(caller).next().is_some()
    }

    /// The role bindings that name the caller, or a group of it.
    pub fn bindings_of<'a>(&'a self, caller: PolicyCaller<'a>) -> impl Iterator<Item = &'a RoleConfig> {
        let is_member = move |name: &String| {
            let group = self.principal_groups.get(name);
            group.is_some_and(|group| group.has(caller))
        };
        let names = move |binding: &&RoleConfig| {
            let by_pattern = binding
                .principal
                .as_ref()
                .is_some_and(|it| it.matches(caller.principal));
            by_pattern || binding.group.as_ref().is_some_and(is_member)
        };
        self.roles.iter().filter(names)
    }

    /// The role bindings. Those that only read are no part of [`text`](Self::text).
    pub fn roles(&self) -> &[RoleConfig] {
        &self.roles
    }

    /// The accounts, each with the recipients that it allows.
    pub fn recipients(&self) -> &BTreeMap<AccountId, ShareWith> {
        &self.recipients
    }

    /// The end of a day such as `2026-12-31`, in the time zone of the set. None if the text is no date.
    pub fn end_of_day(&self, date: &str) -> Option<Timestamp> {
        let is_date = date.len() == "2026-12-31".len();
        let date: jiff::civil::Date = date.parse().ok().filter(|_| is_date)?;
        let end = self.zone.to_timestamp(date.tomorrow().ok()?.at(0, 0, 0, 0)).ok()?;
        Timestamp::parse(&end.to_string())
    }

    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The names of the groups of a caller.
    pub fn groups_of<'a>(&'a self, caller: PolicyCaller<'a>) -> impl Iterator<Item = &'a str> {
        let groups = self.principal_groups.iter();
        let with = groups.filter(move |(_, group)| group.has(caller));
        with.map(|(name, _)| name.as_str())
    }

    /// The names of the claims that the policies for an action speak of, by themselves or by a group.
    pub(super) fn claims_for(&self, action: PolicyAction) -> &BTreeSet<String> {
        &self.claims[action as usize]
    }

    /// The names of all claims that the set speaks of.
    pub(super) fn spoken_claims(&self) -> BTreeSet<String> {
        self.claims.iter().flatten().cloned().collect()
    }

    /// The names of the claims that policies read.
    pub(super) fn claims(&self) -> impl Iterator<Item = &str> {
        self.read_claims.iter().map(String::as_str)
    }

    /// The names of the groups of an account.
    pub(super) fn groups_with(&self, account: AccountId) -> impl Iterator<Item = &str> {
        self.groups_with.get(&account).into_iter().flatten().map(String::as_str)
    }

    /// The group of the owner's recipients, if it is limited to some and this account is one of them.
    pub(super) fn recipients_group(&self, owner: AccountId, recipient: AccountId) -> Option<String> {
        match self.recipients.get(&owner) {
            Some(ShareWith::Only(some)) if some.contains(&recipient) => Some(lists::recipients_group(owner)),
            _ => None,
        }
    }
}

fn is_written(policy: &NamedPolicy) -> bool {
    matches!(policy.origin, PolicyOrigin::File { .. })
}
