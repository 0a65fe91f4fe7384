//! sharewarden decides, performs and remembers the sharing of Amazon WorkSpaces images between AWS accounts.

pub mod dev;
pub mod domain;
pub mod ledger;
pub mod proto;
