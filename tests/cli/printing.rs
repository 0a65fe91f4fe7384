//! The output of the commands.

use std::io;

use clap::CommandFactory;
use sharewarden::{
    cli::{self, Console},
    proto::v1::*,
};

use crate::{
    answers::{change, granted, permission},
    harness::{Cli, WHICH, parse, run},
    service::{Answer, Asked, Service},
};

fn page(images: &[&str], next: &str) -> Answer {
    let permissions = images.iter().map(|&image| SharePermission {
        image_id: image.into(),
        ..permission(share_permission::State::Shared)
    });
    Answer::List(ListSharePermissionsResponse {
        permissions: permissions.collect(),
        next_page_token: next.into(),
    })
}

#[tokio::test]
async fn a_grant_prints_a_table_of_its_change() {
    let service = Service::answering([Answer::Grant(granted())]).await;
    let ran = run(&service, &format!("grant {WHICH} --reason x")).await.ok();
    let expected = "\
Permission  SHARED
Change      01987654-3210-7000-8000-000000000001
State       SUCCEEDED
Action      GRANT
Account     012345678901
Region      eu-central-1
Image       wsi-0123456789
Recipient   999999999999
Principal   alice
Reason      a build
Cause       CALLER
Request id  11111111-2222-4333-8444-555555555555
Generation  7
Previous    not known (AWS had not answered about it yet)
Created     2026-01-02T03:04:05.25Z

CALL TO AWS                     STARTED                  TOOK   RESULT    AWS REQUEST ID  ERROR CODE
UpdateWorkspaceImagePermission  2026-01-02T03:04:05.25Z  312ms  ACCEPTED  aws-1
";
    assert_eq!(ran.out, expected);
    assert_eq!(ran.notes, "");
}

#[tokio::test]
async fn json_is_the_answer_in_proto3_json() {
    let service = Service::answering([Answer::Grant(granted())]).await;
    let ran = run(&service, &format!("grant {WHICH} --reason x -o json")).await.ok();
    let json = ran.json();
    assert_eq!(json["permission"]["state"], "STATE_SHARED");
    assert_eq!(json["permission"]["generation"], "7");
    assert_eq!(json["change"]["createTime"], "2026-01-02T03:04:05.250Z");
    assert_eq!(json["change"]["attempts"][0]["duration"], "0.312s");
    let back: GrantSharePermissionResponse = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(back, granted());
}

#[tokio::test]
async fn the_warning_of_a_revoke_is_a_note() {
    let answer = || {
        Answer::Revoke(RevokeSharePermissionResponse {
            change: Some(change(change::State::Succeeded)),
            replayed: true,
            warning: "copies stay".into(),
            ..Default::default()
        })
    };
    let service = Service::answering([answer(), answer()]).await;
    let line = format!("revoke {WHICH} --reason x");
    let ran = run(&service, &line).await.ok();
    assert!(ran.notes.contains("warning: copies stay\n"), "{}", ran.notes);
    assert!(ran.notes.contains("nothing was done again"), "{}", ran.notes);
    let ran = run(&service, &format!("{line} -o json")).await.ok();
    assert_eq!(ran.json()["warning"], "copies stay");
}

fn finding(code: finding::Code, severity: finding::Severity) -> Finding {
    Finding {
        code: code.into(),
        severity: severity.into(),
        message: format!("what {} means", code.as_str_name()),
    }
}

#[tokio::test]
async fn warnings_about_a_grant_are_notes() {
    let mut answer = granted();
    answer.findings = vec![finding(finding::Code::ByolRecipient, finding::Severity::Warning)];
    let service = Service::answering([Answer::Grant(answer.clone()), Answer::Grant(answer)]).await;
    let line = format!("grant {WHICH} --reason x");
    let ran = run(&service, &line).await.ok();
    let note = "warning: what CODE_BYOL_RECIPIENT means (BYOL_RECIPIENT)\n";
    assert!(ran.notes.contains(note), "{}", ran.notes);
    let ran = run(&service, &format!("{line} -o json")).await.ok();
    assert_eq!(ran.json()["findings"][0]["severity"], "SEVERITY_WARNING");
}

/// What AWS is expected to refuse exits like the refusal itself, so that a script can rely on it.
#[tokio::test]
async fn validate_only_fails_if_aws_would_refuse() {
    use finding::{Code, Severity::Error};
    let line = format!("{WHICH} --reason x --validate-only");
    for (code, exit) in [
        (Code::ImageNotFound, 3),
        (Code::ImageNotOwned, 7),
        (Code::ImageNotAvailable, 7),
        (Code::ByolInGovcloud, 7),
    ] {
        let findings = vec![finding(code, Error)];
        let grant = GrantSharePermissionResponse {
            permission: Some(permission(share_permission::State::NotShared)),
            findings: findings.clone(),
            ..Default::default()
        };
        let revoke = RevokeSharePermissionResponse {
            findings,
            ..Default::default()
        };
        let grants = [Answer::Grant(grant.clone()), Answer::Grant(grant)];
        let service = Service::answering(grants).await;
        let ran = run(&service, &format!("grant {line}")).await;
        let (found, text) = ran.failure();
        let name = code.as_str_name();
        let expected = format!("AWS would refuse this: what {name} means ({})", &name["CODE_".len()..]);
        assert!(found == exit && text.contains(&expected), "{found}: {text}");
        assert!(ran.out.contains("NOT_SHARED"), "{}", ran.out);
        let ran = run(&service, &format!("grant {line} -o json")).await;
        assert_eq!(
            (ran.failure().0, &ran.json()["findings"][0]["code"]),
            (exit, &name.into())
        );

        let service = Service::answering([Answer::Revoke(revoke.clone()), Answer::Revoke(revoke)]).await;
        for output in ["", " -o json"] {
            assert_eq!(
                run(&service, &format!("revoke {line}{output}")).await.failure().0,
                exit,
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn validate_only_notes_that_nothing_was_changed() {
    let answer = GrantSharePermissionResponse {
        permission: Some(permission(share_permission::State::NotShared)),
        ..Default::default()
    };
    let service = Service::answering([Answer::Grant(answer)]).await;
    let ran = run(&service, &format!("grant {WHICH} --reason x --validate-only"))
        .await
        .ok();
    assert!(ran.out.contains("State       NOT_SHARED\n"), "{}", ran.out);
    assert!(ran.notes.contains("nothing was changed"), "{}", ran.notes);
}

#[tokio::test]
async fn a_list_of_several_pages_has_one_head() {
    let service = Service::answering([
        page(&["wsi-a00000000", "wsi-b0000000000"], "two"),
        page(&[], "three"),
        page(&["wsi-c00000000"], ""),
    ])
    .await;
    let ran = run(&service, "list").await.ok();
    let expected = "\
ACCOUNT       REGION        IMAGE            RECIPIENT     STATE   UPDATED               PENDING CHANGE  ENDS
012345678901  eu-central-1  wsi-a00000000    999999999999  SHARED  2026-01-02T03:04:05Z
012345678901  eu-central-1  wsi-b0000000000  999999999999  SHARED  2026-01-02T03:04:05Z
012345678901  eu-central-1  wsi-c00000000    999999999999  SHARED  2026-01-02T03:04:05Z
";
    assert_eq!(ran.out, expected);
    assert_eq!(
        tokens_and_sizes(&service),
        [("".into(), 100), ("two".into(), 100), ("three".into(), 100)]
    );
}

fn tokens_and_sizes(service: &Service) -> Vec<(String, i32)> {
    let token_and_size = |asked: Asked| match asked {
        Asked::List(request) => (request.page_token, request.page_size),
        other => panic!("{other:?}"),
    };
    service.asked().into_iter().map(token_and_size).collect()
}

#[tokio::test]
async fn a_list_in_json_is_one_document_over_all_pages() {
    let service = Service::answering([page(&["a", "b"], "two"), page(&["c"], ""), page(&[], "")]).await;
    let ran = run(&service, "list -o json").await.ok();
    let list: ListSharePermissionsResponse = serde_json::from_str(&ran.out).unwrap();
    let images: Vec<_> = list.permissions.iter().map(|p| p.image_id.as_str()).collect();
    assert_eq!(images, ["a", "b", "c"]);

    let ran = run(&service, "list -o json").await.ok();
    assert_eq!(ran.json(), serde_json::json!({ "permissions": [] }));
}

#[tokio::test]
async fn a_list_stops_at_its_limit() {
    let service = Service::answering([page(&["a", "b"], "two"), page(&["c"], "three")]).await;
    let ran = run(&service, "list --limit 3 --page-size 2 -o json").await.ok();
    assert_eq!(ran.json()["permissions"].as_array().unwrap().len(), 3);
    assert!(ran.notes.contains("stopped at --limit 3"), "{}", ran.notes);
    assert_eq!(tokens_and_sizes(&service), [("".into(), 2), ("two".into(), 1)]);
}

#[tokio::test]
async fn an_empty_list_prints_a_note() {
    let service = Service::answering([page(&[], ""), Answer::Images(ListImagesResponse::default())]).await;
    let ran = run(&service, "list").await.ok();
    assert_eq!(
        (ran.out.as_str(), ran.notes.as_str()),
        ("", "note: there are no such permissions\n")
    );
    let ran = run(&service, "images --account 1 --region r").await.ok();
    assert_eq!(
        (ran.out.as_str(), ran.notes.as_str()),
        ("", "note: there are no such images\n")
    );
}

fn image() -> Image {
    Image {
        image_id: "wsi-0123456789".into(),
        name: "evil \u{1b}[31m name".into(),
        description: "a long description that goes on and on, until it is wider than the terminal that shows it".into(),
        state: "AVAILABLE".into(),
        ..Image::default()
    }
}

#[tokio::test]
async fn control_characters_in_answers_are_escaped() {
    let service = Service::answering([Answer::Images(ListImagesResponse { images: vec![image()] })]).await;
    let ran = run(&service, "images --account 1 --region r").await.ok();
    assert!(!ran.out.contains('\u{1b}'), "{}", ran.out);
    assert!(ran.out.contains(r"evil \u{1b}[31m name"), "{}", ran.out);
}

/// A pipe whose reader has closed it.
struct Closed;

impl io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

#[tokio::test]
async fn a_closed_output_is_not_a_failure() {
    let service = Service::answering([page(&["a"], "two"), page(&["b"], ""), Answer::Grant(granted())]).await;
    let server = format!("http://{}", service.address);
    for line in [
        "list".to_owned(),
        "list -o json".to_owned(),
        format!("grant {WHICH} --reason x"),
    ] {
        let cli = parse(&server, &line);
        let (mut out, mut notes) = (Closed, Closed);
        cli::run(
            &cli.options.clone(),
            cli.into_command(),
            &mut Console::new(&mut out, &mut notes),
        )
        .await
        .unwrap();
    }
}

#[test]
fn each_shell_gets_a_script_that_asks_the_program() {
    use clap_complete::Shell;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
        let mut script = Vec::new();
        cli::completions(shell, &Cli::command(), &mut script).unwrap();
        let script = String::from_utf8(script).unwrap();
        assert!(
            script.contains("sharewarden") && script.contains("SHAREWARDEN_COMPLETE"),
            "{script}"
        );
        assert!(cli::completions(shell, &Cli::command(), &mut Closed).is_err());
    }
}
