//! `sharewarden health`, as the health check of a container runs it.

use std::{process::Output, time::Duration};

use sharewarden_testkit::{postgres::database, stack::*};
use sqlx::{Connection, PgConnection};

use crate::program::{Served, program};

async fn health(server: &str, arguments: &[&str]) -> Output {
    let mut command = program();
    command
        .args(["health", "--server", server, "--timeout", "5s"])
        .args(arguments);
    tokio::time::timeout(TIMEOUT, command.output()).await.unwrap().unwrap()
}

fn code_and_first_line(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output.status.code(), text.lines().next().unwrap_or_default().to_owned())
}

/// The JSON of a successful check.
async fn by_name(server: &str) -> serde_json::Value {
    let output = health(server, &["--service", "sharewarden.v1.AuditService", "-o", "json"]).await;
    assert_eq!(output.status.code(), Some(0));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Waits until the service has read an installation that `is_right`.
async fn installation(server: &str, is_right: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let reached = async {
        loop {
            let json = by_name(server).await;
            if is_right(&json) {
                return json;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, reached)
        .await
        .expect("it reads the installation in time")
}

#[tokio::test]
async fn health_tells_the_schema_and_the_builds_that_it_admits_and_that_run() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    let config = config_text(database.url(), &simulator.url(), "log.filter = \"info\"\n");
    let older = "INSERT INTO replica SELECT gen_random_uuid(), 1, '0.0.1', now() FROM generate_series(1, 2)";
    sqlx::query(older).execute(&mut admin).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations VALUES (9999, 'of the future', now(), true, '\\x00', 0)";
    sqlx::query(newer).execute(&mut admin).await.unwrap();
    let served = Served::start(&config).await;
    let json = installation(&served.address, |json| json["running"]["1"] == 2).await;
    let build = json["build"].as_u64().unwrap();
    assert_eq!(json["schema"], 9999);
    assert!(json["oldestBuild"].as_u64().unwrap() <= build, "{json}");
    assert_eq!(json["running"][build.to_string()], 1, "{json}");
    let text = String::from_utf8(health(&served.address, &[]).await.stdout).unwrap();
    for part in [
        "schema 9999 admits builds from",
        "not finalized",
        "2 replicas of build 1, 1 replica of build",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    served.stop().await;
    // A replica that stops says so.
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM replica WHERE build > 1")
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(left, 0);
    admin.close().await.unwrap();
    simulator.shutdown().await;
}

#[tokio::test]
async fn the_exit_code_of_health_says_whether_the_server_accepts_calls() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let served = Served::start(&config_text(
        database.url(),
        &simulator.url(),
        "log.filter = \"info\"\n",
    ))
    .await;
    let server = served.address.as_str();
    let becomes = async |code: i32| {
        let reached = async {
            while health(server, &[]).await.status.code() != Some(code) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, reached)
            .await
            .unwrap_or_else(|_| panic!("the exit code did not become {code} in time"));
    };
    becomes(0).await;
    let serving = (Some(0), "SERVING".to_owned());
    assert_eq!(code_and_first_line(&health(server, &["--readiness"]).await), serving);
    assert_eq!(code_and_first_line(&health(server, &["--liveness"]).await), serving);
    let json = by_name(server).await;
    assert_eq!((&json["status"], &json["reason"]), (&"SERVING".into(), &"READY".into()));
    assert_eq!(health(server, &["--service", "of.nobody"]).await.status.code(), Some(3));
    assert_eq!(
        health(server, &["--liveness", "--readiness"]).await.status.code(),
        Some(2)
    );

    // With a schema that is finalized for newer builds, the server is alive and not ready.
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    sqlx::query("UPDATE build_admission SET oldest_build = oldest_build + 9000")
        .execute(&mut admin)
        .await
        .unwrap();
    becomes(6).await;
    let refused = health(server, &["--readiness"]).await;
    assert_eq!(code_and_first_line(&refused), (Some(6), "NOT_SERVING".to_owned()));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("BUILD_NOT_ADMITTED"), "{error}");
    assert_eq!(code_and_first_line(&health(server, &["--liveness"]).await), serving);
    sqlx::query("UPDATE build_admission SET oldest_build = oldest_build - 9000")
        .execute(&mut admin)
        .await
        .unwrap();
    becomes(0).await;
    admin.close().await.unwrap();

    let server = server.to_owned();
    served.stop().await;
    let gone = health(&server, &[]).await;
    assert_eq!(gone.status.code(), Some(6), "{}", String::from_utf8_lossy(&gone.stderr));
    simulator.shutdown().await;
}

#[tokio::test]
async fn health_times_out_when_the_server_does_not_answer() {
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", mute.local_addr().unwrap());
    let mut command = program();
    command.args(["health", "--liveness", "--server", &server, "--timeout", "300ms"]);
    let output = tokio::time::timeout(TIMEOUT, command.output()).await.unwrap().unwrap();
    assert_eq!(
        output.status.code(),
        Some(6),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
