//! Combines concurrent reads of one image's permissions. An image can be shared with thousands of accounts, 25 on a page. After a
//! crash, each of its pending changes would read all pages.
//!
//! A read starts a short delay after the first request, so that concurrent requests join it. Requests that come during a read
//! wait for the next one. So each request gets a state that was read after the request, as if it had read alone.

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

/// How long a read waits for more requests. The delay is harmless: a read-back waits for an unresolved call anyway, and longer.
const BATCH_DELAY: Duration = Duration::from_millis(10);

pub(super) type ImageKey = (AccountId, Region, ImageId);

/// The result of a read.
#[derive(Debug)]
pub(super) struct ReadOutcome {
    /// The requested accounts that the image is shared with.
    pub(super) shared: BTreeSet<AccountId>,
    /// How the read ended, with the request id of its last page. After an error, `shared` has what was found before it.
    pub(super) end: AwsResponse<()>,
    /// The number of calls.
    pub(super) calls: u32,
}

type SharedRead = Shared<BoxFuture<'static, Arc<ReadOutcome>>>;

/// The reads of a process, by image. Clones share them.
#[derive(Clone, Default)]
pub(super) struct SharedReads(Arc<Mutex<HashMap<ImageKey, ImageReads>>>);

/// The reads of one image.
#[derive(Default)]
struct ImageReads {
    /// Locked while the image is read.
    reading: Arc<tokio::sync::Mutex<()>>,
    /// The next read, and the accounts that it is about. `None`: nobody waits for one.
    next: Option<(SharedRead, BTreeSet<AccountId>)>,
}

impl SharedReads {
    /// Reads one permission, together with concurrent requests for its image. `read` reads which of the given accounts the
    /// image is shared with. Returns the number of calls too: one of the combined requests gets it, the others get 0.
    pub(super) async fn read_with_others<F>(
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
            Err(error) => Err(AwsError::clone(error)),
        };
        let response = AwsResponse {
            aws_request_id: found.end.aws_request_id.clone(),
            result,
        };
        (response, if is_first { found.calls } else { 0 })
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
        let mut by_image = self.lock();
        let reads = by_image.entry(image_key.clone()).or_default();
        let reading = reads.reading.clone();
        let (read, accounts) = reads.next.get_or_insert_with(|| {
            let shared_reads = self.clone();
            let read = async move {
                let _reading = reading.lock().await;
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

    /// Starts the read: later requests join the next one.
    fn begin(&self, image_key: &ImageKey) -> BTreeSet<AccountId> {
        let mut by_image = self.lock();
        let next = by_image.get_mut(image_key).and_then(|reads| reads.next.take());
        next.map(|(_, accounts)| accounts).unwrap_or_default()
    }

    fn end(&self, image_key: &ImageKey) {
        let mut by_image = self.lock();
        if by_image.get(image_key).is_some_and(|reads| reads.next.is_none()) {
            by_image.remove(image_key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ImageKey, ImageReads>> {
        // A panic cannot leave the map half changed.
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

    /// Requests a permission in the background. A read sends its accounts to `begun`, and ends when the test answers it.
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
        tokio::spawn(async move { shared_reads.read_with_others(&key(account), read).await })
    }

    #[tokio::test]
    async fn requests_during_a_read_get_the_result_of_the_next_read() {
        let (shared_reads, (begun, mut begins)) = (SharedReads::default(), mpsc::unbounded_channel());
        let first = ask(&shared_reads, 1, &begun);
        let (accounts, answer) = begins.recv().await.unwrap();
        assert_eq!(accounts, BTreeSet::from([key(1).shared_account]));
        let later: Vec<_> = (1..=100).map(|account| ask(&shared_reads, account, &begun)).collect();
        while shared_reads
            .lock()
            .values()
            .any(|reads| reads.next.as_ref().is_none_or(|next| next.1.len() < 100))
        {
            tokio::task::yield_now().await;
        }
        answer.send(Vec::new()).unwrap();
        assert_eq!(first.await.unwrap().0.result, Ok(Access::NotShared));

        let (accounts, answer) = begins.recv().await.unwrap();
        assert_eq!(accounts.len(), 100, "one read for all requests");
        answer.send(vec![key(1).shared_account]).unwrap();
        let (mut answers, mut calls) = (Vec::new(), 0);
        for asked in later {
            let (response, paid) = asked.await.unwrap();
            answers.push(response.result.unwrap());
            calls += paid;
        }
        assert_eq!(calls, 7, "one request gets the number of calls");
        assert_eq!(answers[0], Access::Shared);
        assert!(answers[1..].iter().all(|access| *access == Access::NotShared));
        assert!(shared_reads.lock().is_empty(), "nothing stays in memory");
    }

    #[tokio::test]
    async fn a_cancelled_request_does_not_cancel_the_others() {
        let (shared_reads, (begun, mut begins)) = (SharedReads::default(), mpsc::unbounded_channel());
        let first = ask(&shared_reads, 1, &begun);
        let (_, answer) = begins.recv().await.unwrap();
        let second = ask(&shared_reads, 2, &begun);
        first.abort();
        assert!(first.await.is_err());
        // Its read ended with it, and the next one starts.
        drop(answer);
        let (accounts, answer) = begins.recv().await.unwrap();
        assert_eq!(accounts, BTreeSet::from([key(2).shared_account]));
        answer.send(vec![key(2).shared_account]).unwrap();
        assert_eq!(second.await.unwrap().0.result, Ok(Access::Shared));
    }
}
