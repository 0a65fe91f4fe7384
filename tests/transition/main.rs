//! The transition, against the promises that it makes.

mod found;
mod names;
