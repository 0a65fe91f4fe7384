//! A set is made of its text again, and decides as before.

use proptest::{collection::vec, option, sample::select};

use super::*;

const POLICIES: [&str; 6] = [
    "@id(\"pipelines\") permit (principal in Sharewarden::PrincipalGroup::\"pipelines\", action, resource);",
    "@id(\"partners\") @says(\"Partners \\\"only\\\".\")\nforbid (principal, action == Sharewarden::Action::\"grant\", resource)\n\
     unless { context.recipient in Sharewarden::AccountGroup::\"partners\" };",
    "@id(\"sunday\") forbid (principal, action, resource) when { context.weekday == 7 && context.hour < 6 };",
    "@id(\"released\") permit (principal, action, resource) when { resource.hasTag(\"release\") };",
    "@id(\"owners\") permit (principal, action, resource in Sharewarden::AccountGroup::\"partners\");",
    "@id(\"far\") forbid (principal, action in Sharewarden::Action::\"changes\", resource)\n\
     when { !context.recipient.configured && resource has state && resource.state != \"AVAILABLE\" };",
];

fn account() -> impl Strategy<Value = &'static str> {
    select(vec![ACCOUNT, LISTED, PARTNER, STRANGER])
}

fn share_with() -> impl Strategy<Value = ShareWith> {
    option::of(vec(account(), 0..3)).prop_map(|accounts| match accounts {
        None => ShareWith::Anyone,
        Some(some) => ShareWith::Only(some.iter().map(|account| account.parse().unwrap()).collect()),
    })
}

fn role() -> impl Strategy<Value = RoleConfig> {
    let principal = select(vec!["*", "build/*", "build/7", "a\"\\b"]);
    (principal, select(Role::ALL), option::of(account()))
        .prop_map(|(principal, role, accounts)| binding(principal, role, accounts))
}

fn any_source() -> impl Strategy<Value = PolicySource> {
    let files = proptest::sample::subsequence(POLICIES.to_vec(), 0..=POLICIES.len());
    let accounts = vec((account(), share_with()), 0..3);
    let zone = select(vec!["UTC", "Europe/Berlin", "America/New_York"]);
    (files, accounts, vec(role(), 0..3), zone).prop_map(|(files, accounts, roles, zone)| {
        let accounts = accounts.into_iter();
        PolicySource {
            accounts: accounts
                .map(|(account, with)| (account.parse().unwrap(), with))
                .collect(),
            roles,
            zone: zone.into(),
            ..source(&[("a.cedar", &files.join("\n"))])
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_set_is_made_of_its_text_again_with_the_same_digest_and_decisions(
        source in any_source(),
        asked in vec((select(vec!["build/7", "a\"\\b", "x"]), select(Action::ALL), account(), account(), any::<bool>()), 1..8),
    ) {
        let set = PolicySet::compile(source).unwrap();
        let again = PolicySet::from_text(set.text()).unwrap();
        prop_assert_eq!(again.text(), set.text());
        prop_assert_eq!(again.digest(), set.digest());
        prop_assert_eq!(again.recipients(), set.recipients());
        prop_assert_eq!(again.policies().len(), set.policies().len());
        for (policy, first) in again.policies().zip(set.policies()) {
            prop_assert_eq!((&policy.id, &policy.text, &policy.says), (&first.id, &first.text, &first.says));
        }
        for (principal, action, owner, shared, is_known) in asked {
            let mut asked = intent(principal, action, shared);
            asked.key.account = owner.parse().unwrap();
            let facts = Facts { expire_time: None, image: Some(described()), tags: Some(BTreeMap::new()), unknown: None };
            let query = PolicyQuery { facts: is_known.then_some(&facts), ..PolicyQuery::of(&asked, now()) };
            prop_assert_eq!(again.needs(query), set.needs(query));
            let (repeated, first) = (again.decide(query), set.decide(query));
            prop_assert_eq!(repeated.is_allowed(), first.is_allowed());
            prop_assert_eq!(repeated.decision, first.decision);
        }
    }
}

#[test]
fn a_text_that_no_set_has_is_refused_with_the_reason() {
    let text = compiled("@id(\"a\") permit (principal, action, resource);")
        .text()
        .to_owned();
    let refused = |text: &str| PolicySet::from_text(text).unwrap_err().to_string();
    for (text, expected) in [
        (String::new(), "the text of the policy set: is not that of a policy set"),
        (
            text.replace("{\"accounts\":", "{\"more\":1,\"accounts\":"),
            "unknown field `more`",
        ),
        (
            text.replace("{\"accounts\":", "{ \"accounts\":"),
            "is not written as this build writes it",
        ),
        (text.replace("permit (", "perhaps ("), "the policy \"a\" cannot be read"),
        (
            text.replace("Europe/Berlin", "Europe/Nowhere"),
            "must be an IANA time zone",
        ),
        (
            text.replace("namespace Sharewarden", "name Sharewarden"),
            "the schema of the policy set: cannot be read",
        ),
    ] {
        assert!(refused(&text).contains(expected), "{}", refused(&text));
    }
}

/// A later build has a later schema. What was decided under the earlier one stays.
#[test]
fn a_text_with_the_schema_of_an_earlier_build_is_read() {
    let set = compiled("@id(\"a\") permit (principal, action in Sharewarden::Action::\"changes\", resource);");
    let text = set
        .text()
        .replace("    name: String,               // the id again, for `like`\\n", "");
    assert_ne!(text, set.text());
    let earlier = PolicySet::from_text(&text).unwrap();
    assert_eq!(earlier.digest(), crate::domain::PolicyDigest::of(&text));
    assert!(is_allowed(&earlier, "a", Action::Grant, PARTNER));
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_files_of_a_text_are_replaced_and_everything_else_stays(one in any_source(), other in any_source()) {
        let replaced = PolicySource { files: other.files.clone(), ..one.clone() };
        let set = PolicySet::compile(one).unwrap();
        let made = PolicySet::from_text_with(set.text(), other.files).unwrap();
        let compiled = PolicySet::compile(replaced).unwrap();
        prop_assert_eq!(made.text(), compiled.text());
    }
}

#[test]
fn files_that_name_a_group_which_the_text_does_not_have_are_a_mistake() {
    let set = compiled(POLICIES[0]);
    let file = PolicyFile {
        name: "b.cedar".into(),
        text: POLICIES[0]
            .replace("\"pipelines\"", "\"nobody\"")
            .replace("@id(\"nobody\")", "@id(\"a\")"),
    };
    let PolicyProblems(problems) = PolicySet::from_text_with(set.text(), vec![file]).unwrap_err();
    assert!(problems[0].to_string().contains("nobody"), "{problems:?}");
}
