//! The policy set in force, as an operator sees it.

use std::fs;

use sharewarden_testkit::{postgres::database, stack::*};

use crate::{http::get, metrics::Scraped, program::Served};

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
    let failure =
        "the files of policy.directory cannot be put in force: the earlier policy set stays; the worker tries again";
    let line = served.line(failure).await;
    assert!(line.to_string().contains("a.cedar:3: the policy has no @id"), "{line}");
    let ready = get(served.admin(), "/readyz").await;
    assert_eq!(ready.status, 200);
    assert!(
        ready
            .body
            .contains("\"policy\":\"the files of policy.directory cannot be used"),
        "{}",
        ready.body
    );
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
