//! Bad input from the network, over real sockets to real processes: random and mutated bytes to every RPC that there is
//! (`rpcs`), frames and bytes that are no HTTP/2 (`frames`), and the same for the simulator's HTTP (`simulator`). Nothing
//! panics, nothing hangs, no status says that it was our fault, memory stays flat, what was not accepted is in no ledger,
//! and afterwards the service does what it is for.
//!
//! Read `chance` first, which makes every run another one and says how to repeat it; then `process`, what is attacked;
//! `messages` and `mutate`, what is sent; `client` and `raw`, how; `verdict`, what may come back.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests fail so")]

mod chance;
mod frames;
mod messages;
mod mutate;
mod process;
mod raw;
mod rpcs;
mod simulator;
mod verdict;
