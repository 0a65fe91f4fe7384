//! The admin API under `/_simulator`.

use crate::harness::*;

#[tokio::test]
async fn the_admin_api_has_a_help_page() {
    let sim = start().await;
    let help = admin(&sim, "GET /_simulator", "").await;
    assert_eq!(help.status, 200);
    assert!(help.text().contains("POST   /_simulator/faults"));
    assert_eq!(admin(&sim, "GET /_simulator/nonsense", "").await.status, 404);
}

/// After curl, the prompt of a shell is on a line of its own.
#[tokio::test]
async fn an_answer_in_json_ends_its_line() {
    let sim = start().await;
    for (call, body) in [
        ("GET /_simulator/state", ""),
        ("GET /_simulator/calls", ""),
        ("GET /_simulator/faults", ""),
        ("POST /_simulator/faults", "kind=throttle"),
    ] {
        let answer = admin(&sim, call, body).await.text();
        assert!(answer.ends_with("}\n") || answer.ends_with("]\n"), "{call}: {answer:?}");
    }
}

/// The help is documentation: what it shows must work.
#[tokio::test]
async fn every_effect_in_the_help_is_accepted() {
    let sim = start().await;
    let help = admin(&sim, "GET /_simulator", "").await.text();
    let kinds = help.lines().filter_map(|line| line.strip_prefix("  kind="));
    let mut count = 0;
    for kind in kinds {
        let form = format!("kind={}", kind.replace(' ', "&"));
        let added = admin(&sim, "POST /_simulator/faults", &form).await;
        assert_eq!(added.status, 200, "{form}: {}", added.text());
        count += 1;
    }
    assert_eq!(count, 10);
    let json = &help[help.find("{\"when\"").unwrap()..];
    let added = admin(&sim, "POST /_simulator/faults", json).await;
    assert_eq!(added.status, 200, "{}", added.text());
}

/// `curl` announces a form for every body, and the commands of the help have no header.
#[tokio::test]
async fn the_curl_commands_of_the_help_work_as_they_stand() {
    let sim = start().await;
    let help = admin(&sim, "GET /_simulator", "").await.text();
    let commands: Vec<_> = help.lines().filter_map(|line| line.strip_prefix("  curl ")).collect();
    assert_eq!(commands.len(), 7);
    for command in commands {
        let words: Vec<_> = command.split(' ').collect();
        let after = |option: &'static str| {
            words
                .windows(2)
                .filter(move |pair| pair[0] == option)
                .map(|pair| pair[1])
        };
        let body = after("-d").collect::<Vec<_>>().join("&");
        let default = if body.is_empty() { "GET" } else { "POST" };
        let method = after("-X").next().unwrap_or(default);
        let path = words
            .last()
            .unwrap()
            .strip_prefix("http://simulator")
            .expect("the Host of this request");
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = http(&sim, &format!("{method} {path}"), &form, body.as_bytes())
            .await
            .unwrap();
        assert!((200..300).contains(&answer.status), "{command}: {}", answer.text());
    }
    let state = sim.state();
    let image = state.images.iter().find(|image| image.image_id == IMAGE).unwrap();
    assert_eq!(image.state.name(), "PENDING");
    assert_eq!(image.tags["team"], "desktop");
}

#[tokio::test]
async fn a_form_gives_the_same_fault_as_json() {
    let sim = start().await;
    let form = "kind=throttle&http_status=429&calls=2&share=0.5&seed=7&skip=1&account=111122223333&shared_account=000011112222";
    let json = r#"{"when":{"account":"111122223333","shared_account":"000011112222"},"calls":2,"share":0.5,"seed":7,"skip":1,
        "effect":{"kind":"throttle","http_status":429}}"#;
    for body in [form, json] {
        admin(&sim, "POST /_simulator/faults", body).await;
    }
    let faults = sim.faults();
    assert_eq!(faults[0].fault, faults[1].fault);
}

#[tokio::test]
async fn faults_are_added_listed_and_removed() {
    let sim = start().await;
    let body = r#"{"when":{"account":"111122223333"},"calls":2,"effect":{"kind":"throttle","http_status":429}}"#;
    let id = admin(&sim, "POST /_simulator/faults", body).await.json()["id"]
        .as_u64()
        .unwrap();
    let owner = client(&sim, OWNER, FRANKFURT);
    assert_eq!(
        share(&owner, IMAGE, RECIPIENT, true).await.unwrap_err(),
        "ThrottlingException"
    );
    let listed = admin(&sim, "GET /_simulator/faults", "").await.json();
    assert_eq!((&listed[0]["id"], &listed[0]["hits"]), (&id.into(), &1.into()));
    assert_eq!(
        admin(&sim, &format!("DELETE /_simulator/faults/{id}"), "").await.status,
        204
    );
    assert_eq!(
        admin(&sim, &format!("DELETE /_simulator/faults/{id}"), "").await.status,
        404
    );
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    admin(&sim, "POST /_simulator/faults", body).await;
    assert_eq!(admin(&sim, "DELETE /_simulator/faults", "").await.status, 204);
    assert!(sim.faults().is_empty());
}

#[tokio::test]
async fn an_invalid_fault_is_refused_with_a_reason() {
    let sim = start().await;
    for (body, reason) in [
        ("{", "EOF"),
        ("{}", "effect"),
        (r#"{"effect":{"kind":"earthquake"}}"#, "earthquake"),
        (r#"{"effect":{"kind":"garbage"},"oftne":1}"#, "oftne"),
        (r#"{"effect":{"kind":"throttle","http_staus":429}}"#, "http_staus"),
        (r#"{"when":{"imgae":"x"},"effect":{"kind":"garbage"}}"#, "imgae"),
        (r#"{"share":2,"effect":{"kind":"garbage"}}"#, "share"),
        ("", "kind"),
        ("kind=earthquake", "earthquake"),
        ("kind=throttle&http_staus=429", "http_staus"),
        ("kind=throttle&calls=two", "two"),
        ("kind=throttle&calls=1&calls=2", "twice"),
    ] {
        let answer = admin(&sim, "POST /_simulator/faults", body).await;
        assert!((400..500).contains(&answer.status), "{body}");
        assert!(answer.text().contains(reason), "{body}: {}", answer.text());
    }
}

#[tokio::test]
async fn the_call_log_is_read_and_cleared_over_http() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    share(&owner, IMAGE, ZEROS, true).await.unwrap();
    let calls = admin(&sim, "GET /_simulator/calls", "").await.json();
    assert_eq!(calls.as_array().unwrap().len(), 2);
    assert_eq!(calls[0]["shared_account"], RECIPIENT);
    let later = admin(&sim, "GET /_simulator/calls?after=1", "").await.json();
    assert_eq!(later[0]["shared_account"], ZEROS);
    assert_eq!(admin(&sim, "DELETE /_simulator/calls", "").await.status, 204);
    assert!(sim.calls().is_empty(), "the admin's own requests are not calls");
}

#[tokio::test]
async fn accounts_and_images_are_added_and_image_states_set() {
    let sim = start().await;
    let account = r#"{"id":"242424242424"}"#;
    let image = r#"{"region":"eu-west-1","image_id":"wsi-admin0001","owner":"242424242424","name":"made"}"#;
    assert_eq!(
        admin(&sim, "POST /_simulator/images", image).await.status,
        400,
        "there is no such owner yet"
    );
    assert_eq!(admin(&sim, "POST /_simulator/accounts", account).await.status, 204);
    assert_eq!(admin(&sim, "POST /_simulator/images", image).await.status, 204);
    let owner = client(&sim, "242424242424", "eu-west-1");
    share(&owner, "wsi-admin0001", RECIPIENT, true).await.unwrap();
    let line = "PUT /_simulator/images/eu-west-1/wsi-admin0001/state";
    assert_eq!(admin(&sim, line, "\"PENDING\"").await.status, 204);
    assert_eq!(
        share(&owner, "wsi-admin0001", ZEROS, true).await.unwrap_err(),
        "ResourceUnavailableException"
    );
    assert_eq!(admin(&sim, line, "\"BROKEN\"").await.status, 400);
    let missing = "PUT /_simulator/images/eu-west-1/wsi-nosuch000/state";
    assert_eq!(admin(&sim, missing, "\"PENDING\"").await.status, 404);
    assert_eq!(
        admin(&sim, "POST /_simulator/accounts", r#"{"id":"12"}"#).await.status,
        400
    );
}

#[tokio::test]
async fn the_state_has_permissions_and_can_be_reset() {
    let sim = start().await;
    share(&client(&sim, OWNER, FRANKFURT), IMAGE, RECIPIENT, true)
        .await
        .unwrap();
    let state = admin(&sim, "GET /_simulator/state", "").await.json();
    assert_eq!(state["images"][0]["image_id"], IMAGE);
    assert_eq!(state["images"][0]["shared_with"][0], RECIPIENT);
    let fault = r#"{"effect":{"kind":"garbage"}}"#;
    admin(&sim, "POST /_simulator/faults", fault).await;
    assert_eq!(admin(&sim, "POST /_simulator/reset", "").await.status, 204);
    assert!(sim.calls().is_empty() && sim.faults().is_empty());
    assert!(sim.shared_accounts(OWNER, FRANKFURT, IMAGE).is_empty());
}
