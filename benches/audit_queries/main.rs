//! Measures queries of the history, next to the same SQL on Postgres directly.
//!
//! `cargo bench --bench audit_queries [-- --entries N --rounds N --keep FOLDER --pages NAME --turns FILE]` starts a
//! private Postgres and a server on loopback, loads N entries (default 1 million) of 100 accounts over a year, and
//! prints p50 and p99 of each query over gRPC and in SQL, in turns. Then it exports and verifies the longest ledger, and
//! adds entries to a long ledger and to an empty one. `--keep` keeps the loaded database in FOLDER for the next run.
//! `--pages` measures only the pages that have NAME in their names.
//!
//! To compare the exports of two builds, run both with the same FILE in `--turns`. They lock it in turns. Each time they
//! export and verify the longest ledger, and they measure nothing else.

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
mod measure;
mod stack;

use std::{fs::File, path::PathBuf};

use measure::Table;
use stack::Stack;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The arguments after `--`.
struct Options {
    entries: u64,
    rounds: usize,
    keep: Option<PathBuf>,
    pages: Option<String>,
    /// The file to lock during each export.
    turns: Option<File>,
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
        keep: None,
        pages: None,
        turns: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--keep" {
            options.keep = Some(words.next().expect("--keep takes a folder").into());
            continue;
        }
        if word == "--pages" {
            options.pages = Some(words.next().expect("--pages takes a name"));
            continue;
        }
        if word == "--turns" {
            options.turns = Some(File::create(words.next().expect("--turns takes a file")).unwrap());
            continue;
        }
        let mut number = || {
            words
                .next()
                .and_then(|number| number.replace('_', "").parse::<u64>().ok())
        };
        match word.as_str() {
            "--entries" => options.entries = number().expect("--entries takes a number"),
            "--rounds" => options.rounds = usize::try_from(number().expect("--rounds takes a number")).unwrap(),
            // Cargo adds this one.
            "--bench" => {}
            other => {
                panic!("{other}: only --entries N, --rounds N, --keep FOLDER, --pages NAME and --turns FILE are known")
            }
        }
    }
    options
}

async fn run(options: &Options) {
    let stack = Stack::start(options.entries, options.keep.clone()).await;
    let (entries, size): (i64, String) =
        sqlx::query_as("SELECT sum(size)::bigint, pg_size_pretty(pg_database_size(current_database())) FROM ledger")
            .fetch_one(&stack.pool)
            .await
            .unwrap();
    println!("{entries} entries, 100 accounts, a year; the database takes {size}\n");

    if let Some(file) = &options.turns {
        ledgers::take_turns(&stack, file, options.rounds).await;
        return stack.end().await;
    }

    let mut table = Table::new();
    ask::nothing(&stack, options.rounds, &mut table).await;
    let pages = options.pages.as_deref();
    ask::pages(&stack, options.rounds, pages.unwrap_or_default(), &mut table).await;
    if pages.is_some() {
        table.print();
        return stack.end().await;
    }
    ask::summaries(&stack, options.rounds, &mut table).await;
    ask::proofs(&stack, options.rounds, &mut table).await;
    table.print();

    ledgers::export_and_verify(&stack).await;
    ledgers::append(&stack, options.rounds).await;
    stack.end().await;
}
