//! What policies and templates of files decide.

use super::*;

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
        (
            "(if context.hour == 5 then resource else resource).region == \"eu-central-1\"",
            true,
        ),
        ("[context.recipient.id].contains(\"444455556666\")", true),
        ("{ given: context.reason }.given == \"a test\"", true),
        (
            "(if context.hour == 5 then context else context).cause == \"CALLER\"",
            true,
        ),
    ] {
        let set = compiled(&format!(
            "@id(\"a\")\npermit (principal, action, resource)\nwhen {{ {condition} }};"
        ));
        let mut asked = intent("build/7", Action::Grant, PARTNER);
        asked.justification.ticket = Some("CHG-7".parse().unwrap());
        asked.authentication = Some(Authentication::by([CredentialKind::Token]));
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
