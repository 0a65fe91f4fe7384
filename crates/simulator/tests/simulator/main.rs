//! The simulator keeps its promises: driven with AWS's own SDK, and with raw HTTP where an SDK would not do it wrong.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers of a test may panic as its test functions may"
)]

mod admin;
mod call_log;
mod callers;
mod describing;
mod faults;
mod harness;
mod making_images;
mod protocol;
mod sharing;
mod state_file;
mod sts;
