//! Polls the readiness of all replicas, and finds the times at which none was ready.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{
    fleet::{Fleet, PolledHealth, ReplicaPlace},
    history::{Build, Gap, PolledReadiness},
};
use crate::credentials::now;

/// Time between two polls of a replica. It is the precision of all times here.
pub const EVERY: Duration = Duration::from_millis(50);

/// A replica that does not answer in this time counts as not ready.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Polls until `stop`.
pub async fn poll(fleet: Fleet, stop: CancellationToken) -> PolledReadiness {
    let found = Arc::new(Mutex::new(PolledReadiness::default()));
    let mut polls = JoinSet::new();
    for number in 0..fleet.len() {
        polls.spawn(poll_one(Arc::clone(&fleet), number, Arc::clone(&found), stop.clone()));
    }
    polls.join_all().await;
    let found = found.lock().unwrap();
    found.clone()
}

async fn poll_one(fleet: Fleet, number: usize, found: Arc<Mutex<PolledReadiness>>, stop: CancellationToken) {
    let place = &fleet[number];
    let mut channel = place.channel.subscribe();
    while !stop.is_cancelled() {
        let current = channel.borrow_and_update().clone();
        let asked_at = now();
        let answer = match current {
            Some(channel) => ask(channel).await,
            None => None,
        };
        note(&fleet, number, asked_at, answer, &found);
        wait(&mut channel, &stop).await;
    }
}

fn note(
    fleet: &Fleet,
    number: usize,
    asked_at: OffsetDateTime,
    answer: Option<HealthAnswer>,
    found: &Mutex<PolledReadiness>,
) {
    let place = &fleet[number];
    let is_ready = answer.as_ref().is_some_and(|answer| answer.is_ready);
    place.health.send_modify(|health| {
        *health = PolledHealth {
            polls: health.polls + 1,
            is_ready,
        };
    });
    // Read under the lock: the last one to record knows the answers of all.
    let mut found = found.lock().unwrap();
    let any = fleet.iter().any(ReplicaPlace::is_ready);
    found.record(place.build, asked_at, answer, any);
}

async fn wait(channel: &mut watch::Receiver<Option<Channel>>, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(EVERY) => {}
        // The sender is in the fleet.
        _ = channel.changed() => {}
        () = stop.cancelled() => {}
    }
}

/// An answer of a health service.
struct HealthAnswer {
    is_ready: bool,
    reason: String,
    build: Option<String>,
}

/// None if there is no answer.
async fn ask(channel: Channel) -> Option<HealthAnswer> {
    let mut client = HealthClient::new(channel);
    let answer = client.check(HealthCheckRequest::default());
    let answer = timeout(TIMEOUT, answer).await.ok()?.ok()?;
    let text = |key| Some(answer.metadata().get(key)?.to_str().ok()?.to_owned());
    let (reason, build) = (text("sharewarden-reason"), text("sharewarden-build"));
    let status = answer.get_ref().status();
    Some(HealthAnswer {
        is_ready: status == ServingStatus::Serving,
        reason: reason.unwrap_or_else(|| status.as_str_name().to_owned()),
        build,
    })
}

impl PolledReadiness {
    fn record(&mut self, build: Build, asked_at: OffsetDateTime, answer: Option<HealthAnswer>, any: bool) {
        self.polls += 1;
        if let Some(answer) = answer {
            match answer.is_ready {
                true => drop(self.last_ready.insert(build, asked_at)),
                false => *self.not_ready.entry((build, answer.reason)).or_default() += 1,
            }
            if let Some(number) = answer.build {
                self.numbers.insert(build, number);
            }
        }
        let open = self.gaps.last_mut().filter(|gap| gap.to.is_none());
        match (open, any) {
            (Some(gap), true) => gap.to = Some(now()),
            (None, false) if !self.last_ready.is_empty() => self.gaps.push(Gap { from: now(), to: None }),
            _ => {}
        }
    }
}
