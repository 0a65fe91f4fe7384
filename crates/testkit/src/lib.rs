//! Shared code of tests, benchmarks and examples: databases ([`postgres`]), a fault-injecting proxy ([`proxy`]), a
//! whole service with its simulator ([`stack`]), pending changes without a worker ([`pending`]), captured logs
//! ([`log`]), certificates and tokens ([`credentials`]), a raw HTTP/2 client ([`http2`]), a generated history of one
//! year ([`load`]) and the model checker ([`checker`]).
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
pub mod http2;
#[allow(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "it prints how long each part took"
)]
pub mod load;
pub mod log;
pub mod pending;
pub mod postgres;
pub mod proxy;
pub mod stack;
