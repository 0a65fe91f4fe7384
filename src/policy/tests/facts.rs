//! What depends on facts about the image, and what is told about them.

use super::*;

const RELEASED: &str = "@id(\"released\")
permit (
  principal in Sharewarden::PrincipalGroup::\"pipelines\",
  action == Sharewarden::Action::\"grant\",
  resource in Sharewarden::Account::\"111122223333\"
) when { context.recipient in Sharewarden::AccountGroup::\"partners\" && resource.hasTag(\"release\") };
@id(\"not-on-sunday\") forbid (principal == Sharewarden::Principal::\"build/sunday\", action, resource)
when { context.weekday == 7 };
@id(\"revokes\") permit (principal, action == Sharewarden::Action::\"revoke\", resource);
";

#[test]
fn facts_are_needed_only_if_a_permit_can_match_and_no_other_forbid_does() {
    let set = compiled(RELEASED);
    let needs = |principal: &str, action, shared: &str| {
        set.needs(PolicyQuery::of(&intent(principal, action, shared), now()))
            .tags
    };
    assert!(needs("build/7", Action::Grant, PARTNER));
    assert!(
        !needs("build/7", Action::Grant, STRANGER),
        "a condition that is no fact does not hold"
    );
    assert!(!needs("stranger", Action::Grant, PARTNER), "the scope does not match");
    assert!(!needs("build/sunday", Action::Grant, PARTNER), "a forbid matches");
    assert!(
        !needs("build/7", Action::Revoke, PARTNER),
        "only grants speak of the tag"
    );
}

/// What was decided without reading is decided in the same way again.
#[test]
fn a_decision_without_facts_is_the_one_that_would_be_made_with_them() {
    let set = compiled(RELEASED);
    for (principal, shared, ids) in [
        ("stranger", PARTNER, &[][..]),
        ("build/7", STRANGER, &[]),
        ("build/sunday", PARTNER, &["not-on-sunday"]),
    ] {
        let asked = intent(principal, Action::Grant, shared);
        let query = PolicyQuery::of(&asked, now());
        let without = set.decide(query);
        assert_eq!(super::ids(&without), ids, "{without:?}");
        let facts = Facts {
            tags: Some(BTreeMap::from([("release".into(), "1".into())])),
            ..Facts::default()
        };
        let with = set.decide(PolicyQuery {
            facts: Some(&facts),
            ..query
        });
        assert_eq!(
            (without.refusal, without.decision.policies),
            (with.refusal, with.decision.policies)
        );
    }
}

#[test]
fn what_aws_reports_is_told_only_to_a_principal_that_may_read_the_account() {
    let mut source = source(&[("a.cedar", RELEASED)]);
    source.roles = vec![binding("build/reader", Role::Viewer, Some(ACCOUNT))];
    let set = PolicySet::compile(source).unwrap();
    let refusal = |principal: &str, facts: &Facts| {
        let asked = intent(principal, Action::Grant, PARTNER);
        let query = PolicyQuery::of(&asked, now());
        set.decide(PolicyQuery {
            facts: Some(facts),
            ..query
        })
        .refusal
        .unwrap()
    };
    let untagged = Facts {
        tags: Some(BTreeMap::new()),
        ..Facts::default()
    };
    let told = refusal("build/reader", &untagged);
    assert!(
        told.ends_with("the policy \"released\", which needs `resource.hasTag(\"release\")`"),
        "{told}"
    );
    let told = refusal("build/7", &untagged);
    assert!(
        told.ends_with("the policy \"released\", which needs conditions about the image"),
        "{told}"
    );

    let unknown = Facts {
        unknown: Some("AccessDeniedException: role r of 111122223333".into()),
        ..Facts::default()
    };
    let told = refusal("build/reader", &unknown);
    assert!(
        told.ends_with("which is not known: AccessDeniedException: role r of 111122223333"),
        "{told}"
    );
    let told = refusal("build/7", &unknown);
    assert_eq!(
        told,
        "the policy needs to know the tags of the image, which is not known: AWS does not tell it"
    );
}

/// Conditions about the image are left out of a permit: what is left must match whenever the permit does.
#[test]
fn a_permit_that_can_match_with_facts_is_not_refused_without_them() {
    for condition in [
        "resource.hasTag(\"a\") || context.hour == 99",
        "!(resource has state) || context has ticket",
        "(resource.hasTag(\"a\") && context has ticket) && context.ticket == \"1\"",
        "if resource.hasTag(\"a\") then context.hour == 5 else context.hour == 6",
    ] {
        for kind in ["when", "unless"] {
            let set = compiled(&format!(
                "@id(\"a\") permit (principal, action, resource) {kind} {{ {condition} }};"
            ));
            let mut asked = intent("a", Action::Grant, PARTNER);
            asked.justification.ticket = Some("1".parse().unwrap());
            let needs = set.needs(PolicyQuery::of(&asked, now()));
            assert!(needs.tags || needs.image, "{kind} {condition}");
        }
    }
}

#[test]
fn the_smallest_age_that_a_policy_demands_holds_for_the_facts_that_it_speaks_of() {
    let policy = |id: &str, age: &str, condition: &str| {
        format!(
            "@id(\"{id}\") @max_fact_age(\"{age}\") permit (principal, action == Sharewarden::Action::\"grant\", resource) \
             when {{ {condition} }};\n"
        )
    };
    let policies = policy("a", "10s", "resource.hasTag(\"a\")")
        + &policy("b", "500ms", "resource.hasTag(\"b\")")
        + &policy("c", "0s", "context.hour == 1");
    let set = compiled(&policies);
    let seconds = std::time::Duration::from_secs;
    let expected = FactAges {
        image: seconds(60),
        tags: std::time::Duration::from_millis(500),
    };
    assert_eq!(set.fact_ages(PolicyAction::Grant), expected);
    let any = FactAges {
        image: seconds(60),
        tags: seconds(60),
    };
    assert_eq!(set.fact_ages(PolicyAction::Revoke), any);
    let warnings: Vec<_> = set.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["a.cedar:3: the policy \"c\" has @max_fact_age and speaks of no fact about the image"]
    );
    for age in ["61s", "10", "", "-1s"] {
        let found = problems(&[("a.cedar", &policy("a", age, "resource.hasTag(\"a\")"))]);
        assert!(
            found[0].starts_with("a.cedar:1: @max_fact_age must be a duration"),
            "{found:?}"
        );
    }
}

#[test]
fn only_tags_that_a_policy_reads_are_used_and_facts_that_no_entry_can_hold_are_not_known() {
    let tags = |value: &str| Facts {
        tags: Some(
            [
                ("release".to_owned(), value.to_owned()),
                ("cost".to_owned(), "7".to_owned()),
            ]
            .into(),
        ),
        ..Facts::default()
    };
    let set = compiled(RELEASED);
    let keys = |facts: Facts| facts.tags.unwrap().into_keys().collect::<Vec<_>>();
    assert_eq!(keys(set.used_facts(PolicyAction::Grant, tags("yes"))), ["release"]);
    assert!(keys(set.used_facts(PolicyAction::Revoke, tags("yes"))).is_empty());
    let computed = "@id(\"a\") permit (principal, action, resource) when { resource.hasTag(context.reason) };";
    assert_eq!(
        keys(compiled(computed).used_facts(PolicyAction::Grant, tags("yes"))),
        ["cost", "release"]
    );

    let large = set.used_facts(PolicyAction::Grant, tags(&"x".repeat(5000)));
    let asked = intent("build/7", Action::Grant, PARTNER);
    let verdict = set.decide(PolicyQuery {
        facts: Some(&large),
        ..PolicyQuery::of(&asked, now())
    });
    assert!(
        verdict
            .refusal
            .unwrap()
            .contains("the tags of the image, which is not known")
    );
    assert!(verdict.decision.facts.bytes() < 200, "{:?}", verdict.decision.facts);
}

#[test]
fn a_grant_is_refused_while_a_fact_that_the_set_mentions_is_not_known() {
    let mentions = |caller, image, tags| Mentions {
        caller,
        image,
        tags,
        end: false,
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
        ("resource has created", mentions(false, true, false)),
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
        assert_eq!(set.mentions(PolicyAction::Grant), expected, "{condition}");
        let is_known = expected == Mentions::default();
        assert_eq!(is_allowed(&set, "b", Action::Grant, PARTNER), is_known, "{condition}");
        assert!(is_allowed(&set, "b", Action::Revoke, PARTNER), "{condition}");
    }
    let set = set([binding("a*", Role::Operator, Some(ACCOUNT))]);
    assert_eq!(set.mentions(PolicyAction::Grant), Mentions::default());
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
fn cedar_is_given_only_the_attributes_that_a_policy_reads() {
    let given = |condition: &str| {
        let set = compiled(&format!(
            "@id(\"a\") permit (principal, action, resource) when {{ {condition} }};
             @id(\"b\") permit (principal, action == Sharewarden::Action::\"revoke\", resource)
             when {{ context.cause == \"a\" }};"
        ));
        let asked = intent("build/7", Action::Grant, PARTNER);
        let facts = Facts {
            image: Some(described()),
            ..Facts::default()
        };
        let query = PolicyQuery {
            facts: Some(&facts),
            ..PolicyQuery::of(&asked, now())
        };
        let cedar = CedarQuery::of(query, &set).unwrap();
        let mut names: Vec<_> = ["cause", "caller", "hour", "weekday", "now", "reason"]
            .into_iter()
            .filter(|name| cedar.request.context().unwrap().get(name).is_some())
            .collect();
        for entity in cedar.entities.iter() {
            let of_entity = ["name", "id", "configured", "account", "region", "state", "created"];
            names.extend(of_entity.into_iter().filter(|name| entity.attr(name).is_some()));
        }
        names.sort_unstable();
        names
    };
    assert_eq!(given("resource.region == \"a\""), ["region"]);
    assert_eq!(
        given("resource has state && context.hour == 1"),
        ["hour", "state", "weekday"]
    );
    assert_eq!(given("context.recipient.configured"), ["configured"; 2]);
    let all = given("(if context == context then 1 else 2) == 1");
    assert_eq!(all.len(), 15, "{all:?}");
}
