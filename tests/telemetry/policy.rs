//! The policy set in force, as an operator sees it.

use std::fs;

use sharewarden_client::proto::v1::ListSharePermissionsRequest;
use sharewarden_testkit::{postgres::database, stack::*};

use crate::{http::get, metrics::Scraped, program::Served};

/// What is logged if the files cannot be used.
const UNUSABLE: &str = "the configuration file or the files of policy.directory cannot be put in force: the earlier policy set \
                        stays; the worker tries again";
const NOTE: &str = "\"policy\":\"the configuration file or the files of policy.directory cannot be used";

#[tokio::test]
async fn a_policy_that_cannot_be_used_is_logged_and_noted_and_the_service_stays_ready() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let policies = tempfile::tempdir().unwrap();
    let write = |text: &str| fs::write(policies.path().join("a.cedar"), text).unwrap();
    write("@id(\"all\")\npermit (principal, action, resource);");
    let more = format!(
        "log.filter = \"info\"\nadmin.listen = \"127.0.0.1:0\"\npolicy.directory = \"{}\"\npolicy.reload_every = \"50ms\"\n",
        policies.path().display()
    );
    let mut served = Served::start(&config_text(database.url(), &simulator.url(), &more)).await;
    let mut client = served.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    let info = |scraped: &Scraped| {
        let lines = scraped.0.lines();
        let lines: Vec<_> = lines
            .filter(|line| line.starts_with("sharewarden_policy_info{"))
            .collect();
        lines.join("\n")
    };
    let scraped = Scraped::of(&served).await;
    let decided = scraped.value(
        "sharewarden_policy_decisions_total",
        &[("policy", "all"), ("outcome", "ALLOWED")],
    );
    assert!(decided >= Some(1.0), "{}", scraped.0);
    let first = info(&scraped);
    assert!(first.contains("digest=\"") && first.ends_with(" 1"), "{first}");

    write("\n\npermit (principal, action, resource);");
    let line = served.line(UNUSABLE).await;
    assert!(line.to_string().contains("a.cedar:3: the policy has no @id"), "{line}");
    let ready = get(served.admin(), "/readyz").await;
    assert_eq!(ready.status, 200);
    assert!(ready.body.contains(NOTE), "{}", ready.body);
    assert_eq!(info(&Scraped::of(&served).await), first);

    write("@id(\"other\")\npermit (principal, action, resource);");
    served.line("a new policy set is in force").await;
    let without_note = async { while get(served.admin(), "/readyz").await.body.contains("policy") {} };
    tokio::time::timeout(TIMEOUT, without_note)
        .await
        .expect("the note goes away");
    assert_ne!(info(&Scraped::of(&served).await), first);
    served.stop().await;
    simulator.shutdown().await;
}

/// The program with the configuration file that an operator changes under way.
#[tokio::test]
async fn a_changed_configuration_file_gives_roles_groups_and_recipients_and_a_broken_one_changes_nothing() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let with = |roles: &str, more: &str| {
        let more = format!(
            "log.filter = \"info\"\nadmin.listen = \"127.0.0.1:0\"\npolicy.reload_every = \"50ms\"\nroles = [{roles}]\n{more}"
        );
        config_text(database.url(), &simulator.url(), &more)
    };
    let group = "groups = [{ name = \"testers\", principals = [\"tester@*\"] }]\n";
    let of_group = |roles: &str| format!("{{ group = \"testers\", roles = [{roles}] }}");
    let viewer = of_group("\"viewer\"");
    let mut served = Served::start(&with(&viewer, group)).await;
    let mut client = served.client().await;
    let refused = client.grant_share_permission(as_tester(grant())).await.unwrap_err();
    assert_eq!(reason(&refused), "POLICY_DENIED");

    // A broken file: a group that does not exist.
    served.write_config(&with(&viewer, "groups = []\n"));
    let line = served.line(UNUSABLE).await.to_string();
    assert!(
        line.contains("roles.group must be the name of a group of principals"),
        "{line}"
    );
    assert!(line.contains("the configuration file /"), "{line}");
    let ready = get(served.admin(), "/readyz").await;
    assert!(ready.status == 200 && ready.body.contains(NOTE), "{}", ready.body);
    client
        .list_share_permissions(as_tester(list()))
        .await
        .expect("the earlier roles stay in force");

    // Another role, and a key that needs a restart.
    let operator = of_group("\"operator\"");
    served.write_config(&with(&operator, &format!("{group}forwarder.max_in_flight = 77\n")));
    let waiting = served
        .line("keys of the configuration file changed that need a restart: they keep their values")
        .await;
    assert_eq!(waiting["keys"], "forwarder.max_in_flight", "{waiting}");
    assert!(!waiting.to_string().contains("77"), "{waiting}");
    served.line("a new policy set is in force").await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    let refused = client.list_share_permissions(as_tester(list())).await.unwrap_err();
    assert_eq!(
        refused.code(),
        tonic::Code::PermissionDenied,
        "reads follow the new roles at the same moment"
    );

    // Recipients by a group of accounts, and a zone that does not exist.
    let nobody = format!("{group}policy.zone = \"Europe/Nowhere\"\n");
    served.write_config(&with(&operator, &nobody));
    let line = served.line(UNUSABLE).await.to_string();
    assert!(line.contains("policy.zone: must be an IANA time zone"), "{line}");
    let groups = "groups = [{ name = \"testers\", principals = [\"tester@*\"] }, { name = \"others\", accounts = [\"000000000001\"] }]\n";
    let text = with(&operator, groups).replace("share_with = \"anyone\"", "share_with = [\"others\"]");
    served.write_config(&text);
    served.line("a new policy set is in force").await;
    let mut request = grant();
    request.image_id = "wsi-000000001".into();
    let refused = client.grant_share_permission(as_tester(request)).await.unwrap_err();
    assert!(
        refused.message().contains("may not be shared with account"),
        "{refused:?}"
    );
    let without_note = async { while get(served.admin(), "/readyz").await.body.contains("policy") {} };
    tokio::time::timeout(TIMEOUT, without_note)
        .await
        .expect("the note goes away");
    served.stop().await;
    simulator.shutdown().await;
}

fn list() -> ListSharePermissionsRequest {
    ListSharePermissionsRequest {
        account_id: ACCOUNT.into(),
        ..ListSharePermissionsRequest::default()
    }
}
