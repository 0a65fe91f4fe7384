//! What role bindings and lists of recipients permit and forbid.

use super::*;

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
fn who_may_grant_may_adopt_and_with_listed_accounts_only() {
    let set = set([binding("*", Role::Operator, None)]);
    let adopted = decide_adoption(&set, LISTED);
    assert!(
        adopted.is_allowed() && ids(&adopted)[0].starts_with("roles.operator."),
        "{adopted:?}"
    );
    let refused = decide_adoption(&set, STRANGER);
    assert_eq!(ids(&refused), ["accounts.111122223333.share_with"]);
}

#[test]
fn a_policy_of_a_file_that_names_grants_permits_no_adoption() {
    let set = compiled("@id(\"g\") permit (principal, action == Sharewarden::Action::\"grant\", resource);");
    assert!(is_allowed(&set, "tester", Action::Grant, PARTNER));
    let refused = decide_adoption(&set, PARTNER);
    let message = format!("tester may not adopt in account {ACCOUNT}: this needs the role operator");
    assert_eq!(refused.refusal, Some(message));

    let both = compiled(
        "@id(\"a\") permit (principal, action == Sharewarden::Action::\"adopt\", resource) when { context.cause == \"ADOPTION\" };",
    );
    assert!(decide_adoption(&both, PARTNER).is_allowed());
    assert!(!is_allowed(&both, "tester", Action::Grant, PARTNER));
}

/// As for a grant, an absent fact could keep a forbid from matching.
#[test]
fn an_adoption_needs_the_facts_that_its_policies_speak_of() {
    let set = compiled(
        "@id(\"a\") permit (principal, action == Sharewarden::Action::\"adopt\", resource);\n\
         @id(\"f\") forbid (principal, action == Sharewarden::Action::\"adopt\", resource) when { resource.hasTag(\"secret\") };",
    );
    assert!(set.mentions(PolicyAction::Adopt).is_about_image());
    assert!(!set.mentions(PolicyAction::Grant).is_about_image());
    let refused = decide_adoption(&set, PARTNER);
    assert!(
        refused
            .refusal
            .as_deref()
            .is_some_and(|said| said.contains("the tags of the image")),
        "{refused:?}"
    );
}

fn decide_adoption(set: &PolicySet, shared: &str) -> PolicyVerdict {
    let adoption = Intent {
        cause: Cause::Adoption,
        ..intent("tester", Action::Grant, shared)
    };
    set.decide(PolicyQuery::of(&adoption, now()))
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
fn a_member_of_a_group_may_read_what_it_asked_for_and_no_more() {
    let set = PolicySet::compile(source(&[])).unwrap();
    let scope = |principal: &str, privilege| set.scope(caller(&principal.parse().unwrap()), privilege);
    assert_eq!(scope("build/7", Privilege::Own), Scope::Everywhere);
    assert!(scope("build/7", Privilege::Read).is_empty());
    assert!(scope("stranger", Privilege::Own).is_empty());
}

#[test]
fn bindings_add_up_and_without_a_binding_nothing_is_allowed() {
    let [one, other] = [ACCOUNT, PARTNER].map(|account| account.parse().unwrap());
    let set = set([
        binding("a*", Role::Viewer, Some(ACCOUNT)),
        binding("alice", Role::Auditor, Some(PARTNER)),
        binding("root", Role::Viewer, None),
        binding("root", Role::Viewer, Some(ACCOUNT)),
    ]);
    let scope = |principal: &str, privilege| set.scope(caller(&principal.parse().unwrap()), privilege);
    assert_eq!(
        scope("alice", Privilege::Read),
        Scope::Only(BTreeSet::from([one, other]))
    );
    assert_eq!(scope("alice", Privilege::Export), Scope::Only(BTreeSet::from([other])));
    assert_eq!(scope("anna", Privilege::Read), Scope::Only(BTreeSet::from([one])));
    assert_eq!(scope("root", Privilege::Read), Scope::Everywhere);
    assert!(scope("root", Privilege::Grant).is_empty());
    assert!(scope("bob", Privilege::Read).is_empty());
}
