//! The model checker: runs several replicas under injected faults, and then checks the promises P1 to P8 and P10 to P14.
//! `cargo test --test chaos` runs it for a few seconds, `cargo run --example chaos` for any time.
//!
//! `trial` is one run from start to end. `setup` has accounts, images and configuration. `clients` grant and revoke.
//! `replica` is a server process, and `fleet` has the places of all. `infrastructure_faults` kills processes and disturbs
//! connections, `aws_faults` injects faults at AWS, `policies` replaces the policy sets of the replicas, and `outsider` shares
//! past the service. `upgrade` replaces
//! the replicas by those of another build, while `readiness` polls all of them and `writers` notes who writes. `collect`
//! gathers the results into a [`history`]. `check` verifies the promises on a history, and knows nothing of the other modules.

pub mod aws_faults;
pub mod check;
pub mod clients;
pub mod collect;
pub mod fleet;
pub mod history;
pub mod infrastructure_faults;
pub mod outsider;
pub mod policies;
pub mod readiness;
pub mod replica;
pub mod report;
pub mod setup;
pub mod trial;
pub mod upgrade;
pub mod writers;
