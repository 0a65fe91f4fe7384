//! The policy set: compiled from the configuration and the files, and asked for decisions.
//!
//! Cedar evaluates every policy of a set. So the set is kept in parts, by effect, action and the account or group of the owner
//! that a policy is limited to, and only the parts that can match are evaluated.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::{
    ActionConstraint, AuthorizationError, Authorizer, Effect, EntityUid, Policy as CedarPolicy, PolicySet as CedarSet,
    ResourceConstraint, ValidationMode, Validator,
};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use crate::{
    config::{Config, GroupConfig, RoleConfig, ShareWith},
    domain::{AccountId, Action, Decision, PolicyDigest, PolicyId, Principal},
};

use super::{
    decision::PolicyVerdict,
    files::{PolicyFile, Written},
    lists::{self, ListPolicy},
    mentions::Mentions,
    problem::{self, PolicyProblem, PolicyProblems},
    query::{CedarQuery, PolicyQuery},
    roles::{self, Privilege, Scope},
    schema::{self, EntityType},
};

/// What a policy set is made of.
#[derive(Debug, Clone)]
pub struct PolicySource {
    /// The configured accounts, each with the recipients that it allows.
    pub accounts: BTreeMap<AccountId, ShareWith>,
    /// The role bindings.
    pub roles: Vec<RoleConfig>,
    /// The groups of principals and of accounts.
    pub groups: Vec<GroupConfig>,
    /// The IANA name of the time zone.
    pub zone: String,
    /// The files of policies.
    pub files: Vec<PolicyFile>,
}

impl PolicySource {
    /// What the configuration says. Reads the files of `policy.directory`.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn of(config: &Config) -> Result<Self, PolicyProblems> {
        let files = match &config.policy.directory {
            Some(directory) => PolicyFile::in_directory(directory).map_err(PolicyProblems)?,
            None => Vec::new(),
        };
        let accounts = config.accounts.iter();
        Ok(Self {
            accounts: accounts
                .map(|account| (account.id, account.share_with.clone()))
                .collect(),
            roles: config.roles.clone(),
            groups: config.groups.clone(),
            zone: config.policy.zone.clone(),
            files,
        })
    }
}

/// Where a policy comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyOrigin {
    /// A role binding of the configuration.
    Role,
    /// The recipients of an account of the configuration.
    Recipients(AccountId),
    /// A file.
    File {
        /// Its path.
        name: String,
        /// The line at which the policy begins.
        line: usize,
    },
}

impl PolicyOrigin {
    fn problem(&self, line: Option<usize>, rule: String) -> PolicyProblem {
        let (place, first) = match self {
            Self::Role => ("roles".into(), None),
            Self::Recipients(account) => (format!("accounts.share_with of {account}"), None),
            Self::File { name, line } => (name.clone(), Some(*line)),
        };
        PolicyProblem {
            place,
            line: line.or(first),
            rule,
        }
    }
}

/// A policy of a set.
#[derive(Debug, Clone)]
pub struct NamedPolicy {
    /// Its id, which no other policy of the set has.
    pub id: PolicyId,
    /// The text, in Cedar.
    pub text: String,
    /// What it says to people (`@says`).
    pub says: Option<String>,
    /// Where it comes from.
    pub origin: PolicyOrigin,
    pub(super) policy: CedarPolicy,
}

impl NamedPolicy {
    /// True if it forbids, false if it permits.
    pub fn forbids(&self) -> bool {
        self.policy.effect() == Effect::Forbid
    }
}

/// The policies for changes, and the role bindings for reads. Without a policy, nothing is allowed.
#[derive(Debug)]
pub struct PolicySet {
    source: PolicySource,
    zone: TimeZone,
    rules: BTreeMap<PolicyId, NamedPolicy>,
    parts: HashMap<Part, CedarSet>,
    /// The groups of accounts by account, without those of recipients.
    groups_with: BTreeMap<AccountId, BTreeSet<String>>,
    text: String,
    digest: PolicyDigest,
    mentions: Mentions,
    warnings: Vec<PolicyProblem>,
}

/// Which policies of a set are evaluated together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Part {
    effect: Effect,
    action: Action,
    owner: Owner,
}

/// The owners of images that a policy is limited to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Owner {
    Any,
    Account(AccountId),
    Group(String),
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

    /// Compiles a set.
    ///
    /// # Errors
    /// All problems that were found.
    pub fn compile(source: PolicySource) -> Result<Self, PolicyProblems> {
        let zone = TimeZone::get(&source.zone).map_err(|_| PolicyProblem {
            place: "policy.zone".into(),
            line: None,
            rule: format!(
                "must be an IANA time zone such as Europe/Berlin; it is {:?}",
                source.zone
            ),
        });
        let mut written = Written::of(&source.files);
        let mut problems = std::mem::take(&mut written.problems);
        let mut rules = BTreeMap::new();
        let lists = Lists::of(&source);
        for rule in lists.rules.into_iter().chain(file_rules(&written)) {
            // Equal role bindings make equal policies.
            if let (Some(NamedPolicy { origin: first, .. }), PolicyOrigin::File { .. }) =
                (rules.get(&rule.id), &rule.origin)
            {
                let at = first.problem(None, String::new());
                let line = at.line.map(|line| format!(":{line}")).unwrap_or_default();
                let taken = format!("the @id {:?} is also in {}{line}", rule.id.as_str(), at.place);
                problems.push(rule.origin.problem(None, taken));
            } else {
                rules.insert(rule.id.clone(), rule);
            }
        }
        problems.extend(unknown_groups(&source, &rules));
        let (wrong, warnings) = validate(&rules, &written);
        problems.extend(wrong);
        match zone {
            Ok(zone) if problems.is_empty() => {
                let text = text(&source, &lists.groups, &rules);
                Ok(Self {
                    zone,
                    parts: parts(&rules),
                    groups_with: groups_with(&source, &lists.groups),
                    digest: PolicyDigest::of(&text),
                    mentions: Mentions::of(rules.values()),
                    text,
                    rules,
                    source,
                    warnings,
                })
            }
            zone => {
                problems.extend(zone.err());
                problems.sort();
                problems.dedup();
                Err(PolicyProblems(problems))
            }
        }
    }

    /// What the set may be wrong about: policies that can never match, and names that look like others.
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

    /// The facts that the policies speak of. A grant is refused if one of them is not known.
    pub fn mentions(&self) -> Mentions {
        self.mentions
    }

    /// The policies, in the order of their ids.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &NamedPolicy> {
        self.rules.values()
    }

    /// The policy with this id.
    pub fn policy(&self, id: &PolicyId) -> Option<&NamedPolicy> {
        self.rules.get(id)
    }

    /// The accounts in which the principal has this privilege by its roles.
    pub fn scope(&self, principal: &Principal, privilege: Privilege) -> Scope {
        roles::scope(&self.source.roles, principal, privilege)
    }

    /// True if a role binding or a group names the principal.
    pub fn has_binding(&self, principal: &Principal) -> bool {
        self.bindings_of(principal).next().is_some() || self.groups_of(principal).next().is_some()
    }

    /// The role bindings that name the principal.
    pub fn bindings_of(&self, principal: &Principal) -> impl Iterator<Item = &RoleConfig> {
        let bindings = self.source.roles.iter();
        bindings.filter(|binding| binding.principal.matches(principal))
    }

    /// The accounts, each with the recipients that it allows.
    pub fn recipients(&self) -> &BTreeMap<AccountId, ShareWith> {
        &self.source.accounts
    }

    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The names of the groups of a principal.
    pub(super) fn groups_of(&self, principal: &Principal) -> impl Iterator<Item = &str> {
        let named = |group: &&GroupConfig| group.principals.iter().any(|pattern| pattern.matches(principal));
        self.source.groups.iter().filter(named).map(|group| group.name.as_str())
    }

    /// The names of the groups of an account.
    pub(super) fn groups_with(&self, account: AccountId) -> impl Iterator<Item = &str> {
        self.groups_with.get(&account).into_iter().flatten().map(String::as_str)
    }

    /// The group of the owner's recipients, if it is limited to some and this account is one of them.
    pub(super) fn recipients_group(&self, owner: AccountId, recipient: AccountId) -> Option<String> {
        match self.source.accounts.get(&owner) {
            Some(ShareWith::Only(some)) if some.contains(&recipient) => Some(lists::recipients_group(owner)),
            _ => None,
        }
    }

    /// Decides whether the change may be made.
    pub fn decide(&self, query: PolicyQuery<'_>) -> PolicyVerdict {
        let account = query.key.account;
        if !self.source.accounts.contains_key(&account) {
            let privilege = Privilege::from(query.action);
            let message = match self.scope(query.principal, privilege).covers(account) {
                true => format!("account {account} is not configured"),
                false => privilege.refusal(query.principal, Some(account)),
            };
            return self.verdict(query, Vec::new(), Some(message));
        }
        // An absent fact could keep a forbid from matching. Without it, only a revoke may go on.
        if query.action == Action::Grant
            && let Some((fact, reason)) = query.unknown_fact(self.mentions)
        {
            let message = format!("the policy needs to know {fact}, which is not known: {reason}");
            return self.verdict(query, Vec::new(), Some(message));
        }
        let cedar = match CedarQuery::of(query, self) {
            Ok(cedar) => cedar,
            Err(error) => {
                let message = format!("the policy cannot be asked: {error}");
                return self.verdict(query, Vec::new(), Some(message));
            }
        };
        let permits = self.satisfied(Effect::Permit, query, &cedar);
        let forbids = self.satisfied(Effect::Forbid, query, &cedar);
        let failed: BTreeSet<_> = [&permits, &forbids]
            .into_iter()
            .flat_map(|found| &found.failed)
            .cloned()
            .collect();
        // Cedar leaves out a policy that fails, so a forbid that fails would allow.
        if !failed.is_empty() {
            let ids: Vec<_> = failed.iter().map(|id| format!("{:?}", id.as_str())).collect();
            let message = format!("the policy {} cannot be evaluated for this request", ids.join(" and "));
            return self.verdict(query, failed.into_iter().collect(), Some(message));
        }
        if permits.ids.is_empty() {
            let mut message = Privilege::from(query.action).refusal(query.principal, Some(account));
            message.push_str(&self.near(query.action, &cedar));
            return self.verdict(query, forbids.ids, Some(message));
        }
        if !forbids.ids.is_empty() {
            let words: Vec<_> = forbids.ids.iter().map(|id| self.words(id, query)).collect();
            return self.verdict(query, forbids.ids, Some(words.join("; ")));
        }
        self.verdict(query, permits.ids, None)
    }

    fn verdict(&self, query: PolicyQuery<'_>, policies: Vec<PolicyId>, refusal: Option<String>) -> PolicyVerdict {
        let decision = Decision {
            decided_at: query.now,
            facts: query.facts(self.mentions),
            policies,
            policy_set: self.digest,
        };
        PolicyVerdict { decision, refusal }
    }

    /// Why a policy that forbids refuses, for the caller.
    fn words(&self, id: &PolicyId, query: PolicyQuery<'_>) -> String {
        let (owner, recipient) = (query.key.account, query.key.shared_account);
        match self.rules.get(id) {
            Some(NamedPolicy {
                origin: PolicyOrigin::Recipients(_),
                ..
            }) => format!("images of account {owner} may not be shared with account {recipient}"),
            Some(NamedPolicy { says: Some(says), .. }) => format!("the policy {:?} refuses: {says}", id.as_str()),
            _ => format!("the policy {:?} refuses", id.as_str()),
        }
    }

    /// The policies of this effect that match.
    fn satisfied(&self, effect: Effect, query: PolicyQuery<'_>, cedar: &CedarQuery) -> Satisfied {
        let account = query.key.account;
        let groups = self.groups_with(account).map(|name| Owner::Group(name.to_owned()));
        let mut found = Satisfied::default();
        for owner in [Owner::Any, Owner::Account(account)].into_iter().chain(groups) {
            let action = query.action;
            let Some(part) = self.parts.get(&Part { effect, action, owner }) else {
                continue;
            };
            let answer = Authorizer::new().is_authorized(&cedar.request, part, &cedar.entities);
            let ids = answer.diagnostics().reason().map(own_id);
            found.ids.extend(ids);
            let failed = answer
                .diagnostics()
                .errors()
                .map(|AuthorizationError::PolicyEvaluationError(error)| own_id(error.policy_id()));
            found.failed.extend(failed);
        }
        found.ids.sort();
        found
    }
}

/// The policies that match, and those that could not be evaluated.
#[derive(Debug, Default)]
struct Satisfied {
    ids: Vec<PolicyId>,
    failed: Vec<PolicyId>,
}

fn own_id(id: &cedar_policy::PolicyId) -> PolicyId {
    PolicyId::from(AsRef::<str>::as_ref(id).to_owned())
}

/// The policies of the role bindings and the accounts, and the groups of accounts that they speak of.
struct Lists {
    rules: Vec<NamedPolicy>,
    groups: BTreeMap<String, BTreeSet<AccountId>>,
}

impl Lists {
    fn of(source: &PolicySource) -> Self {
        let roles = source.roles.iter().filter_map(lists::role_policy);
        let roles = roles.map(|policy| (policy, PolicyOrigin::Role));
        let recipients = source
            .accounts
            .iter()
            .filter_map(|(owner, recipients)| match recipients {
                ShareWith::Anyone => None,
                ShareWith::Only(some) => {
                    Some((lists::recipients_policy(*owner, some), PolicyOrigin::Recipients(*owner)))
                }
            });
        let (mut rules, mut groups) = (Vec::new(), BTreeMap::new());
        for (ListPolicy { id, text, accounts }, origin) in roles.chain(recipients) {
            groups.extend(accounts.map(|accounts| (id.clone(), accounts)));
            rules.push(rule(id, text, origin));
        }
        Self { rules, groups }
    }
}

/// The policies of the files.
fn file_rules(written: &Written) -> impl Iterator<Item = NamedPolicy> {
    written.policies.iter().map(|policy| {
        let origin = PolicyOrigin::File {
            name: policy.place.clone(),
            line: policy.line,
        };
        rule(policy.id.clone(), policy.text.clone(), origin)
    })
}

fn rule(id: String, text: String, origin: PolicyOrigin) -> NamedPolicy {
    let policy =
        CedarPolicy::parse(Some(cedar_policy::PolicyId::new(&id)), &text).expect("the text was parsed or made");
    NamedPolicy {
        says: policy.annotation("says").map(str::to_owned),
        id: id.into(),
        text,
        origin,
        policy,
    }
}

/// Groups that policies name and the configuration does not have.
fn unknown_groups(source: &PolicySource, rules: &BTreeMap<PolicyId, NamedPolicy>) -> Vec<PolicyProblem> {
    let known = |kind: EntityType| {
        source.groups.iter().filter_map(move |group| {
            let has_accounts = kind == EntityType::AccountGroup;
            (group.accounts.is_empty() != has_accounts).then(|| kind.entity(&group.name))
        })
    };
    let known: BTreeSet<EntityUid> = known(EntityType::PrincipalGroup)
        .chain(known(EntityType::AccountGroup))
        .collect();
    let types = [EntityType::PrincipalGroup, EntityType::AccountGroup];
    let is_unknown = |uid: &EntityUid| types.iter().any(|kind| kind.name() == uid.type_name()) && !known.contains(uid);
    let mut problems = Vec::new();
    for rule in rules
        .values()
        .filter(|rule| matches!(rule.origin, PolicyOrigin::File { .. }))
    {
        let unknown: BTreeSet<_> = rule.policy.entity_literals().into_iter().filter(is_unknown).collect();
        for group in unknown {
            let rule_text = format!(
                "the policy {:?} names {group}, which is not in groups",
                rule.id.as_str()
            );
            problems.push(rule.origin.problem(None, rule_text));
        }
    }
    problems
}

/// The errors and the warnings of Cedar's strict validation.
fn validate(rules: &BTreeMap<PolicyId, NamedPolicy>, written: &Written) -> (Vec<PolicyProblem>, Vec<PolicyProblem>) {
    let mut set = CedarSet::new();
    for rule in rules.values() {
        set.add(rule.policy.clone()).expect("ids are unique");
    }
    for (id, template) in &written.templates {
        // A policy with the same id is a problem of its own.
        if !rules.contains_key(&PolicyId::from(id.clone())) {
            set.add_template(template.template.clone()).expect("ids are unique");
        }
    }
    let validator = Validator::new(schema::PARSED.clone());
    let result = validator.validate_with_level(&set, ValidationMode::Strict, 1);
    let place = |id: &cedar_policy::PolicyId, offset: Option<usize>, rule: String| {
        let id = own_id(id);
        let (origin, text) = match (rules.get(&id), written.templates.get(id.as_str())) {
            (Some(rule), _) => (rule.origin.clone(), rule.text.clone()),
            (None, Some(template)) => (
                PolicyOrigin::File {
                    name: template.place.clone(),
                    line: template.line,
                },
                template.template.to_cedar(),
            ),
            (None, None) => unreachable!("the validator names policies of the set"),
        };
        let lines = offset.map_or(0, |offset| {
            text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
        });
        let line = match &origin {
            PolicyOrigin::File { line, .. } => Some(line + lines),
            _ => None,
        };
        origin.problem(line, rule)
    };
    let errors = result.validation_errors();
    let errors = errors.map(|error| place(error.policy_id(), problem::offset(error), problem::sentence(error)));
    let warnings = result.validation_warnings();
    let warnings = warnings.map(|warning| {
        place(
            warning.policy_id(),
            problem::offset(warning),
            problem::sentence(warning),
        )
    });
    let warnings: BTreeSet<_> = warnings.collect();
    (errors.collect(), warnings.into_iter().collect())
}

/// The set as text. Its digest identifies the set, so equal sets have equal texts.
fn text(
    source: &PolicySource,
    of_lists: &BTreeMap<String, BTreeSet<AccountId>>,
    rules: &BTreeMap<PolicyId, NamedPolicy>,
) -> String {
    let accounts: Vec<_> = source.accounts.keys().map(AccountId::as_str).collect();
    let configured = source.groups.iter().map(|group| {
        let principals: BTreeSet<_> = group.principals.iter().map(|pattern| pattern.as_str()).collect();
        (
            &group.name,
            json!({"accounts": group.accounts, "principals": principals}),
        )
    });
    let of_lists = of_lists.iter();
    let of_lists = of_lists.map(|(name, accounts)| (name, json!({"accounts": accounts, "principals": []})));
    let groups: BTreeMap<_, _> = configured.chain(of_lists).collect();
    let groups = groups.into_iter().map(|(name, group)| (name.clone(), group));
    let policies = rules
        .iter()
        .map(|(id, rule)| (id.to_string(), rule.text.clone().into()));
    json!({
        "accounts": accounts,
        "groups": groups.collect::<Map<_, Value>>(),
        "policies": policies.collect::<Map<_, Value>>(),
        "schema": schema::SCHEMA,
        "zone": source.zone,
    })
    .to_string()
}

fn parts(rules: &BTreeMap<PolicyId, NamedPolicy>) -> HashMap<Part, CedarSet> {
    let mut parts: HashMap<Part, CedarSet> = HashMap::new();
    for rule in rules.values() {
        for action in actions(&rule.policy) {
            let (effect, owner) = (rule.policy.effect(), owner(&rule.policy));
            let part = parts.entry(Part { effect, action, owner }).or_default();
            part.add(rule.policy.clone()).expect("ids are unique");
        }
    }
    parts
}

/// The actions that a policy can match.
pub(super) fn actions(policy: &CedarPolicy) -> Vec<Action> {
    let named = match policy.action_constraint() {
        ActionConstraint::Any => return schema::ASKED.to_vec(),
        ActionConstraint::In(actions) => actions,
        ActionConstraint::Eq(action) => vec![action],
    };
    let is_named = |action: &Action| {
        let action = EntityType::Action.entity(schema::action_name(*action));
        let groups = || schema::ACTIONS.ancestors(&action).into_iter().flatten().cloned();
        named.contains(&action) || groups().any(|group| named.contains(&group))
    };
    schema::ASKED.into_iter().filter(is_named).collect()
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

fn groups_with(
    source: &PolicySource,
    of_lists: &BTreeMap<String, BTreeSet<AccountId>>,
) -> BTreeMap<AccountId, BTreeSet<String>> {
    let configured = source.groups.iter().map(|group| (&group.name, &group.accounts));
    let roles = of_lists.iter().filter(|(name, _)| name.starts_with(lists::ROLES));
    let mut groups: BTreeMap<AccountId, BTreeSet<String>> = BTreeMap::new();
    for (name, accounts) in configured.chain(roles) {
        for account in accounts {
            groups.entry(*account).or_default().insert(name.clone());
        }
    }
    groups
}
