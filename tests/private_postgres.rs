//! The private Postgres of `sharewarden dev` and of the tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail the test")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use sharewarden::dev::postgres::{Cluster, ClusterSettings, DATABASE, Error};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

/// Set for the process that `a_server_stops_when_its_parent_is_killed` starts and kills.
const HELPER_FOLDER: &str = "SHAREWARDEN_TEST_HELPER_FOLDER";

fn settings(folder: &Path) -> ClusterSettings {
    ClusterSettings::new(folder).without_fsync()
}

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.url(DATABASE))
        .await
        .expect("the server takes connections")
}

async fn execute(connection: &mut PgConnection, sql: &'static str) {
    sqlx::query(sql)
        .execute(connection)
        .await
        .expect("the server executes it");
}

/// Waits until the condition is true, and fails after a timeout.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never happened: {what}");
}

/// A zombie is not alive, although its process id still exists.
fn is_alive(pid: u32) -> bool {
    if cfg!(target_os = "linux") {
        return std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|arguments| !arguments.is_empty());
    }
    rustix::process::test_kill_process(process(pid)).is_ok()
}

fn process(pid: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

#[tokio::test]
async fn data_survives_a_restart() {
    let folder = TempDir::new().unwrap();
    let cluster = Cluster::start(settings(folder.path())).await.unwrap();
    let mut connection = connect(&cluster).await;
    execute(&mut connection, "CREATE TABLE kept AS SELECT 42 AS answer").await;
    cluster.stop();

    let cluster = Cluster::start(settings(folder.path())).await.unwrap();
    let answer: i32 = sqlx::query_scalar("SELECT answer FROM kept")
        .fetch_one(&mut connect(&cluster).await)
        .await
        .unwrap();
    assert_eq!(answer, 42);
}

#[tokio::test]
async fn a_stopped_server_is_gone_and_wakes_its_waiters() {
    let folder = TempDir::new().unwrap();
    let cluster = Cluster::start(settings(folder.path())).await.unwrap();
    let pid = cluster.pid();
    assert!(is_alive(pid));
    cluster.stop();
    assert!(!is_alive(pid));
    assert!(!folder.path().join("run/.s.PGSQL.5432").exists());

    let cluster = Cluster::start(settings(folder.path())).await.unwrap();
    rustix::process::kill_process(process(cluster.pid()), rustix::process::Signal::INT).unwrap();
    cluster.gone().await;
}

#[tokio::test]
async fn it_listens_on_no_tcp_port() {
    let folder = TempDir::new().unwrap();
    let cluster = Cluster::start(settings(folder.path())).await.unwrap();
    let addresses: String = sqlx::query_scalar("SHOW listen_addresses")
        .fetch_one(&mut connect(&cluster).await)
        .await
        .unwrap();
    assert_eq!(addresses, "");
}

#[tokio::test]
async fn a_second_start_on_the_same_folder_is_refused() {
    let folder = TempDir::new().unwrap();
    let cluster = Cluster::start(settings(folder.path())).await.unwrap();
    let refused = Cluster::start(settings(folder.path())).await.unwrap_err();
    let expected = format!(
        "is in use by process {}: stop that process first, or choose another folder",
        std::process::id()
    );
    assert!(refused.to_string().ends_with(&expected), "{refused}");
    connect(&cluster)
        .await
        .ping()
        .await
        .expect("the first one is not disturbed");
}

#[tokio::test]
async fn a_folder_with_other_files_is_left_alone() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    let refused = Cluster::start(settings(folder.path())).await.unwrap_err();
    assert!(matches!(refused, Error::Foreign { .. }), "{refused}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_cluster_of_another_version_is_left_alone() {
    let folder = TempDir::new().unwrap();
    Cluster::start(settings(folder.path())).await.unwrap().stop();
    std::fs::write(folder.path().join("cluster/PG_VERSION"), "9\n").unwrap();
    let refused = Cluster::start(settings(folder.path())).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("is a cluster of PostgreSQL 9, but PostgreSQL "),
        "{refused}"
    );
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_its_log() {
    let folder = TempDir::new().unwrap();
    Cluster::start(settings(folder.path())).await.unwrap().stop();
    std::fs::write(folder.path().join("cluster/postgresql.conf"), "no_such_setting = 1\n").unwrap();
    let failed = Cluster::start(settings(folder.path())).await.unwrap_err();
    assert!(
        failed
            .to_string()
            .contains("unrecognized configuration parameter \"no_such_setting\""),
        "{failed}"
    );
}

#[tokio::test]
async fn an_interrupted_initdb_is_repeated() {
    let folder = TempDir::new().unwrap();
    Cluster::start(settings(folder.path())).await.unwrap().stop();
    std::fs::rename(folder.path().join("cluster"), folder.path().join("cluster.unfinished")).unwrap();
    std::fs::remove_file(folder.path().join("cluster.unfinished/PG_VERSION")).unwrap();
    connect(&Cluster::start(settings(folder.path())).await.unwrap())
        .await
        .ping()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_long_path_works() {
    let outer = TempDir::new().unwrap();
    open_to_all(outer.path());
    let cluster = Cluster::start(settings(&outer.path().join("a".repeat(120))))
        .await
        .unwrap();
    connect(&cluster).await.ping().await.unwrap();
    let socket_dir = cluster.socket_dir().to_owned();
    cluster.stop();
    assert!(!socket_dir.exists(), "the socket's own folder stayed");
}

#[tokio::test]
async fn special_characters_in_the_path_work() {
    let outer = TempDir::new().unwrap();
    open_to_all(outer.path());
    let cluster = Cluster::start(settings(&outer.path().join("a, \"b\" & 'ü'?")))
        .await
        .unwrap();
    connect(&cluster).await.ping().await.unwrap();
}

#[test]
fn the_server_outlives_the_thread_that_started_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().to_owned();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let asking = std::thread::spawn(move || runtime().block_on(Cluster::start(settings(&path))).unwrap());
    let cluster = asking.join().unwrap();
    runtime().block_on(async { connect(&cluster).await.ping().await.unwrap() });
}

#[tokio::test]
async fn a_cancelled_start_leaves_no_process() {
    let folder = TempDir::new().unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(50), Cluster::start(settings(folder.path()))).await;
    assert!(given_up.is_err(), "a new cluster takes longer than that");
    // The lock is released only after the server is gone.
    let lock = std::fs::File::open(folder.path().join("lock")).unwrap();
    assert!(lock.try_lock().is_ok(), "the abandoned start has cleaned up");
    assert!(!folder.path().join("cluster/postmaster.pid").exists());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_stops_when_its_parent_is_killed() {
    let folder = TempDir::new().unwrap();
    let (mut parent, postgres) = start_helper(folder.path());
    assert!(is_alive(postgres));
    parent.kill().unwrap(); // SIGKILL
    parent.wait().unwrap();
    eventually("the server has followed its parent", || !is_alive(postgres)).await;
    assert!(
        !folder.path().join("cluster/postmaster.pid").exists(),
        "it was an orderly shutdown"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_start_right_after_a_kill_waits_for_the_old_server() {
    let folder = TempDir::new().unwrap();
    let (mut parent, _) = start_helper(folder.path());
    parent.kill().unwrap();
    parent.wait().unwrap();
    connect(&Cluster::start(settings(folder.path())).await.unwrap())
        .await
        .ping()
        .await
        .unwrap();
}

/// Not a test: `start_helper` runs it as a process that keeps a cluster running until it is killed.
#[tokio::test]
#[ignore = "run by other tests"]
async fn helper_that_holds_a_cluster() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one way to hand a value to this process of libtest's"
    )]
    let Ok(folder) = std::env::var(HELPER_FOLDER) else {
        return;
    };
    let cluster = Cluster::start(settings(Path::new(&folder))).await.unwrap();
    println!("postgres {}", cluster.pid());
    cluster.gone().await;
}

/// Runs this test binary as a process that keeps a cluster running. Returns it and the server's process id.
fn start_helper(folder: &Path) -> (Child, u32) {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_that_holds_a_cluster", "--ignored", "--nocapture"])
        .env(HELPER_FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let pid = lines
        .map_while(Result::ok)
        .find_map(|line| line.split("postgres ").nth(1)?.parse().ok());
    (parent, pid.expect("the helper prints the process id of its server"))
}

/// Only its creator may access a temporary folder, but root's server runs as another user.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}
