//! What a refusal says.

use super::*;

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
