//! Group commit. Read [`committer`] (lanes and callers), [`lane`] (batches and retries), [`background`] (commands
//! for which no caller waits), [`stuck`] (accounts that another session keeps locked), [`batch`] (load, apply, save), [`load`],
//! [`save`].

mod background;
mod batch;
mod committer;
mod lane;
mod load;
mod save;
mod stuck;

pub use background::Background;
pub use committer::Committer;
pub use lane::{CommitError, Leased};
