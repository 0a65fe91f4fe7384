//! How a share is named: as one argument, by options, and by defaults of the environment.

use clap::{Parser, error::ErrorKind};
use sharewarden::proto::v1::*;

use crate::{
    answers::{CHANGE_ID, change, granted, permission},
    closed_outputs::program,
    harness::{Cli, run, run_in},
    service::{Answer, Asked, Service},
};

const SHARE: &str = "012345678901/eu-central-1/wsi-0123456789";

fn got() -> Answer {
    Answer::Get(GetSharePermissionResponse {
        permission: Some(permission(share_permission::State::Shared)),
        last_look: None,
    })
}

/// What `get` asks for, as a SHARE and the recipient.
fn asked(service: &Service) -> String {
    match service.asked().pop().unwrap() {
        Asked::Get(get) => format!(
            "{}/{}/{} {}",
            get.account_id, get.region, get.image_id, get.shared_account_id
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_argument_short_options_and_long_options_name_the_same_share() {
    for share in [
        format!("{SHARE} --with 999999999999"),
        format!("-w 999999999999 {SHARE}"),
        "-a 012345678901 -r eu-central-1 -i wsi-0123456789 -w 999999999999".to_owned(),
        "--account 012345678901 --region eu-central-1 --image wsi-0123456789 --with 999999999999".to_owned(),
        format!("{SHARE} -a 012345678901 -r eu-central-1 -i wsi-0123456789 -w 999999999999"),
        "wsi-0123456789 -a 012345678901 -r eu-central-1 -w 999999999999".to_owned(),
    ] {
        let service = Service::answering([
            Answer::Grant(granted()),
            Answer::Revoke(RevokeSharePermissionResponse::default()),
            got(),
            Answer::History(ListPermissionHistoryResponse::default()),
        ])
        .await;
        for command in [
            "grant -m due -t OPS-1",
            "revoke -m due -t OPS-1",
            "get",
            "audit history",
        ] {
            run(&service, &format!("{command} {share}")).await.ok();
        }
        let asked = service.asked();
        let [
            Asked::Grant(grant),
            Asked::Revoke(revoke),
            Asked::Get(get),
            Asked::History(history),
        ] = &asked[..]
        else {
            panic!("{asked:?}");
        };
        let expected = ["012345678901", "eu-central-1", "wsi-0123456789", "999999999999"];
        macro_rules! ids {
            ($request:ident) => {
                [
                    &$request.account_id,
                    &$request.region,
                    &$request.image_id,
                    &$request.shared_account_id,
                ]
            };
        }
        assert_eq!(
            [ids!(grant), ids!(revoke), ids!(get), ids!(history)],
            [expected; 4],
            "{share}"
        );
        assert_eq!([&grant.reason, &grant.ticket], ["due", "OPS-1"]);
        assert_eq!([&revoke.reason, &revoke.ticket], ["due", "OPS-1"]);
    }
}

#[test]
fn a_wrong_part_of_a_share_is_named_with_its_rule() {
    for (share, expected) in [
        (
            "12345678901/eu-central-1/wsi-0123456789",
            "its ACCOUNT must be an AWS account",
        ),
        ("012345678901/EU/wsi-0123456789", "its REGION must be an AWS Region"),
        (
            "012345678901/eu-central-1/wsi-1",
            "its IMAGE must be a WorkSpaces image",
        ),
        ("/eu-central-1/wsi-0123456789", "its ACCOUNT must be an AWS account"),
        ("wsi_0123456789", "its IMAGE must be a WorkSpaces image"),
        ("012345678901/wsi-0123456789", "it has 2 parts"),
        ("012345678901/eu-central-1/wsi-0123456789/", "it has 4 parts"),
        ("", "its IMAGE must be a WorkSpaces image"),
    ] {
        let error = Cli::try_parse_from(["sharewarden", "get", share, "--with", "999999999999"])
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::ValueValidation, "{share}");
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains("[SHARE]"), "{share}: {text}");
    }
}

#[tokio::test]
async fn a_share_and_an_option_that_disagree_are_refused() {
    let service = Service::answering([]).await;
    for (option, value, what) in [
        (
            "-a",
            "999999999999",
            "SHARE has 012345678901, and --account has 999999999999",
        ),
        ("-r", "us-east-1", "SHARE has eu-central-1, and --region has us-east-1"),
        (
            "-i",
            "wsi-9999999999",
            "SHARE has wsi-0123456789, and --image has wsi-9999999999",
        ),
    ] {
        let line = format!("get {SHARE} {option} {value} -w 888888888888");
        let (code, text) = run(&service, &line).await.failure();
        assert!(code == 2 && text.starts_with(what), "{text}");
    }
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn what_is_missing_of_a_share_is_named_with_the_ways_to_give_it() {
    let service = Service::answering([]).await;
    for (line, what, way) in [
        ("get -w 999999999999", "the account is missing", "SHAREWARDEN_ACCOUNT"),
        (
            "get wsi-0123456789 -w 999999999999",
            "the account is missing",
            "--account",
        ),
        (
            "get -a 012345678901 -i wsi-0123456789 -w 999999999999",
            "the Region is missing",
            "AWS_REGION",
        ),
        (
            "get -a 012345678901 -r eu-central-1 -w 999999999999",
            "the image is missing",
            "--image",
        ),
        ("images -r eu-central-1", "the account is missing", "--account"),
        ("images -a 012345678901", "the Region is missing", "--region"),
        ("change show some-id", "the account is missing", "--account"),
        ("checkpoint", "the account is missing", "--account"),
        (
            "checkpoint add-signatures /no/file",
            "the account is missing",
            "--account",
        ),
        ("audit show 1", "the account is missing", "--account"),
        ("audit export", "the account is missing", "--account"),
    ] {
        let (code, text) = run(&service, line).await.failure();
        assert!(
            code == 2 && text.starts_with(what) && text.contains(way),
            "{line}: {text}"
        );
    }
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn the_environment_fills_what_the_command_line_leaves_out() {
    let all = [
        ("SHAREWARDEN_ACCOUNT", "111111111111"),
        ("SHAREWARDEN_REGION", "eu-west-1"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-west-2"),
    ];
    let without = |names: &[&str]| {
        all.into_iter()
            .filter(|(name, _)| !names.contains(name))
            .collect::<Vec<_>>()
    };
    let empty = [("SHAREWARDEN_REGION", "")]
        .into_iter()
        .chain(without(&["SHAREWARDEN_REGION"]))
        .collect();
    let image = "wsi-0123456789";
    for (environment, share, expected) in [
        (all.to_vec(), image, "111111111111/eu-west-1/wsi-0123456789"),
        (
            without(&["SHAREWARDEN_REGION"]),
            image,
            "111111111111/us-east-1/wsi-0123456789",
        ),
        (
            without(&["SHAREWARDEN_REGION", "AWS_REGION"]),
            image,
            "111111111111/us-west-2/wsi-0123456789",
        ),
        (empty, image, "111111111111/us-east-1/wsi-0123456789"),
        (all.to_vec(), SHARE, SHARE),
        (
            all.to_vec(),
            "-i wsi-0123456789 -r ca-central-1",
            "111111111111/ca-central-1/wsi-0123456789",
        ),
    ] {
        let service = Service::answering([got()]).await;
        run_in(&service, &environment, &format!("get {share} -w 999999999999"))
            .await
            .ok();
        assert_eq!(
            asked(&service),
            format!("{expected} 999999999999"),
            "{environment:?} {share}"
        );
    }
}

#[tokio::test]
async fn every_command_about_one_account_uses_the_default_account() {
    let environment = [
        ("SHAREWARDEN_ACCOUNT", "012345678901"),
        ("SHAREWARDEN_REGION", "eu-central-1"),
    ];
    let service = Service::answering([
        Answer::Images(ListImagesResponse::default()),
        Answer::Change(GetChangeResponse {
            change: Some(change(change::State::Succeeded)),
        }),
    ])
    .await;
    run_in(&service, &environment, "images").await.ok();
    run_in(&service, &environment, &format!("change show {CHANGE_ID}"))
        .await
        .ok();
    // The script has no answer to these: what they ask for is enough.
    for line in ["checkpoint", "audit show 1", "audit export"] {
        run_in(&service, &environment, line).await.failure();
    }
    let asked = service.asked();
    assert_eq!(asked.len(), 5, "{asked:?}");
    for asked in asked {
        let account = match &asked {
            Asked::Images(request) => &request.account_id,
            Asked::Change(request) => &request.account_id,
            Asked::Checkpoint(request) => &request.account_id,
            Asked::Entry(request) => &request.account_id,
            Asked::Export(request) => &request.account_id,
            other => panic!("{other:?}"),
        };
        assert_eq!(account, "012345678901", "{asked:?}");
    }
}

#[tokio::test]
async fn defaults_do_not_filter_lists() {
    let environment = [("SHAREWARDEN_ACCOUNT", "012345678901"), ("AWS_REGION", "eu-central-1")];
    let service = Service::answering([
        Answer::List(ListSharePermissionsResponse::default()),
        Answer::Changes(ListChangesResponse::default()),
        Answer::Entries(ListAuditEntriesResponse::default()),
        Answer::At(GetSharePermissionsAtResponse::default()),
        Answer::Summary(SummarizeAuditEntriesResponse::default()),
    ])
    .await;
    for line in ["list", "change list", "audit list", "audit at now", "audit summary"] {
        run_in(&service, &environment, line).await.ok();
    }
    for asked in service.asked() {
        let is_unfiltered = match &asked {
            Asked::List(request) => request.account_id.is_empty() && request.region.is_empty(),
            Asked::Changes(request) => request.account_ids.is_empty() && request.region.is_empty(),
            Asked::Entries(request) => {
                let filter = request.filter.clone().unwrap_or_default();
                filter.account_ids.is_empty() && filter.regions.is_empty()
            }
            Asked::At(request) => request.account_id.is_empty() && request.region.is_empty(),
            Asked::Summary(request) => request.account_ids.is_empty() && request.regions.is_empty(),
            other => panic!("{other:?}"),
        };
        assert!(is_unfiltered, "{asked:?}");
    }
}

#[tokio::test]
async fn a_wrong_default_is_refused_with_the_name_of_its_variable() {
    let service = Service::answering([]).await;
    for (variable, value) in [
        ("SHAREWARDEN_ACCOUNT", "12345678901"),
        ("SHAREWARDEN_REGION", "Frankfurt"),
        ("AWS_REGION", "Frankfurt"),
        ("AWS_DEFAULT_REGION", "Frankfurt"),
    ] {
        let environment = [("SHAREWARDEN_ACCOUNT", "012345678901"), (variable, value)];
        let (code, text) = run_in(&service, &environment, "get wsi-0123456789 -w 999999999999")
            .await
            .failure();
        let expected = format!("the environment variable {variable} must be an AWS ");
        assert!(
            code == 2 && text.starts_with(&expected) && !text.contains(value),
            "{text}"
        );
    }
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn the_program_reads_its_environment() {
    let service = Service::answering([got()]).await;
    let mut program = program("get wsi-0123456789 --with 999999999999 --principal tester");
    program
        .env("SHAREWARDEN_SERVER", service.url())
        .env("SHAREWARDEN_ACCOUNT", "012345678901")
        .env_remove("SHAREWARDEN_REGION")
        .env("AWS_REGION", "eu-central-1");
    let output = tokio::process::Command::from(program).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(asked(&service), format!("{SHARE} 999999999999"));
}
