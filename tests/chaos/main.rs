//! A short run of the model checker with real processes and random failures. The long run is
//! `cargo run --example chaos`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail so, and say with which seed"
)]

use std::time::Duration;

use sharewarden_testkit::{
    checker::{
        replica::Program,
        trial::{self, TrialOptions},
        upgrade::Upgrade,
    },
    postgres,
};

fn options(seed: u64, database: &str) -> TrialOptions {
    TrialOptions {
        seed,
        replicas: 3,
        clients: 6,
        lasts: Duration::from_secs(8),
        program: Program::Sharewarden(env!("CARGO_BIN_EXE_sharewarden").into()),
        upgrade: None,
        database: database.to_owned(),
    }
}

async fn no_violation(options: &TrialOptions) {
    let folder = tempfile::tempdir().unwrap();
    let trial = trial::run(options, folder.path()).await;
    let seed = options.seed;
    println!("seed {seed}\n{trial}");
    assert!(
        trial.violations.is_empty(),
        "cargo run --example chaos -- --seconds 60 --seed {seed}"
    );
}

/// Both seeds run in one test, because two trials at once would overload the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_holds_under_random_failures() {
    for seed in [4, fastrand::u64(..)] {
        let database = postgres::database().await;
        no_violation(&options(seed, database.url())).await;
    }
}

/// The program is the one of the version before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a program: OLD_PROGRAM=$(scripts/baseline)/sharewarden cargo test --test chaos -- --ignored"]
#[expect(
    clippy::disallowed_methods,
    reason = "the program comes from outside, as the test is run by hand"
)]
async fn every_promise_holds_during_an_upgrade_and_a_rollback_under_random_failures() {
    let old = std::env::var_os("OLD_PROGRAM").expect("OLD_PROGRAM is the path of an older program");
    // It makes the database and the older schema.
    let server = postgres::database().await;
    let (server, query) = server.url().split_once('?').unwrap();
    let upgrade = Upgrade {
        old: Program::Sharewarden(old.into()),
        rollback: true,
    };
    let options = TrialOptions {
        lasts: Duration::from_secs(28),
        upgrade: Some(upgrade),
        ..options(fastrand::u64(..), &format!("{server}_upgrade?{query}"))
    };
    no_violation(&options).await;
}
