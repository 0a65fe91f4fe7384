//! One read for all who ask about the same image. An image can be shared with thousands, 25 on a page: after a crash, each of
//! its changes would read all of them.
//!
//! A read begins a moment after the first has asked, so that those who come together read together. While an image is read,
//! those who ask gather for the next read: what they are told was read after they asked, as if they had read it alone.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use crate::domain::{Access, AccountId, AwsError, AwsResponse, ImageId, PermissionKey, Region};

/// So long a read waits for others to ask. Nobody is in a hurry to read: a call that may be landing is given longer than this.
const BATCH_DELAY: Duration = Duration::from_millis(10);

/// An image, and where it is.
pub(super) type ImageKey = (AccountId, Region, ImageId);

/// What a read found.
#[derive(Debug)]
pub(super) struct ReadOutcome {
    /// Those of the accounts asked about that the image is shared with.
    pub(super) shared: BTreeSet<AccountId>,
    /// The end of the read, and the request id of its last page. Who was found before a fault was found.
    pub(super) end: AwsResponse<()>,
    /// So many calls it took.
    pub(super) calls: u32,
}

type SharedRead = Shared<BoxFuture<'static, Arc<ReadOutcome>>>;

/// The reads of a process. Clones share them.
#[derive(Clone, Default)]
pub(super) struct SharedReads(Arc<Mutex<HashMap<ImageKey, ImageReads>>>);

/// Who asks about one image.
#[derive(Default)]
struct ImageReads {
    /// Held while the image is read.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The read that has not begun, and which accounts it is asked about.
    next: Option<(SharedRead, BTreeSet<AccountId>)>,
}

impl SharedReads {
    /// Asks about one permission, with others who ask about its image. `read` finds out which of these accounts it is shared
    /// with. Tells the calls too that it took; none to all but one of those who asked together.
    pub(super) async fn ask<F>(
        &self,
        key: &PermissionKey,
        read: impl FnOnce(BTreeSet<AccountId>) -> F + Send + 'static,
    ) -> (AwsResponse<Access>, u32)
    where
        F: Future<Output = ReadOutcome> + Send + 'static,
    {
        let image_key = (key.account, key.region.clone(), key.image.clone());
        let (read, is_first) = self.join(image_key, key.shared_account, read);
        let found = read.await;
        let result = match &found.end.result {
            _ if found.shared.contains(&key.shared_account) => Ok(Access::Shared),
            Ok(()) => Ok(Access::NotShared),
            Err(fault) => Err(AwsError::clone(fault)),
        };
        let reply = AwsResponse {
            aws_request_id: found.end.aws_request_id.clone(),
            result,
        };
        (reply, if is_first { found.calls } else { 0 })
    }

    fn join<F>(
        &self,
        image_key: ImageKey,
        account: AccountId,
        read: impl FnOnce(BTreeSet<AccountId>) -> F + Send + 'static,
    ) -> (SharedRead, bool)
    where
        F: Future<Output = ReadOutcome> + Send + 'static,
    {
        let mut images = self.lock();
        let image = images.entry(image_key.clone()).or_default();
        let turn = image.turn.clone();
        let (read, accounts) = image.next.get_or_insert_with(|| {
            let shared_reads = self.clone();
            let read = async move {
                let _turn = turn.lock().await;
                tokio::time::sleep(BATCH_DELAY).await;
                let found = read(shared_reads.begin(&image_key)).await;
                shared_reads.end(&image_key);
                Arc::new(found)
            };
            (read.boxed().shared(), BTreeSet::new())
        });
        let is_first = accounts.is_empty();
        accounts.insert(account);
        (read.clone(), is_first)
    }

    /// From now on, who asks gathers for the read after this one.
    fn begin(&self, image_key: &ImageKey) -> BTreeSet<AccountId> {
        let mut images = self.lock();
        let next = images.get_mut(image_key).and_then(|image| image.next.take());
        next.map(|(_, accounts)| accounts).unwrap_or_default()
    }

    fn end(&self, image_key: &ImageKey) {
        let mut images = self.lock();
        if images.get(image_key).is_some_and(|image| image.next.is_none()) {
            images.remove(image_key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ImageKey, ImageReads>> {
        // A map of images is whole between any two statements that hold the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    fn key(shared_account: u64) -> PermissionKey {
        PermissionKey {
            account: "111122223333".parse().unwrap(),
            region: "eu-central-1".parse().unwrap(),
            image: "wsi-123456789".parse().unwrap(),
            shared_account: format!("{shared_account:012}").parse().unwrap(),
        }
    }

    type Answer = oneshot::Sender<Vec<AccountId>>;

    /// Asks in the background. A read that begins is told of, and ends when it is answered.
    fn ask(
        shared_reads: &SharedReads,
        account: u64,
        begun: &mpsc::UnboundedSender<(BTreeSet<AccountId>, Answer)>,
    ) -> tokio::task::JoinHandle<(AwsResponse<Access>, u32)> {
        let (shared_reads, begun) = (shared_reads.clone(), begun.clone());
        let read = move |accounts: BTreeSet<AccountId>| async move {
            let (answer, answered) = oneshot::channel();
            begun.send((accounts, answer)).unwrap();
            ReadOutcome {
                shared: answered.await.unwrap().into_iter().collect(),
                end: AwsResponse {
                    aws_request_id: None,
                    result: Ok(()),
                },
                calls: 7,
            }
        };
        tokio::spawn(async move { shared_reads.ask(&key(account), read).await })
    }

    #[tokio::test]
    async fn who_asks_while_an_image_is_read_is_told_what_the_next_read_finds() {
        let (shared_reads, (begun, mut begins)) = (SharedReads::default(), mpsc::unbounded_channel());
        let first = ask(&shared_reads, 1, &begun);
        let (accounts, answer) = begins.recv().await.unwrap();
        assert_eq!(accounts, BTreeSet::from([key(1).shared_account]));
        let later: Vec<_> = (1..=100).map(|account| ask(&shared_reads, account, &begun)).collect();
        while shared_reads
            .lock()
            .values()
            .any(|image| image.next.as_ref().is_none_or(|next| next.1.len() < 100))
        {
            tokio::task::yield_now().await;
        }
        answer.send(Vec::new()).unwrap();
        assert_eq!(first.await.unwrap().0.result, Ok(Access::NotShared));

        let (accounts, answer) = begins.recv().await.unwrap();
        assert_eq!(accounts.len(), 100, "one read for all of them");
        answer.send(vec![key(1).shared_account]).unwrap();
        let (mut told, mut calls) = (Vec::new(), 0);
        for asked in later {
            let (reply, paid) = asked.await.unwrap();
            told.push(reply.result.unwrap());
            calls += paid;
        }
        assert_eq!(calls, 7, "one of them is told how many calls it took");
        assert_eq!(told[0], Access::Shared);
        assert!(told[1..].iter().all(|access| *access == Access::NotShared));
        assert!(shared_reads.lock().is_empty(), "nothing is kept");
    }

    #[tokio::test]
    async fn who_stops_asking_does_not_stop_the_others() {
        let (shared_reads, (begun, mut begins)) = (SharedReads::default(), mpsc::unbounded_channel());
        let first = ask(&shared_reads, 1, &begun);
        let (_, answer) = begins.recv().await.unwrap();
        let second = ask(&shared_reads, 2, &begun);
        first.abort();
        assert!(first.await.is_err());
        // Its read ended with it; the next begins.
        drop(answer);
        let (accounts, answer) = begins.recv().await.unwrap();
        assert_eq!(accounts, BTreeSet::from([key(2).shared_account]));
        answer.send(vec![key(2).shared_account]).unwrap();
        assert_eq!(second.await.unwrap().0.result, Ok(Access::Shared));
    }
}
