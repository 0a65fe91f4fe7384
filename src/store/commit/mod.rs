//! Group commit. Read [`committer`] (lanes and callers), [`lane`] (batches and retries), [`stuck`] (accounts that
//! another session keeps locked), [`batch`] (load, apply, save), [`load`], [`save`].

mod batch;
mod committer;
mod lane;
mod load;
mod save;
mod stuck;

pub use committer::Committer;
pub use lane::{CommitError, Leased};
