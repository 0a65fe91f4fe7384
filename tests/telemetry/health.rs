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

fn code_and_output(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output.status.code(), text.trim().to_owned())
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
    assert_eq!(code_and_output(&health(server, &["--readiness"]).await), serving);
    assert_eq!(code_and_output(&health(server, &["--liveness"]).await), serving);
    let by_name = ["--service", "sharewarden.v1.AuditService", "-o", "json"];
    let (code, json) = code_and_output(&health(server, &by_name).await);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["status"]), (Some(0), &"SERVING".into()));
    assert_eq!(health(server, &["--service", "of.nobody"]).await.status.code(), Some(3));
    assert_eq!(
        health(server, &["--liveness", "--readiness"]).await.status.code(),
        Some(2)
    );

    // With a newer schema, the server is alive and not ready.
    let mut admin = PgConnection::connect(database.url()).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations VALUES (9999, 'of the future', now(), true, '\\x00', 0)";
    sqlx::query(newer).execute(&mut admin).await.unwrap();
    becomes(6).await;
    assert_eq!(
        code_and_output(&health(server, &["--readiness"]).await),
        (Some(6), "NOT_SERVING".to_owned())
    );
    assert_eq!(code_and_output(&health(server, &["--liveness"]).await), serving);
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 9999")
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
