//! How fast the history answers, next to the same SQL run straight on Postgres.
//!
//! `cargo bench --bench audit_queries [-- --entries N] [-- --rounds N]` starts a private Postgres and a server on loopback, loads
//! N entries (default 1 million) of 100 accounts over a year, and prints p50 and p99 of each query, asked over gRPC and in SQL, in
//! turns. Then it exports and verifies the longest ledger, and adds entries to a long ledger and to an empty one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench: it may fail by panic, it prints, and it measures time"
)]

mod ask;
mod ledgers;
mod load;
mod measure;
mod stack;

use measure::Table;
use stack::Stack;

/// What can be said after `--`.
struct Options {
    entries: u64,
    rounds: usize,
}

fn main() {
    let options = options();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(&options));
}

fn options() -> Options {
    let mut options = Options {
        entries: 1_000_000,
        rounds: 200,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            words
                .next()
                .and_then(|number| number.replace('_', "").parse::<u64>().ok())
        };
        match word.as_str() {
            "--entries" => options.entries = number().expect("--entries takes a number"),
            "--rounds" => options.rounds = usize::try_from(number().expect("--rounds takes a number")).unwrap(),
            // Cargo's own.
            "--bench" => {}
            other => panic!("{other}: only --entries N and --rounds N are known"),
        }
    }
    options
}

async fn run(options: &Options) {
    eprintln!("loading {} entries", options.entries);
    let stack = Stack::start(options.entries).await;
    let size: String = sqlx::query_scalar("SELECT pg_size_pretty(pg_database_size(current_database()))")
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    println!(
        "{} entries, 100 accounts, a year; the database takes {size}\n",
        options.entries
    );

    let mut table = Table::new();
    ask::pages(&stack, options.rounds, &mut table).await;
    ask::summaries(&stack, options.rounds, &mut table).await;
    ask::proofs(&stack, options.rounds, &mut table).await;
    table.print();

    ledgers::export_and_verify(&stack).await;
    ledgers::append(&stack, options.rounds).await;
    stack.end().await;
}
