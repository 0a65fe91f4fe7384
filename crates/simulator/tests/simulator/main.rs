//! Tests of the simulator with AWS's SDK, and with raw HTTP for requests that an SDK would not send.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers may panic like test functions")]

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
mod tags;
mod trail;
