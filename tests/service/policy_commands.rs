//! The commands under `policy` that ask the service, by the real program.

use std::fs;

use serde_json::Value;
use sharewarden_testkit::stack::*;

use crate::{
    policy_explain::{RELEASED, TESTER, stack},
    processes::{output, program, stderr, stdout},
};

struct Printed {
    code: i32,
    out: String,
    notes: String,
}

/// Runs a command as a principal.
async fn run(stack: &Stack, principal: &str, arguments: &[&str]) -> Printed {
    let mut program = program();
    program.args(arguments);
    program.args([
        "--server",
        &format!("http://{}", stack.address),
        "--principal",
        principal,
    ]);
    let output = output(&mut program).await;
    Printed {
        code: output.status.code().unwrap(),
        out: stdout(&output),
        notes: stderr(&output),
    }
}

fn json(printed: &Printed) -> Value {
    assert_eq!((printed.code, printed.notes.as_str()), (0, ""), "{}", printed.out);
    serde_json::from_str(&printed.out).unwrap()
}

#[tokio::test]
async fn a_decision_of_the_service_and_one_of_its_set_are_told_alike() {
    let stack = stack().await;
    let share = format!("{ACCOUNT}/{REGION}/{RELEASED}");
    let asked = ["policy", "explain", &share, "--with", RECIPIENT, "--as", TESTER];
    let assumed = ["--tag", "release=approved"];
    for ticket in ["CHG-1", "13"] {
        let by_service = [&asked[..], &["--ticket", ticket, "-o", "json"]].concat();
        let here = [&by_service[..], &assumed].concat();
        let (told, assumed) = (
            json(&run(&stack, "auditor", &by_service).await),
            json(&run(&stack, "auditor", &here).await),
        );
        for part in ["decision", "near", "policySet"] {
            assert_eq!(told[part], assumed[part], "{part}, ticket {ticket}");
        }
        // The forbid decides without the tags, and then they are not read.
        let tags = if ticket == "13" {
            &Value::Null
        } else {
            &assumed["facts"]["tags"]
        };
        assert_eq!(told["facts"]["tags"], *tags);
        assert_eq!(told["policies"][0]["text"], assumed["policies"][0]["text"]);
    }
    // Without a ticket, the policy that came near is shown with its text.
    let printed = run(&stack, "auditor", &asked).await;
    assert!(
        printed.out.starts_with("refused: tester@example.com may not grant"),
        "{}",
        printed.out
    );
    let near = "near, without `context has ticket`: test.cedar:1:\n@id(\"released\")";
    assert!(printed.out.contains(near), "{}", printed.out);
    // The caller itself does not see it, and not that of others.
    let own = run(&stack, TESTER, &asked[..5]).await;
    let near = "near, without `context has ticket`: the policy \"released\":\npermit: Testers share released images.\n";
    assert!(own.out.contains(near), "{}", own.out);
    let others = run(&stack, TESTER, &[&asked[..5], &["--as", "nurse"]].concat()).await;
    assert_eq!((others.code, others.out.as_str()), (4, ""), "{}", others.notes);
    assert_eq!(stack.kinds(ACCOUNT).await, [""; 0]);
    stack.end().await;
}

#[tokio::test]
async fn a_set_is_shown_by_its_digest_to_those_who_may_read_it() {
    let stack = stack().await;
    // The set of the start is kept, and is not the one in force.
    let first: String = sqlx::query_scalar("SELECT digest FROM policy_set WHERE digest <> $1")
        .bind(stack.policy().in_force().digest().to_string())
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    let shown = json(&run(&stack, "auditor", &["policy", "show", "--digest", &first, "-o", "json"]).await);
    assert_eq!(shown["digest"], *first);
    let origins: Vec<_> = shown["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|policy| &policy["origin"])
        .collect();
    assert_eq!(origins, ["accounts.share_with of 444455556666", "roles"]);
    let listed = run(&stack, "auditor", &["policy", "show", "--digest", &first]).await;
    assert!(listed.out.contains("roles.operator."), "{}", listed.out);

    let unknown = run(&stack, "auditor", &["policy", "show", "--digest", &"0".repeat(64)]).await;
    assert_eq!(unknown.code, 3, "{}", unknown.notes);
    let refused = run(&stack, TESTER, &["policy", "show", "--digest", &first]).await;
    assert_eq!(refused.code, 4, "{}", refused.notes);
    let both = run(&stack, "auditor", &["policy", "show", "--config", "x.toml"]).await;
    assert_eq!(both.code, 1);
    assert!(both.notes.contains("give one"), "{}", both.notes);
    stack.end().await;
}

#[tokio::test]
async fn a_replay_from_the_service_is_that_of_the_exports() {
    let stack = Stack::start().await;
    stack.grant_many(0, 3).await;
    stack.checkpoint(ACCOUNT, 6).await;
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("strict");
    fs::create_dir(&policies).unwrap();
    let forbid =
        "@id(\"none\") @says(\"No.\")\nforbid (principal, action == Sharewarden::Action::\"grant\", resource);";
    fs::write(policies.join("a.cedar"), forbid).unwrap();
    let (policies, export) = (policies.to_str().unwrap(), folder.path().join("ledger.jsonl"));
    let export = export.to_str().unwrap();
    let exported = run(&stack, TESTER, &["audit", "export", "-a", ACCOUNT, "--to", export]).await;
    assert_eq!(exported.code, 0, "{}", exported.notes);

    let from_service = ["policy", "replay", "--since", "90d", "--policy", policies];
    for format in ["table", "json"] {
        let arguments = [&from_service[..], &["-o", format]].concat();
        let of_service = run(&stack, TESTER, &arguments).await;
        let of_file = run(&stack, TESTER, &[&arguments[..], &[export]].concat()).await;
        assert_eq!(of_service.code, 0, "{}", of_service.notes);
        assert_eq!((of_service.out, of_service.notes), (of_file.out, of_file.notes));
    }
    let table = run(&stack, TESTER, &from_service).await;
    assert_eq!(table.out.matches(" refused").count(), 3, "{}", table.out);
    let summary = "3 requests: 3 would be decided differently, 0 cannot be decided with the recorded facts\n";
    assert_eq!(table.notes, summary);
    // The set in force decides as it did.
    let same = run(&stack, TESTER, &["policy", "replay", "-a", ACCOUNT]).await;
    assert!(same.notes.starts_with("3 requests: 0 would"), "{}", same.notes);
    stack.end().await;
}
