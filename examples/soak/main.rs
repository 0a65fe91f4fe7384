//! A long run of mixed load on a real server process. It checks that memory, descriptors, threads, tasks and connections to
//! Postgres do not grow.
//!
//! `cargo run --release --example soak -- --minutes 30`
//!
//! It starts a private Postgres, a simulator, and itself again as the server (`server`). It runs callers of all kinds (`load`),
//! and prints the resources of the server every minute (`measure`). It fails if they grew beyond [`measure::Bounds`] between
//! the first minute after the warm-up and the last, or if a caller got an answer that is never right.
//!
//! With `--hostile viewer,nobody`, hostile callers join after half of the time. It also fails if they double the p99 of others,
//! or if the server needs more memory than the limit in `deploy/kubernetes`. To enforce that limit, run the server in a cgroup:
//! `--inside "systemd-run --scope --quiet -p MemoryMax=512M -p MemorySwapMax=0"`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement, not the product"
)]

mod load;
mod measure;
mod server;
mod surroundings;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use sharewarden::clock::Clock;

use load::{
    Load,
    hostile::{self, Attack, Hostile},
    others::{Others, Percentiles},
};
use measure::{Bounds, Means, Sample, Window};
use surroundings::Surroundings;

/// The limit of memory in `deploy/kubernetes`, in MiB.
const MEMORY_LIMIT: u64 = 512;

/// A p99 below this is not compared with that without hostile callers: one slow commit decides it.
const QUICK: Duration = Duration::from_millis(50);

/// The time without load, before and after, in which open work must end.
const REST: Duration = Duration::from_secs(15);

#[derive(Parser)]
struct Options {
    /// How long the load lasts.
    #[arg(long, default_value_t = 30)]
    minutes: u32,
    /// The first minutes that are not compared. Default: a fifth, at least one.
    #[arg(long)]
    warm_up: Option<u32>,
    /// The seed of the callers' random numbers.
    #[arg(long)]
    seed: Option<u64>,
    /// Hostile callers that join after half of the time, at least one minute.
    #[arg(long, value_delimiter = ',')]
    hostile: Vec<Hostile>,
    /// A command that runs the server, such as `systemd-run` with a limit of memory.
    #[arg(long, default_value = "")]
    inside: String,
    /// Run as the hostile callers of the server at this address. For internal use.
    #[arg(long, hide = true)]
    attack: Option<SocketAddr>,
    /// Run as the server with this configuration. For internal use.
    #[arg(long, hide = true)]
    serve: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    match (&options.serve, options.attack) {
        (Some(config), _) => runtime.block_on(server::run(config)),
        (None, Some(address)) => {
            runtime.block_on(hostile::run(
                address,
                &options.hostile,
                options.seed.unwrap_or_default(),
            ));
            ExitCode::SUCCESS
        }
        (None, None) => runtime.block_on(soak(&options)),
    }
}

async fn soak(options: &Options) -> ExitCode {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let warm_up = options.warm_up.unwrap_or((options.minutes / 5).max(1));
    println!("{} minutes, {warm_up} of them warm-up; seed {seed}", options.minutes);
    if options.minutes <= warm_up + 1 {
        eprintln!("nothing to compare: --minutes must leave at least two minutes after the warm-up");
        return ExitCode::FAILURE;
    }
    // After half of the minutes that are not warm-up.
    let joins_at = warm_up + (options.minutes - warm_up) / 2 + 1;
    let clock = Clock::system();
    let surroundings = Surroundings::start(options.hostile.is_empty()).await;
    let mut server = surroundings.serve(&options.inside).await;
    if !options.hostile.is_empty() {
        surroundings.lengthen_history(server.address()).await;
    }
    clock.sleep(REST).await;
    let at_rest = server.sample(&surroundings).await;

    let load = Load::start(server.address(), seed);
    println!("{}", Means::head());
    println!("{}", at_rest.line("rest", &load.counts()));
    let others = Others::start(server.address(), seed, &load.counts());
    let (mut windows, mut attack, mut before) = (Vec::new(), None, None);
    for minute in 1..=options.minutes {
        if minute == warm_up + 1 {
            others.percentiles();
        }
        if !options.hostile.is_empty() && minute == joins_at {
            println!(
                "hostile callers join; peak memory so far {} MiB",
                server.peak_memory() / 1024
            );
            before = Some(others.percentiles());
            attack = Some(Attack::start(server.address(), &options.hostile, seed));
        }
        let mut window = Window::default();
        for _ in 0..60 {
            clock.sleep(Duration::from_secs(1)).await;
            window.add(server.sample(&surroundings).await);
        }
        println!("{}", window.means().line(&minute.to_string(), Some(&load.counts())));
        windows.push(window.means());
    }
    let during = others.percentiles();
    let mut wrong = Vec::new();
    if let (Some(before), Some(attack)) = (before, attack) {
        wrong = harm(before, during, server.peak_memory() / 1024);
        attack.stop().await;
    } else {
        println!("timed calls: {during}");
    }
    others.stop().await;
    let counts = load.stop().await;
    clock.sleep(REST).await;
    let rest = server.sample(&surroundings).await;
    println!("{}", rest.line("rest", &counts));
    println!("ledgers: {} entries", surroundings.entries().await);
    let ended_well = server.stop().await;
    surroundings.stop().await;

    // Hostile callers need memory, up to its limit. It must be flat from the second minute with them.
    let compared = if options.hostile.is_empty() {
        warm_up
    } else {
        joins_at.min(options.minutes - 1)
    };
    report(
        &windows[compared as usize..],
        [&at_rest, &rest],
        &counts,
        ended_well,
        wrong,
    )
}

/// What hostile callers did to others.
fn harm(before: Percentiles, during: Percentiles, peak: u64) -> Vec<String> {
    println!("others without hostile callers: {before}");
    println!("others with hostile callers: {during}");
    println!("peak memory of the server: {peak} MiB, of {MEMORY_LIMIT} MiB");
    let mut wrong = Vec::new();
    for (name, [_, before], [_, during]) in [
        ("grants and revokes", before.changes, during.changes),
        ("pages", before.pages, during.pages),
    ] {
        if during > QUICK.max(before * 2) {
            wrong.push(format!("the p99 of {name} of others was {before:?}, then {during:?}"));
        }
    }
    if peak > MEMORY_LIMIT {
        wrong.push(format!("the server needed {peak} MiB"));
    }
    wrong
}

fn report(
    windows: &[Means],
    at_rest: [&Sample; 2],
    counts: &load::Counts,
    ended_well: bool,
    mut wrong: Vec<String>,
) -> ExitCode {
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
        return ExitCode::FAILURE;
    };
    println!("\n{}", Means::head());
    println!("{}", first.line("first", None));
    println!("{}", last.line("last", None));
    wrong.extend(Bounds::LOAD.exceeded(first, last));
    wrong.extend(Bounds::REST.exceeded(&at_rest[0].means(), &at_rest[1].means()));
    wrong.extend(counts.wrong());
    if !ended_well {
        wrong.push("the server did not end well".into());
    }
    for (outcome, count) in counts.outcomes() {
        println!("{outcome}: {count}");
    }
    for wrong in &wrong {
        println!("WRONG: {wrong}");
    }
    if wrong.is_empty() {
        println!("flat");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
