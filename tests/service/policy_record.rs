//! The recorded decisions are made again from an export alone, and replayed under another policy set.

use std::{fs, path::Path};

use serde_json::Value;
use sharewarden_simulator::{Effect, Image};
use sharewarden_testkit::stack::*;

use crate::{
    policy::RELEASED,
    processes::{output, program, stderr, stdout},
};

/// Runs a command with JSON lines. Returns its exit code, the lines and the notes.
pub(crate) async fn run(line: &str) -> (Option<i32>, Vec<Value>, String) {
    let ran = output(program().args(line.split_whitespace()).args(["-o", "json"])).await;
    let lines = stdout(&ran);
    let lines = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    (ran.status.code(), lines.unwrap(), stderr(&ran))
}

pub(crate) async fn export(stack: &Stack, entries: u64, to: &Path) -> String {
    stack.checkpoint_of(ACCOUNT, entries).await;
    let mut program = program();
    program.args([
        "--server",
        &format!("http://{}", stack.address),
        "--principal",
        "tester@example.com",
    ]);
    program.args(["audit", "export", "--account", ACCOUNT, "--to"]).arg(to);
    let ran = output(&mut program).await;
    assert!(ran.status.success(), "{}", stderr(&ran));
    fs::read_to_string(to).unwrap()
}

#[tokio::test]
async fn each_recorded_decision_is_made_again_from_an_export_and_differences_and_missing_texts_are_found() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("released.cedar"), RELEASED).unwrap();
    let stack = Stack::start_with(&format!("policy.directory = \"{}\"\n", folder.path().display())).await;
    let released = Image::new(REGION, "wsi-released01", ACCOUNT).tagged("release", "approved");
    let other = Image::new(REGION, "wsi-untagged01", ACCOUNT).tagged("cost", "7");
    stack.simulator.add_image(released).unwrap();
    stack.simulator.add_image(other).unwrap();
    let mut client = stack.client().await;
    let mut ask = async |image: &str| {
        let mut request = grant();
        request.image_id = image.into();
        client.grant_share_permission(as_tester(request)).await.is_ok()
    };
    assert!(ask("wsi-released01").await);
    assert!(!ask("wsi-untagged01").await);
    let refuse = Effect::Refuse {
        code: "AccessDeniedException".into(),
        message: "not for this role".into(),
        http_status: 400,
    };
    stack.fault("DescribeTags", u64::MAX, refuse);
    assert!(!ask(IMAGE).await, "its tags are not known");
    client.revoke_share_permission(as_tester(revoke())).await.unwrap();

    let file = folder.path().join("ledger.jsonl");
    let text = export(&stack, 6, &file).await;
    let verify = format!("policy verify {}", file.display());
    let (code, lines, notes) = run(&verify).await;
    assert_eq!(code, Some(0), "{lines:?} {notes}");
    assert_eq!(lines, [serde_json::json!({"repeated": 6, "different": 0})]);

    // Each lie about a decision is found: another policy, and another fact.
    for (old, new) in [
        ("\"policies\":[\"released-only\"]", "\"policies\":[]"),
        ("\"value\":\"approved\"", "\"value\":\"rejected\""),
    ] {
        let changed = text.replacen(old, new, 1);
        assert_ne!(changed, text, "{old}");
        fs::write(&file, changed).unwrap();
        let (code, lines, notes) = run(&verify).await;
        assert_eq!(code, Some(1), "{old}: {lines:?} {notes}");
        assert!(
            lines.last().unwrap()["different"].as_u64() > Some(0),
            "{old}: {lines:?}"
        );
    }
    let set = text.lines().last().unwrap();
    fs::write(&file, text.replace(set, "").trim_end().to_owned() + "\n").unwrap();
    let (code, lines, _) = run(&verify).await;
    assert_eq!((code, &lines.last().unwrap()["different"]), (Some(1), &6.into()));
    stack.end().await;
}

#[tokio::test]
async fn a_replay_tells_what_another_set_would_decide_and_which_facts_the_record_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    client.revoke_share_permission(as_tester(revoke())).await.unwrap();
    let file = folder.path().join("ledger.jsonl");
    export(&stack, 4, &file).await;

    let config = folder.path().join("sharewarden.toml");
    fs::write(&config, config_text("postgres://none", "http://127.0.0.1:1", "")).unwrap();
    let replay = async |policy: &str| {
        let policies = folder.path().join("new");
        fs::create_dir_all(&policies).unwrap();
        fs::write(policies.join("new.cedar"), policy).unwrap();
        let (file, config, policies) = (file.display(), config.display(), policies.display());
        let (code, lines, notes) = run(&format!("policy replay {file} --config {config} --policy {policies}")).await;
        assert_eq!(code, Some(0), "{notes}");
        lines
    };
    let same =
        replay("@id(\"never\") forbid (principal == Sharewarden::Principal::\"nobody\", action, resource);").await;
    let total = |lines: &[Value]| {
        let last = lines.last().unwrap();
        ["requests", "different", "unknown"].map(|member| last[member].as_u64().unwrap())
    };
    assert_eq!(total(&same), [2, 0, 0], "{same:?}");
    let strict =
        replay("@id(\"no-grants\") forbid (principal, action == Sharewarden::Action::\"grant\", resource);").await;
    assert_eq!(total(&strict), [2, 1, 0], "{strict:?}");
    let replayed = &strict[0]["replayed"];
    assert_eq!(replayed["now"]["policies"], serde_json::json!(["no-grants"]));
    assert_eq!(
        (&replayed["was"]["allowed"], &replayed["now"]["allowed"]),
        (&true.into(), &false.into())
    );
    let tagged = replay(RELEASED).await;
    assert_eq!(total(&tagged), [2, 0, 1], "{tagged:?}");
    assert_eq!(tagged[0]["replayed"]["lacks"], "the description of the image");
    stack.end().await;
}
