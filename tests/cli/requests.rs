//! The requests that the commands send.

use clap::{CommandFactory, Parser, error::ErrorKind};
use sharewarden::{clock::Clock, proto::v1::*};

use crate::{
    answers::{change, granted, permission},
    harness::{Cli, WHICH, parse, run, run_at, run_unnamed, run_words},
    service::{Answer, Asked, Service},
};

#[tokio::test]
async fn grant_fills_every_field() {
    let service = Service::answering([Answer::Grant(granted())]).await;
    let line = format!("grant {WHICH} --reason a_build --ticket OPS-1 --request-id my-id --validate-only");
    run(&service, &line).await.ok();
    let expected = GrantSharePermissionRequest {
        account_id: "012345678901".into(),
        region: "eu-central-1".into(),
        image_id: "wsi-0123456789".into(),
        shared_account_id: "999999999999".into(),
        request_id: "my-id".into(),
        reason: "a build".into(),
        ticket: "OPS-1".into(),
        validate_only: true,
        expire_time: None,
        ttl: None,
        expire_date: String::new(),
        adopt: false,
    };
    assert_eq!(service.asked(), [Asked::Grant(expected)]);
}

#[tokio::test]
async fn an_end_fills_the_field_of_its_form() {
    let time = pbjson_types::Timestamp {
        seconds: 1_798_736_400,
        nanos: 0,
    };
    let plain = GrantSharePermissionRequest::default;
    for (option, expected) in [
        (
            "--for 30d",
            GrantSharePermissionRequest {
                ttl: Some(std::time::Duration::from_secs(30 * 86_400).into()),
                ..plain()
            },
        ),
        (
            "--until 2026-12-31",
            GrantSharePermissionRequest {
                expire_date: "2026-12-31".into(),
                ..plain()
            },
        ),
        (
            "--until 2026-12-31T18:00:00+01:00",
            GrantSharePermissionRequest {
                expire_time: Some(time),
                ..plain()
            },
        ),
    ] {
        let service = Service::answering([Answer::Grant(granted())]).await;
        run(&service, &format!("grant {WHICH} --reason x {option}")).await.ok();
        let asked = service.asked();
        let [Asked::Grant(grant)] = &asked[..] else {
            panic!("{asked:?}")
        };
        assert_eq!(
            (grant.expire_time, grant.ttl, &grant.expire_date),
            (expected.expire_time, expected.ttl, &expected.expire_date),
            "{option}"
        );
    }
}

#[tokio::test]
async fn shares_that_end_within_a_span_are_asked_for_by_one_time_on_all_pages() {
    let page = |next_page_token: &str| {
        Answer::List(ListSharePermissionsResponse {
            next_page_token: next_page_token.into(),
            ..Default::default()
        })
    };
    let service = Service::answering([page("next"), page("")]).await;
    let before = Clock::system().now().to_offset_date_time().unix_timestamp();
    run(&service, "list --expiring 14d").await.ok();
    let asked = service.asked();
    let times: Vec<_> = asked
        .iter()
        .map(|asked| match asked {
            Asked::List(list) => list.expire_before.unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(times[0], times[1]);
    assert!(
        (0..60).contains(&(times[0].seconds - before - 14 * 86_400)),
        "{times:?}"
    );
}

#[tokio::test]
async fn revoke_fills_every_field() {
    let service = Service::answering([Answer::Revoke(RevokeSharePermissionResponse::default())]).await;
    let line = format!("revoke {WHICH} --reason left --ticket OPS-2 --request-id my-id");
    run(&service, &line).await.ok();
    let expected = RevokeSharePermissionRequest {
        account_id: "012345678901".into(),
        region: "eu-central-1".into(),
        image_id: "wsi-0123456789".into(),
        shared_account_id: "999999999999".into(),
        request_id: "my-id".into(),
        reason: "left".into(),
        ticket: "OPS-2".into(),
        validate_only: false,
    };
    assert_eq!(service.asked(), [Asked::Revoke(expected)]);
}

#[tokio::test]
async fn reads_fill_every_field() {
    let service = Service::answering([
        Answer::Get(GetSharePermissionResponse {
            permission: Some(permission(share_permission::State::Shared)),
            last_look: None,
        }),
        Answer::Change(GetChangeResponse {
            change: Some(change(change::State::Pending)),
        }),
        Answer::Images(ListImagesResponse::default()),
        Answer::Images(ListImagesResponse::default()),
        Answer::List(ListSharePermissionsResponse::default()),
    ])
    .await;
    run(&service, &format!("get {WHICH}")).await.ok();
    run(&service, "change show --account 012345678901 some-id").await.ok();
    run(&service, "images --account 012345678901 --region eu-central-1")
        .await
        .ok();
    run(&service, "images --account 012345678901 --region eu-central-1 --shared")
        .await
        .ok();
    run(&service, &format!("list {WHICH} --state not-shared --page-size 7"))
        .await
        .ok();

    let images = |ownership: ImageOwnership| {
        Asked::Images(ListImagesRequest {
            account_id: "012345678901".into(),
            region: "eu-central-1".into(),
            ownership: ownership.into(),
        })
    };
    let expected = [
        Asked::Get(GetSharePermissionRequest {
            account_id: "012345678901".into(),
            region: "eu-central-1".into(),
            image_id: "wsi-0123456789".into(),
            shared_account_id: "999999999999".into(),
        }),
        Asked::Change(GetChangeRequest {
            account_id: "012345678901".into(),
            change_id: "some-id".into(),
        }),
        images(ImageOwnership::Owned),
        images(ImageOwnership::Shared),
        Asked::List(ListSharePermissionsRequest {
            account_id: "012345678901".into(),
            region: "eu-central-1".into(),
            image_id: "wsi-0123456789".into(),
            shared_account_id: "999999999999".into(),
            state: share_permission::State::NotShared.into(),
            page_size: 7,
            page_token: String::new(),
            expire_before: None,
        }),
    ];
    assert_eq!(service.asked(), expected);
}

#[tokio::test]
async fn a_request_without_an_id_gets_a_random_one() {
    let service = Service::answering([Answer::Grant(granted()), Answer::Grant(granted())]).await;
    for _ in 0..2 {
        run(&service, &format!("grant {WHICH} --reason x")).await.ok();
    }
    let ids: Vec<uuid::Uuid> = service.asked().iter().map(request_id).collect();
    assert_eq!(ids[0].get_version_num(), 4);
    assert_ne!(ids[0], ids[1]);
}

fn request_id(asked: &Asked) -> uuid::Uuid {
    match asked {
        Asked::Grant(request) => request.request_id.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn principal_and_deadline_go_with_the_call() {
    let service = Service::answering([Answer::Grant(granted())]).await;
    run(
        &service,
        &format!("grant {WHICH} --reason x --principal alice@example.com --timeout 8s"),
    )
    .await
    .ok();
    assert_eq!(service.metadata(0, "x-sharewarden-principal"), "alice@example.com");
    let timeout = service.metadata(0, "grpc-timeout");
    let (number, unit) = timeout.split_at(timeout.len() - 1);
    let unit = match unit {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "S" => 1.0,
        other => panic!("{other}"),
    };
    let seconds = number.parse::<f64>().unwrap() * unit;
    assert!((5.0..=8.0).contains(&seconds), "{timeout}");
}

#[tokio::test]
async fn the_default_principal_is_the_os_user() {
    let service = Service::answering([Answer::List(ListSharePermissionsResponse::default())]).await;
    let id = std::process::Command::new("id").arg("-un").output().unwrap();
    let ran = run_unnamed(&service, "list").await;
    if id.status.success() {
        ran.ok();
        let user = String::from_utf8(id.stdout).unwrap();
        assert_eq!(service.metadata(0, "x-sharewarden-principal"), user.trim());
    } else {
        let (code, text) = ran.failure();
        assert_eq!(code, 2);
        assert!(
            text.ends_with("name the principal with --principal or SHAREWARDEN_PRINCIPAL"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_unusable_or_insecure_credential_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "hunter2\n").unwrap();
    let token = token.display();
    for (server, options, expected) in [
        ("http://example.com", format!("--token-file {token}"), "https://"),
        (
            "http://127.0.0.1:1",
            "--token-file /no/such/file".into(),
            "--token-file",
        ),
        ("http://127.0.0.1:1", "--tls-ca ca.pem".into(), "https://"),
        ("https://127.0.0.1:1", "--tls-ca /no/such/file".into(), "--tls-ca"),
        ("https://127.0.0.1:1", "--tls-key key.pem".into(), "--tls-certificate"),
        ("https://127.0.0.1:1", "--tls-certificate c.pem".into(), "--tls-key"),
    ] {
        let ran = run_at(server, &format!("{options} list")).await;
        let (code, text) = ran.failure();
        assert_eq!(code, 2, "{options}: {text}");
        assert!(
            text.contains(expected) && !text.contains("hunter2"),
            "{options}: {text}"
        );
    }
}

#[tokio::test]
async fn a_token_is_read_for_each_call_and_no_principal_is_sent() {
    let service = Service::answering([
        Answer::List(ListSharePermissionsResponse::default()),
        Answer::List(ListSharePermissionsResponse::default()),
    ])
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    for (number, token) in ["one", "two"].into_iter().enumerate() {
        std::fs::write(&file, format!("{token}\n")).unwrap();
        run_unnamed(&service, &format!("--token-file {} list", file.display()))
            .await
            .ok();
        assert_eq!(service.metadata(number, "authorization"), format!("Bearer {token}"));
        assert!(!service.has_metadata(number, "x-sharewarden-principal"));
    }
}

#[test]
fn the_command_line_definition_is_valid() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_options_are_refused_before_anything_is_sent() {
    let list = |option: &str| {
        let words = ["sharewarden", "list"].into_iter().chain(option.split(' '));
        Cli::try_parse_from(words).err().map(|error| error.kind())
    };
    for option in [
        "--server 127.0.0.1:7443",
        "--server ftp://127.0.0.1",
        "--server http://user:password@127.0.0.1",
        "--server http://127.0.0.1/path",
        "--principal é",
        "--timeout 0s",
        "--timeout 1year",
        "--timeout soon",
    ] {
        assert_eq!(list(option), Some(ErrorKind::ValueValidation), "{option}");
    }
    assert_eq!(list("--page-size 0"), Some(ErrorKind::ValueValidation));
    assert_eq!(list("--page-size 501"), Some(ErrorKind::ValueValidation));
    assert_eq!(list("--limit 0"), Some(ErrorKind::ValueValidation));
    assert_eq!(list("--expiring soon"), Some(ErrorKind::ValueValidation));
    let grant = |option: &str| {
        let line = format!("sharewarden grant {WHICH} --reason x {option}");
        Cli::try_parse_from(line.split(' ')).err().map(|error| error.kind())
    };
    for option in [
        "--for 0s",
        "--for 101y",
        "--for 30",
        "--until 30d",
        "--until 2026-12-31T18:00:00",
    ] {
        assert_eq!(grant(option), Some(ErrorKind::ValueValidation), "{option}");
    }
    assert_eq!(grant("--for 30d --until 2026-12-31"), Some(ErrorKind::ArgumentConflict));
    assert_eq!(grant("--for 1w"), None);
    assert_eq!(list("--server https://sharewarden.example.com --timeout 5m"), None);
}

#[test]
fn client_options_may_stand_before_and_after_the_command() {
    parse("http://localhost:1", "-o json list");
    parse("http://localhost:1", "list -o json --principal bob");
}

#[tokio::test]
async fn a_token_file_may_begin_with_a_byte_order_mark_and_must_hold_only_the_token() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let words = ["change", "list", "--token-file", file.path().to_str().unwrap()];
    std::fs::write(file.path(), "\u{feff}abc.def\r\n").unwrap();
    let service = Service::answering([Answer::Changes(ListChangesResponse::default())]).await;
    run_words(&service.url(), &words).await.ok();
    assert_eq!(service.metadata(0, "authorization"), "Bearer abc.def");

    for (text, rule) in [
        ("", "the file holds no token"),
        ("\u{feff} \n", "the file holds no token"),
        ("Bearer abc.def\n", "write the token without the word Bearer"),
        ("bearer abc.def", "write the token without the word Bearer"),
        ("abc\ndef", "the token has characters that a header cannot carry"),
    ] {
        std::fs::write(file.path(), text).unwrap();
        let (code, failure) = run_words(&service.url(), &words).await.failure();
        assert!(code == 2 && failure.contains(rule), "{text:?}: {failure}");
    }
}
