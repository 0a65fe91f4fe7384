use super::*;
use crate::{clock::Clock, domain::Timestamp};

fn settings() -> ForwarderConfig {
    ForwarderConfig {
        calls_per_second: 1000,
        circuit_failures: 3,
        circuit_cool_down: Duration::from_secs(4),
        max_in_flight: 2,
        max_backlog: 10,
        ..ForwarderConfig::default()
    }
}

const SLOT: CallSlot = CallSlot {
    is_probe: false,
    is_shared: false,
};

const LEASE: Duration = Duration::from_secs(18);

fn at(seconds: f64) -> MonotonicInstant {
    let start = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap()).monotonic_now();
    start.plus(Duration::from_secs_f64(seconds))
}

fn image(name: &str) -> ImageId {
    format!("wsi-{name}00000000").parse().unwrap()
}

fn dispatcher() -> EndpointDispatcher<u32> {
    EndpointDispatcher::new(settings(), at(0.0))
}

fn put(dispatcher: &mut EndpointDispatcher<u32>, now: f64, name: &str, item: u32) -> Option<(u32, Rejection)> {
    put_item(dispatcher, now, name, item, false)
}

fn put_reader(dispatcher: &mut EndpointDispatcher<u32>, now: f64, name: &str, item: u32) -> Option<(u32, Rejection)> {
    put_item(dispatcher, now, name, item, true)
}

fn put_item(
    dispatcher: &mut EndpointDispatcher<u32>,
    now: f64,
    name: &str,
    item: u32,
    reads: bool,
) -> Option<(u32, Rejection)> {
    let begin_by = at(now).plus(LEASE);
    dispatcher.enqueue(at(now), image(name), QueuedItem { begin_by, reads, item })
}

fn begin(dispatcher: &mut EndpointDispatcher<u32>, now: f64) -> (u32, CallSlot) {
    match dispatcher.next(at(now)) {
        Dispatch::Begin(item, slot) => (item, slot),
        other => panic!("{other:?}"),
    }
}

/// Opens the circuit: AWS has not answered.
fn open_circuit(dispatcher: &mut EndpointDispatcher<u32>) {
    (0..3).for_each(|_| {
        dispatcher.record_call(SLOT, at(0.0), at(0.0), Classification::Unknown);
    });
}

/// Throttles the rate limiter to its minimum.
fn throttle(dispatcher: &mut EndpointDispatcher<u32>) {
    for round in 0..12 {
        let now = at(f64::from(round) * 0.0001);
        dispatcher.record_call(SLOT, now, now, Classification::Throttled);
    }
}

#[test]
fn at_most_max_in_flight_items_start_and_an_end_frees_a_slot() {
    let mut dispatcher = dispatcher();
    for item in 0..3 {
        put(&mut dispatcher, 0.0, "a", item);
    }
    let (_, slot) = begin(&mut dispatcher, 0.0);
    begin(&mut dispatcher, 0.0);
    assert_eq!(dispatcher.next(at(0.0)), Dispatch::Wait(LEASE), "until it is too late");
    dispatcher.release(slot, at(1.0));
    assert_eq!(begin(&mut dispatcher, 1.0).0, 2);
    assert_eq!(dispatcher.next(at(1.0)), Dispatch::Nothing);
}

#[test]
fn an_item_that_cannot_start_within_its_lease_is_rejected() {
    let mut dispatcher = dispatcher();
    for item in 0..4 {
        put(&mut dispatcher, 0.0, "a", item);
    }
    begin(&mut dispatcher, 0.0);
    begin(&mut dispatcher, 0.0);
    let Dispatch::Reject(2, rejection) = dispatcher.next(at(18.0)) else {
        panic!("it is too late")
    };
    assert_eq!((rejection.delay, rejection.is_unreachable), (MIN_DELAY, false));
}

#[test]
fn a_slow_endpoint_rejects_at_once_an_item_that_would_start_too_late_but_accepts_another_image() {
    let mut dispatcher = dispatcher();
    throttle(&mut dispatcher);
    let taken = (0..100)
        .filter(|item| put(&mut dispatcher, 0.01, "a", *item).is_none())
        .count();
    assert!((15..=25).contains(&taken), "{taken} in 18 s at about one per second");
    let (_, rejection) = put(&mut dispatcher, 0.01, "a", 100).expect("it is rejected");
    assert_eq!(
        (rejection.delay, rejection.is_unreachable),
        (settings().claim_ahead(), false),
        "the rate may have changed by then"
    );
    assert_eq!(
        put(&mut dispatcher, 0.01, "b", 101),
        None,
        "the other image does not wait for all items of the first"
    );
}

#[test]
fn queued_items_are_rejected_while_aws_does_not_answer_and_one_change_probes() {
    let mut dispatcher = dispatcher();
    put(&mut dispatcher, 0.0, "a", 1);
    put(&mut dispatcher, 0.0, "b", 2);
    open_circuit(&mut dispatcher);
    for _ in 0..2 {
        let Dispatch::Reject(_, rejection) = dispatcher.next(at(1.0)) else {
            panic!("nothing starts")
        };
        assert_eq!(
            (rejection.delay, rejection.is_unreachable),
            (Duration::from_secs(3), true)
        );
    }
    assert_eq!(dispatcher.claim_limit(at(1.0)), ClaimLimit::BudgetSpent(4));
    assert_eq!(dispatcher.claim_limit(at(4.0)), ClaimLimit::Due(1));
    put(&mut dispatcher, 4.0, "a", 1);
    put(&mut dispatcher, 4.0, "a", 2);
    let (item, probe) = begin(&mut dispatcher, 4.0);
    assert_eq!((item, probe.is_probe), (1, true));
    assert!(
        matches!(dispatcher.next(at(4.0)), Dispatch::Reject(2, _)),
        "one probe only"
    );

    let message = dispatcher.record_call(probe, at(4.0), at(5.0), Classification::Refused);
    assert_eq!(message, Some("AWS answers again; the circuit is closed"));
    dispatcher.release(probe, at(5.0));
    assert_eq!(dispatcher.check_scan_due(at(5.0)), Ok(()), "for the rejected items");
    assert_eq!(dispatcher.claim_limit(at(5.0)), ClaimLimit::Due(4));
}

#[test]
fn a_further_call_is_rejected_while_the_circuit_is_open() {
    let mut dispatcher = dispatcher();
    put(&mut dispatcher, 0.0, "a", 1);
    let (_, slot) = begin(&mut dispatcher, 0.0);
    assert_eq!(dispatcher.permit_call(slot, at(0.0)), Ok(()));
    open_circuit(&mut dispatcher);
    let rejection = dispatcher.permit_call(slot, at(1.0)).unwrap_err();
    assert_eq!(
        (rejection.delay, rejection.is_unreachable),
        (Duration::from_secs(3), true)
    );
}

#[test]
fn no_more_is_claimed_than_can_start_soon() {
    let mut dispatcher = dispatcher();
    assert_eq!(
        dispatcher.claim_limit(at(0.0)),
        ClaimLimit::Due(4),
        "twice max_in_flight"
    );
    for item in 0..3 {
        put(&mut dispatcher, 0.0, "a", item);
    }
    assert_eq!(dispatcher.claim_limit(at(0.0)), ClaimLimit::Due(1));
    put(&mut dispatcher, 0.0, "a", 3);
    dispatcher.request_scan();
    assert_eq!(dispatcher.claim_limit(at(0.0)), ClaimLimit::None);
    assert_eq!(dispatcher.check_scan_due(at(0.0)), Ok(()), "the request stays");
    let mut slowest = EndpointDispatcher::<u32>::new(
        ForwarderConfig {
            max_in_flight: 100,
            ..settings()
        },
        at(0.0),
    );
    throttle(&mut slowest);
    let ClaimLimit::Due(limit) = slowest.claim_limit(at(0.0)) else {
        panic!()
    };
    assert!((9..=12).contains(&limit), "{limit} in 9 s at about one per second");
}

#[test]
fn a_scan_is_due_when_a_scheduled_retry_is_due() {
    let mut dispatcher = dispatcher();
    assert_eq!(dispatcher.check_scan_due(at(0.0)), Err(None));
    dispatcher.schedule_retry(at(0.0), Duration::from_secs(5));
    dispatcher.schedule_retry(at(0.0), Duration::from_secs(2));
    let Err(Some(wait)) = dispatcher.check_scan_due(at(1.0)) else {
        panic!()
    };
    assert!(
        wait > Duration::from_secs(1) && wait < Duration::from_millis(1010),
        "{wait:?}"
    );
    assert_eq!(dispatcher.check_scan_due(at(1.0).plus(wait)), Ok(()));
    dispatcher.claim_limit(at(2.1));
    assert!(matches!(dispatcher.check_scan_due(at(2.1)), Err(Some(_))));
    assert_eq!(dispatcher.check_scan_due(at(5.1)), Ok(()));
}

#[test]
fn the_backlog_is_bounded_and_counts_queued_started_and_scheduled_changes() {
    let mut dispatcher = dispatcher();
    for item in 0..5 {
        put(&mut dispatcher, 0.0, "a", item);
    }
    let (_, slot) = begin(&mut dispatcher, 0.0);
    for _ in 0..4 {
        dispatcher.schedule_retry(at(0.0), Duration::from_secs(5));
    }
    assert!(dispatcher.accepts_changes());
    dispatcher.schedule_retry(at(0.0), Duration::from_secs(5));
    assert!(!dispatcher.accepts_changes());
    dispatcher.release(slot, at(1.0));
    assert!(dispatcher.accepts_changes());
    assert_eq!(dispatcher.drain(), [1, 2, 3, 4]);
}

#[test]
fn changes_in_doubt_of_one_image_share_a_slot_and_their_calls_need_slots_of_their_own() {
    let mut dispatcher = dispatcher();
    put(&mut dispatcher, 0.0, "b", 0);
    for item in 1..=100 {
        assert_eq!(put_reader(&mut dispatcher, 0.0, "a", item), None);
    }
    assert_eq!(begin(&mut dispatcher, 0.0), (0, SLOT));
    let (first, leads) = begin(&mut dispatcher, 0.0);
    assert_eq!((first, leads), (1, SLOT), "the second of two slots");
    let sharers: Vec<_> = (2..=100).map(|_| begin(&mut dispatcher, 0.0)).collect();
    assert!(sharers.iter().all(|(_, slot)| slot.is_shared), "{sharers:?}");
    assert_eq!(dispatcher.next(at(0.0)), Dispatch::Nothing);

    // The change that made the calls pays for them, and a shared read costs nothing.
    dispatcher.correct_charge(leads, 0);
    dispatcher.correct_charge(sharers[0].1, 4);
    assert_eq!(dispatcher.permit_call(leads, at(1.0)), Ok(()));
    let rejection = dispatcher.permit_call(sharers[0].1, at(1.0)).unwrap_err();
    assert_eq!((rejection.delay, rejection.is_unreachable), (MIN_DELAY, false));

    // One read without an answer counts once, however many changes share it.
    for (_, slot) in &sharers {
        dispatcher.record_call(*slot, at(0.0), at(1.0), Classification::Unknown);
        dispatcher.release(*slot, at(1.0));
    }
    assert!(
        matches!(dispatcher.claim_limit(at(1.0)), ClaimLimit::Due(_)),
        "the circuit is closed"
    );
    assert_eq!(dispatcher.shared_claim_limit(), 4096);
}

#[test]
fn at_most_4096_changes_share_a_slot_and_a_probe_shares_with_none() {
    let mut dispatcher = dispatcher();
    (0..5000).for_each(|item| assert_eq!(put_reader(&mut dispatcher, 0.0, "a", item), None));
    begin(&mut dispatcher, 0.0);
    (0..4096).for_each(|_| assert!(begin(&mut dispatcher, 0.0).1.is_shared));
    assert_eq!(
        (begin(&mut dispatcher, 0.0).1, dispatcher.shared_claim_limit()),
        (SLOT, 0)
    );

    let mut dispatcher = self::dispatcher();
    open_circuit(&mut dispatcher);
    (0..3).for_each(|item| assert_eq!(put_reader(&mut dispatcher, 4.0, "a", item), None));
    assert!(begin(&mut dispatcher, 4.0).1.is_probe);
    assert!(matches!(dispatcher.next(at(4.0)), Dispatch::Reject(1, _)));
}
