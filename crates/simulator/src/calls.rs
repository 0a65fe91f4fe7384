//! The call log: every call that reached the simulator, in the order of arrival.
//!
//! Times are *ticks* of one counter that all events share, so that "before", "after" and "overlapping" are exact. Ticks of
//! `applied` are given while the state is locked: their order is the order in which changes took effect.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::watch;

use super::now::now;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Counts from 1.
    pub number: u64,
    /// AWS's name of the operation; as the caller wrote it if there is no such operation.
    pub operation: String,
    /// The account that calls, if its key was recognized.
    pub account: Option<String>,
    /// The Region it calls.
    pub region: Option<String>,
    /// The image it names (for a copy: the source).
    pub image: Option<String>,
    /// The account to share with.
    pub shared_account: Option<String>,
    /// `AllowCopyImage`.
    pub allow: Option<bool>,
    /// The SDK's `amz-sdk-invocation-id`: the same for all attempts of one call.
    pub invocation_id: Option<String>,
    /// `traceparent` (W3C Trace Context), if the caller gave one.
    pub traceparent: Option<String>,
    /// What `x-amzn-RequestId` says in the answer, if there is one.
    pub request_id: String,
    /// The tick at which the whole request had been read.
    pub started: u64,
    /// The tick at which it took effect (for a read: at which it read). None: refused, or never carried out.
    pub applied: Option<u64>,
    /// The tick just before the answer was given away (or the connection broken). None: still going on.
    pub ended: Option<u64>,
    /// The tick at which the caller was seen to have left, if that was before `ended`.
    pub client_left: Option<u64>,
    /// When it started, by the clock.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// When it ended, by the clock.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The number of the fault it met.
    pub fault: Option<u64>,
    /// How it ended.
    pub ending: Option<Ending>,
    /// The status of the answer, if any.
    pub http_status: Option<u16>,
    /// The error code in the answer, if any.
    pub error_code: Option<String>,
}

/// How a call ended, on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With a whole answer.
    Answered,
    /// With an answer that breaks off.
    CutShort,
    /// With the connection reset.
    Reset,
}

/// What is known of a call when it arrives.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) operation: String,
    pub(super) account: Option<String>,
    pub(super) region: Option<String>,
    pub(super) image: Option<String>,
    pub(super) shared_account: Option<String>,
    pub(super) allow: Option<bool>,
    pub(super) invocation_id: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) request_id: String,
}

/// The log. Bounded: the oldest calls go first.
#[derive(Debug)]
pub(super) struct CallLog {
    inner: Mutex<Inner>,
    ticks: AtomicU64,
    /// Says that something changed, to whoever waits for calls.
    changed: watch::Sender<()>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Inner {
    calls: VecDeque<Call>,
    numbered: u64,
}

impl CallLog {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            inner: Mutex::default(),
            ticks: AtomicU64::new(0),
            changed: watch::Sender::new(()),
            limit,
        }
    }

    /// Writes down that a call has arrived.
    pub(super) fn start(&self, facts: Facts) -> Call {
        let mut inner = self.lock();
        inner.numbered += 1;
        let call = facts.into_call(inner.numbered, self.tick());
        if inner.calls.len() >= self.limit {
            inner.calls.pop_front();
        }
        if self.limit > 0 {
            inner.calls.push_back(call.clone());
        }
        drop(inner);
        self.changed.send_replace(());
        call
    }

    /// The next tick. It takes no lock, so that it can be had while the state is locked.
    pub(super) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Writes something down about a call, if it is still in the log.
    pub(super) fn note(&self, number: u64, note: impl FnOnce(&mut Call)) {
        self.lock().find(number).map(note);
        self.changed.send_replace(());
    }

    pub(super) fn after(&self, number: u64) -> Vec<Call> {
        self.lock()
            .calls
            .iter()
            .filter(|call| call.number > number)
            .cloned()
            .collect()
    }

    pub(super) fn clear(&self) {
        self.lock().calls.clear();
        self.changed.send_replace(());
    }

    /// Waits until the log satisfies a condition, and returns it as it was then.
    pub(super) async fn wait(&self, mut condition: impl FnMut(&[Call]) -> bool) -> Vec<Call> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(calls) = self.satisfying(&mut condition) {
                return calls;
            }
            // The sender lives in `self`: it cannot be gone.
            let _ = changed.changed().await;
        }
    }

    fn satisfying(&self, condition: &mut impl FnMut(&[Call]) -> bool) -> Option<Vec<Call>> {
        let mut inner = self.lock();
        let calls = inner.calls.make_contiguous();
        condition(calls).then(|| calls.to_vec())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Numbers follow each other without a gap, so the place of a call is known.
    fn find(&mut self, number: u64) -> Option<&mut Call> {
        let first = self.calls.front()?.number;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        self.calls.get_mut(index)
    }
}

impl Facts {
    fn into_call(self, number: u64, tick: u64) -> Call {
        Call {
            number,
            operation: self.operation,
            account: self.account,
            region: self.region,
            image: self.image,
            shared_account: self.shared_account,
            allow: self.allow,
            invocation_id: self.invocation_id,
            traceparent: self.traceparent,
            request_id: self.request_id,
            started: tick,
            applied: None,
            ended: None,
            client_left: None,
            started_at: now(),
            ended_at: None,
            fault: None,
            ending: None,
            http_status: None,
            error_code: None,
        }
    }
}
