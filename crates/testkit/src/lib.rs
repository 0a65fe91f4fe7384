//! What the tests, the benchmarks and the examples share: fresh databases ([`postgres`]), a proxy that makes trouble ([`proxy`]),
//! a whole service with its simulator ([`stack`]), changes that nobody works on ([`pending`]), what is logged ([`log`]), certificates and tokens ([`credentials`]), an HTTP/2
//! client that sends whatever it is told ([`http2`]), a history of a year ([`load`]) and the model checker ([`checker`]).
//!
//! It depends on the library `sharewarden`, and the tests of that library depend on it. Unit tests inside the library cannot use
//! it: they are compiled with a second copy of the library's types.

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
