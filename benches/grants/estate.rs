//! An estate of 1,000 images with 20 recipients each, over 20 accounts and 2 Regions: how long a complete comparison with AWS
//! takes, its memory, and what it costs the grants beside it.

use std::time::Duration;

use serde_json::json;
use sharewarden_client::{ShareStub, Stub};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{
    load::{Run, Workload},
    stack::{Stack, account, denied},
    table::Row,
    workloads::{as_bench, channels, request},
};

/// The accounts that own images.
pub(crate) const ACCOUNTS: usize = 20;
/// The Regions of each account.
pub(crate) const REGIONS: [&str; 2] = ["eu-central-1", "us-east-1"];
/// The images of an account in a Region.
const IMAGES: u64 = 25;
/// The recipients of an image.
const RECIPIENTS: u64 = 20;
/// The shares of the estate.
const SHARES: u64 = ACCOUNTS as u64 * REGIONS.len() as u64 * IMAGES * RECIPIENTS;

/// A comparison begins as soon as the last one has ended.
const WITHOUT_PAUSE: &str = "drift.interval = \"1s\"\ndrift.confirm_after = \"1s\"";
/// The looks of a comparison are spread over 24 s: 120 times as often as by default.
const EACH_30_S: &str = "drift.interval = \"30s\"\ndrift.confirm_after = \"1s\"";
const SWITCHED_OFF: &str = "drift.enabled = false";

/// What the simulator has at first.
pub(crate) fn simulated() -> serde_json::Value {
    let mut images = Vec::new();
    for number in 0..SHARES / RECIPIENTS {
        let share = Share::of(number);
        images.push(
            json!({ "region": share.region, "image_id": share.image, "name": share.image, "owner": share.account }),
        );
    }
    json!({
        // The last one is that of the service's own keys.
        "accounts": (0..ACCOUNTS).map(account).chain([denied()]).map(|id| json!({ "id": id })).collect::<Vec<_>>(),
        "images": images,
        "call_log_limit": 1000,
    })
}

/// A share of the estate. The first 1,000 numbers have different images.
struct Share {
    account: String,
    region: &'static str,
    image: String,
    recipient: String,
}

impl Share {
    fn of(number: u64) -> Self {
        let (accounts, regions) = (ACCOUNTS as u64, REGIONS.len() as u64);
        let (owner, rest) = (number % accounts, number / accounts);
        let (region, rest) = (rest % regions, rest / regions);
        let (image, recipient) = (rest % IMAGES, rest / IMAGES % RECIPIENTS);
        Self {
            account: account(owner as usize),
            region: REGIONS[region as usize],
            image: format!("wsi-{owner:03}{region:03}{image:03}"),
            recipient: format!("2{recipient:011}"),
        }
    }
}

/// Grants the shares of the estate, again and again.
#[derive(Clone)]
struct Granting(std::sync::Arc<[Channel]>);

impl Workload for Granting {
    async fn call(&self, number: u64) -> u64 {
        let share = Share::of(number % SHARES);
        let mut message = request(share.account, share.image, share.recipient, Uuid::now_v7());
        message.region = share.region.into();
        let channel = self.0[number as usize % self.0.len()].clone();
        let mut client = ShareStub::on(channel.into());
        client.grant_share_permission(as_bench(message)).await.unwrap();
        1
    }
}

/// Compares the estate with AWS, without grants and beside them.
pub(crate) async fn measure(stack: &mut Stack, in_flight: usize, time: Duration, rounds: usize) {
    stack.serve_estate(SWITCHED_OFF);
    let granting = Granting(channels(stack).await);
    eprintln!("granting {SHARES} shares");
    let next = std::sync::atomic::AtomicU64::new(0);
    let all = (0..256).map(|_| async {
        while let Some(number) = Some(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).filter(|it| *it < SHARES)
        {
            granting.call(number).await;
        }
    });
    futures_util::future::join_all(all).await;
    stack.analyze_tables().await;

    stack.serve_estate(WITHOUT_PAUSE);
    let before = stack.server_memory();
    let took = scan(stack, 2).await;
    println!(
        "{SHARES} shares of {} images: a complete comparison took {took:.1} s at the most for an account and Region; memory {:.1} MB \
         before, {:.1} MB after two",
        SHARES / RECIPIENTS,
        before as f64 / 1e6,
        stack.server_memory() as f64 / 1e6
    );

    let (mut alone, mut beside, mut ratios) = (Row::default(), Row::default(), Vec::new());
    for round in 0..rounds {
        // Each goes first every other time.
        let mut measured = [0.0; 2];
        for compares in [round % 2 == 0, round % 2 == 1] {
            stack.serve_estate(if compares { EACH_30_S } else { SWITCHED_OFF });
            let granting = Granting(channels(stack).await);
            // The first calls assume the roles.
            stack
                .measure(Run::new(in_flight, Duration::from_secs(1)), &granting)
                .await;
            let run = stack.measure(Run::new(in_flight, time), &granting).await;
            measured[usize::from(compares)] = run.0.operations as f64 / run.0.took.as_secs_f64();
            if compares {
                beside.add(run)
            } else {
                alone.add(run)
            };
        }
        ratios.push(measured[1] / measured[0]);
    }
    ratios.sort_by(f64::total_cmp);
    println!("grants without a comparison: {}", alone.in_short());
    println!("grants beside one each 30 s: {}", beside.in_short());
    println!("ratio: {:.2} (median of {rounds})", ratios[rounds / 2]);
}

/// Waits for this number of complete comparisons of every account and Region. Returns the time of the longest one in seconds.
async fn scan(stack: &Stack, count: u32) -> f64 {
    const SLOWEST: &str = "SELECT CASE WHEN min(completed_started_at) > $1 THEN max(extract(epoch FROM completed_at - completed_started_at))::float8 END
        FROM drift_scan";
    let mut slowest = 0.0;
    for _ in 0..count {
        let now: time::OffsetDateTime = sqlx::query_scalar("SELECT clock_timestamp()")
            .fetch_one(&stack.pool)
            .await
            .unwrap();
        slowest = loop {
            let took: Option<f64> = sqlx::query_scalar(SLOWEST)
                .bind(now)
                .fetch_one(&stack.pool)
                .await
                .unwrap();
            match took {
                Some(took) => break f64::max(slowest, took),
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        };
    }
    slowest
}
