//! Runs the model checker for a given time: all kinds of faults on several replicas at once, and then a check of the promises
//! P1 to P8, P10 and P11. The checker itself is in `crates/testkit/src/checker`.
//!
//! `cargo run --release --example chaos -- --minutes 10 [--seed N] [--replicas 3] [--clients 8] [--keep FOLDER]`
//!
//! The policy set of each replica is replaced again and again. In an upgrade it is not: older builds have no policies.
//!
//! `--old PROGRAM` upgrades the replicas from another build to this one during the run; with `--rollback`, back and
//! forward again. `scripts/chaos-upgrade` builds both. One ready replica is then always out of the reach of faults, and a
//! moment without one is a violation.
//!
//! It needs only PostgreSQL's binaries; replicas are processes of this program. A seed selects the same requests, faults, cuts
//! and kills. The timing of processes and sockets differs, so two runs with one seed are similar but not equal. The exit
//! status is 1 if it found a violation.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it may fail by panic, and it prints"
)]

use std::{io::Read, path::PathBuf, process::ExitCode, time::Duration};

use sharewarden::{
    clock::Clock,
    config::{Config, DatabaseConfig},
    dev::postgres::{Cluster, ClusterSettings, DATABASE},
    server::{self, Server},
    store::{Database, StoreError},
};
use sharewarden_testkit::{
    checker::{
        replica::Program,
        trial::{self, TrialOptions},
        upgrade::Upgrade,
    },
    stack::credentials,
};

/// The arguments after `--`.
struct Options {
    lasts: Duration,
    seed: u64,
    replicas: usize,
    clients: usize,
    keep: Option<PathBuf>,
    old: Option<PathBuf>,
    rollback: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["replica", config, off_by] => {
            runtime.block_on(replica(config, off_by.parse().unwrap()));
            ExitCode::SUCCESS
        }
        ["finalize", url] => as_owner(runtime.block_on(finalize(url))),
        ["migrate", url] => as_owner(runtime.block_on(migrate(url))),
        _ => runtime.block_on(run(&options(&words))),
    }
}

fn as_owner(result: Result<(), StoreError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options(words: &[&str]) -> Options {
    let mut options = Options {
        lasts: Duration::from_secs(60),
        seed: fastrand::u64(..),
        replicas: 3,
        clients: 8,
        keep: None,
        old: None,
        rollback: false,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if *word == "--rollback" {
            options.rollback = true;
            continue;
        }
        let value = words.next().unwrap_or_else(|| panic!("{word} takes a value"));
        let number = || value.parse::<u64>().unwrap_or_else(|_| panic!("{word} takes a number"));
        match *word {
            "--minutes" => options.lasts = Duration::from_secs(60 * number()),
            "--seconds" => options.lasts = Duration::from_secs(number()),
            "--seed" => options.seed = number(),
            "--replicas" => options.replicas = usize::try_from(number()).unwrap(),
            "--clients" => options.clients = usize::try_from(number()).unwrap(),
            "--keep" => options.keep = Some(value.into()),
            "--old" => options.old = Some(value.into()),
            other => panic!("unknown option {other}"),
        }
    }
    options
}

async fn run(options: &Options) -> ExitCode {
    let temporary = tempfile::Builder::new().prefix("sharewarden-chaos-").tempdir().unwrap();
    let folder = options.keep.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder).unwrap();
    let cluster = Cluster::start(ClusterSettings::new(temporary.path().join("postgres")).without_fsync())
        .await
        .unwrap();
    let url = cluster.url(DATABASE);
    let upgrade = options.old.clone().map(|old| Upgrade {
        old: Program::Chaos(old),
        rollback: options.rollback,
    });
    if upgrade.is_none() {
        migrate(&url).await.unwrap();
    }
    let options = TrialOptions {
        seed: options.seed,
        replicas: options.replicas,
        clients: options.clients,
        lasts: options.lasts,
        program: Program::Chaos(std::env::current_exe().unwrap()),
        upgrade,
        database: url,
    };
    println!(
        "{} replicas{}, {} clients, {:?} of faults, seed {}",
        options.replicas,
        if options.upgrade.is_some() {
            " of each build"
        } else {
            ""
        },
        options.clients,
        options.lasts,
        options.seed
    );
    let trial = trial::run(&options, folder).await;
    print!("{trial}");
    cluster.stop();
    match trial.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn database(url: &str) -> Database {
    let timeout = Duration::from_secs(30);
    let settings = DatabaseConfig {
        url: url.into(),
        max_connections: 1,
        acquire_timeout: timeout,
        statement_timeout: timeout,
    };
    Database::new(&settings, &Clock::system()).unwrap()
}

async fn migrate(url: &str) -> Result<(), StoreError> {
    let database = database(url);
    let migrated = database.migrate().await;
    database.close().await;
    migrated
}

async fn finalize(url: &str) -> Result<(), StoreError> {
    let database = database(url);
    let finalized = database.finalize().await;
    database.close().await;
    finalized
}

/// A server as `sharewarden serve` runs it, but with a skewed clock.
async fn replica(config: &str, off_by: i32) {
    std::thread::spawn(|| {
        // Standard input has no writer. It ends when the parent has ended, however that happened.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    let shutdown = server::shutdown_signal().unwrap();
    let config = Config::from_toml(&std::fs::read_to_string(config).unwrap()).unwrap();
    let telemetry = server::init_telemetry(&config).unwrap();
    let listener = server::listen(config.server.listen).await.unwrap();
    let clock = Clock::system_off_by(off_by);
    match Server::build(&config, credentials(), clock, listener).await {
        Ok(server) => {
            tracing::info!(address = %server.address(), off_by, "serving");
            server.run(shutdown).await.unwrap();
        }
        // Postgres is unreachable. The parent starts this process again.
        Err(error) => tracing::error!(%error, "cannot start"),
    }
    telemetry.end().await;
}
