use std::cell::Cell;

use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::domain::{FailureReason, Timestamp};

const MINUTE: Duration = Duration::from_secs(60);

fn key(number: usize) -> ImageKey {
    let image = format!("wsi-{number:09}").parse().unwrap();
    ("111122223333".parse().unwrap(), "eu-central-1".parse().unwrap(), image)
}

fn manual() -> (Clock, FactCache<usize>) {
    let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
    clock.advance(60 * MINUTE);
    let cache = FactCache::new(clock.clone(), |_| 0);
    (clock, cache)
}

fn error(kind: AwsErrorKind) -> AwsError {
    AwsError {
        kind,
        code: None,
        message: None,
    }
}

/// Reads an image. Returns what was found, and whether a call was made.
async fn read(
    cache: &FactCache<usize>,
    number: usize,
    max_age: Duration,
    answer: Result<usize, AwsError>,
) -> (Result<usize, AwsError>, bool) {
    let called = Cell::new(false);
    let call = async || {
        called.set(true);
        answer
    };
    let (found, source) = cache.read(&key(number), max_age, call).await;
    assert_eq!(source == FactSource::Aws, called.get());
    (found.map(|fact| *fact), called.get())
}

#[tokio::test]
async fn a_fact_is_read_again_when_it_is_older_than_its_reader_accepts() {
    let (clock, cache) = manual();
    assert_eq!(read(&cache, 1, MINUTE, Ok(1)).await, (Ok(1), true));
    clock.advance(MINUTE);
    assert_eq!(
        read(&cache, 1, MINUTE, Ok(2)).await,
        (Ok(1), false),
        "exactly as old as accepted"
    );
    clock.advance(Duration::from_secs(1));
    assert_eq!(read(&cache, 1, 2 * MINUTE, Ok(2)).await, (Ok(1), false));
    assert_eq!(
        (cache.known(&key(1), MINUTE), cache.known(&key(2), MINUTE)),
        (None, None)
    );
    assert_eq!(read(&cache, 1, MINUTE, Ok(2)).await, (Ok(2), true));
    assert_eq!(cache.known(&key(1), MINUTE).as_deref(), Some(&2));
    assert_eq!(read(&cache, 2, MINUTE, Ok(3)).await, (Ok(3), true), "another image");
}

#[tokio::test]
async fn the_age_of_a_fact_counts_from_before_the_call() {
    let (clock, cache) = manual();
    let slow = async || {
        clock.advance(MINUTE);
        Ok(1)
    };
    assert!(cache.read(&key(1), MINUTE, slow).await.0.is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(cache.known(&key(1), MINUTE), None);
}

#[tokio::test]
async fn readers_at_the_same_time_make_one_call_and_a_reader_that_leaves_cancels_no_other() {
    let (_, cache) = manual();
    let cache = Arc::new(cache);
    let (begun, mut begins) = mpsc::unbounded_channel::<oneshot::Sender<usize>>();
    let ask = || {
        let (cache, begun) = (cache.clone(), begun.clone());
        tokio::spawn(async move {
            let call = async || {
                let (answer, answered) = oneshot::channel();
                begun.send(answer).unwrap();
                Ok(answered.await.unwrap())
            };
            cache.read(&key(1), Duration::ZERO, call).await.0.map(|fact| *fact)
        })
    };
    let leaver = ask();
    let answer = begins.recv().await.unwrap();
    let others: Vec<_> = (0..50).map(|_| ask()).collect();
    while cache.lock().reading.values().any(|lock| Arc::strong_count(lock) < 52) {
        tokio::task::yield_now().await;
    }
    leaver.abort();
    assert!(leaver.await.is_err());
    drop(answer);
    begins.recv().await.unwrap().send(7).unwrap();
    for other in others {
        assert_eq!(other.await.unwrap(), Ok(7));
    }
    assert!(begins.try_recv().is_err(), "one call for all");
    assert!(cache.lock().reading.is_empty(), "nothing stays in memory");
}

#[tokio::test]
async fn a_refusal_is_kept_for_a_second_and_for_its_image_only() {
    let (clock, cache) = manual();
    let refused = error(AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied));
    assert_eq!(
        read(&cache, 1, MINUTE, Err(refused.clone())).await,
        (Err(refused.clone()), true)
    );
    assert_eq!(read(&cache, 1, MINUTE, Ok(1)).await, (Err(refused), false));
    assert_eq!(read(&cache, 2, MINUTE, Ok(2)).await, (Ok(2), true));
    clock.advance(REFUSAL_KEPT);
    assert_eq!(read(&cache, 1, MINUTE, Ok(1)).await, (Ok(1), true));
}

#[tokio::test]
async fn after_throttling_or_no_answer_no_image_of_the_account_and_region_is_asked_for() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    for (kind, pause) in [
        (AwsErrorKind::Unknown, 2),
        (AwsErrorKind::NotSent, 2),
        (AwsErrorKind::Throttled { retry_after: None }, 2),
        (
            AwsErrorKind::Throttled {
                retry_after: seconds(1),
            },
            2,
        ),
        (
            AwsErrorKind::Throttled {
                retry_after: seconds(9),
            },
            9,
        ),
        (
            AwsErrorKind::Throttled {
                retry_after: seconds(900),
            },
            30,
        ),
    ] {
        let (clock, cache) = manual();
        let failure = error(kind);
        assert_eq!(
            read(&cache, 1, MINUTE, Err(failure.clone())).await,
            (Err(failure.clone()), true)
        );
        clock.advance(Duration::from_secs(pause) - Duration::from_millis(1));
        assert_eq!(read(&cache, 2, MINUTE, Ok(2)).await, (Err(failure), false), "{kind:?}");
        clock.advance(Duration::from_millis(1));
        assert_eq!(read(&cache, 2, MINUTE, Ok(2)).await, (Ok(2), true), "{kind:?}");
    }
}

#[tokio::test]
async fn a_failure_does_not_hide_a_fact_that_is_fresh_enough() {
    let (clock, cache) = manual();
    assert!(read(&cache, 1, MINUTE, Ok(1)).await.0.is_ok());
    clock.advance(MINUTE);
    let failure = error(AwsErrorKind::Unknown);
    assert!(read(&cache, 1, Duration::ZERO, Err(failure)).await.0.is_err());
    assert_eq!(read(&cache, 1, MINUTE, Ok(2)).await, (Ok(1), false));
}

#[tokio::test]
async fn the_cache_is_bounded_by_images_and_by_bytes_and_drops_the_oldest() {
    let (_, cache) = manual();
    for number in 0..MAX_IMAGES + 10 {
        assert!(read(&cache, number, MINUTE, Ok(number)).await.0.is_ok());
    }
    assert_eq!(cache.lock().images.len(), MAX_IMAGES);
    assert_eq!(
        (cache.known(&key(9), MINUTE), cache.known(&key(10), MINUTE).as_deref()),
        (None, Some(&10))
    );

    let large = FactCache::new(cache.clock.clone(), |_: &usize| MAX_BYTES / 4);
    for number in 0..10 {
        assert!(read(&large, number, MINUTE, Ok(number)).await.0.is_ok());
    }
    assert_eq!(large.known(&key(9), MINUTE).as_deref(), Some(&9));
    let state = large.lock();
    assert!(
        state.images.len() == 3 && state.bytes <= MAX_BYTES,
        "{} images",
        state.images.len()
    );
    assert_eq!(state.by_order.len(), 3);
}

#[tokio::test]
async fn an_older_fact_does_not_replace_a_newer_one() {
    let (clock, cache) = manual();
    let before = clock.monotonic_now();
    clock.advance(MINUTE);
    assert!(read(&cache, 1, MINUTE, Ok(2)).await.0.is_ok());
    cache.store(&key(1), before, Arc::new(1));
    assert_eq!(cache.known(&key(1), MINUTE).as_deref(), Some(&2));
    assert_eq!(cache.lock().by_order.len(), 1);
}
