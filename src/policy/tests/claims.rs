//! What is decided by the claims of a caller, by itself and by groups that a claim gives.

use super::*;
use crate::domain::{Claim, Claims};

const TEAM: &str = "@id(\"team\")
permit (principal, action == Sharewarden::Action::\"grant\", resource)
when { principal.hasTag(\"team\") && principal.getTag(\"team\").contains(\"images\") };
@id(\"no-guests\") forbid (principal in Sharewarden::PrincipalGroup::\"guests\", action, resource);
@id(\"revokes\") permit (principal, action == Sharewarden::Action::\"revoke\", resource);
";

/// A set with the group `guests`, given by a claim and a pattern.
fn source_with_guests(text: &str) -> PolicySource {
    let mut source = source(&[("a.cedar", text)]);
    source.groups.push(GroupConfig {
        name: "guests".into(),
        principals: vec!["guest/*".parse().unwrap()],
        claim: Some("groups".parse().unwrap()),
        values: BTreeSet::from(["external".into(), "interns".into()]),
        ..GroupConfig::default()
    });
    source
}

fn with_guests(text: &str) -> PolicySet {
    PolicySet::compile(source_with_guests(text)).unwrap_or_else(|problems| panic!("{problems}"))
}

/// All claims of a caller: `name=value,value`.
fn all(claims: &[&str]) -> Claims {
    Claims::all(claims.iter().map(|claim| {
        let (name, values) = claim.split_once('=').unwrap();
        let values = values.split(',').filter(|value| !value.is_empty());
        (name.to_owned(), Claim::of(values.map(str::to_owned)))
    }))
}

fn asked(principal: &str, action: Action, claims: Claims) -> Intent {
    let mut asked = intent(principal, action, PARTNER);
    asked.authentication = Some(Authentication {
        claims,
        credentials: vec![CredentialKind::Token],
    });
    asked
}

fn decided(set: &PolicySet, principal: &str, action: Action, claims: Claims) -> PolicyVerdict {
    set.decide(PolicyQuery::of(&asked(principal, action, claims), now()))
}

#[test]
fn a_claim_is_a_tag_of_the_principal_with_all_its_values_and_gives_a_group() {
    let set = with_guests(TEAM);
    for (claims, expected) in [
        (&["team=images"][..], Ok(())),
        (&["team=base,images", "groups=staff"], Ok(())),
        (&["team=image"], Err("this needs the role operator")),
        (&["team="], Err("which needs `principal.hasTag(\"team\")`")),
        (&[], Err("which needs `principal.hasTag(\"team\")`")),
        (&["team=images", "groups=staff,interns"], Err("\"no-guests\" refuses")),
    ] {
        let verdict = decided(&set, "alice", Action::Grant, all(claims));
        match expected {
            Ok(()) => assert_eq!(ids(&verdict), ["team"], "{claims:?} {verdict:?}"),
            Err(reason) => assert!(verdict.refusal.unwrap().contains(reason), "{claims:?}"),
        }
    }
    let by_pattern = decided(&set, "guest/1", Action::Grant, all(&["team=images"]));
    assert_eq!(ids(&by_pattern), ["no-guests"]);
    let revoked = decided(&set, "alice", Action::Revoke, all(&["groups=external"]));
    assert_eq!(ids(&revoked), ["no-guests"]);
}

/// The check before the call, and an auditor, have only what was recorded.
#[test]
fn a_decision_by_claims_is_the_same_with_those_on_record() {
    let set = with_guests(TEAM);
    let again = PolicySet::from_text(set.text()).unwrap();
    for claims in [
        &["team=images", "groups=staff", "email=a@b"][..],
        &["team=images", "groups=interns"],
        &[],
    ] {
        for action in [Action::Grant, Action::Revoke] {
            let first = decided(&set, "alice", action, all(claims));
            let names: Vec<_> = first.claims.iter().map(|(name, _)| name).collect();
            let expected: &[&str] = match action {
                Action::Grant => &["groups", "team"],
                Action::Revoke => &["groups"],
            };
            assert_eq!(
                names, expected,
                "only what the policies for the action speak of is recorded"
            );
            for set in [&set, &again] {
                assert_eq!(decided(set, "alice", action, first.claims.clone()), first, "{claims:?}");
            }
        }
    }
}

/// Without the claim, the forbid for guests could not match.
#[test]
fn a_claim_that_is_not_known_permits_nothing() {
    let set = with_guests(TEAM);
    let large = "x".repeat(5000);
    let too_large = Claims::all([
        ("groups".to_owned(), Claim::of([large])),
        ("team".to_owned(), Claim::of(["images".into()])),
    ]);
    let other_form = Claims::all([("groups".to_owned(), Claim::of_another_form())]);
    let not_recorded = all(&["team=images"]).only(&["team".to_owned()].into());
    for (claims, reason) in [
        (Claims::default(), "it was not recorded when the change was accepted"),
        (not_recorded, "it was not recorded when the change was accepted"),
        (too_large, "it has 5004 bytes, and an entry holds 4096 for all claims"),
        (other_form, "it is neither a text nor a list of texts"),
    ] {
        for action in [Action::Grant, Action::Revoke] {
            let verdict = decided(&set, "alice", action, claims.clone());
            let expected =
                format!("the policy needs to know the claim \"groups\" of the caller, which is not known: {reason}");
            assert_eq!(verdict.refusal, Some(expected));
            assert!(verdict.decision.policies.is_empty());
            assert_eq!(decided(&set, "alice", action, verdict.claims.clone()), verdict);
        }
    }
    let intent = intent("alice", Action::Grant, PARTNER);
    let query = PolicyQuery::of(&intent, now());
    assert!(!set.decide(query).is_allowed(), "an older build recorded no claims");
    assert_eq!(set.lacks_claim(query), Some("groups"));
    assert!(!set.needs(query).image);
}

#[test]
fn a_set_without_claims_records_none() {
    let set = compiled("@id(\"a\") permit (principal, action, resource) when { resource.hasTag(\"team\") || true };");
    let verdict = decided(&set, "alice", Action::Revoke, all(&["team=images"]));
    assert!(verdict.is_allowed() && verdict.claims.is_empty());
}

#[test]
fn a_role_binding_gives_its_roles_to_a_group() {
    let mut source =
        source_with_guests("@id(\"never\") forbid (principal, action, resource) when { context.hour == 99 };");
    source.roles = vec![RoleConfig {
        principal: None,
        group: Some("guests".into()),
        roles: BTreeSet::from([Role::Operator, Role::Viewer]),
        accounts: Some(BTreeSet::from([ACCOUNT.parse().unwrap()])),
    }];
    let set = PolicySet::compile(source).unwrap();
    let here = Scope::Only(BTreeSet::from([ACCOUNT.parse().unwrap()]));
    let nowhere = Scope::Only(BTreeSet::new());
    for (principal, claims, is_member) in [
        ("alice", all(&["groups=interns"]), true),
        ("guest/1", all(&[]), true),
        ("alice", all(&["groups=staff"]), false),
        ("alice", Claims::default(), false),
    ] {
        let name = principal.parse().unwrap();
        let caller = PolicyCaller {
            principal: &name,
            claims: Some(&claims),
        };
        let scope = if is_member { &here } else { &nowhere };
        assert_eq!(&set.scope(caller, Privilege::Read), scope, "{principal} {claims:?}");
        assert_eq!(set.has_binding(caller), is_member);
        assert_eq!(
            set.groups_of(caller).collect::<Vec<_>>(),
            if is_member { &["guests"][..] } else { &[] }
        );
        assert_eq!(set.bindings_of(caller).count(), usize::from(is_member));
        let speaks = set
            .policies_of(caller)
            .into_iter()
            .any(|policy| policy.origin == PolicyOrigin::Role);
        assert_eq!(speaks, is_member);
        let verdict = decided(&set, principal, Action::Grant, claims.clone());
        assert_eq!(verdict.is_allowed(), is_member, "{verdict:?}");
    }
}

#[test]
fn a_claim_that_no_record_could_name_is_a_mistake_with_its_place() {
    let policy =
        |condition: &str| format!("\n@id(\"a\")\npermit (principal, action, resource) when {{ {condition} }};");
    for (condition, expected) in [
        (
            "principal.hasTag(\"exp\")",
            "a.cedar:2: the policy \"a\" reads the claim \"exp\": must be the name of a claim",
        ),
        (
            "principal.hasTag(\"two words\")",
            "a.cedar:2: the policy \"a\" reads the claim \"two words\": must be",
        ),
        (
            "principal.hasTag(context.reason)",
            "a.cedar:2: the policy \"a\" reads a tag of the principal whose name is computed: write principal.getTag(\"NAME\")",
        ),
        (
            "(if context.hour == 1 then principal else principal).hasTag(\"team\")",
            "a.cedar:2: the policy \"a\" reads a tag of an expression with the principal",
        ),
        (
            "principal.hasTag(\"team\") && principal.getTag(\"team\") == \"a\"",
            "a.cedar:3: the types",
        ),
        (
            "principal.getTag(\"team\").contains(\"a\")",
            "a.cedar:3: for policy `a`, unable to guarantee safety of access to tag",
        ),
    ] {
        let found = problems(&[("a.cedar", &policy(condition))]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(expected), "{found:?}\nexpected {expected}");
    }
    let many: Vec<_> = (0..17).map(|n| format!("principal.hasTag(\"claim{n}\")")).collect();
    let sixteen = policy(&many[..16].join(" || "));
    assert!(PolicySet::compile(source(&[("a.cedar", &sixteen)])).is_ok());
    let found = problems(&[("a.cedar", &policy(&many.join(" || ")))]);
    assert!(
        found[0].starts_with("the policy set: speaks of 17 claims, and of 16 at most"),
        "{found:?}"
    );
}
