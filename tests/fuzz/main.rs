//! Bad input over real sockets to real processes: random and mutated calls of every RPC (`rpcs`), malformed HTTP/2
//! (`frames`), and malformed requests to the simulator (`simulator`). Nothing panics or hangs, no status is an internal
//! error, and memory does not grow. A refused call leaves no entry in a ledger, and afterwards the service still works.
//!
//! Read `seed` first (the seed of a run, and how to repeat it); then `process` (the target), `messages` and `mutate` (the
//! input), `raw` (how it is sent) and `verdict` (which answers are allowed).

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests fail so")]

mod frames;
mod messages;
mod mutate;
mod process;
mod raw;
mod rpcs;
mod seed;
mod simulator;
mod verdict;
