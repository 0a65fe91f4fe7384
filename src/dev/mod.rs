//! What one machine needs to run everything: `sharewarden dev`.
//!
//! [`postgres`] is the private database server that it starts; the tests use it too.

pub mod postgres;
