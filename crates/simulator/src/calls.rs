//! The call log: every call that reached the simulator, in the order of arrival.
//!
//! Times are ticks of one counter that all events share, so that "before", "after" and "overlapping" are exact. The
//! tick of `applied` is taken while the inventory is locked: these ticks are in the order in which changes took
//! effect.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::now::now;

/// A request that the simulator received, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiCall {
    /// From 1.
    pub number: u64,
    /// The operation. For an unknown operation, the name that the caller gave.
    pub operation: String,
    /// The caller's account, if authentication succeeded.
    pub account: Option<String>,
    /// The Region of the call.
    pub region: Option<String>,
    /// The image in the request. For a copy, the source. None if the request is about several.
    pub image: Option<String>,
    /// `SharedAccountId`.
    pub shared_account: Option<String>,
    /// `AllowCopyImage`.
    pub allow: Option<bool>,
    /// The `Host` header: a caller behind a proxy names the proxy.
    #[serde(default)]
    pub host: Option<String>,
    /// The SDK's `amz-sdk-invocation-id`: equal for all attempts of one SDK call.
    pub invocation_id: Option<String>,
    /// The `traceparent` header (W3C Trace Context).
    pub traceparent: Option<String>,
    /// The `x-amzn-RequestId` of the response.
    pub request_id: String,
    /// Tick after the whole request was read.
    pub started: u64,
    /// Tick when it took effect. For a read, tick of the read. None if it was refused or not carried out.
    pub applied: Option<u64>,
    /// Tick before the response was handed over or the connection was reset. None while in progress.
    pub ended: Option<u64>,
    /// Tick when the caller disconnected, if before `ended`.
    pub client_left: Option<u64>,
    /// Wall clock time of `started`.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    /// Wall clock time of `ended`.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The id of the fault that hit it.
    pub fault: Option<u64>,
    /// How it ended.
    pub ending: Option<CallEnding>,
    /// The HTTP status of the response.
    pub http_status: Option<u16>,
    /// The error code in the response.
    pub error_code: Option<String>,
}

/// How a call ended on the simulator's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallEnding {
    /// With a complete response.
    Answered,
    /// With a truncated response.
    CutShort,
    /// With a connection reset.
    Reset,
}

#[derive(Clone, Debug, Default)]
pub(super) struct CallSummary {
    pub(super) operation: String,
    pub(super) account: Option<String>,
    pub(super) region: Option<String>,
    pub(super) image: Option<String>,
    pub(super) shared_account: Option<String>,
    pub(super) allow: Option<bool>,
    pub(super) host: Option<String>,
    pub(super) invocation_id: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) request_id: String,
}

/// The log. Bounded: the oldest calls are dropped first.
#[derive(Debug)]
pub(super) struct CallLog {
    inner: Mutex<LogState>,
    ticks: AtomicU64,
    /// Notifies waiters of any change.
    changed: watch::Sender<()>,
    limit: usize,
}

#[derive(Debug, Default)]
struct LogState {
    calls: VecDeque<ApiCall>,
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

    /// Records the arrival of a call.
    pub(super) fn start(&self, summary: CallSummary) -> ApiCall {
        let mut inner = self.lock();
        inner.numbered += 1;
        let call = summary.into_call(inner.numbered, self.tick());
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

    /// The next tick. Takes no lock, so that it can be called while the inventory is locked.
    pub(super) fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Updates a call, if it is still in the log.
    pub(super) fn note(&self, number: u64, note: impl FnOnce(&mut ApiCall)) {
        self.lock().find(number).map(note);
        self.changed.send_replace(());
    }

    pub(super) fn after(&self, number: u64) -> Vec<ApiCall> {
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

    /// Waits until the log satisfies the condition, and returns it as it was at that moment.
    pub(super) async fn wait(&self, mut condition: impl FnMut(&[ApiCall]) -> bool) -> Vec<ApiCall> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(calls) = self.satisfying(&mut condition) {
                return calls;
            }
            // The sender is in `self`, so this cannot fail.
            let _ = changed.changed().await;
        }
    }

    fn satisfying(&self, condition: &mut impl FnMut(&[ApiCall]) -> bool) -> Option<Vec<ApiCall>> {
        let mut inner = self.lock();
        let calls = inner.calls.make_contiguous();
        condition(calls).then(|| calls.to_vec())
    }

    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogState {
    /// Numbers have no gaps, so the number gives the index.
    fn find(&mut self, number: u64) -> Option<&mut ApiCall> {
        let first = self.calls.front()?.number;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        self.calls.get_mut(index)
    }
}

impl CallSummary {
    fn into_call(self, number: u64, tick: u64) -> ApiCall {
        ApiCall {
            number,
            operation: self.operation,
            account: self.account,
            region: self.region,
            image: self.image,
            shared_account: self.shared_account,
            allow: self.allow,
            host: self.host,
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
