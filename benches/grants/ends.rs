//! Many shares that end at the same second, while callers grant.

use std::time::{Duration, Instant};

use sharewarden::{clock::Clock, domain::Timestamp};

use crate::{
    load::Run,
    stack::Stack,
    table::Row,
    workloads::{Grants, Kind},
};

/// The first recipient whose share ends.
const FIRST: u64 = 60_000_000_000;

/// Time between the last grant with an end, the measurement before the ends, and the ends.
const REST: Duration = Duration::from_secs(5);

/// The shares whose end has come and that are still there.
const LEFT: &str = "SELECT count(*) FROM share_permission WHERE expire_time <= now()";

/// How long after its end the last share was submitted to be revoked, in seconds.
const SUBMITTED: &str =
    "SELECT extract(epoch FROM max(c.created_at) - $1)::float8 FROM change AS c WHERE c.cause = 'EXPIRY'";

/// Measures callers before `count` shares end, and until all of them have ended.
pub(crate) async fn measure(stack: &Stack, accounts: usize, in_flight: usize, time: Duration, count: u64) {
    let grants = Grants::new(stack, accounts, Kind::Grant).await;
    let mut fastest = Row::default();
    fastest.add(stack.measure(Run::new(in_flight, time), &grants).await);
    let rate = fastest.per_second() / 2.0;
    println!("grants as fast as possible: {}", fastest.in_short());

    let granting = Duration::from_secs_f64(count as f64 / rate);
    let clock = Clock::system();
    let end = clock.now() + granting + REST * 2 + time;
    grants.clone().until(end).grant_many(FIRST, count).await;
    stack.analyze_tables().await;
    sleep_until(&clock, earlier(end, time + REST)).await;
    let paced = |time| Run::paced(in_flight, time, rate);
    let mut before = Row::default();
    before.add(stack.measure(paced(time), &grants).await);
    println!("callers at {rate:.0}/s, before the ends: {}", before.in_short());

    sleep_until(&clock, end).await;
    let begun = Instant::now();
    let mut meanwhile = Row::default();
    let mut ended = 0;
    while ended < count {
        meanwhile.add(stack.measure(paced(Duration::from_secs(1)), &grants).await);
        let left: i64 = sqlx::query_scalar(LEFT).fetch_one(&stack.pool).await.unwrap();
        ended = count.saturating_sub(left.unsigned_abs());
        eprintln!("after {:.0?}: {ended} shares have ended", begun.elapsed());
    }
    let took = begun.elapsed();
    let submitted: Option<f64> = sqlx::query_scalar(SUBMITTED)
        .bind(end.to_offset_date_time())
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    println!("callers at {rate:.0}/s, meanwhile: {}", meanwhile.in_short());
    println!(
        "{count} shares ended in {took:.1?}, {:.0}/s, the last revoke submitted after {:.1} s; p99 of the callers {:.2} times that of \
         before",
        count as f64 / took.as_secs_f64(),
        submitted.unwrap_or_default(),
        meanwhile.p99() / before.p99()
    );
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp::new(time.to_offset_date_time() - by)
}

/// Panics if the time has passed: the shares were not made in time.
async fn sleep_until(clock: &Clock, time: Timestamp) {
    let left = time.since(clock.now());
    assert!(left > Duration::ZERO, "the shares were made too slowly");
    tokio::time::sleep(left).await;
}
