//! The model checker: it makes every kind of trouble for several replicas at once, and then asks whether the promises P1 to
//! P8 were kept. `cargo test --test chaos` runs it for a few seconds, `cargo run --example chaos` for as long as one likes.
//!
//! To read it: `trial` is one run from start to end. `world` says what there is; `clients` grant and revoke; `replica` is a
//! server process; `trouble` cuts, kills and injects faults; `collect` asks for what is left at the end: a [`history`]. What
//! the promises mean for a history is in `check`, which knows nothing of all the others.

pub mod check;
pub mod clients;
pub mod collect;
pub mod faults;
pub mod history;
pub mod replica;
pub mod report;
pub mod trial;
pub mod trouble;
pub mod world;
