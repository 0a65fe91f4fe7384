//! Faults of processes and of connections to Postgres and AWS.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    fleet::{Fleet, ReplicaPlace},
    history::Build,
    replica::ReplicaProcess,
};
use crate::proxy::{CommitFault, Proxy, Rule};

/// The number of events by name.
#[derive(Clone, Debug, Default)]
pub struct EventCounts(Arc<Mutex<BTreeMap<String, u64>>>);

impl EventCounts {
    pub fn count(&self, what: &str) {
        *self.0.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap().clone()
    }
}

/// Maximum error of a replica's clock, in seconds.
const OFF_BY: i32 = 30;

/// Kills and restarts a replica while its place wants one, until `stop`. A change of `all` kills it together with the others. At
/// the end it runs if its place wants it.
pub async fn kill_and_restart(
    mut replica: ReplicaProcess,
    fleet: Fleet,
    number: usize,
    mut rng: Rng,
    mut all: watch::Receiver<u64>,
    kills: EventCounts,
    stop: CancellationToken,
) -> ReplicaProcess {
    let place = &fleet[number];
    loop {
        if !replica.runs() {
            tokio::select! {
                () = place.until_wanted(true) => {}
                () = stop.cancelled() => return replica,
            }
            start(&mut replica, place, &mut rng, &kills).await;
        }
        let lives = Duration::from_millis(rng.u64(800..7_000));
        let together = tokio::select! {
            biased;
            () = place.until_wanted(false) => {
                let _fault = place.shield.read().await;
                terminate(&mut replica, "SIGTERM of a replica that was replaced", &kills).await;
                continue;
            }
            () = stop.cancelled() => return replica,
            () = tokio::time::sleep(lives) => false,
            // The sender ends at `stop`.
            _ = all.changed() => true,
        };
        let Ok(fault) = place.shield.try_read() else {
            continue;
        };
        end(&mut replica, &mut rng, together, &kills).await;
        drop(fault);
        if rng.u32(..4) == 0 {
            tokio::time::sleep(Duration::from_millis(rng.u64(..2_000))).await;
        }
        start(&mut replica, place, &mut rng, &kills).await;
    }
}

async fn end(replica: &mut ReplicaProcess, rng: &mut Rng, together: bool, kills: &EventCounts) {
    if together || rng.u32(..10) < 7 {
        replica.kill().await;
        return kills.count(if together { "SIGKILL of all at once" } else { "SIGKILL" });
    }
    terminate(replica, "SIGTERM", kills).await;
}

async fn terminate(replica: &mut ReplicaProcess, name: &str, kills: &EventCounts) {
    if !replica.runs() {
        return;
    }
    kills.count(name);
    match replica.terminate().await {
        Some(status) if status.success() => {}
        Some(status) => kills.count(&format!("(SIGTERM that ended with {status})")),
        None => kills.count("(SIGTERM that did not end it)"),
    }
}

/// Starts a replica, with retries while its place wants one: a server exits if it cannot reach Postgres, or is not admitted.
pub async fn start(replica: &mut ReplicaProcess, place: &ReplicaPlace, rng: &mut Rng, kills: &EventCounts) {
    while place.is_wanted() && !replica.start(rng.i32(-OFF_BY..=OFF_BY)).await {
        kills.count(match place.build {
            Build::Old => "(failed starts of old replicas)",
            Build::New => "(failed starts)",
        });
        tokio::time::sleep(Duration::from_millis(rng.u64(100..500))).await;
    }
}

/// Kills all replicas at once, every 10 to 40 s.
pub async fn kill_all(all: watch::Sender<u64>, mut rng: Rng, stop: CancellationToken) {
    loop {
        let quiet = Duration::from_millis(rng.u64(10_000..40_000));
        tokio::select! {
            () = tokio::time::sleep(quiet) => all.send_modify(|times| *times += 1),
            () = stop.cancelled() => return,
        }
    }
}

/// Disturbs connections to Postgres until `stop`. After that everything passes.
pub async fn cut(fleet: Fleet, mut rng: Rng, cuts: EventCounts, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let wanted: Vec<&ReplicaPlace> = fleet.iter().filter(|place| place.is_wanted()).collect();
        let all = rng.u32(..8) == 0;
        let one = rng.usize(..wanted.len());
        let chosen = match all {
            true => &wanted[..],
            false => &wanted[one..=one],
        };
        let hit: Vec<_> = chosen
            .iter()
            .filter_map(|place| Some((&place.proxy, place.shield.try_read().ok()?)))
            .collect();
        let fault = random_fault(&mut rng);
        if !hit.is_empty() {
            cuts.count(fault.name());
            for (proxy, _) in &hit {
                fault.begin(proxy);
            }
            tokio::time::sleep(fault.lasts()).await;
            for (proxy, _) in &hit {
                proxy.set(Rule::Pass);
            }
        }
        drop(hit);
        tokio::time::sleep(Duration::from_millis(rng.u64(50..700))).await;
    }
    for place in fleet.iter() {
        place.proxy.clear_commit_faults();
        place.proxy.set(Rule::Pass);
    }
}

/// Refuses new connections to AWS from time to time.
pub async fn refuse(fleet: Fleet, mut rng: Rng, stop: CancellationToken) {
    let wait = async |rng: &mut Rng, max_ms| {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(rng.u64(100..max_ms))) => {}
            () = stop.cancelled() => {}
        }
    };
    let set = |rule| fleet.iter().for_each(|place| place.aws.set(rule));
    while !stop.is_cancelled() {
        wait(&mut rng, 6_000).await;
        set(Rule::Refuse);
        wait(&mut rng, 2_000).await;
        set(Rule::Pass);
    }
}

#[derive(Clone, Copy, Debug)]
enum NetworkFault {
    Cut,
    Commits(CommitFault, usize),
    Refused(Duration),
    BlackHole(Duration),
    Slow(Duration),
}

fn random_fault(rng: &mut Rng) -> NetworkFault {
    let lasts = Duration::from_millis(rng.u64(100..2_500));
    let times = rng.usize(1..4);
    match rng.u32(..100) {
        0..15 => NetworkFault::Cut,
        15..40 => NetworkFault::Commits(CommitFault::CutBefore, times),
        40..65 => NetworkFault::Commits(CommitFault::CutAfter, times),
        65..80 => NetworkFault::Commits(CommitFault::Delayed(Duration::from_millis(rng.u64(1..1_000))), times),
        80..88 => NetworkFault::Refused(lasts),
        88..94 => NetworkFault::BlackHole(lasts),
        _ => NetworkFault::Slow(lasts),
    }
}

impl NetworkFault {
    fn begin(self, proxy: &Proxy) {
        match self {
            Self::Cut => proxy.cut(),
            Self::Commits(fate, times) => proxy.next_commits(fate, times),
            Self::Refused(_) => {
                proxy.set(Rule::Refuse);
                proxy.cut();
            }
            Self::BlackHole(_) => proxy.set(Rule::BlackHole),
            Self::Slow(_) => proxy.set(Rule::Delay(Duration::from_millis(15))),
        }
    }

    fn lasts(self) -> Duration {
        match self {
            Self::Cut | Self::Commits(..) => Duration::ZERO,
            Self::Refused(lasts) | Self::BlackHole(lasts) | Self::Slow(lasts) => lasts,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cut => "all connections of a replica cut",
            Self::Commits(CommitFault::CutBefore, _) => "cuts before COMMIT ordered",
            Self::Commits(CommitFault::CutAfter, _) => "cuts after COMMIT ordered",
            Self::Commits(CommitFault::Delayed(_), _) => "late COMMITs ordered",
            Self::Refused(_) => "away: connections refused",
            Self::BlackHole(_) => "away: black hole",
            Self::Slow(_) => "slow",
        }
    }
}
