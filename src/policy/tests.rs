//! What is decided, for which reasons, and what is wrong with sets that cannot be used.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{
    config::{GroupConfig, RoleConfig, ShareWith},
    domain::{
        Action, Authentication, Cause, ChangeId, CredentialKind, Intent, Justification, PermissionKey, PolicyId,
        Principal, PrincipalPattern, RequestId, Timestamp,
        decision::{Facts, ImageAttributes},
    },
};

use super::{query::CedarQuery, roles::Role, *};

mod claims;
mod facts;
mod files;
mod lists;
mod mistakes;
mod refusals;
mod spoken;
mod text;

const ACCOUNT: &str = "111122223333";
const LISTED: &str = "210987654321";
const PARTNER: &str = "444455556666";
const STRANGER: &str = "999999999999";

/// Sunday, 5:30 in Berlin.
const NOW: &str = "2026-11-29T04:30:00.123456Z";

fn intent(principal: &str, action: Action, shared: &str) -> Intent {
    Intent {
        change_id: ChangeId(uuid::Uuid::nil()),
        request_id: RequestId(uuid::Uuid::nil()),
        key: PermissionKey {
            account: ACCOUNT.parse().unwrap(),
            region: "eu-central-1".parse().unwrap(),
            image: "wsi-123456789".parse().unwrap(),
            shared_account: shared.parse().unwrap(),
        },
        action,
        cause: Cause::Caller,
        principal: principal.parse().unwrap(),
        authentication: None,
        decision: None,
        justification: Justification::example(),
        end: None,
        trace_id: None,
    }
}

/// An image that AWS describes in full.
fn described() -> ImageAttributes {
    ImageAttributes {
        created_at: Timestamp::parse("2026-11-01T00:00:00Z"),
        name: String::new(),
        operating_system: "LINUX".into(),
        required_tenancy: "DEFAULT".into(),
        state: "AVAILABLE".into(),
    }
}

fn now() -> Timestamp {
    Timestamp::parse(NOW).unwrap()
}

fn binding(principal: &str, role: Role, accounts: Option<&str>) -> RoleConfig {
    RoleConfig {
        accounts: accounts.map(|account| BTreeSet::from([account.parse().unwrap()])),
        ..RoleConfig::of(principal.parse().unwrap(), [role])
    }
}

/// A caller whose claims are not known.
fn caller(principal: &Principal) -> PolicyCaller<'_> {
    PolicyCaller {
        principal,
        claims: None,
    }
}

fn decide(set: &PolicySet, principal: &str, action: Action, shared: &str) -> PolicyVerdict {
    set.decide(PolicyQuery::of(&intent(principal, action, shared), now()))
}

fn is_allowed(set: &PolicySet, principal: &str, action: Action, shared: &str) -> bool {
    decide(set, principal, action, shared).is_allowed()
}

fn ids(verdict: &PolicyVerdict) -> Vec<&str> {
    verdict.decision.policies.iter().map(PolicyId::as_str).collect()
}

fn set(roles: impl IntoIterator<Item = RoleConfig>) -> PolicySet {
    let listed = ShareWith::Only(BTreeSet::from([LISTED.parse().unwrap()]));
    PolicySet::new([(ACCOUNT.parse().unwrap(), listed)], roles)
}

/// A set without role bindings: the account shares with anyone, there are two groups, and the files decide.
fn source(files: &[(&str, &str)]) -> PolicySource {
    let files = files.iter().map(|(name, text)| PolicyFile {
        name: (*name).into(),
        text: (*text).into(),
    });
    PolicySource {
        accounts: BTreeMap::from([(ACCOUNT.parse().unwrap(), ShareWith::Anyone)]),
        roles: Vec::new(),
        groups: vec![
            GroupConfig {
                name: "pipelines".into(),
                principals: vec!["build/*".parse().unwrap()],
                ..GroupConfig::default()
            },
            GroupConfig {
                name: "partners".into(),
                accounts: BTreeSet::from([PARTNER.parse().unwrap()]),
                ..GroupConfig::default()
            },
        ],
        zone: "Europe/Berlin".into(),
        files: files.collect(),
    }
}

fn compiled(text: &str) -> PolicySet {
    PolicySet::compile(source(&[("a.cedar", text)])).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The problems, one a line, as `file:line: rule`.
fn problems(files: &[(&str, &str)]) -> Vec<String> {
    let PolicyProblems(problems) = PolicySet::compile(source(files)).expect_err("the set has problems");
    problems.iter().map(ToString::to_string).collect()
}

const TEMPLATE: &str = "@id(\"reader\")\npermit (principal == ?principal, action, resource in ?resource);";

#[test]
fn a_replaced_set_no_longer_decides() {
    let policy = Policy::new(set([binding("*", Role::Operator, None)]));
    let (other, asked) = (policy.clone(), intent("tester", Action::Grant, LISTED));
    let query = PolicyQuery::of(&asked, now());
    assert!(policy.decide(query).is_allowed());
    other.replace(PolicySet::default());
    assert!(!policy.decide(query).is_allowed());
    assert!(policy.scope(caller(&asked.principal), Privilege::Grant).is_empty());
}
