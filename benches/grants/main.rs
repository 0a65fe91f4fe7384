//! Measures grants, next to a design without sharewarden and to lower bounds for any service.
//!
//! `cargo bench --bench grants [-- --seconds N --rounds N --quick --cell ACCOUNTSxCALLERS --turns FILE --policies DIR --ends N
//! --estate]`
//! starts a
//! private Postgres (fsync on), the simulator and the service as separate processes. Callers run a closed loop on each
//! workload, in turns within each round:
//!
//! - **grants**: the whole path, from gRPC to the ledger to AWS and back.
//! - **naive**: the same rows in two transactions for each grant, with sqlx, without gRPC and AWS. It uses a pool like that of
//!   the service, or (*unpooled*) one connection for each caller. It updates the counts in its transactions, where the
//!   service has a worker that does it seconds later.
//! - **bare SDK**: the call to the simulator alone, without a record.
//! - **empty RPC**: a health check of the service.
//! - **batched rows**: the same rows, 256 grants in a transaction: the limit of this Postgres.
//! - **one commit**: one row of the size of an entry.
//!
//! To compare two builds, run both with `--cell` and the same FILE in `--turns`. They lock it in turns, for one round of grants
//! and replays each time. The speed of a machine changes more from hour to hour than between builds.
//!
//! With `--policies examples/policies/policies`, those policies permit the grants, and no role does.
//!
//! With `--ends N`, N shares end at the same second, while callers grant at half of the maximum rate of the cell. The bench
//! prints their latency before and meanwhile, and how fast the shares end.
//!
//! With `--estate`, it measures the comparison with AWS of 1,000 images with 20 recipients each, and the grants beside it.
//!
//! Read `stack` (the processes), `load` (the loop), `workloads` and `usage` (their cost), in this order.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench: it may fail by panic, it prints, and it measures time"
)]

mod ends;
mod estate;
mod load;
mod policies;
mod stack;
mod table;
mod usage;
mod workloads;

use std::{fs::File, path::PathBuf, time::Duration};

use load::Run;
use stack::Stack;
use table::{Row, Table};
use workloads::{Bare, Batched, Commit, Empty, Grants, Kind, Naive, POOL};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The arguments after `--`.
struct Options {
    seconds: f64,
    rounds: usize,
    /// Only the cells that have targets.
    quick: bool,
    /// Only this cell: the number of accounts, and of callers.
    cell: Option<(usize, usize)>,
    /// The file to lock during each round.
    turns: Option<File>,
    /// The folder of the policies that permit the grants. Without one, a role permits them.
    policies: Option<PathBuf>,
    /// Compare an estate with AWS, and measure the grants beside it. False: the other measurements.
    estate: bool,
    /// The number of shares that end at the same second. None: the other measurements.
    ends: Option<u64>,
}

fn options() -> Options {
    let mut options = Options {
        seconds: 3.0,
        rounds: 2,
        quick: false,
        cell: None,
        turns: None,
        policies: None,
        estate: false,
        ends: None,
    };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let mut number = || {
            let number = words.next().and_then(|word| word.parse::<f64>().ok());
            number.unwrap_or_else(|| panic!("{word} takes a number"))
        };
        match word.as_str() {
            "--seconds" => options.seconds = number(),
            "--rounds" => options.rounds = number() as usize,
            "--quick" => options.quick = true,
            "--cell" => {
                let cell = words.next().unwrap_or_default();
                let numbers = cell
                    .split_once('x')
                    .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                options.cell = Some(numbers.unwrap_or_else(|| panic!("--cell takes ACCOUNTSxCALLERS")));
            }
            "--turns" => options.turns = Some(File::create(words.next().expect("--turns takes a file")).unwrap()),
            "--estate" => options.estate = true,
            "--ends" => options.ends = Some(number() as u64),
            "--policies" => options.policies = Some(words.next().expect("--policies takes a folder").into()),
            other => panic!(
                "{other}: only --seconds N, --rounds N, --quick, --cell AxC, --turns FILE, --policies DIR, --ends N \
                 and --estate are known"
            ),
        }
    }
    options
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let words: Vec<_> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", "--config", config] => runtime.block_on(policies::serve(config)),
        _ => runtime.block_on(bench(&options())),
    }
}

async fn bench(options: &Options) {
    if options.estate {
        let mut stack = Stack::start(None, estate::simulated()).await;
        let time = Duration::from_secs_f64(options.seconds);
        estate::measure(&mut stack, 64, time, options.rounds).await;
        return stack.stop().await;
    }
    let mut stack = Stack::start(options.policies.clone(), stack::simulated()).await;
    stack.print_idle().await;
    // With policies, the recipients are accounts of the configuration.
    if options.cell.is_none() && options.policies.is_none() {
        let one = Grants::new(&stack, 1, Kind::Grant).await;
        let time = Duration::from_secs_f64(options.seconds);
        let (_, _, held) = stack.measure(Run::new(1024, time), &one).await;
        println!(
            "memory with one account and 1,024 in flight: {:.0} MB\n",
            held as f64 / 1e6
        );
    }
    stack.serve_all_accounts().await;
    eprintln!("the first grant of each of {} accounts", stack::ACCOUNTS);
    Grants::new(&stack, stack::ACCOUNTS, Kind::Grant).await.warm_up().await;
    stack.wait_for_checkpoints().await;
    stack.analyze_tables().await;

    let all: &[(usize, usize)] = &[
        (1, 1),
        (1, 8),
        (1, 64),
        (1, 256),
        (1, 1024),
        (100, 1),
        (100, 8),
        (100, 64),
        (100, 256),
        (100, 1024),
        (10_000, 1),
        (10_000, 8),
        (10_000, 64),
        (10_000, 256),
        (10_000, 1024),
    ];
    let aimed_at: &[(usize, usize)] = &[(1, 1), (1, 64), (10_000, 64), (100, 64), (100, 256)];
    let cells = if options.quick { aimed_at } else { all };
    let cells = options.cell.as_ref().map_or(cells, std::slice::from_ref);
    let time = Duration::from_secs_f64(options.seconds);

    if let Some(count) = options.ends {
        let (accounts, in_flight) = options.cell.unwrap_or((100, 64));
        ends::measure(&stack, accounts, in_flight, time, count).await;
        return stack.stop().await;
    }
    if let (Some(file), &[(accounts, in_flight)]) = (&options.turns, cells) {
        take_turns(&stack, file, options.rounds, accounts, Run::new(in_flight, time)).await;
        return stack.stop().await;
    }

    let mut table = Table::new();
    for &(accounts, in_flight) in cells {
        let grants = Grants::new(&stack, accounts, Kind::Grant).await;
        let naive = Naive::new(&stack, accounts, POOL).await;
        let unpooled = Naive::new(&stack, accounts, in_flight).await;
        let bare = Bare::new(&stack).await;
        let mut rows: [Row; 4] = Default::default();
        let [ours, pooled, each, calls] = &mut rows;
        for _ in 0..options.rounds {
            ours.add(stack.measure(Run::new(in_flight, time), &grants).await);
            pooled.add(stack.measure(Run::new(in_flight, time), &naive).await);
            if in_flight > POOL {
                each.add(stack.measure(Run::new(in_flight, time), &unpooled).await);
            }
            calls.add(stack.measure(Run::new(in_flight, time), &bare).await);
        }
        let names = ["grants", "naive", "naive, unpooled", "bare SDK"];
        table.compare(accounts, in_flight, names.into_iter().zip(&rows));
        eprintln!(
            "{accounts} accounts, {in_flight} in flight: {:.0}/s",
            rows[0].per_second()
        );
    }
    table.print();
    if options.cell.is_some() {
        return stack.stop().await;
    }

    let mut others = Table::new();
    for (name, kind) in [
        ("revoke", Kind::Revoke),
        ("replay of a request id", Kind::Replay),
        ("denied", Kind::Denied),
        ("list a page of 100 shares", Kind::List),
    ] {
        let calls = Grants::new(&stack, 100, kind).await;
        calls.warm_up().await;
        let mut row = Row::default();
        row.add(stack.measure(Run::new(64, time), &calls).await);
        others.add(name, 100, 64, &row);
    }
    for in_flight in [1, 64, 256] {
        let mut row = Row::default();
        row.add(
            stack
                .measure(Run::new(in_flight, time), &Empty::new(&stack).await)
                .await,
        );
        others.add("empty RPC", 0, in_flight, &row);
    }
    let mut row = Row::default();
    row.add(stack.measure(Run::new(1, time), &Commit::new(&stack).await).await);
    others.add("one commit", 0, 1, &row);
    for connections in [1, 4] {
        let mut row = Row::default();
        row.add(
            stack
                .measure(Run::new(connections, time), &Batched::new(&stack).await)
                .await,
        );
        others.add("batched rows", connections, connections, &row);
    }
    // The latency below the maximum load.
    let grants = Grants::new(&stack, 100, Kind::Grant).await;
    let max_rate = table.max_per_second(100);
    let mut half = Row::default();
    half.add(
        stack
            .measure(Run::paced(1024, time.mul_f64(3.0), max_rate / 2.0), &grants)
            .await,
    );
    others.add("grants at half of the maximum rate", 100, 0, &half);
    others.print();
    stack.stop().await;
}

/// Runs grants and replays each time that it gets the lock on the file, and prints every round.
async fn take_turns(stack: &Stack, file: &File, rounds: usize, accounts: usize, run: Run) {
    let grants = Grants::new(stack, accounts, Kind::Grant).await;
    let replays = Grants::new(stack, accounts, Kind::Replay).await;
    replays.warm_up().await;
    let mut rows: [Row; 2] = Default::default();
    for _ in 0..rounds {
        file.lock().unwrap();
        let measured = [stack.measure(run, &grants).await, stack.measure(run, &replays).await];
        file.unlock().unwrap();
        for ((name, row), measured) in ["grants", "replays"].into_iter().zip(&mut rows).zip(measured) {
            let mut round = Row::default();
            round.add(measured);
            println!("{name}: {}", round.in_short());
            row.append(round);
        }
        // The other process waits for the lock and gets it now.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (name, row) in ["grants", "replays"].into_iter().zip(&rows) {
        println!("all {name}: {}", row.in_short());
    }
}
