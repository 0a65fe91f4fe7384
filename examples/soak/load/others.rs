//! Callers whose calls are timed, to see whether hostile callers delay others.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use sharewarden_client::proto::v1::{
    GrantSharePermissionRequest, ListAuditEntriesRequest, RevokeSharePermissionRequest,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Caller, Counts, asked, until};
use crate::surroundings::{ACCOUNT, IMAGE, REGION};

const CALLERS: u64 = 4;
/// The maximum pause between two timed calls of a caller, in milliseconds.
const PAUSE: u64 = 40;

/// The duration of each call.
#[derive(Debug, Default)]
struct Durations {
    changes: Vec<Duration>,
    pages: Vec<Duration>,
}

/// The running callers. Their counts are those of the load.
pub(crate) struct Others {
    callers: JoinSet<()>,
    stop: CancellationToken,
    durations: Arc<Mutex<Durations>>,
}

/// The 99th percentiles of a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Percentiles {
    pub(crate) changes: [Duration; 2],
    pub(crate) pages: [Duration; 2],
    calls: usize,
}

impl Others {
    pub(crate) fn start(address: SocketAddr, seed: u64, counts: &Counts) -> Self {
        let (mut callers, stop) = (JoinSet::new(), CancellationToken::new());
        let durations = Arc::default();
        for number in 0..CALLERS {
            let caller = Caller::new(address, seed.wrapping_add(2000 + number), counts);
            callers.spawn(until(stop.clone(), call(caller, number, Arc::clone(&durations))));
        }
        Self {
            callers,
            stop,
            durations,
        }
    }

    /// The percentiles since the last call of this function.
    pub(crate) fn percentiles(&self) -> Percentiles {
        let durations = std::mem::take(&mut *self.durations.lock().unwrap());
        let calls = durations.changes.len() + durations.pages.len();
        let of = |mut durations: Vec<Duration>| {
            durations.sort_unstable();
            [50, 99].map(|percent| {
                let place = (durations.len() * percent / 100).min(durations.len().saturating_sub(1));
                durations.get(place).copied().unwrap_or_default()
            })
        };
        Percentiles {
            changes: of(durations.changes),
            pages: of(durations.pages),
            calls,
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.callers.join_all().await;
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [changes, pages] = [self.changes, self.pages].map(|of| of.map(|time| time.as_secs_f64() * 1000.0));
        write!(
            formatter,
            "{} calls; grants and revokes p50 {:.1} ms, p99 {:.1} ms; pages p50 {:.1} ms, p99 {:.1} ms",
            self.calls, changes[0], changes[1], pages[0], pages[1]
        )
    }
}

/// Grants, reads a page, and revokes, on one connection.
async fn call(mut caller: Caller, number: u64, durations: Arc<Mutex<Durations>>) {
    let (mut clients, _) = caller.connect().await;
    let recipient = format!("30000000000{number}");
    loop {
        let grant = GrantSharePermissionRequest {
            account_id: ACCOUNT.into(),
            region: REGION.into(),
            image_id: IMAGE.into(),
            shared_account_id: recipient.clone(),
            reason: "timed".into(),
            ..Default::default()
        };
        let revoke = RevokeSharePermissionRequest {
            account_id: ACCOUNT.into(),
            region: REGION.into(),
            image_id: IMAGE.into(),
            shared_account_id: recipient.clone(),
            reason: "timed".into(),
            ..Default::default()
        };
        let page = ListAuditEntriesRequest {
            page_size: 50,
            ..Default::default()
        };
        let clock = caller.clock.clone();
        let begun = clock.monotonic_now();
        let granted = clients.shares.grant_share_permission(asked(grant)).await;
        let granted_at = clock.monotonic_now();
        let read = clients.audit.list_audit_entries(asked(page)).await;
        let read_at = clock.monotonic_now();
        let revoked = clients.shares.revoke_share_permission(asked(revoke)).await;
        let revoked_at = clock.monotonic_now();
        caller.note("timed grant", granted);
        caller.note("timed page", read);
        caller.note("timed revoke", revoked);
        {
            let mut durations = durations.lock().unwrap();
            let changes = [granted_at.since(begun), revoked_at.since(read_at)];
            durations.changes.extend(changes);
            durations.pages.push(read_at.since(granted_at));
        }
        caller.pause(PAUSE).await;
    }
}
