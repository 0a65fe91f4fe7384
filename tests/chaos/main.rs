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
    },
    postgres,
};

async fn no_violation(seed: u64) {
    let database = postgres::database().await;
    let folder = tempfile::tempdir().unwrap();
    let options = TrialOptions {
        seed,
        replicas: 3,
        clients: 6,
        lasts: Duration::from_secs(8),
        program: Program::Sharewarden(env!("CARGO_BIN_EXE_sharewarden").into()),
        upgrade: None,
        database: database.url().to_owned(),
    };
    let trial = trial::run(&options, folder.path()).await;
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
        no_violation(seed).await;
    }
}
