//! What several test files share. Each test file is a crate of its own and uses a part of it.

#![allow(dead_code, reason = "no test file uses all of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail the test")]

pub(crate) mod log;
pub(crate) mod postgres;
pub(crate) mod proxy;
