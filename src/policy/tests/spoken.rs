//! The policies that speak of a principal.

use super::*;

#[test]
fn the_policies_that_speak_of_a_principal_are_those_that_can_match_it() {
    let files = [(
        "a.cedar",
        "@id(\"everybody\") forbid (principal, action, resource) when { context.hour < 6 };
         @id(\"group\") permit (principal in Sharewarden::PrincipalGroup::\"pipelines\", action, resource);
         @id(\"alice\") permit (principal == Sharewarden::Principal::\"alice\", action, resource) when { context has ticket };
         @id(\"named\") permit (principal, action, resource)
           when { principal.name like \"b*\" && context.recipient.configured };
         @id(\"others\") forbid (principal, action, resource) unless { principal.name like \"b*\" };
         @id(\"mixed\") forbid (principal, action, resource) unless { principal.name == \"b\" || context.hour > 6 };",
    )];
    let mut from = source(&files);
    from.roles = vec![
        binding("b*", Role::Operator, Some(ACCOUNT)),
        binding("alice", Role::Viewer, None),
    ];
    let only = ShareWith::Only(BTreeSet::from([PARTNER.parse().unwrap()]));
    from.accounts.insert(ACCOUNT.parse().unwrap(), only);
    let set = PolicySet::compile(from).unwrap();
    let ids = |principal: &str| -> Vec<_> {
        let principal = principal.parse().unwrap();
        let found = set.policies_of(caller(&principal)).into_iter();
        found
            .map(|policy| match policy.origin {
                PolicyOrigin::Role => "role",
                _ => policy.id.as_str(),
            })
            .collect()
    };
    assert_eq!(ids("build/7"), ["everybody", "group", "mixed", "named", "role"]);
    assert_eq!(ids("alice"), ["alice", "everybody", "mixed", "others"]);
}
