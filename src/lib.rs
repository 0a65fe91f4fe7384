//! sharewarden decides, performs and remembers the sharing of Amazon WorkSpaces images between AWS accounts.

pub mod proto;
pub mod simulator;
