//! What goes wrong with processes and with the way to Postgres.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::proxy::{Fate, Proxy, Rule};

use super::replica::Replica;

/// How often what happened.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<BTreeMap<String, u64>>>);

impl Tally {
    pub fn count(&self, what: &str) {
        *self.0.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap().clone()
    }
}

/// Clocks are wrong by at most so many seconds.
const OFF_BY: i32 = 30;

/// Ends a replica again and again and starts it anew, until told to stop; then leaves it running. `all` ends it with the others.
pub async fn kill_and_restart(
    mut replica: Replica,
    mut dice: Rng,
    mut all: watch::Receiver<u64>,
    kills: Tally,
    stop: CancellationToken,
) -> Replica {
    loop {
        let lives = Duration::from_millis(dice.u64(800..7_000));
        let together = tokio::select! {
            () = tokio::time::sleep(lives) => false,
            _ = all.changed() => true,
            () = stop.cancelled() => break,
        };
        end(&mut replica, &mut dice, together, &kills).await;
        if dice.u32(..4) == 0 {
            tokio::time::sleep(Duration::from_millis(dice.u64(..2_000))).await;
        }
        start(&mut replica, &mut dice, &kills).await;
    }
    replica
}

async fn end(replica: &mut Replica, dice: &mut Rng, together: bool, kills: &Tally) {
    if together || dice.u32(..10) < 7 {
        replica.kill().await;
        return kills.count(if together { "SIGKILL of all at once" } else { "SIGKILL" });
    }
    kills.count("SIGTERM");
    match replica.terminate().await {
        Some(status) if status.success() => {}
        Some(status) => kills.count(&format!("(SIGTERM that ended with {status})")),
        None => kills.count("(SIGTERM that did not end it)"),
    }
}

/// Starts a replica, however often it takes: while Postgres cannot be reached, a server gives up.
pub async fn start(replica: &mut Replica, dice: &mut Rng, kills: &Tally) {
    while !replica.start(dice.i32(-OFF_BY..=OFF_BY)).await {
        kills.count("(starts that failed)");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// From time to time, all replicas die at once.
pub async fn kill_all(all: watch::Sender<u64>, mut dice: Rng, stop: CancellationToken) {
    loop {
        let quiet = Duration::from_millis(dice.u64(10_000..40_000));
        tokio::select! {
            () = tokio::time::sleep(quiet) => all.send_modify(|times| *times += 1),
            () = stop.cancelled() => return,
        }
    }
}

/// Makes trouble on the way to Postgres, until told to stop; then everything passes.
pub async fn cut(proxies: Arc<Vec<Proxy>>, mut dice: Rng, cuts: Tally, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let all = dice.u32(..8) == 0;
        let one = dice.usize(..proxies.len());
        let hit: Vec<&Proxy> = match all {
            true => proxies.iter().collect(),
            false => vec![&proxies[one]],
        };
        let trouble = anything(&mut dice);
        cuts.count(trouble.name());
        for proxy in &hit {
            trouble.begin(proxy);
        }
        tokio::time::sleep(trouble.lasts()).await;
        for proxy in &hit {
            proxy.set(Rule::Pass);
        }
        tokio::time::sleep(Duration::from_millis(dice.u64(50..700))).await;
    }
    for proxy in proxies.iter() {
        proxy.forget_fates();
        proxy.set(Rule::Pass);
    }
}

/// From time to time, AWS refuses new connections.
pub async fn refuse(aws: Arc<Proxy>, mut dice: Rng, stop: CancellationToken) {
    let wait = async |dice: &mut Rng, most| {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(dice.u64(100..most))) => {}
            () = stop.cancelled() => {}
        }
    };
    while !stop.is_cancelled() {
        wait(&mut dice, 6_000).await;
        aws.set(Rule::Refuse);
        wait(&mut dice, 2_000).await;
        aws.set(Rule::Pass);
    }
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Cut,
    Commits(Fate, usize),
    Refused(Duration),
    BlackHole(Duration),
    Slow(Duration),
}

fn anything(dice: &mut Rng) -> Trouble {
    let lasts = Duration::from_millis(dice.u64(100..2_500));
    let times = dice.usize(1..4);
    match dice.u32(..100) {
        0..15 => Trouble::Cut,
        15..40 => Trouble::Commits(Fate::CutBefore, times),
        40..65 => Trouble::Commits(Fate::CutAfter, times),
        65..80 => Trouble::Commits(Fate::Late(Duration::from_millis(dice.u64(1..1_000))), times),
        80..88 => Trouble::Refused(lasts),
        88..94 => Trouble::BlackHole(lasts),
        _ => Trouble::Slow(lasts),
    }
}

impl Trouble {
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
            Self::Commits(Fate::CutBefore, _) => "cuts before COMMIT ordered",
            Self::Commits(Fate::CutAfter, _) => "cuts after COMMIT ordered",
            Self::Commits(Fate::Late(_), _) => "late COMMITs ordered",
            Self::Refused(_) => "away: connections refused",
            Self::BlackHole(_) => "away: black hole",
            Self::Slow(_) => "slow",
        }
    }
}
