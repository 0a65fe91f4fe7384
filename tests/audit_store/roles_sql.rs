//! `docs/roles.sql` on a new cluster.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use sharewarden::{
    dev::postgres::{Cluster, ClusterSettings},
    store::{Privileges, partitions},
};
use sqlx::{Connection, PgConnection};

use crate::store::connect;

#[tokio::test]
async fn the_documented_roles_can_only_migrate_serve_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(ClusterSettings::new(folder.path()).without_fsync())
        .await
        .unwrap();
    let url = |role: &str, database: &str| {
        cluster
            .url(database)
            .replacen("://sharewarden@", &format!("://{role}@"), 1)
    };
    assert_missing_groups_are_reported(&cluster, &url("lonely", "lonely")).await;

    for _ in 0..2 {
        run(&cluster, "history");
    }
    let owner = connect(&url("sharewarden_owner", "history"));
    assert!(!owner.privileges().await.is_ok_and(|privileges| privileges.superuser));
    owner.migrate().await.unwrap();
    run(&cluster, "history");
    owner.migrate().await.unwrap();
    assert_eq!(
        owner.privileges().await.unwrap(),
        Privileges {
            superuser: false,
            owner: true
        }
    );
    owner.close().await;

    let server = connect(&url("sharewarden_server", "history"));
    server.check().await.unwrap();
    assert_eq!(
        server.privileges().await.unwrap(),
        Privileges {
            superuser: false,
            owner: false
        }
    );
    assert_eq!(partitions::ensure(&server, 6).await.unwrap().made, 3);
    server.close().await;
    let mut server = PgConnection::connect(&url("sharewarden_server", "history"))
        .await
        .unwrap();
    for refused in [
        "CREATE TABLE mine ()",
        "CREATE TEMPORARY TABLE mine ()",
        "SET ROLE sharewarden_owner",
    ] {
        assert_eq!(
            code(sqlx::query(refused).execute(&mut server).await),
            "42501",
            "{refused}"
        );
    }
    server.close().await.unwrap();

    let mut dashboard = PgConnection::connect(&url("sharewarden_dashboard", "history"))
        .await
        .unwrap();
    let shares: i64 = sqlx::query_scalar("SELECT count(*) FROM current_shares")
        .fetch_one(&mut dashboard)
        .await
        .unwrap();
    assert_eq!(shares, 0);
    let refused = sqlx::query("SELECT FROM public.ledger").execute(&mut dashboard).await;
    assert_eq!(code(refused), "42501");
    for bound in ["statement_timeout", "idle_in_transaction_session_timeout"] {
        let bounded: String = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SHOW {bound}")))
            .fetch_one(&mut dashboard)
            .await
            .unwrap();
        assert_eq!(bounded, "1min", "{bound}");
    }
    dashboard.close().await.unwrap();

    // An existing database of another owner.
    run(&cluster, "sharewarden");
    let owner = connect(&url("sharewarden_owner", "sharewarden"));
    owner.migrate().await.unwrap();
    owner.close().await;
    cluster.stop();
}

/// Without the groups, a migration by a role that cannot create roles must name `docs/roles.sql`.
async fn assert_missing_groups_are_reported(cluster: &Cluster, lonely: &str) {
    let mut admin = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    for statement in ["CREATE ROLE lonely LOGIN", "CREATE DATABASE lonely OWNER lonely"] {
        sqlx::query(statement).execute(&mut admin).await.unwrap();
    }
    let database = connect(lonely);
    let refused = database.migrate().await.unwrap_err().to_string();
    assert!(refused.contains("docs/roles.sql"), "{refused}");
    database.close().await;
    sqlx::query("DROP DATABASE lonely").execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
}

fn code<T: std::fmt::Debug>(result: Result<T, sqlx::Error>) -> String {
    let error = result.expect_err("it is refused");
    error.as_database_error().unwrap().code().unwrap().into_owned()
}

/// Runs `docs/roles.sql` as its first lines describe.
fn run(cluster: &Cluster, database: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/roles.sql");
    let output = Command::new(psql())
        .args(["--no-psqlrc", "--quiet", &cluster.url("postgres")])
        .args(["-v", &format!("database={database}")])
        .args(["-v", "owner_password=it's one"])
        .args(["-v", "writer_password=two"])
        .args(["-v", "reader_password=three"])
        .arg("-f")
        .arg(file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The path of psql: next to the server's programs, or from `PATH`.
fn psql() -> PathBuf {
    let folders = [
        "/usr/lib/postgresql",
        "/usr/pgsql",
        "/opt/homebrew/opt",
        "/usr/local/opt",
    ];
    let versions = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .flatten();
    let programs = versions.map(|version| version.path().join("bin/psql"));
    programs
        .filter(|psql| psql.exists())
        .max()
        .unwrap_or_else(|| "psql".into())
}
