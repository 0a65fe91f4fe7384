//! Compiles a set: policies of the lists and the files, checked against each other, the groups and the schema.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cedar_policy::{EntityUid, PolicySet as CedarSet, ValidationMode, Validator};
use jiff::tz::TimeZone;

use crate::{config::ShareWith, domain::PolicyId};

use super::{
    action::PolicyAction,
    claims,
    contents::{Contents, Group},
    depth,
    files::{PolicyFile, Written},
    lists::{self, ListPolicy},
    mentions::Mentions,
    parts::own_id,
    problem::{self, PolicyProblem, PolicyProblems},
    schema::{self, EntityType, PolicySchema},
    set::PolicySet,
    source::{NamedPolicy, PolicyOrigin, PolicySource},
};

type Policies = BTreeMap<PolicyId, NamedPolicy>;

impl PolicySet {
    /// Compiles a set.
    ///
    /// # Errors
    /// All problems that were found.
    pub fn compile(source: PolicySource) -> Result<Self, PolicyProblems> {
        Self::compile_with(source, unknown_groups)
    }

    /// Compiles files without a configuration: there are no accounts and no roles, and each group that a policy names is taken as
    /// configured. The set refuses every change.
    ///
    /// # Errors
    /// All problems that were found.
    pub fn compile_files(files: Vec<PolicyFile>) -> Result<Self, PolicyProblems> {
        let source = PolicySource {
            accounts: BTreeMap::new(),
            roles: Vec::new(),
            groups: Vec::new(),
            zone: "UTC".into(),
            files,
        };
        Self::compile_with(source, |_, _| Vec::new())
    }

    fn compile_with(
        source: PolicySource,
        unknown_groups: fn(&PolicySource, &Policies) -> Vec<PolicyProblem>,
    ) -> Result<Self, PolicyProblems> {
        let mut written = Written::of(&source.files);
        let mut problems = std::mem::take(&mut written.problems);
        let mut warnings = std::mem::take(&mut written.warnings);
        let (policies, wrong) = policies(&source, &written);
        problems.extend(wrong);
        problems.extend(unknown_groups(&source, &policies));
        problems.extend(claims::problems(&policies));
        problems.extend(policies.values().filter_map(depth::problem));
        let (wrong, doubtful) = validate(&policies, &written);
        problems.extend(wrong);
        warnings.extend(doubtful);
        let zone = zone(&source.zone).map_err(|problem| problems.push(problem)).ok();
        let Some(zone) = zone.filter(|_| problems.is_empty()) else {
            problems.sort();
            problems.dedup();
            return Err(PolicyProblems(problems));
        };
        warnings.extend(policies.values().filter_map(needless_age));
        warnings.sort();
        warnings.dedup();
        let contents = Contents {
            accounts: source.accounts.keys().copied().collect(),
            groups: groups(&source),
            policies,
            schema: Cow::Borrowed(schema::SCHEMA),
            zone: source.zone,
        };
        let set = Self::of(contents, source.roles, zone, PolicySchema::current(), warnings);
        match claims::too_many(&set.spoken_claims()) {
            Some(problem) => Err(PolicyProblems(vec![problem])),
            None => Ok(set),
        }
    }

    /// The set whose [`text`](Self::text) this is, without the role bindings that only read. It decides as the set did, also if
    /// the schema of this build is a newer one, and has the same digest. The policies were validated when the text was made.
    ///
    /// # Errors
    /// All problems that were found.
    pub fn from_text(text: &str) -> Result<Self, PolicyProblems> {
        let contents = Contents::of_text(text)?;
        let zone = zone(&contents.zone).map_err(|problem| PolicyProblems(vec![problem]))?;
        let schema = PolicySchema::parse(&contents.schema).map_err(|problem| PolicyProblems(vec![problem]))?;
        Ok(Self::of(contents, Vec::new(), zone, Arc::new(schema), Vec::new()))
    }
}

impl PolicySet {
    /// The set whose text this is, with these files in place of its own: the accounts, the groups, the policies of lists and the
    /// time zone stay.
    ///
    /// # Errors
    /// All problems that were found.
    pub fn from_text_with(text: &str, files: Vec<PolicyFile>) -> Result<Self, PolicyProblems> {
        let Contents {
            accounts,
            groups,
            mut policies,
            zone,
            ..
        } = Contents::of_text(text)?;
        policies.retain(|_, policy| !matches!(policy.origin, PolicyOrigin::File { .. }));
        let of_config = groups.iter().filter(|(name, _)| lists::is_configured(name));
        let checked = Self::compile(PolicySource {
            accounts: accounts.iter().map(|account| (*account, ShareWith::Anyone)).collect(),
            roles: Vec::new(),
            groups: of_config.map(|(name, group)| group.configured(name)).collect(),
            zone: zone.clone(),
            files,
        })?;
        policies.extend(checked.policies().map(|policy| (policy.id.clone(), policy.clone())));
        let contents = Contents {
            accounts,
            groups,
            policies,
            schema: Cow::Borrowed(schema::SCHEMA),
            zone,
        };
        let zone = checked.zone().clone();
        let warnings = checked.warnings().to_vec();
        Ok(Self::of(contents, Vec::new(), zone, PolicySchema::current(), warnings))
    }
}

/// A policy that demands an age of facts, and speaks of none.
fn needless_age(policy: &NamedPolicy) -> Option<PolicyProblem> {
    policy.max_fact_age?;
    let mentions = PolicyAction::ALL.map(|action| Mentions::of([policy], action, &PolicySchema::current()));
    let rule = || {
        format!(
            "the policy {:?} has @max_fact_age and speaks of no fact about the image",
            policy.id.as_str()
        )
    };
    let speaks = mentions.into_iter().any(Mentions::is_about_image);
    (!speaks).then(|| policy.origin.problem(None, rule()))
}

fn zone(name: &str) -> Result<TimeZone, PolicyProblem> {
    TimeZone::get(name).map_err(|_| PolicyProblem {
        place: "policy.zone".into(),
        line: None,
        rule: format!("must be an IANA time zone such as Europe/Berlin; it is {name:?}"),
    })
}

/// The policies of the role bindings and of the recipients, each with where it comes from.
fn of_lists(source: &PolicySource) -> impl Iterator<Item = (ListPolicy, PolicyOrigin)> {
    let roles = source.roles.iter().filter_map(lists::role_policy);
    let roles = roles.map(|policy| (policy, PolicyOrigin::Role));
    let recipients = source
        .accounts
        .iter()
        .filter_map(|(owner, recipients)| match recipients {
            ShareWith::Anyone => None,
            ShareWith::Only(some) => Some((lists::recipients_policy(*owner, some), PolicyOrigin::Recipients(*owner))),
        });
    roles.chain(recipients)
}

fn groups(source: &PolicySource) -> BTreeMap<String, Group> {
    let configured = source.groups.iter().map(|group| {
        let principals = group.principals.iter().map(|pattern| pattern.as_str().to_owned());
        let claim = group
            .claim
            .as_ref()
            .map(|name| (name.as_str().to_owned(), group.values.clone()));
        let members = Group {
            accounts: group.accounts.clone(),
            claims: claim.into_iter().collect(),
            principals: principals.collect(),
        };
        (group.name.clone(), members)
    });
    let of_lists = of_lists(source).filter_map(|(policy, _)| {
        let accounts = policy.accounts?;
        let group = Group {
            accounts,
            ..Group::default()
        };
        Some((policy.id, group))
    });
    configured.chain(of_lists).collect()
}

/// The policies by id. Ids are unique, also among templates.
fn policies(source: &PolicySource, written: &Written) -> (Policies, Vec<PolicyProblem>) {
    let (mut policies, mut problems) = (Policies::new(), Vec::new());
    let of_lists = of_lists(source).map(|(policy, origin)| NamedPolicy::parse(policy.id, policy.text, origin));
    let of_files = written.policies.iter().map(|policy| {
        let origin = file_origin(&policy.place, policy.line);
        NamedPolicy::parse(policy.id.clone(), policy.text.clone(), origin)
    });
    for parsed in of_lists.chain(of_files) {
        let policy = match parsed {
            Ok(policy) => policy,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let is_of_file = matches!(policy.origin, PolicyOrigin::File { .. });
        let first = policies.get(&policy.id).map(|first| first.origin.clone());
        let first = first.or_else(|| template_origin(written, &policy.id));
        match first {
            // Equal role bindings make equal policies.
            Some(first) if is_of_file => {
                let at = first.problem(None, String::new());
                let line = at.line.map(|line| format!(":{line}")).unwrap_or_default();
                let taken = format!("the @id {:?} is also in {}{line}", policy.id.as_str(), at.place);
                problems.push(policy.origin.problem(None, taken));
            }
            _ => drop(policies.insert(policy.id.clone(), policy)),
        }
    }
    (policies, problems)
}

fn file_origin(place: &str, line: usize) -> PolicyOrigin {
    PolicyOrigin::File {
        name: place.to_owned(),
        line,
    }
}

fn template_origin(written: &Written, id: &PolicyId) -> Option<PolicyOrigin> {
    let template = written.templates.get(id.as_str())?;
    Some(file_origin(&template.place, template.line))
}

/// Groups that policies name and the configuration does not have.
fn unknown_groups(source: &PolicySource, policies: &Policies) -> Vec<PolicyProblem> {
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
    // The configuration checks the groups that its own lists name.
    for policy in policies
        .values()
        .filter(|policy| matches!(policy.origin, PolicyOrigin::File { .. }))
    {
        let unknown: BTreeSet<_> = policy.policy.entity_literals().into_iter().filter(is_unknown).collect();
        for group in unknown {
            let rule = format!(
                "the policy {:?} names {group}, which is not in groups",
                policy.id.as_str()
            );
            problems.push(policy.origin.problem(None, rule));
        }
    }
    problems
}

/// The errors and the warnings of Cedar's strict validation.
fn validate(policies: &Policies, written: &Written) -> (Vec<PolicyProblem>, Vec<PolicyProblem>) {
    let mut set = CedarSet::new();
    for policy in policies.values() {
        set.add(policy.policy.clone()).expect("ids are unique");
    }
    for (id, template) in &written.templates {
        // A policy with the same id is a problem of its own.
        if !policies.contains_key(&PolicyId::from(id.clone())) {
            set.add_template(template.template.clone()).expect("ids are unique");
        }
    }
    let validator = Validator::new(PolicySchema::current().parsed.clone());
    let result = validator.validate_with_level(&set, ValidationMode::Strict, 1);
    let place = |id: &cedar_policy::PolicyId, offset: Option<usize>, rule: String| {
        let id = own_id(id);
        let (origin, text) = match (policies.get(&id), written.templates.get(id.as_str())) {
            (Some(policy), _) => (policy.origin.clone(), policy.text.clone()),
            (None, Some(template)) => (
                file_origin(&template.place, template.line),
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
    (errors.collect(), warnings.collect())
}
