//! The commands under `policy` on files, by the real program: they need no service.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::closed_outputs::program;

/// What a command printed, and its exit code.
struct Printed {
    code: i32,
    out: String,
    notes: String,
}

impl Printed {
    /// The JSON lines.
    fn lines(&self) -> Vec<Value> {
        let lines = self.out.lines().map(serde_json::from_str::<Value>);
        lines.collect::<Result<_, _>>().unwrap()
    }
}

/// Runs a command in the folder.
fn run(arguments: &str, folder: &Path) -> Printed {
    let output = program(arguments).current_dir(folder).output().unwrap();
    Printed {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        notes: String::from_utf8(output.stderr).unwrap(),
    }
}

fn in_examples(arguments: &str) -> Printed {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/policies");
    run(&format!("{arguments} --config sharewarden.toml"), &folder)
}

const FILES: &str = "cases/pipelines.test.toml cases/partners.test.toml";

#[test]
fn the_example_policies_decide_as_their_cases_expect_and_each_policy_decides_one() {
    let checked = in_examples("policy check");
    assert_eq!((checked.code, checked.notes.as_str()), (0, ""), "{}", checked.out);
    assert_eq!(checked.out.lines().count(), 1, "no warnings: {}", checked.out);
    let tested = in_examples(&format!("policy test {FILES}"));
    assert_eq!(tested.code, 0, "{}{}", tested.out, tested.notes);
    assert_eq!(tested.notes, "17 cases, all decided as expected\n");

    // A permit is also missing where a case is refused, and a forbid where one is allowed.
    let lines = in_examples(&format!("policy test {FILES} -o json")).lines();
    let decisions: BTreeSet<_> = lines
        .iter()
        .filter_map(|line| line["case"]["decision"]["allowed"].as_bool())
        .collect();
    assert_eq!(decisions, BTreeSet::from([false, true]));
    let last = lines.last().unwrap();
    assert_eq!((&last["cases"], &last["different"]), (&17.into(), &0.into()));
}

#[test]
fn a_case_that_is_decided_differently_is_told_with_its_line_and_the_command_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/policies/cases/partners.test.toml");
    let text = fs::read_to_string(examples).unwrap();
    fs::write(&file, text.replace("CHG-1234", "INC-1234")).unwrap();
    let tested = in_examples(&format!("policy test {}", file.display()));
    assert_eq!(tested.code, 1, "{}", tested.out);
    let expected = "x.toml:20: \"a partner with a change ticket\" expects allowed by partners-with-a-change-ticket; \
                    it is refused by no policy: ";
    assert!(tested.notes.contains(expected), "{}", tested.notes);
    assert!(
        tested.notes.contains("context.ticket like \"CHG-*\""),
        "{}",
        tested.notes
    );
    let undecided = "no case is decided by the policy \"no-strangers\"";
    assert!(tested.notes.contains(undecided), "{}", tested.notes);
    assert!(
        tested.notes.ends_with("error: 2 of 7 cases are decided differently\n"),
        "{}",
        tested.notes
    );
}

#[test]
fn a_fact_that_the_set_speaks_of_and_a_case_leaves_out_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/policies/cases/pipelines.test.toml");
    let text = fs::read_to_string(examples).unwrap();
    let file = folder.path().join("x.toml");
    fs::write(&file, text.replace("tags = { release = \"yes\" }\n", "")).unwrap();
    let tested = in_examples(&format!("policy test {}", file.display()));
    assert_eq!(tested.code, 1);
    let said = "it is refused by no policy: the policy needs to know the tags of the image, which is not known";
    assert!(tested.notes.contains(said), "{}", tested.notes);
}

#[test]
fn a_file_of_cases_is_read_strictly_and_a_mistake_has_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let case = "[[cases]]\nname = \"x\"\nprincipal = \"alice\"\naction = \"grant\"\nrecipient = \"777788889999\"\n\
                image = \"111122223333/eu-central-1/wsi-basewin11\"\nreason = \"r\"\ntime = 2026-11-30T10:00:00Z\n\
                decision = \"refused\"\n";
    for (text, said) in [
        (case.to_owned(), None),
        (
            format!("{case}tcket = \"CHG-1\"\n"),
            Some("x.toml:10: unknown field `tcket`"),
        ),
        (
            case.replace("grant", "share"),
            Some("x.toml:4: unknown variant `share`"),
        ),
        (case.replace("777788889999", "7777"), Some("x.toml:5: ")),
        (
            case.replace("777788889999", "111122223333"),
            Some("x.toml:1: the case \"x\" has the owner"),
        ),
        (
            case.replace("10:00:00Z", "10:00:00"),
            Some("x.toml:1: the case \"x\" has the time 2026-11-30T10:00:00,"),
        ),
        (
            case.replace("reason = \"r\"\n", ""),
            Some("x.toml:1: the case \"x\" has no reason"),
        ),
        (
            format!("{case}{case}"),
            Some("x.toml:10: the case \"x\" is also in line 1"),
        ),
        (String::new(), Some("x.toml:1: the file has no [[cases]]")),
    ] {
        let file = folder.path().join("x.toml");
        fs::write(&file, &text).unwrap();
        let tested = in_examples(&format!("policy test {}", file.display()));
        assert_eq!(tested.code, i32::from(said.is_some()), "{text}\n{}", tested.notes);
        assert!(
            tested.notes.contains(said.unwrap_or_default()),
            "{text}\n{}",
            tested.notes
        );
    }
}

#[test]
fn a_directory_is_checked_without_a_configuration_and_all_mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.cedar");
    let good = "@id(\"a\")\npermit (principal in Sharewarden::PrincipalGroup::\"any\", action, resource);\n";
    fs::write(&file, good).unwrap();
    let checked = run("policy check .", folder.path());
    assert_eq!(checked.code, 0, "{}", checked.notes);
    assert!(checked.out.ends_with(" has 1 policies\n"), "{}", checked.out);

    let bad = "permit (principal, action, resource);\n\
               @id(\"c\")\nforbid (principal, action, resource) when { context.tcket == \"\" };\n";
    fs::write(&file, format!("{good}{bad}")).unwrap();
    let checked = run("policy check .", folder.path());
    assert_eq!(checked.code, 1);
    assert!(
        checked.out.contains("a.cedar:3: the policy has no @id\n"),
        "{}",
        checked.out
    );
    assert!(checked.out.contains("a.cedar:5: "), "{}", checked.out);
    assert_eq!(checked.notes, "error: the policy set breaks 2 rule(s)\n");
    let lines = run("policy check . -o json", folder.path()).lines();
    let places: Vec<_> = lines.iter().map(|line| line["problem"]["line"].as_u64()).collect();
    assert_eq!(places, [Some(3), Some(5)]);
}

#[test]
fn the_group_of_a_policy_must_be_in_the_configuration_if_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "@id(\"a\")\npermit (principal in Sharewarden::PrincipalGroup::\"any\", action, resource);\n";
    fs::write(folder.path().join("a.cedar"), policy).unwrap();
    let checked = in_examples(&format!("policy check {}", folder.path().display()));
    assert_eq!(checked.code, 1);
    assert!(checked.out.contains("which is not in groups"), "{}", checked.out);
}

#[test]
fn the_set_is_shown_as_a_list_one_policy_or_its_digest() {
    let digest = in_examples("policy show --digest").out;
    let checked = in_examples("policy check").out;
    assert!(checked.contains(digest.trim()), "{checked}");
    let list = in_examples("policy show").out;
    assert!(list.lines().count() == 7 && list.contains("limits.cedar:3"), "{list}");
    let shown = in_examples("policy show --id no-strangers");
    assert!(shown.out.contains("forbid") && shown.out.contains("recipient.configured"));
    let missing = in_examples("policy show --id no-such");
    assert_eq!(missing.code, 1);
    let schema = in_examples("policy schema");
    assert_eq!(schema.code, 2, "it needs no configuration");
    let schema = run("policy schema", Path::new("/"));
    assert_eq!(schema.out, sharewarden::policy::SCHEMA);
}

#[test]
fn an_explanation_has_the_decision_the_policies_that_decided_and_what_was_missing() {
    let share = "111122223333/eu-central-1/wsi-basewin11";
    let desk = "--as spiffe://bank.example/ns/partners/desk";
    let at = "--time 2026-11-30T10:00:00+01:00 --until 2026-12-31T23:00:00Z";
    let facts = "--tag= --fact state=AVAILABLE --fact operatingSystem=LINUX --fact tenancy=DEFAULT \
                 --fact created=2026-11-01T00:00:00Z";
    let explain = |more: &str| {
        let explained = in_examples(&format!(
            "policy explain {share} {desk} {at} --with 777788889999 {more}"
        ));
        assert_eq!(explained.code, 0, "{}", explained.notes);
        explained.out
    };
    let allowed = explain(&format!("{facts} --ticket CHG-1"));
    let head = "allowed\n\npolicies/grants.cedar:15:\n@id(\"partners-with-a-change-ticket\")\n";
    assert!(allowed.starts_with(head), "{allowed}");
    let refused = explain(facts);
    assert!(
        refused.starts_with("refused: ") && refused.contains("context has ticket"),
        "{refused}"
    );
    let unknown = explain("--ticket CHG-1");
    assert!(unknown.contains("which is not known"), "{unknown}");

    let of_case = "policy explain --file cases/pipelines.test.toml --case";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/policies");
    let output = program(of_case)
        .args(["at night", "--config", "sharewarden.toml", "-o", "json"])
        .current_dir(folder)
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["decision"]["allowed"], false);
    assert_eq!(document["policies"][0]["id"], "nothing-out-of-hours");
}

/// Cases and options give the claims of the caller. What they leave out is not known.
#[test]
fn cases_and_an_explanation_are_decided_by_the_claims_that_they_give() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "a.cedar",
        "@id(\"team\") permit (principal in Sharewarden::PrincipalGroup::\"staff\", action, resource)\n\
         when { principal.hasTag(\"team\") && principal.getTag(\"team\").contains(\"images\") };",
    );
    write(
        "sharewarden.toml",
        "database.url = \"postgres://u@h/d\"\ncheckpoint.name = \"o\"\ncheckpoint.key_file = \"k\"\nauth.modes = [\"trusted-header\"]\n\
         policy.directory = \".\"\n[[groups]]\nname = \"staff\"\nclaim = \"groups\"\nvalues = [\"staff\", \"interns\"]\n\
         [[accounts]]\nid = \"111122223333\"\nregions = [\"eu-central-1\"]\nshare_with = \"anyone\"\n",
    );
    let case = |name: &str, claims: &str, decision: &str, policies: &str| {
        format!("[[cases]]\nname = \"{name}\"\n{claims}decision = \"{decision}\"\npolicies = [{policies}]\n")
    };
    let defaults = "[defaults]\nprincipal = \"alice\"\naction = \"grant\"\nrecipient = \"777788889999\"\nreason = \"r\"\n\
                    image = \"111122223333/eu-central-1/wsi-basewin11\"\ntime = 2026-11-30T10:00:00Z\n";
    let cases = [
        case(
            "a member",
            "claims = { groups = [\"interns\", \"x\"], team = \"images\" }\n",
            "allowed",
            "\"team\"",
        ),
        case(
            "another team",
            "claims = { groups = \"staff\", team = [\"base\"] }\n",
            "refused",
            "",
        ),
        case("no claims", "claims = {}\n", "refused", ""),
        case("not known", "", "refused", ""),
    ];
    write("cases.toml", &format!("{defaults}{}", cases.concat()));
    let tested = run("policy test --config sharewarden.toml cases.toml", folder.path());
    assert_eq!(tested.code, 0, "{}{}", tested.out, tested.notes);

    let explain = |claims: &str| {
        let share = "111122223333/eu-central-1/wsi-basewin11 --with 777788889999 --as alice";
        run(
            &format!("policy explain --config sharewarden.toml {share} {claims}"),
            folder.path(),
        )
    };
    for (claims, said) in [
        (
            "--claim groups=x --claim groups=staff --claim team=images",
            "allowed\n\n./a.cedar:1:",
        ),
        (
            "--claim groups=staff --claim team=",
            "which needs `principal.hasTag(\"team\")`",
        ),
        (
            "",
            "the policy needs to know the claim \"groups\" of the caller, which is not known",
        ),
    ] {
        let explained = explain(claims);
        assert!(
            explained.code == 0 && explained.out.contains(said),
            "{claims}: {}{}",
            explained.out,
            explained.notes
        );
    }
    for wrong in ["--claim groups", "--claim exp=1"] {
        assert_eq!(explain(wrong).code, 2, "{wrong}");
    }
    for (claims, said) in [
        ("claims = { exp = \"1\" }\n", "must be the name of a claim"),
        ("claims = { team = 7 }\n", "must be a text or a list of texts"),
    ] {
        write("wrong.toml", &format!("{defaults}{}", case("x", claims, "refused", "")));
        let tested = run("policy test --config sharewarden.toml wrong.toml", folder.path());
        assert!(tested.code == 1 && tested.notes.contains(said), "{}", tested.notes);
        assert!(tested.notes.contains("wrong.toml:"), "{}", tested.notes);
    }
}
