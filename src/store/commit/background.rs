//! Commits commands for which no caller waits.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use crate::domain::transition::{Command, CommandReply};

use super::{committer::Committer, lane::CommitError};

/// How many commands of one account are committed at the same time.
const MAX_OF_ACCOUNT: usize = 8;

/// How long a command may take.
const TIME: Duration = Duration::from_secs(1);

/// Commits commands for which no caller waits. Only a few of them are in the lanes at once, so that thousands that are due
/// together delay no caller. Each kind of work has its own, so that none of them waits behind another. Clones share the limit.
#[derive(Debug, Clone)]
pub struct Background {
    committer: Committer,
    turns: Arc<Semaphore>,
}

impl Background {
    pub(super) fn new(committer: Committer, at_once: usize) -> Self {
        let turns = Arc::new(Semaphore::new(at_once));
        Self { committer, turns }
    }

    /// Commits a command when it has its turn.
    ///
    /// # Errors
    /// [`CommitError`], except [`CommitError::Overloaded`]. What takes longer than a second is Unavailable.
    pub async fn commit(&self, command: Command) -> Result<CommandReply, CommitError> {
        let _turn = self.turns.acquire().await.map_err(|_| CommitError::Unavailable)?;
        let committed = tokio::time::timeout(TIME, self.committer.commit_with_backpressure(command)).await;
        Ok(committed.map_err(|_| CommitError::Unavailable)??.0)
    }

    /// Commits commands of one account, a few at a time: an account that is locked leaves turns to others. Ends at the first
    /// error, and leaves the rest.
    ///
    /// # Errors
    /// That of [`commit`](Self::commit).
    pub async fn commit_all<T>(
        &self,
        commands: impl IntoIterator<Item = (T, Command)>,
        mut committed: impl FnMut(T, CommandReply),
    ) -> Result<(), CommitError> {
        let commits =
            stream::iter(commands).map(async |(of, command)| Ok::<_, CommitError>((of, self.commit(command).await?)));
        let mut commits = pin!(commits.buffer_unordered(MAX_OF_ACCOUNT));
        while let Some((of, reply)) = commits.try_next().await? {
            committed(of, reply);
        }
        Ok(())
    }
}
