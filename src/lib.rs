//! sharewarden decides, performs and remembers the sharing of Amazon WorkSpaces images between AWS accounts.

pub mod domain;
pub mod ledger;
pub mod proto;
pub mod workspaces;
