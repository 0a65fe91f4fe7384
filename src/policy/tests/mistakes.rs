//! What is wrong with sets that cannot be used, and what may be wrong with others.

use super::*;

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

/// As when a volume is not mounted yet: without the files, only the roles would decide.
#[test]
fn a_directory_without_policies_is_a_mistake() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("notes.txt"), "not a policy").unwrap();
    let problems = PolicyFile::in_directory(directory.path()).unwrap_err();
    assert!(problems[0].rule.contains("has no *.cedar file"), "{problems:?}");
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

/// Cedar evaluates by recursion, and needs stack for each level.
#[test]
fn a_policy_that_nests_too_deeply_to_be_evaluated_is_a_mistake_and_one_that_loads_is_evaluated() {
    let chain = |operator: &str, count| vec!["context.hour == 5"; count].join(operator);
    let nested =
        |open: &str, close: &str, count| format!("{}context.hour == 5{}", open.repeat(count), close.repeat(count));
    let shapes: [(&str, &dyn Fn(usize) -> String); 6] = [
        ("and", &|count| chain(" && ", count)),
        ("or", &|count| chain(" || ", count)),
        ("clauses", &|count| chain(" } when { ", count)),
        ("not", &|count| nested("!(1 == 1 && ", ")", count)),
        ("if", &|count| nested("if true then (", ") else false", count)),
        ("contains", &|count| nested("[true].contains(", ")", count)),
    ];
    let of = |condition: &str| format!("@id(\"a\") permit (principal, action, resource)\nwhen {{ {condition} }};");
    for (shape, condition) in shapes {
        let texts: Vec<_> = (1..40).map(|count| of(&condition(count))).collect();
        // Cedar parses parentheses by recursion, without a limit.
        let loaded = with_stack(64 << 20, move || {
            let sets = texts
                .iter()
                .map(|text| PolicySet::compile(source(&[("a.cedar", text)])));
            sets.map_while(Result::ok).collect::<Vec<_>>()
        });
        assert!((5..39).contains(&loaded.len()), "{shape} {}", loaded.len());
        // Less stack than the threads of the service have.
        let refusals = with_stack(7 << 18, move || {
            let verdicts = loaded.iter().map(|set| decide(set, "a", Action::Grant, PARTNER));
            verdicts.filter_map(|verdict| verdict.refusal).collect::<Vec<_>>()
        });
        assert!(
            !refusals.iter().any(|refusal| refusal.contains("cannot be evaluated")),
            "{shape} {refusals:?}"
        );
    }
    let found = problems(&[("a.cedar", &of(&chain(" && ", 40)))]);
    let expected = "a.cedar:1: the conditions of the policy \"a\" nest 43 levels deep, and 28 at most";
    assert!(found[0].starts_with(expected), "{found:?}");
}

fn with_stack<T: Send + 'static>(bytes: usize, run: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(bytes).spawn(run);
    thread.unwrap().join().unwrap()
}
