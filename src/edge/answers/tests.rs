use std::time::Duration;

use futures_util::FutureExt;

use crate::{
    clock::Clock,
    domain::Timestamp,
    edge::quota::{QuotaSettings, Quotas, Slot},
};

use super::*;

const KIB: usize = 1024;

struct Principals {
    quotas: Quotas,
    answers: Answers,
}

impl Principals {
    /// A budget of 8 KiB, and 4 KiB for each principal.
    fn new() -> Self {
        let clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
        let settings = QuotaSettings {
            calls: 100,
            streams: 100,
            calls_per_second: 1000,
            unsent_bytes: 4 * KIB,
        };
        Self {
            quotas: Quotas::new(settings, &clock),
            answers: Answers::new(8 * KIB, &Instruments::default()),
        }
    }

    fn call(&self, principal: &str) -> (Slot, Arc<CallMemory>) {
        let slot = self.quotas.take(&principal.parse().unwrap(), false).ok().unwrap();
        let memory = slot.memory(&self.answers);
        (slot, memory)
    }

    fn held(&self) -> usize {
        self.answers.held.load(Ordering::Relaxed)
    }
}

fn reserves(memory: &CallMemory, bytes: usize) -> bool {
    memory.reserve(bytes).now_or_never().is_some()
}

#[test]
fn a_reservation_shrinks_to_the_encoded_answer_and_ends_when_it_is_taken() {
    let principals = Principals::new();
    let (_slot, memory) = principals.call("a");
    assert!(reserves(&memory, 4 * KIB));
    assert_eq!(principals.held(), 4 * KIB);
    memory.encoded(1000);
    assert_eq!(principals.held(), KIB);
    let (_other, second) = principals.call("a");
    assert!(!reserves(&second, 4 * KIB), "a KiB is not taken");
    memory.taken(1000);
    assert_eq!(principals.held(), 0);
    assert!(reserves(&second, 4 * KIB));
    drop(second);
    assert_eq!(principals.held(), 0);
}

#[test]
fn one_principal_cannot_reserve_the_whole_budget() {
    let principals = Principals::new();
    let (_slot, memory) = principals.call("greedy");
    assert!(reserves(&memory, 4 * KIB));
    let calls: Vec<_> = (0..10).map(|_| principals.call("greedy")).collect();
    assert!(calls.iter().all(|(_, memory)| !reserves(memory, KIB)));
    let (_other, modest) = principals.call("modest");
    assert!(reserves(&modest, 4 * KIB));
    let (_third, late) = principals.call("late");
    assert!(!reserves(&late, KIB), "the budget is reserved");
}

#[tokio::test]
async fn a_principal_that_waits_for_its_own_share_delays_nobody() {
    let principals = Principals::new();
    let (_slot, memory) = principals.call("greedy");
    memory.reserve(4 * KIB).await;
    let (_waiting, second) = principals.call("greedy");
    let waiting = tokio::spawn(async move {
        second.reserve(4 * KIB).await;
        second
    });
    tokio::task::yield_now().await;
    let (_other, modest) = principals.call("modest");
    assert!(reserves(&modest, 4 * KIB));
    drop(memory);
    let second = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    drop(second.expect("there is memory").unwrap());
    assert_eq!(principals.held(), 4 * KIB);
}

#[test]
fn small_answers_are_counted_without_a_reservation() {
    let principals = Principals::new();
    let (_slot, memory) = principals.call("a");
    memory.encoded(100);
    assert_eq!(principals.held(), 100);
    assert!(reserves(&principals.call("a").1, 4 * KIB));
    memory.taken(100);
    assert_eq!(principals.held(), 0);
}

#[test]
fn a_page_that_is_still_being_made_does_not_reserve_twice() {
    let principals = Principals::new();
    let (_slot, memory) = principals.call("a");
    assert!(reserves(&memory, 3 * KIB) && reserves(&memory, 3 * KIB));
    assert_eq!(principals.held(), 3 * KIB);
}

#[tokio::test]
async fn an_earlier_frame_does_not_end_the_reservation_of_a_page_that_is_being_read() {
    let principals = Principals::new();
    let (_slot, memory) = principals.call("a");
    let page = async { memory.encoded(100) };
    memory.read(4 * KIB, page).await;
    assert_eq!(principals.held(), 4 * KIB);
    memory.encoded(2 * KIB);
    assert_eq!(principals.held(), 3 * KIB, "the reservation is in KiB");
    memory.taken(100);
    memory.taken(2 * KIB);
    assert_eq!(principals.held(), 0);
}
