//! Group commit. Read [`committer`] (lanes and callers), [`lane`] (batches and retries), [`batch`] (load, apply, save), [`load`],
//! [`save`].

mod batch;
mod committer;
mod lane;
mod load;
mod save;

pub use committer::Committer;
pub use lane::{CommitError, Leased};
