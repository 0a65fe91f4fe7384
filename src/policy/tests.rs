//! What is decided, for which reasons, and what is wrong with sets that cannot be used.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::{
    config::{GroupConfig, RoleConfig, ShareWith},
    domain::{
        Action, Authentication, Cause, ChangeId, CredentialKind, Intent, Justification, PermissionKey, PolicyId,
        PrincipalPattern, RequestId, Timestamp,
        decision::{Facts, ImageAttributes},
    },
};

use super::{roles::Role, *};

mod facts;
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
        principal: principal.parse().unwrap(),
        roles: BTreeSet::from([role]),
        accounts: accounts.map(|account| BTreeSet::from([account.parse().unwrap()])),
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
                accounts: BTreeSet::new(),
            },
            GroupConfig {
                name: "partners".into(),
                principals: Vec::new(),
                accounts: BTreeSet::from([PARTNER.parse().unwrap()]),
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

#[test]
fn grants_are_allowed_to_listed_accounts_only_and_revokes_to_any() {
    let set = set([binding("*", Role::Operator, None)]);
    let granted = decide(&set, "tester", Action::Grant, LISTED);
    assert!(granted.is_allowed() && granted.decision.policy_set == set.digest());
    assert!(ids(&granted)[0].starts_with("roles.operator."), "{granted:?}");
    let refused = decide(&set, "tester", Action::Grant, STRANGER);
    assert_eq!(ids(&refused), ["accounts.111122223333.share_with"]);
    assert_eq!(
        refused.refusal.unwrap(),
        "images of account 111122223333 may not be shared with account 999999999999"
    );
    assert!(is_allowed(&set, "tester", Action::Revoke, STRANGER));
}

#[test]
fn a_principal_without_the_operator_role_in_the_account_is_refused_with_the_reason() {
    let set = set([
        binding("reader", Role::Viewer, None),
        binding("reader", Role::Auditor, None),
        binding("elsewhere", Role::Operator, Some(PARTNER)),
        binding("here", Role::Operator, Some(ACCOUNT)),
    ]);
    for principal in ["reader", "elsewhere", "nobody"] {
        for action in [Action::Grant, Action::Revoke] {
            let decision = decide(&set, principal, action, LISTED);
            assert!(decision.decision.policies.is_empty());
            let verb = action.as_str().to_lowercase();
            let message = format!("{principal} may not {verb} in account {ACCOUNT}: this needs the role operator");
            assert_eq!(decision.refusal, Some(message));
        }
    }
    assert!(is_allowed(&set, "here", Action::Grant, LISTED));
    assert!(is_allowed(&set, "here", Action::Revoke, LISTED));
}

#[test]
fn nothing_is_allowed_for_an_account_that_is_not_configured() {
    let set = PolicySet::new([], [binding("*", Role::Operator, None)]);
    for action in [Action::Grant, Action::Revoke] {
        assert!(!is_allowed(&set, "tester", action, LISTED));
    }
}

#[test]
fn an_empty_list_of_recipients_allows_none_and_a_role_in_no_account_nothing() {
    let accounts = || [(ACCOUNT.parse().unwrap(), ShareWith::Only(BTreeSet::new()))];
    let nobody = PolicySet::new(accounts(), [binding("*", Role::Operator, None)]);
    assert!(!is_allowed(&nobody, "tester", Action::Grant, LISTED));
    let nowhere = RoleConfig {
        accounts: Some(BTreeSet::new()),
        ..binding("*", Role::Operator, None)
    };
    assert!(!is_allowed(&set([nowhere]), "tester", Action::Grant, LISTED));
}

#[test]
fn a_replaced_set_no_longer_decides() {
    let policy = Policy::new(set([binding("*", Role::Operator, None)]));
    let (other, asked) = (policy.clone(), intent("tester", Action::Grant, LISTED));
    let query = PolicyQuery::of(&asked, now());
    assert!(policy.decide(query).is_allowed());
    other.replace(PolicySet::default());
    assert!(!policy.decide(query).is_allowed());
    assert!(policy.scope(&asked.principal, Privilege::Grant).is_empty());
}

proptest! {
    #[test]
    fn a_role_binding_permits_exactly_the_principals_that_its_pattern_matches(
        pattern in "[a-b*/\\\\\"?\\[]{1,6}",
        principal in "[a-b*/\\\\\"?\\[]{1,6}",
    ) {
        let matches = pattern.parse::<PrincipalPattern>().unwrap().matches(&principal.parse().unwrap());
        let set = set([binding(&pattern, Role::Operator, None)]);
        prop_assert_eq!(is_allowed(&set, &principal, Action::Grant, LISTED), matches);
    }
}

#[test]
fn the_id_of_a_role_binding_follows_from_what_it_says() {
    let (one, two) = (
        binding("a", Role::Operator, None),
        binding("b*", Role::Operator, Some(ACCOUNT)),
    );
    let ids = |set: PolicySet| set.policies().map(|rule| rule.id.clone()).collect::<Vec<_>>();
    let first = ids(set([one.clone(), two.clone()]));
    assert_eq!(first, ids(set([two.clone(), one.clone(), two.clone()])));
    let fewer = ids(set([two]));
    assert!(fewer.iter().all(|id| first.contains(id)), "{fewer:?} {first:?}");
}

#[test]
fn the_digest_is_that_of_the_text_and_changes_with_every_part_of_the_set() {
    let text = "@id(\"a\") permit (principal, action, resource);";
    let digest = |source: PolicySource| PolicySet::compile(source).unwrap().digest();
    let files = [("a.cedar", text)];
    let first = digest(source(&files));
    assert_eq!(
        first,
        digest(source(&[("renamed.cedar", text)])),
        "where a policy stands is no part of it"
    );
    let mut seen = BTreeSet::from([first.to_string()]);
    let mut changed = |change: fn(&mut PolicySource)| {
        let mut source = source(&files);
        change(&mut source);
        assert!(seen.insert(digest(source).to_string()), "equal to {seen:?}");
    };
    changed(|source| source.zone = "UTC".into());
    changed(|source| source.groups[0].principals = vec!["build/a".parse().unwrap()]);
    changed(|source| source.groups[1].accounts = BTreeSet::from([LISTED.parse().unwrap()]));
    changed(|source| source.groups[1].name = "others".into());
    changed(|source| drop(source.accounts.insert(LISTED.parse().unwrap(), ShareWith::Anyone)));
    changed(|source| {
        drop(
            source
                .accounts
                .insert(ACCOUNT.parse().unwrap(), ShareWith::Only(BTreeSet::new())),
        )
    });
    changed(|source| source.roles.push(binding("a", Role::Operator, None)));
    changed(|source| source.files[0].text = source.files[0].text.replace("(principal,", "(principal ,"));
    changed(|source| source.files.clear());
    assert_eq!(first.to_string().len(), 64);
}

#[test]
fn a_policy_of_a_file_decides_by_groups_ticket_time_credentials_and_image() {
    for (condition, holds) in [
        ("principal in Sharewarden::PrincipalGroup::\"pipelines\"", true),
        ("principal.name like \"build/*\"", true),
        ("context.recipient in Sharewarden::AccountGroup::\"partners\"", true),
        ("resource in Sharewarden::AccountGroup::\"partners\"", false),
        ("resource in Sharewarden::Account::\"111122223333\"", true),
        (
            "!context.recipient.configured && resource.account != context.recipient",
            true,
        ),
        (
            "context.recipient.id like \"4444*\" && resource.region == \"eu-central-1\"",
            true,
        ),
        ("context has ticket && context.ticket like \"CHG-*\"", true),
        ("context.reason == \"a test\" && context.cause == \"CALLER\"", true),
        ("context.caller.credentials.contains(\"TOKEN\")", true),
        ("context.caller.credentials.contains(\"CERTIFICATE\")", false),
        ("context.hour == 5 && context.weekday == 7", true),
        ("context.now == datetime(\"2026-11-29T04:30:00.123Z\")", true),
        ("resource has state && resource.state == \"AVAILABLE\"", true),
        (
            "resource has operatingSystem && resource.operatingSystem == \"LINUX\"",
            true,
        ),
        ("resource has name", false),
        ("resource has tenancy && resource.tenancy == \"DEFAULT\"", true),
        (
            "resource has created && context.now.durationSince(resource.created) > duration(\"1d\")",
            true,
        ),
        (
            "resource.hasTag(\"release\") && resource.getTag(\"release\") == \"approved\"",
            true,
        ),
        ("action in Sharewarden::Action::\"changes\"", true),
    ] {
        let set = compiled(&format!(
            "@id(\"a\")\npermit (principal, action, resource)\nwhen {{ {condition} }};"
        ));
        let mut asked = intent("build/7", Action::Grant, PARTNER);
        asked.justification.ticket = Some("CHG-7".parse().unwrap());
        asked.authentication = Some(Authentication {
            credentials: vec![CredentialKind::Token],
        });
        let facts = Facts {
            expire_time: None,
            image: Some(described()),
            tags: Some(BTreeMap::from([("release".into(), "approved".into())])),
            unknown: None,
        };
        let decision = set.decide(PolicyQuery {
            facts: Some(&facts),
            ..PolicyQuery::of(&asked, now())
        });
        assert_eq!(decision.is_allowed(), holds, "{condition}: {decision:?}");
    }
}

#[test]
fn limits_in_the_scope_of_a_policy_are_kept() {
    for (scope, grant, revoke) in [
        ("principal, action, resource", true, true),
        (
            "principal, action == Sharewarden::Action::\"grant\", resource",
            true,
            false,
        ),
        (
            "principal, action in [Sharewarden::Action::\"revoke\", Sharewarden::Action::\"adopt\"], resource",
            false,
            true,
        ),
        (
            "principal, action in Sharewarden::Action::\"changes\", resource",
            true,
            true,
        ),
        (
            "principal == Sharewarden::Principal::\"build/7\", action, resource",
            true,
            true,
        ),
        (
            "principal == Sharewarden::Principal::\"build/8\", action, resource",
            false,
            false,
        ),
        (
            "principal in Sharewarden::PrincipalGroup::\"pipelines\", action, resource",
            true,
            true,
        ),
        (
            "principal, action, resource in Sharewarden::Account::\"111122223333\"",
            true,
            true,
        ),
        (
            "principal, action, resource is Sharewarden::Image in Sharewarden::Account::\"111122223333\"",
            true,
            true,
        ),
        (
            "principal, action, resource in Sharewarden::Account::\"444455556666\"",
            false,
            false,
        ),
        (
            "principal, action, resource in Sharewarden::AccountGroup::\"partners\"",
            false,
            false,
        ),
        (
            "principal, action, resource == Sharewarden::Image::\"wsi-123456789\"",
            true,
            true,
        ),
        (
            "principal, action, resource == Sharewarden::Image::\"wsi-000000000\"",
            false,
            false,
        ),
    ] {
        let set = compiled(&format!("@id(\"a\") permit ({scope});"));
        assert_eq!(is_allowed(&set, "build/7", Action::Grant, PARTNER), grant, "{scope}");
        assert_eq!(is_allowed(&set, "build/7", Action::Revoke, PARTNER), revoke, "{scope}");
        // The same limits on a forbid.
        let set = compiled(&format!(
            "@id(\"all\") permit (principal, action, resource); @id(\"a\") forbid ({scope});"
        ));
        assert_eq!(is_allowed(&set, "build/7", Action::Grant, PARTNER), !grant, "{scope}");
        assert_eq!(is_allowed(&set, "build/7", Action::Revoke, PARTNER), !revoke, "{scope}");
    }
    let mut source = source(&[(
        "a.cedar",
        "@id(\"a\") permit (principal, action, resource in Sharewarden::AccountGroup::\"partners\");",
    )]);
    source.groups[1].accounts.insert(ACCOUNT.parse().unwrap());
    let set = PolicySet::compile(source).unwrap();
    assert!(is_allowed(&set, "build/7", Action::Grant, PARTNER));
}

#[test]
fn a_refusal_names_the_forbid_and_says_its_words() {
    let set = compiled(
        "@id(\"all\") permit (principal, action, resource);\n\
         @id(\"no-strangers\") @says(\"No image leaves for strangers.\")\n\
         forbid (principal, action, resource) unless { context.recipient in Sharewarden::AccountGroup::\"partners\" };\n\
         @id(\"never\") forbid (principal, action == Sharewarden::Action::\"grant\", resource);",
    );
    let refused = decide(&set, "a", Action::Revoke, STRANGER);
    assert_eq!(ids(&refused), ["no-strangers"]);
    assert_eq!(
        refused.refusal.unwrap(),
        "the policy \"no-strangers\" refuses: No image leaves for strangers."
    );
    let refused = decide(&set, "a", Action::Grant, STRANGER);
    assert_eq!(ids(&refused), ["never", "no-strangers"]);
    assert!(is_allowed(&set, "a", Action::Revoke, PARTNER));
}

#[test]
fn a_refusal_by_default_says_which_policies_came_near_and_what_was_missing() {
    let set = compiled(
        "@id(\"partners\")\n\
         permit (principal, action == Sharewarden::Action::\"grant\", resource)\n\
         when { context.recipient in Sharewarden::AccountGroup::\"partners\" && context has ticket && context.ticket like \"CHG-*\" };\n\
         @id(\"elsewhere\") permit (principal, action, resource in Sharewarden::Account::\"444455556666\");",
    );
    let refusal = |shared: &str| decide(&set, "a", Action::Grant, shared).refusal.unwrap();
    assert_eq!(
        refusal(PARTNER),
        "a may not grant in account 111122223333: this needs the role operator, or the policy \"partners\", which needs \
         `context has ticket`"
    );
    assert_eq!(
        refusal(STRANGER),
        "a may not grant in account 111122223333: this needs the role operator, or the policy \"partners\", which needs \
         `context.recipient in Sharewarden::AccountGroup::\"partners\"` and `context has ticket`"
    );
    let revoke = decide(&set, "a", Action::Revoke, PARTNER).refusal.unwrap();
    assert_eq!(
        revoke,
        "a may not revoke in account 111122223333: this needs the role operator"
    );
}

/// Cedar leaves out a forbid that cannot be evaluated, and would answer Allow.
#[test]
fn a_policy_that_cannot_be_evaluated_refuses() {
    for failing in ["forbid", "permit"] {
        let set = compiled(&format!(
            "@id(\"all\") permit (principal, action, resource);\n\
             @id(\"late\") {failing} (principal, action, resource) when {{ context.hour + 9223372036854775807 < 0 }};"
        ));
        let decision = decide(&set, "a", Action::Grant, PARTNER);
        assert_eq!(ids(&decision), ["late"]);
        assert_eq!(
            decision.refusal.unwrap(),
            "the policy \"late\" cannot be evaluated for this request"
        );
    }
}

#[test]
fn every_fault_in_a_file_is_told_with_file_line_and_rule() {
    let permit = "permit (principal, action, resource)";
    for (text, expected) in [
        (
            "\n@id(\"a\")\npermit (principal, action == Sharewarden::Action::\"share\", resource);".into(),
            "a.cedar:3: for policy `a`, unrecognized action `Sharewarden::Action::\"share\"`",
        ),
        (
            "@id(\"a\")\npermit (principal, action, resource)\nwhen {\n  resource is Sharewarden::Picture\n};".into(),
            "a.cedar:4: for policy `a`, unrecognized entity type `Sharewarden::Picture`",
        ),
        (
            format!("@id(\"a\")\n{permit}\nwhen {{\n  context.hour > 7 &&\n  resource.colour == \"red\"\n}};"),
            "a.cedar:5: for policy `a`, attribute `colour` ",
        ),
        (
            format!("@id(\"a\")\n{permit}\nwhen {{ context.ticket == \"1\" }};"),
            "a.cedar:3: for policy `a`, unable to guarantee safety of access to optional attribute `ticket`",
        ),
        (
            format!("@id(\"a\")\n{permit}\nwhen {{ resource.getTag(\"a\") == \"b\" }};"),
            "a.cedar:3: for policy `a`, unable to guarantee safety of access to tag `\"a\"`",
        ),
        (
            format!("@id(\"a\")\n{permit}\nwhen {{ context.hour == \"7\" }};"),
            "a.cedar:3: the types Long and String are not compatible",
        ),
        (format!("\n\n{permit};"), "a.cedar:3: the policy has no @id"),
        (
            format!("@id(\"a b\")\n{permit};"),
            "a.cedar:1: the @id \"a b\" must have 1 to 100 letters",
        ),
        (
            format!("@id(\"roles.a\")\n{permit};"),
            "a.cedar:1: the @id \"roles.a\" begins with roles.",
        ),
        (
            format!("@id(\"a\")\n@owner(\"me\")\n{permit};"),
            "a.cedar:1: the annotation @owner is unknown",
        ),
        (
            format!("\n@id(\"a\")\n{permit}\nwhen {{ context.recipient in Sharewarden::AccountGroup::\"friends\" }};"),
            "a.cedar:2: the policy \"a\" names Sharewarden::AccountGroup::\"friends\", which is not in groups",
        ),
        (
            // A group of principals is not one of accounts.
            format!("@id(\"a\")\n{permit}\nwhen {{ context.recipient in Sharewarden::AccountGroup::\"pipelines\" }};"),
            "a.cedar:1: the policy \"a\" names Sharewarden::AccountGroup::\"pipelines\"",
        ),
        (
            format!("@id(\"a\") {permit};\n@id(\"b\")\npermit (principal action, resource);"),
            "a.cedar:3: unexpected token `action`",
        ),
        (
            format!("@id(\"a\") {permit};\n@id(\"a\")\nforbid (principal, action, resource);"),
            "a.cedar:2: the @id \"a\" is also in a.cedar:1",
        ),
    ] {
        let found = problems(&[("a.cedar", &text)]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(expected), "{found:#?}\nexpected {expected}");
    }
}

#[test]
fn every_problem_is_told_at_once_and_ids_are_unique_over_files() {
    let found = problems(&[
        ("a.cedar", "@id(\"a\") permit (principal, action, resource);"),
        (
            "b.cedar",
            "\n@id(\"a\") forbid (principal, action, resource);\npermit (principal, action, resource);",
        ),
        (
            "c.cedar",
            "@id(\"c\") @x(\"y\") permit (principal, action, resource) when { context.hour };",
        ),
    ]);
    let starts = [
        "b.cedar:2: the @id \"a\" is also in a.cedar:1",
        "b.cedar:3: the policy has no @id",
        "c.cedar:1: for policy `c`, unexpected type",
        "c.cedar:1: the annotation @x is unknown",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}");
    }
    let mut source = source(&[]);
    source.zone = "Europe/Nowhere".into();
    let zone = PolicySet::compile(source).unwrap_err().to_string();
    assert!(zone.contains("policy.zone: must be an IANA time zone"), "{zone}");
}

#[test]
fn a_policy_that_can_never_match_is_a_warning() {
    let set = compiled(
        "@id(\"all\") permit (principal, action, resource);\n\n\
         @id(\"never\")\nforbid (principal, action, resource)\nwhen { context.recipient.configured && false };",
    );
    let warnings: Vec<_> = set.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("a.cedar:3: for policy `never`, policy is impossible"),
        "{warnings:?}"
    );
    assert!(
        compiled("@id(\"a\") permit (principal, action, resource);")
            .warnings()
            .is_empty()
    );
}

const TEMPLATE: &str = "@id(\"reader\")\npermit (principal == ?principal, action, resource in ?resource);";

#[test]
fn a_template_decides_only_through_its_links() {
    let links = "[[links]]\ntemplate = \"reader\"\nid = \"reader.alice\"\nsays = \"Alice may.\"\n\
                 principal = 'Sharewarden::Principal::\"alice\"'\nresource = 'Sharewarden::Account::\"111122223333\"'\n";
    let set = PolicySet::compile(source(&[("a.cedar", TEMPLATE), ("links.toml", links)])).unwrap();
    let granted = decide(&set, "alice", Action::Grant, PARTNER);
    assert_eq!((granted.is_allowed(), ids(&granted)), (true, vec!["reader.alice"]));
    assert!(!is_allowed(&set, "bob", Action::Grant, PARTNER));
    let rule = set.policy(&granted.decision.policies[0]).unwrap();
    assert_eq!(rule.says.as_deref(), Some("Alice may."));
    assert!(
        rule.text.contains("@id(\"reader.alice\")") && !rule.text.contains('?'),
        "{}",
        rule.text
    );
    let without = PolicySet::compile(source(&[("a.cedar", TEMPLATE)])).unwrap();
    assert!(!is_allowed(&without, "alice", Action::Grant, PARTNER));
}

#[test]
fn a_link_that_cannot_be_made_is_told_with_its_line() {
    for (link, expected) in [
        ("template = \"writer\"", "no file has a template with the id \"writer\""),
        (
            "template = \"reader\"\nresource = 'Sharewarden::Account::\"1\"'",
            "the following slots were not provided",
        ),
        (
            "template = \"reader\"\nresource = 'x'\nprincipal = 'x'",
            "x is not an entity",
        ),
        ("template = \"reader\"\ncolour = \"red\"", "unknown field `colour`"),
    ] {
        let links = format!("\n\n[[links]]\nid = \"a\"\n{link}\n");
        let found = problems(&[("a.cedar", TEMPLATE), ("links.toml", &links)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("links.toml:") && found[0].contains(expected),
            "{found:?}"
        );
        assert!(!found[0].starts_with("links.toml:1:"), "{found:?}");
    }
}

#[test]
fn a_grant_is_refused_while_a_fact_that_the_set_mentions_is_not_known() {
    let mentions = |caller, image, tags| Mentions {
        caller,
        image,
        tags,
        now: false,
        end: false,
        created: false,
    };
    for (condition, expected) in [
        (
            "context.hour == 1 && principal.name like \"a\" && resource.region == \"a\"",
            Mentions::default(),
        ),
        (
            "context.caller.credentials.contains(\"TOKEN\")",
            mentions(true, false, false),
        ),
        (
            "resource has state && resource.state == \"AVAILABLE\"",
            mentions(false, true, false),
        ),
        (
            "resource has created",
            Mentions {
                created: true,
                ..mentions(false, true, false)
            },
        ),
        ("resource.hasTag(\"a\")", mentions(false, false, true)),
        (
            "(if context.hour == 1 then resource else resource).hasTag(\"a\")",
            mentions(false, false, true),
        ),
        (
            "resource has name || resource.hasTag(\"a\")",
            mentions(false, true, true),
        ),
    ] {
        let set = compiled(&format!(
            "@id(\"all\") permit (principal, action, resource);\n\
             @id(\"a\") forbid (principal, action, resource) when {{ {condition} }};"
        ));
        assert_eq!(set.mentions(Action::Grant), expected, "{condition}");
        let is_known = expected == Mentions::default();
        assert_eq!(is_allowed(&set, "b", Action::Grant, PARTNER), is_known, "{condition}");
        assert!(is_allowed(&set, "b", Action::Revoke, PARTNER), "{condition}");
    }
    let set = set([binding("a*", Role::Operator, Some(ACCOUNT))]);
    assert_eq!(set.mentions(Action::Grant), Mentions::default());
}

/// As when a volume is not mounted yet: without the files, only the roles would decide.
#[test]
fn a_directory_without_policies_is_a_mistake() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("notes.txt"), "not a policy").unwrap();
    let problems = PolicyFile::in_directory(directory.path()).unwrap_err();
    assert!(problems[0].rule.contains("has no *.cedar file"), "{problems:?}");
}

#[test]
fn a_description_of_an_image_with_an_omission_is_not_known() {
    let set = compiled(
        "@id(\"a\")\npermit (principal, action, resource);\n@id(\"b\")\nforbid (principal, action, resource)\n\
         when { resource has tenancy && resource.tenancy == \"DEDICATED\" };",
    );
    let asked = intent("build/7", Action::Grant, PARTNER);
    let decide = |image: ImageAttributes| {
        let facts = Facts {
            image: Some(image),
            ..Facts::default()
        };
        set.decide(PolicyQuery {
            facts: Some(&facts),
            ..PolicyQuery::of(&asked, now())
        })
    };
    assert!(decide(described()).is_allowed());
    let omitted = ImageAttributes {
        required_tenancy: String::new(),
        ..described()
    };
    let refusal = decide(omitted).refusal.unwrap();
    let reason = "what AWS reports about the image, which is not known: AWS does not tell it";
    assert!(refusal.contains(reason), "{refusal}");
}

#[test]
fn a_template_and_a_policy_have_different_ids() {
    let policy = "@id(\"reader\") permit (principal, action, resource);";
    let found = problems(&[("a.cedar", TEMPLATE), ("b.cedar", policy)]);
    assert_eq!(found, ["b.cedar:1: the @id \"reader\" is also in a.cedar:1"]);
}

#[test]
fn files_and_templates_that_are_not_used_are_warnings() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("a.cedar", TEMPLATE), ("b.ceder", "not a policy"), (".c.swp", "")] {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let mut source = source(&[]);
    source.files = PolicyFile::in_directory(directory.path()).unwrap();
    let set = PolicySet::compile(source).unwrap();
    let warnings: Vec<_> = set.warnings().iter().map(ToString::to_string).collect();
    let at = directory.path().display();
    assert_eq!(
        warnings,
        [
            format!("{at}/a.cedar:1: the template \"reader\" decides nothing: links.toml has no link of it"),
            format!("{at}/b.ceder: is not used: only *.cedar and links.toml are"),
        ]
    );
}

proptest! {
    /// Cedar prints the policy of a link, and reads it again.
    #[test]
    fn no_link_makes_the_program_panic(says in any::<String>(), principal in "[a-z\"\\\\\n\0é]{0,4}") {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let principal = format!("Sharewarden::Principal::{principal:?}");
        let links = format!(
            "[[links]]\ntemplate = \"reader\"\nid = \"a\"\nsays = {}\nprincipal = {}\n\
             resource = 'Sharewarden::Account::\"111122223333\"'\n",
            quoted(&says),
            quoted(&principal),
        );
        if let Ok(set) = PolicySet::compile(source(&[("a.cedar", TEMPLATE), ("links.toml", &links)])) {
            prop_assert_eq!(set.policy(&PolicyId::from("a".to_owned())).unwrap().says.as_deref(), Some(says.as_str()));
        }
    }
}

#[test]
fn a_refusal_has_a_length_and_evaluates_a_bounded_number_of_conditions() {
    let long = "long ".repeat(1000);
    let set = compiled(&format!(
        "@id(\"all\") permit (principal, action, resource);\n@id(\"a\") @says(\"{long}\") forbid (principal, action, resource);"
    ));
    let refusal = decide(&set, "a", Action::Grant, PARTNER).refusal.unwrap();
    assert_eq!(refusal.chars().count(), 1002);
    assert!(refusal.ends_with(" …"), "{refusal}");

    let conditions = |count: usize| vec!["context.hour == 5"; count - 1].join(" && ") + " && context.hour == 99";
    for (count, is_named) in [(24, true), (25, false)] {
        let policy = |id: &str, count| {
            format!(
                "@id(\"{id}\") permit (principal, action, resource) when {{ {} }};",
                conditions(count)
            )
        };
        let set = compiled(&(policy("a", 20) + &policy("b", 20) + &policy("c", count)));
        let refusal = decide(&set, "a", Action::Grant, PARTNER).refusal.unwrap();
        assert!(refusal.contains("the policy \"b\""), "{refusal}");
        assert_eq!(refusal.contains("the policy \"c\""), is_named, "{count} {refusal}");
    }
}

#[test]
fn a_member_of_a_group_may_read_what_it_asked_for_and_no_more() {
    let set = PolicySet::compile(source(&[])).unwrap();
    let scope = |principal: &str, privilege| set.scope(&principal.parse().unwrap(), privilege);
    assert_eq!(scope("build/7", Privilege::Own), Scope::Everywhere);
    assert!(scope("build/7", Privilege::Read).is_empty());
    assert!(scope("stranger", Privilege::Own).is_empty());
}
