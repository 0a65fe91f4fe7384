//! Readiness follows the database: unreachable, back again, or with an older or newer schema.

use std::time::Duration;

use sharewarden_testkit::{
    postgres::database,
    proxy::{Proxy, Rule},
    stack::*,
};
use sqlx::{Connection, PgConnection};
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{http::get, metrics::Scraped, program::Served};

const QUICK: &str = "log.filter = \"info\"\nadmin.listen = \"127.0.0.1:0\"\ndatabase.acquire_timeout = \"500ms\"\n";

async fn is_serving(client: &mut HealthClient<Channel>, service: &str) -> bool {
    let service = service.to_owned();
    let answer = client.check(HealthCheckRequest { service }).await.unwrap();
    answer.into_inner().status() == ServingStatus::Serving
}

/// The health client of the admin port, as Kubernetes uses it.
async fn on_admin_port(served: &Served) -> HealthClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{}", served.admin())).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

/// The readiness of a service in all places that report it: reason, health status and gauge.
async fn reported(served: &Served) -> (String, bool, bool) {
    let ready = get(served.admin(), "/readyz").await;
    let json: serde_json::Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!(ready.status == 200, json["ready"] == true, "{ready:?}");
    let channel = Channel::from_shared(served.address.clone()).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let mut statuses = Vec::new();
    for service in [
        "",
        "readiness",
        "sharewarden.v1.SharePermissionService",
        "sharewarden.v1.AuditService",
    ] {
        statuses.push(is_serving(&mut client, service).await);
    }
    statuses.push(is_serving(&mut on_admin_port(served).await, "readiness").await);
    let all = statuses.iter().all(|serving| *serving == statuses[0]);
    let gauge = Scraped::of(served).await.value("sharewarden_ready", &[]) == Some(1.0);
    let reason = json["reason"].as_str().unwrap().to_owned();
    (if all { reason } else { "MIXED".into() }, statuses[0], gauge)
}

/// Waits until all places report this reason, while the service stays alive.
async fn becomes(served: &Served, reason: &str) {
    let ready = reason == "READY";
    let reached = async {
        while reported(served).await != (reason.to_owned(), ready, ready) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, reached)
        .await
        .unwrap_or_else(|_| panic!("it becomes {reason}"));
    assert_eq!(get(served.admin(), "/healthz").await.status, 200, "alive all the while");
    let channel = Channel::from_shared(served.address.clone()).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    assert!(is_serving(&mut client, "liveness").await);
    assert!(is_serving(&mut on_admin_port(served).await, "liveness").await);
}

#[tokio::test]
async fn it_is_not_ready_while_postgres_is_away_or_silent() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let proxy = Proxy::start(database.url()).await;
    let url = proxy.url(database.url());
    let served = Served::start(&config_text(&url, &simulator.url(), QUICK)).await;
    becomes(&served, "READY").await;
    proxy.set(Rule::Refuse);
    proxy.cut();
    becomes(&served, "STORE_UNAVAILABLE").await;
    proxy.set(Rule::Pass);
    becomes(&served, "READY").await;
    proxy.set(Rule::BlackHole);
    becomes(&served, "STORE_UNAVAILABLE").await;
    proxy.set(Rule::Pass);
    becomes(&served, "READY").await;
    served.stop().await;
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_server_that_starts_while_postgres_is_away_waits_with_the_reason_and_then_serves() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let proxy = Proxy::start(database.url()).await;
    let config = config_text(&proxy.url(database.url()), &simulator.url(), QUICK);
    for rule in [Rule::Refuse, Rule::BlackHole] {
        proxy.set(rule);
        let mut served = Served::spawn(&config);
        let failed = served.line("not ready: the audit store failed its check").await;
        assert!(failed["error"].as_str().unwrap().starts_with("postgres"), "{failed}");
        served.listens("waiting for the audit store").await;
        let ready = get(served.admin(), "/readyz").await;
        let json: serde_json::Value = serde_json::from_str(&ready.body).unwrap();
        assert_eq!(
            (ready.status, json["reason"].as_str().unwrap()),
            (503, "STORE_UNAVAILABLE")
        );
        assert_eq!(get(served.admin(), "/healthz").await.status, 200);
        assert!(!is_serving(&mut on_admin_port(&served).await, "readiness").await);
        proxy.set(Rule::Pass);
        served.listens("serving").await;
        becomes(&served, "READY").await;
        served.stop().await;
    }
    simulator.shutdown().await;
}

#[tokio::test]
async fn sigterm_ends_a_server_that_waits_for_postgres_at_once_and_with_success() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let proxy = Proxy::start(database.url()).await;
    proxy.set(Rule::Refuse);
    let mut served = Served::spawn(&config_text(&proxy.url(database.url()), &simulator.url(), QUICK));
    served.line("waiting for the audit store").await;
    let log = served.stop().await;
    assert!(log.iter().all(|line| line["message"] != "serving"), "{log:?}");
    simulator.shutdown().await;
}

#[tokio::test]
async fn it_is_not_ready_while_the_schema_is_older_or_different_or_finalized_for_newer_builds() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let served = Served::start(&config_text(database.url(), &simulator.url(), QUICK)).await;
    becomes(&served, "READY").await;
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    for (spoil, mend, reason) in [
        (
            "UPDATE build_admission SET oldest_build = oldest_build + 9000",
            "UPDATE build_admission SET oldest_build = oldest_build - 9000",
            "BUILD_NOT_ADMITTED",
        ),
        (
            "UPDATE _sqlx_migrations SET version = -version WHERE version = 6",
            "UPDATE _sqlx_migrations SET version = -version WHERE version < 0",
            "SCHEMA_MISMATCH",
        ),
        (
            "UPDATE _sqlx_migrations SET success = false",
            "UPDATE _sqlx_migrations SET success = true",
            "SCHEMA_MISMATCH",
        ),
    ] {
        sqlx::query(spoil).execute(&mut admin).await.unwrap();
        becomes(&served, reason).await;
        sqlx::query(mend).execute(&mut admin).await.unwrap();
        becomes(&served, "READY").await;
    }
    admin.close().await.unwrap();
    served.stop().await;
    simulator.shutdown().await;
}

#[tokio::test]
async fn it_is_not_ready_while_postgres_cannot_write_because_its_disk_is_full() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let quick = format!("{QUICK}database.statement_timeout = \"500ms\"\ncommitter.commit_timeout = \"500ms\"\n");
    let served = Served::start(&config_text(database.url(), &simulator.url(), &quick)).await;
    becomes(&served, "READY").await;
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    let fill = "CREATE FUNCTION is_full() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$;
                CREATE TRIGGER is_full BEFORE INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION is_full()";
    sqlx::raw_sql(fill).execute(&mut admin).await.unwrap();
    let mut client = served.client().await;
    let refused = client.grant_share_permission(as_tester(grant())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    becomes(&served, "STORE_EXHAUSTED").await;
    sqlx::raw_sql("DROP TRIGGER is_full ON audit_entry")
        .execute(&mut admin)
        .await
        .unwrap();
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    becomes(&served, "READY").await;
    admin.close().await.unwrap();
    served.stop().await;
    simulator.shutdown().await;
}
