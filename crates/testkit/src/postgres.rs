//! A fresh, migrated database for each test, in one private cluster for the test process.
//!
//! One thread owns the cluster and the only admin connection: the runtime of a test ends with the test and would
//! close a shared connection. The cluster starts with the first test that needs it, and is stopped by an exit
//! handler, because libtest ends with `exit`. If a test process is killed, its server stops with it, and the next
//! test process removes the folder.

use std::{fs::File, io::Write, path::Path, sync::Mutex, thread::JoinHandle, time::Duration};

use sharewarden::{
    clock::Clock,
    config::DatabaseConfig,
    dev::postgres::{Cluster, ClusterSettings},
    store::Database,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::{mpsc, oneshot};

use crate::stack::config_text;

/// The variable that names a `sharewarden` program of a newer build. Its migrations are applied after those of this build, so
/// that the tests of an older build run on the newer schema.
const NEWER_PROGRAM: &str = "SHAREWARDEN_TEST_MIGRATE";

const TEMPLATE: &str = "template_of_tests";
const FOLDER_PREFIX: &str = "sharewarden-test-";

/// Makes the template database: empty, with the current schema.
async fn prepare_template(url: &str) {
    let timeout = Duration::from_secs(30);
    let settings = DatabaseConfig {
        url: url.into(),
        max_connections: 1,
        acquire_timeout: timeout,
        statement_timeout: timeout,
    };
    let database = Database::new(&settings, &Clock::system()).unwrap();
    database.migrate().await.unwrap();
    database.close().await; // A database with connections cannot be a template.
    if let Some(program) = newer_program() {
        migrate_with(&program, url).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the gate chooses the program")]
fn newer_program() -> Option<std::ffi::OsString> {
    std::env::var_os(NEWER_PROGRAM)
}

async fn migrate_with(program: &std::ffi::OsStr, url: &str) {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    config
        .write_all(config_text(url, "http://127.0.0.1:9", "").as_bytes())
        .unwrap();
    let migrated = tokio::process::Command::new(program)
        .arg("migrate")
        .arg("--config")
        .arg(config.path())
        .output()
        .await
        .unwrap_or_else(|error| panic!("{NEWER_PROGRAM} names {}: {error}", program.display()));
    let messages = String::from_utf8_lossy(&migrated.stderr);
    assert!(migrated.status.success(), "{} migrate: {messages}", program.display());
}

/// A database for one test. It is dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    jobs: mpsc::UnboundedSender<Job>,
}

/// A fresh, empty database with the current schema.
pub async fn database() -> TestDatabase {
    let jobs = jobs();
    let (reply, made) = oneshot::channel();
    let asked = jobs.send(Job::Create(reply));
    let (name, url) = match asked {
        Ok(()) => made.await.expect("the shared cluster failed: see its panic message"),
        Err(_) => panic!("the shared cluster failed: see its panic message"),
    };
    TestDatabase { name, url, jobs }
}

impl TestDatabase {
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // If the cluster has stopped, the database is gone too.
        let _ = self.jobs.send(Job::Drop(std::mem::take(&mut self.name)));
    }
}

enum Job {
    /// Replies with the database's name and URL.
    Create(oneshot::Sender<(String, String)>),
    Drop(String),
    Stop,
}

struct SharedCluster {
    jobs: mpsc::UnboundedSender<Job>,
    thread: JoinHandle<()>,
}

static SHARED: Mutex<Option<SharedCluster>> = Mutex::new(None);

/// Starts the cluster on the first call.
fn jobs() -> mpsc::UnboundedSender<Job> {
    let mut shared = SHARED.lock().unwrap();
    shared.get_or_insert_with(start).jobs.clone()
}

fn start() -> SharedCluster {
    stop_at_exit();
    remove_folders_of_the_killed();
    let (jobs, queue) = mpsc::unbounded_channel();
    let thread = std::thread::Builder::new()
        .name("shared-postgres".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(serve(queue));
        });
    SharedCluster {
        jobs,
        thread: thread.unwrap(),
    }
}

async fn serve(mut queue: mpsc::UnboundedReceiver<Job>) {
    let prefix = format!("{FOLDER_PREFIX}{}-", std::process::id());
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
    let cluster = Cluster::start(ClusterSettings::new(folder.path()).without_fsync())
        .await
        .unwrap();
    let mut admin = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    execute(&mut admin, format!("CREATE DATABASE {TEMPLATE}")).await;
    prepare_template(&cluster.url(TEMPLATE)).await;

    let mut made = 0;
    while let Some(job) = queue.recv().await {
        match job {
            Job::Create(reply) => {
                made += 1;
                let name = format!("test_{made}");
                execute(&mut admin, format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await;
                let url = cluster.url(&name);
                // The test may have ended meanwhile. Its database is removed with the cluster.
                let _ = reply.send((name, url));
            }
            Job::Drop(name) => execute(&mut admin, format!("DROP DATABASE {name} WITH (FORCE)")).await,
            Job::Stop => break,
        }
    }
    admin.close().await.unwrap();
    cluster.stop();
    folder.close().unwrap();
}

async fn execute(admin: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(admin).await.unwrap();
}

#[expect(
    unsafe_code,
    reason = "libtest leaves by exit(), which drops no static: only the C library can call us then"
)]
fn stop_at_exit() {
    extern "C" fn stop() {
        let shared = SHARED.lock().ok().and_then(|mut shared| shared.take());
        if let Some(SharedCluster { jobs, thread }) = shared {
            // An error means that the thread has panicked and dropped the cluster already.
            let _ = jobs.send(Job::Stop);
            let _ = thread.join();
        }
    }
    // SAFETY: `stop` takes nothing and unwinds nowhere; it is registered once, before the cluster exists.
    assert_eq!(unsafe { libc::atexit(stop) }, 0, "no room for an exit handler");
}

/// Removes the folders of test processes that were killed.
fn remove_folders_of_the_killed() {
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(FOLDER_PREFIX)?.split('-').next()?.parse().ok());
        if owner.is_some_and(has_ended) && is_unlocked(&entry.path()) {
            // It may belong to another user.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn has_ended(pid: i32) -> bool {
    let pid = rustix::process::Pid::from_raw(pid);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

/// A process in another container may be alive without a pid here. Its file lock is visible here too.
fn is_unlocked(folder: &Path) -> bool {
    File::open(folder.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok())
}
