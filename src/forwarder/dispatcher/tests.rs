use super::*;
use crate::{clock::Clock, domain::Timestamp};

const SETTINGS: PlaceSettings = PlaceSettings {
    pace: PaceSettings {
        most: 1000.0,
        least: 1.0,
        burst: 1000.0,
    },
    circuit: CircuitSettings {
        failures: 3,
        cool_down: Duration::from_secs(4),
        cool_down_cap: Duration::from_secs(30),
    },
    max_in_flight: 2,
    max_backlog: 10,
    claim_ahead: Duration::from_secs(9),
};

const TURN: CallSlot = CallSlot {
    is_probe: false,
    shares: false,
};

const LEASE: Duration = Duration::from_secs(18);

fn at(seconds: f64) -> MonotonicInstant {
    let start = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap()).monotonic_now();
    start.plus(Duration::from_secs_f64(seconds))
}

fn image(name: &str) -> ImageId {
    format!("wsi-{name}00000000").parse().unwrap()
}

fn place() -> EndpointDispatcher<u32> {
    EndpointDispatcher::new(SETTINGS, at(0.0))
}

fn put(place: &mut EndpointDispatcher<u32>, now: f64, name: &str, item: u32) -> Option<(u32, Rejection)> {
    put_waiting(place, now, name, item, false)
}

fn put_reader(place: &mut EndpointDispatcher<u32>, now: f64, name: &str, item: u32) -> Option<(u32, Rejection)> {
    put_waiting(place, now, name, item, true)
}

fn put_waiting(
    place: &mut EndpointDispatcher<u32>,
    now: f64,
    name: &str,
    item: u32,
    reads: bool,
) -> Option<(u32, Rejection)> {
    let begin_by = at(now).plus(LEASE);
    place.put(at(now), image(name), QueuedItem { begin_by, reads, item })
}

fn begin(place: &mut EndpointDispatcher<u32>, now: f64) -> (u32, CallSlot) {
    match place.next(at(now)) {
        Dispatch::Begin(item, turn) => (item, turn),
        other => panic!("{other:?}"),
    }
}

/// A place where AWS has not answered.
fn dead(place: &mut EndpointDispatcher<u32>) {
    let turn = TURN;
    (0..3).for_each(|_| {
        place.called(turn, at(0.0), at(0.0), Classification::Unknown);
    });
}

/// A place that AWS throttled to the least.
fn slow(place: &mut EndpointDispatcher<u32>) {
    let turn = TURN;
    for round in 0..12 {
        let now = at(f64::from(round) * 0.0001);
        place.called(turn, now, now, Classification::Throttled);
    }
}

#[test]
fn so_many_are_worked_on_at_once_and_who_ends_makes_room() {
    let mut place = place();
    for item in 0..3 {
        put(&mut place, 0.0, "a", item);
    }
    let (_, turn) = begin(&mut place, 0.0);
    begin(&mut place, 0.0);
    assert_eq!(place.next(at(0.0)), Dispatch::Wait(LEASE), "until it is too late");
    place.ended(turn, at(1.0));
    assert_eq!(begin(&mut place, 1.0).0, 2);
    assert_eq!(place.next(at(1.0)), Dispatch::Nothing);
}

#[test]
fn what_cannot_be_begun_within_its_lease_is_turned_away() {
    let mut place = place();
    for item in 0..4 {
        put(&mut place, 0.0, "a", item);
    }
    begin(&mut place, 0.0);
    begin(&mut place, 0.0);
    let Dispatch::Reject(2, away) = place.next(at(18.0)) else {
        panic!("it is too late")
    };
    assert_eq!((away.delay, away.is_dead), (LEAST_DELAY, false));
}

#[test]
fn a_slow_place_turns_away_at_once_what_comes_too_late_but_another_image_has_its_turn() {
    let mut place = place();
    slow(&mut place);
    let taken = (0..100)
        .filter(|item| put(&mut place, 0.01, "a", *item).is_none())
        .count();
    assert!((15..=25).contains(&taken), "{taken} in 18 s at about one a second");
    let (_, away) = put(&mut place, 0.01, "a", 100).expect("turned away");
    assert_eq!(
        (away.delay, away.is_dead),
        (SETTINGS.claim_ahead, false),
        "the pace may be another before its turn would come"
    );
    assert_eq!(
        put(&mut place, 0.01, "b", 101),
        None,
        "the other image need not wait for all of the first"
    );
}

#[test]
fn nothing_waits_under_a_lease_while_aws_does_not_answer_and_one_change_tries() {
    let mut place = place();
    put(&mut place, 0.0, "a", 1);
    put(&mut place, 0.0, "b", 2);
    dead(&mut place);
    for _ in 0..2 {
        let Dispatch::Reject(_, away) = place.next(at(1.0)) else {
            panic!("nothing is begun")
        };
        assert_eq!((away.delay, away.is_dead), (Duration::from_secs(3), true));
    }
    assert_eq!(place.room(at(1.0)), ClaimLimit::BudgetSpent(4));
    assert_eq!(place.room(at(4.0)), ClaimLimit::Due(1));
    put(&mut place, 4.0, "a", 1);
    put(&mut place, 4.0, "a", 2);
    let (item, probe) = begin(&mut place, 4.0);
    assert_eq!((item, probe.is_probe), (1, true));
    assert!(matches!(place.next(at(4.0)), Dispatch::Reject(2, _)), "one only");

    let said = place.called(probe, at(4.0), at(5.0), Classification::Refused);
    assert_eq!(said, Some("AWS answers again"));
    place.ended(probe, at(5.0));
    assert_eq!(place.is_to_look(at(5.0)), Ok(()), "for what was put off");
    assert_eq!(place.room(at(5.0)), ClaimLimit::Due(4));
}

#[test]
fn a_read_back_obeys_the_circuit_too() {
    let mut place = place();
    put(&mut place, 0.0, "a", 1);
    let (_, turn) = begin(&mut place, 0.0);
    assert_eq!(place.go_on(turn, at(0.0)), Ok(()));
    dead(&mut place);
    let away = place.go_on(turn, at(1.0)).unwrap_err();
    assert_eq!((away.delay, away.is_dead), (Duration::from_secs(3), true));
}

#[test]
fn no_more_is_claimed_than_can_be_begun_soon() {
    let mut place = place();
    assert_eq!(
        place.room(at(0.0)),
        ClaimLimit::Due(4),
        "twice what is worked on at once"
    );
    for item in 0..3 {
        put(&mut place, 0.0, "a", item);
    }
    assert_eq!(place.room(at(0.0)), ClaimLimit::Due(1));
    put(&mut place, 0.0, "a", 3);
    place.look();
    assert_eq!(place.room(at(0.0)), ClaimLimit::None);
    assert_eq!(place.is_to_look(at(0.0)), Ok(()), "later");
    let mut crawling = EndpointDispatcher::<u32>::new(
        PlaceSettings {
            max_in_flight: 100,
            ..SETTINGS
        },
        at(0.0),
    );
    slow(&mut crawling);
    let ClaimLimit::Due(room) = crawling.room(at(0.0)) else {
        panic!()
    };
    assert!((9..=12).contains(&room), "{room} in 9 s at about one a second");
}

#[test]
fn a_change_that_was_put_off_is_looked_for_when_it_is_due() {
    let mut place = place();
    assert_eq!(place.is_to_look(at(0.0)), Err(None));
    place.defer(at(0.0), Duration::from_secs(5));
    place.defer(at(0.0), Duration::from_secs(2));
    let Err(Some(wait)) = place.is_to_look(at(1.0)) else {
        panic!()
    };
    assert!(
        wait > Duration::from_secs(1) && wait < Duration::from_millis(1010),
        "{wait:?}"
    );
    assert_eq!(place.is_to_look(at(1.0).plus(wait)), Ok(()));
    place.room(at(2.1));
    assert!(matches!(place.is_to_look(at(2.1)), Err(Some(_))));
    assert_eq!(place.is_to_look(at(5.1)), Ok(()));
}

#[test]
fn the_backlog_is_bounded_and_counts_all_that_is_not_over() {
    let mut place = place();
    for item in 0..5 {
        put(&mut place, 0.0, "a", item);
    }
    let (_, turn) = begin(&mut place, 0.0);
    for _ in 0..4 {
        place.defer(at(0.0), Duration::from_secs(5));
    }
    assert!(place.accepts());
    place.defer(at(0.0), Duration::from_secs(5));
    assert!(!place.accepts());
    place.ended(turn, at(1.0));
    assert!(place.accepts());
    assert_eq!(place.empty(), [1, 2, 3, 4]);
}

#[test]
fn changes_in_doubt_of_one_image_share_a_turn_and_their_calls_wait_for_their_own() {
    let mut place = place();
    put(&mut place, 0.0, "b", 0);
    for item in 1..=100 {
        assert_eq!(put_reader(&mut place, 0.0, "a", item), None);
    }
    assert_eq!(begin(&mut place, 0.0), (0, TURN));
    let (first, leads) = begin(&mut place, 0.0);
    assert_eq!(
        (first, leads),
        (1, TURN),
        "the second of two that may be worked on at once"
    );
    let sharers: Vec<_> = (2..=100).map(|_| begin(&mut place, 0.0)).collect();
    assert!(sharers.iter().all(|(_, turn)| turn.shares), "{sharers:?}");
    assert_eq!(place.next(at(0.0)), Dispatch::Nothing);

    // Whoever was told of the calls pays for them, and nobody for what was read by another.
    place.came_to(leads, 0);
    place.came_to(sharers[0].1, 4);
    assert_eq!(place.go_on(leads, at(1.0)), Ok(()));
    let away = place.go_on(sharers[0].1, at(1.0)).unwrap_err();
    assert_eq!((away.delay, away.is_dead), (LEAST_DELAY, false));

    // One read without an answer is one, however many it was for.
    for (_, turn) in &sharers {
        place.called(*turn, at(0.0), at(1.0), Classification::Unknown);
        place.ended(*turn, at(1.0));
    }
    assert!(
        matches!(place.room(at(1.0)), ClaimLimit::Due(_)),
        "the circuit is closed"
    );
    assert_eq!(place.room_to_share(), 4096);
}

#[test]
fn no_more_share_a_turn_than_there_is_room_for_and_a_probe_shares_with_nobody() {
    let mut place = place();
    (0..5000).for_each(|item| assert_eq!(put_reader(&mut place, 0.0, "a", item), None));
    begin(&mut place, 0.0);
    (0..4096).for_each(|_| assert!(begin(&mut place, 0.0).1.shares));
    assert_eq!((begin(&mut place, 0.0).1, place.room_to_share()), (TURN, 0));

    let mut place = self::place();
    dead(&mut place);
    (0..3).for_each(|item| assert_eq!(put_reader(&mut place, 4.0, "a", item), None));
    assert!(begin(&mut place, 4.0).1.is_probe);
    assert!(matches!(place.next(at(4.0)), Dispatch::Reject(1, _)));
}
