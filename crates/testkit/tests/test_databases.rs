//! Tests of the test databases (`sharewarden_testkit::postgres`).

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use sharewarden_testkit::postgres::{TestDatabase, database};
use sqlx::{Connection, PgConnection};

async fn connect(database: &TestDatabase) -> PgConnection {
    PgConnection::connect(database.url())
        .await
        .expect("a test's database takes connections")
}

#[tokio::test]
async fn a_database_has_the_schema_and_no_rows() {
    let database = database().await;
    let changes: i64 = sqlx::query_scalar("SELECT count(*) FROM change")
        .fetch_one(&mut connect(&database).await)
        .await
        .unwrap();
    assert_eq!(changes, 0);
}

#[tokio::test]
async fn the_databases_of_two_tests_are_isolated() {
    let (one, other) = tokio::join!(database(), database());
    sqlx::raw_sql("CREATE TABLE mine (id int)")
        .execute(&mut connect(&one).await)
        .await
        .unwrap();
    let seen: bool = sqlx::query_scalar("SELECT to_regclass('mine') IS NOT NULL")
        .fetch_one(&mut connect(&other).await)
        .await
        .unwrap();
    assert!(!seen);
}

#[tokio::test]
async fn a_database_is_dropped_with_its_test_even_while_connected() {
    let gone = database().await;
    let mut connection = connect(&gone).await;
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    drop(gone);
    // Databases are created and dropped in order, so the drop is done before this.
    let next = database().await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = $1")
        .bind(name)
        .fetch_one(&mut connect(&next).await)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn databases_work_after_the_runtime_of_the_first_test_has_ended() {
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async { connect(&database().await).await.ping().await.unwrap() });
    }
}

#[test]
fn a_test_process_leaves_no_server_and_no_folder() {
    let (mut process, input, folder) = start_helper();
    assert!(folder.exists());
    drop(input); // The helper exits like any test process.
    assert!(process.wait().unwrap().success());
    assert!(!folder.exists(), "{} is left", folder.display());
}

#[test]
fn the_next_test_process_cleans_up_after_a_killed_one() {
    let (mut killed, _input, left) = start_helper();
    killed.kill().unwrap();
    killed.wait().unwrap();
    // Its server is still stopping, and would write into a folder that is being removed.
    while left.join("cluster/postmaster.pid").exists() {
        std::thread::yield_now();
    }

    let (mut next, input, _) = start_helper();
    assert!(!left.exists(), "{} is still there", left.display());
    drop(input);
    next.wait().unwrap();
}

/// Not a test: `start_helper` runs it. It uses a database until its stdin is closed.
#[tokio::test]
#[ignore = "run by other tests"]
async fn helper_that_uses_a_database() {
    let database = database().await;
    let folder: String = sqlx::query_scalar("SHOW data_directory")
        .fetch_one(&mut connect(&database).await)
        .await
        .unwrap();
    eprintln!("folder {}", Path::new(&folder).parent().unwrap().display());
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).unwrap();
}

/// Runs this test binary as a process with its own cluster. Returns the cluster's folder.
fn start_helper() -> (Child, ChildStdin, PathBuf) {
    let mut process = Command::new(std::env::current_exe().expect("a test knows its own binary"))
        .args(["--exact", "helper_that_uses_a_database", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a test's own binary can be run");
    let input = process.stdin.take().expect("it is piped");
    let lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
    let folder = lines
        .map_while(Result::ok)
        .find_map(|line| Some(PathBuf::from(line.split("folder ").nth(1)?)));
    (process, input, folder.expect("the helper says where its cluster is"))
}
