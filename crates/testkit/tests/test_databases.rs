//! Promises of the databases that the other tests get (`sharewarden_testkit::postgres`).

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

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
async fn two_tests_do_not_see_each_other() {
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
async fn a_database_goes_with_its_test_even_while_connected() {
    let gone = database().await;
    let mut connection = connect(&gone).await;
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    drop(gone);
    // Databases are made and dropped one after the other, so the drop comes before this.
    let next = database().await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_database WHERE datname = $1")
        .bind(name)
        .fetch_one(&mut connect(&next).await)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn a_database_can_be_had_after_the_first_tests_runtime_has_ended() {
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
    drop(input); // the helper ends, as any test process does
    assert!(process.wait().unwrap().success());
    assert!(!folder.exists(), "{} is left", folder.display());
}

#[test]
fn a_killed_test_process_is_cleaned_up_after_by_the_next() {
    let (mut killed, _input, left) = start_helper();
    killed.kill().unwrap();
    killed.wait().unwrap();
    // Its server is still on its way out, and would write into a folder that is being removed.
    while left.join("cluster/postmaster.pid").exists() {
        std::thread::yield_now();
    }

    let (mut next, input, _) = start_helper();
    assert!(!left.exists(), "{} is still there", left.display());
    drop(input);
    next.wait().unwrap();
}

/// Not a test: what `start_helper` runs. It uses a database until its input ends.
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

/// This very binary, as a process of its own with a cluster of its own; and that cluster's folder.
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
