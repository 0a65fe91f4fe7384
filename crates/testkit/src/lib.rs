//! Shared code of tests, benchmarks and examples.
//!
//! - [`stack`]: a whole service with its simulator; [`postgres`]: databases; [`proxy`]: a proxy that injects faults;
//!   [`cutter`]: a proxy that cuts a connection after an exact number of bytes.
//! - [`pending`]: pending changes without a worker; [`load`]: a generated history of one year.
//! - [`credentials`]: certificates and tokens; [`http2`]: a raw HTTP/2 client; [`log`]: captured logs.
//! - [`checker`]: the model checker.
//!
//! It depends on the library `sharewarden`, and the integration tests of that library depend on it. Unit tests inside
//! the library cannot use it: they would get a second copy of the library's types.
//!
//! [`stack::Stack`] and [`stack::Client`] are the defaults of the tests. Benchmarks and other programs have types of
//! the same names for stacks and clients of their own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of a test may fail the test")]
#![allow(missing_docs, reason = "where a name says it all")]

pub mod checker;
pub mod credentials;
pub mod cutter;
pub mod http2;
#[allow(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "it prints how long each part took"
)]
pub mod load;
pub mod log;
pub mod outsider;
pub mod pending;
pub mod postgres;
pub mod proxy;
pub mod stack;
