//! A cache of one fact about images, such as their tags. The reader says how old a fact may be. Concurrent readers of one image
//! make one read.
//!
//! A failure is kept for a moment, so that many readers of what cannot be read do not become many calls. It replaces no fact,
//! and a reader that accepts the age of the fact gets the fact.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    clock::{Clock, MonotonicInstant},
    domain::{AccountId, AwsError, AwsErrorKind, Region},
    workspaces::shared_reads::ImageKey,
};

/// Maximum images in the cache; beyond it, the oldest facts are dropped.
const MAX_IMAGES: usize = 4096;

/// Maximum bytes of all facts. Fifty tags of four-byte characters have 76 KB.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// How long a refusal is kept. It may be about this image only.
const REFUSAL_KEPT: Duration = Duration::from_secs(1);

/// How long AWS is not asked about any image of an account and Region, after it did not answer or throttled. A `retry-after` can
/// make it longer, up to the maximum.
const PAUSE: Duration = Duration::from_secs(2);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Where the result of a read is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FactSource {
    /// The cache, or the read of another reader.
    Cache,
    /// A read that was made for it.
    Aws,
}

/// The cached facts of a process, by image.
pub(super) struct FactCache<T> {
    clock: Clock,
    /// The bytes of a fact.
    size: fn(&T) -> usize,
    state: Mutex<CacheState<T>>,
}

struct CacheState<T> {
    images: HashMap<ImageKey, CachedFact<T>>,
    /// The images with a fact, by the order in which the facts were stored.
    by_order: BTreeMap<u64, ImageKey>,
    next_order: u64,
    bytes: usize,
    /// Refusals of images, and pauses of accounts and Regions. Expired ones are dropped with the next one.
    refusals: HashMap<ImageKey, KeptFailure>,
    pauses: HashMap<(AccountId, Region), KeptFailure>,
    /// Locked while an image is read.
    reading: HashMap<ImageKey, Arc<tokio::sync::Mutex<()>>>,
}

struct CachedFact<T> {
    fact: Arc<T>,
    /// The time before AWS was asked.
    asked_at: MonotonicInstant,
    order: u64,
    bytes: usize,
}

struct KeptFailure {
    error: AwsError,
    until: MonotonicInstant,
}

/// The turn of a reader to read an image. Forgets the image's lock when nobody else waits for it.
struct Turn<'a, T> {
    cache: &'a FactCache<T>,
    key: &'a ImageKey,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl<T> FactCache<T> {
    pub(super) fn new(clock: Clock, size: fn(&T) -> usize) -> Self {
        Self {
            clock,
            size,
            state: Mutex::new(CacheState {
                images: HashMap::new(),
                by_order: BTreeMap::new(),
                next_order: 0,
                bytes: 0,
                refusals: HashMap::new(),
                pauses: HashMap::new(),
                reading: HashMap::new(),
            }),
        }
    }

    /// The fact, if AWS was asked for it at most `max_age` ago. Never waits.
    pub(super) fn known(&self, key: &ImageKey, max_age: Duration) -> Option<Arc<T>> {
        let since = self.clock.monotonic_now().minus(max_age);
        self.lock().fact(key, since)
    }

    /// The fact, not older than `max_age` at the time of this call; `read` asks AWS for it if necessary.
    pub(super) async fn read(
        &self,
        key: &ImageKey,
        max_age: Duration,
        read: impl AsyncFnOnce() -> Result<T, AwsError>,
    ) -> (Result<Arc<T>, AwsError>, FactSource) {
        let since = self.clock.monotonic_now().minus(max_age);
        if let Some(found) = self.lock().found(key, since, self.clock.monotonic_now()) {
            return (found, FactSource::Cache);
        }
        let turn = self.turn(key);
        let _reading = turn.lock.lock().await;
        let asked_at = self.clock.monotonic_now();
        // Another reader may have read it meanwhile.
        if let Some(found) = self.lock().found(key, since, asked_at) {
            return (found, FactSource::Cache);
        }
        let found = read().await.map(Arc::new);
        match &found {
            Ok(fact) => self.store(key, asked_at, fact.clone()),
            Err(error) => self.lock().keep_failure(key, error, self.clock.monotonic_now()),
        }
        (found, FactSource::Aws)
    }

    /// Stores a fact for which AWS was asked at `asked_at`, unless a newer one is there.
    pub(super) fn store(&self, key: &ImageKey, asked_at: MonotonicInstant, fact: Arc<T>) {
        let bytes =
            (self.size)(&fact) + size_of::<CachedFact<T>>() + 2 * size_of::<ImageKey>() + 2 * key.2.as_str().len();
        let mut state = self.lock();
        if state.images.get(key).is_some_and(|entry| entry.asked_at > asked_at) {
            return;
        }
        state.remove(key);
        let order = state.next_order;
        state.next_order += 1;
        state.bytes += bytes;
        state.by_order.insert(order, key.clone());
        let entry = CachedFact {
            fact,
            asked_at,
            order,
            bytes,
        };
        state.images.insert(key.clone(), entry);
        state.drop_oldest();
    }

    fn turn<'a>(&'a self, key: &'a ImageKey) -> Turn<'a, T> {
        let lock = self.lock().reading.entry(key.clone()).or_default().clone();
        Turn { cache: self, key, lock }
    }

    fn lock(&self) -> MutexGuard<'_, CacheState<T>> {
        // A panic cannot leave the maps half changed: nothing in the critical sections panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> CacheState<T> {
    /// The fact, if it is fresh; otherwise a failure that is still kept.
    fn found(
        &self,
        key: &ImageKey,
        since: MonotonicInstant,
        now: MonotonicInstant,
    ) -> Option<Result<Arc<T>, AwsError>> {
        if let Some(fact) = self.fact(key, since) {
            return Some(Ok(fact));
        }
        let of_image = self.refusals.get(key);
        let of_place = || self.pauses.get(&(key.0, key.1.clone()));
        let kept = of_image.filter(|kept| kept.until > now).or_else(of_place);
        kept.filter(|kept| kept.until > now).map(|kept| Err(kept.error.clone()))
    }

    fn fact(&self, key: &ImageKey, since: MonotonicInstant) -> Option<Arc<T>> {
        let entry = self.images.get(key).filter(|entry| entry.asked_at >= since);
        entry.map(|entry| entry.fact.clone())
    }

    fn keep_failure(&mut self, key: &ImageKey, error: &AwsError, now: MonotonicInstant) {
        let keep = |duration| KeptFailure {
            error: error.clone(),
            until: now.plus(duration),
        };
        let pause = match error.kind {
            AwsErrorKind::Refused(_) => {
                self.refusals.retain(|_, kept| kept.until > now);
                self.refusals.insert(key.clone(), keep(REFUSAL_KEPT));
                return;
            }
            AwsErrorKind::Throttled { retry_after } => retry_after.unwrap_or(PAUSE).clamp(PAUSE, MAX_PAUSE),
            AwsErrorKind::NotSent | AwsErrorKind::Unknown => PAUSE,
        };
        self.pauses.insert((key.0, key.1.clone()), keep(pause));
    }

    fn remove(&mut self, key: &ImageKey) {
        if let Some(entry) = self.images.remove(key) {
            self.by_order.remove(&entry.order);
            self.bytes -= entry.bytes;
        }
    }

    fn drop_oldest(&mut self) {
        while self.images.len() > MAX_IMAGES || self.bytes > MAX_BYTES {
            let Some((_, oldest)) = self.by_order.pop_first() else {
                break;
            };
            self.remove(&oldest);
        }
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        // One is in the map, one is here.
        if Arc::strong_count(&self.lock) == 2 {
            state.reading.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests;
