//! A database that refuses the program: `serve` and `migrate` end at once. The error has the server, the cause and the remedy.
//! `config check` asks no database.

use std::{fs, io::Write, process::Output};

use sharewarden::dev::postgres::{Cluster, ClusterSettings};
use sharewarden_testkit::stack::*;
use sqlx::{Connection, PgConnection};
use tempfile::{NamedTempFile, TempDir};

use crate::processes::{output, program};

/// A cluster of its own, because the test changes its `pg_hba.conf`. The role `locked` has a password.
async fn cluster(folder: &TempDir) -> Cluster {
    let cluster = Cluster::start(ClusterSettings::new(folder.path()).without_fsync())
        .await
        .unwrap();
    let mut admin = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    for statement in [
        "CREATE ROLE locked LOGIN PASSWORD 'right'",
        "CREATE ROLE powerless LOGIN",
        "CREATE DATABASE empty OWNER locked",
        "REVOKE CREATE ON SCHEMA public FROM public",
    ] {
        sqlx::query(statement).execute(&mut admin).await.unwrap();
    }
    let rules: String = sqlx::query_scalar("SHOW hba_file").fetch_one(&mut admin).await.unwrap();
    let before = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("local all locked scram-sha-256\n{before}")).unwrap();
    sqlx::query("SELECT pg_reload_conf()")
        .execute(&mut admin)
        .await
        .unwrap();
    admin.close().await.unwrap();
    // A new connection of the role is refused once the rules are in force.
    let locked = url_of(&cluster, "locked", "empty");
    while let Ok(connection) = PgConnection::connect(&locked).await {
        connection.close().await.unwrap();
    }
    cluster
}

fn url_of(cluster: &Cluster, role: &str, database: &str) -> String {
    cluster
        .url(database)
        .replacen("://sharewarden@", &format!("://{role}@"), 1)
}

async fn run(command: &[&str], database_url: &str) -> Output {
    let mut file = NamedTempFile::new().unwrap();
    let config = config_text(database_url, "http://127.0.0.1:1", "");
    file.write_all(config.as_bytes()).unwrap();
    output(program().args(command).arg("--config").arg(file.path())).await
}

/// The last line of standard error of a command that fails.
async fn error_of(command: &str, database_url: &str) -> String {
    let ended = run(&[command], database_url).await;
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{command}: {said}");
    assert!(!said.contains("hunter2"), "{said}");
    said.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_database_that_refuses_is_named_with_the_cause_and_the_remedy() {
    let folder = TempDir::new().unwrap();
    let cluster = cluster(&folder).await;
    let server = cluster.socket_dir().display().to_string();
    let wrong_password = url_of(&cluster, "locked:hunter2", "empty");
    let no_role = url_of(&cluster, "nobody:hunter2", "empty");
    let no_database = url_of(&cluster, "powerless", "missing");
    for (command, url, cause, remedy) in [
        (
            "serve",
            &wrong_password,
            "refuses the password of the role",
            "correct the user and the password in database.url",
        ),
        (
            "migrate",
            &wrong_password,
            "refuses the password of the role",
            "correct the user and the password in database.url",
        ),
        (
            "serve",
            &no_role,
            "refuses the role",
            "create the role (docs/roles.sql)",
        ),
        (
            "migrate",
            &no_role,
            "refuses the role",
            "create the role (docs/roles.sql)",
        ),
        (
            "serve",
            &no_database,
            "the database does not exist",
            "create it with `sharewarden migrate`",
        ),
        ("migrate", &no_database, "the role lacks a right", "with docs/roles.sql"),
        (
            "migrate",
            &url_of(&cluster, "powerless", "empty"),
            "the role lacks a right",
            "with docs/roles.sql",
        ),
    ] {
        let error = error_of(command, url).await;
        assert!(error.contains(cause) && error.contains(remedy), "{command}: {error}");
        assert_eq!(error.matches(cause).count(), 1, "each fact once: {error}");
        let is_of_schema = command == "migrate" && url.contains("powerless@") && url.contains("/empty");
        assert!(is_of_schema || error.contains(&server), "{command}: {error}");
    }

    // The schema exists, and the role may not read it.
    let owner = url_of(&cluster, "sharewarden", "empty");
    let migrated = run(&["migrate"], &owner).await;
    let printed = String::from_utf8(migrated.stdout).unwrap();
    assert!(migrated.status.success());
    let migrations = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let build = std::fs::read_dir(migrations).unwrap().count();
    assert!(
        printed.starts_with("migration 1 (ledger): ")
            && printed.contains(&format!("\napplied {build} migrations\nthis program is build {build};")),
        "{printed}"
    );
    let log = String::from_utf8(migrated.stderr).unwrap();
    assert!(!log.contains("CREATE "), "no statement in the log: {log}");
    let again = run(&["migrate"], &owner).await;
    let nothing = b"nothing to do: the database has the migrations of this program\n";
    assert!(again.stdout.starts_with(nothing));
    let error = error_of("serve", &url_of(&cluster, "powerless", "empty")).await;
    assert!(
        error.contains("the role lacks a right") && error.contains(&server),
        "{error}"
    );

    let checked = run(&["config", "check"], &wrong_password).await;
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(
        checked.status.success() && said.contains("not checked: Postgres"),
        "{said}"
    );
    cluster.stop();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_the_cause_and_the_remedy() {
    for (url, words) in [
        (
            "postgres://u:hunter2@127.0.0.1:1/db",
            "127.0.0.1:1: the connection failed: Connection refused",
        ),
        (
            "postgres://u:hunter2@no..host/db",
            "no..host:5432: the connection failed: failed to lookup address",
        ),
        (
            "postgres://u@localhost/db?host=/no/such/folder",
            "/no/such/folder: the connection failed: No such file",
        ),
    ] {
        let error = error_of("migrate", url).await;
        assert!(error.contains(words) && error.contains("database.url"), "{error}");
    }
}
