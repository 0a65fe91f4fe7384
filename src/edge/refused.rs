//! Counts refusals, and logs them together. One line for each could fill the log.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    clock::{Clock, MonotonicInstant},
    domain::Principal,
};

use super::AuthenticationFailure;

/// At most one line per reason in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Counts a refusal under the reason.
pub type CountRefused = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Counts and logs refused callers. Clones share the counts.
#[derive(Clone)]
pub(crate) struct RefusedCallers {
    count: CountRefused,
    clock: Clock,
    logs: Arc<Mutex<HashMap<&'static str, RefusalLog>>>,
}

impl fmt::Debug for RefusedCallers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusedCallers").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct RefusalLog {
    unlogged: u64,
    logged_at: Option<MonotonicInstant>,
}

impl RefusedCallers {
    pub(crate) fn new(count: CountRefused, clock: Clock) -> Self {
        Self {
            count,
            clock,
            logs: Arc::default(),
        }
    }

    /// Counts and logs a caller with missing or invalid credentials.
    pub(crate) fn count_unauthenticated(&self, why: AuthenticationFailure, address: Option<SocketAddr>) {
        self.refused(why.as_str(), &|refusals| {
            let peer = address.map(tracing::field::display);
            tracing::warn!(
                reason = why.as_str(),
                peer,
                refusals,
                "calls or connections were refused: authentication failed"
            );
        });
    }

    /// Counts and logs an authenticated principal without a role for the call.
    pub(crate) fn count_without_role(&self, rule: &str) {
        self.refused("role", &|refusals| {
            tracing::warn!(
                reason = "role",
                rule,
                refusals,
                "calls were refused: no role allows them"
            );
        });
    }

    /// Counts and logs an authenticated principal that no role binding names.
    pub(crate) fn count_without_binding(&self, principal: &Principal) {
        self.refused("unbound_principal", &|refusals| {
            tracing::warn!(
                reason = "unbound_principal",
                %principal,
                refusals,
                "calls were refused: no role binding names their principal"
            );
        });
    }

    /// Counts a refusal. Logs the number of refusals since the last line, at most once in [`LOG_EVERY`].
    fn refused(&self, reason: &'static str, log: &dyn Fn(u64)) {
        (self.count)(reason);
        let now = self.clock.monotonic_now();
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        let log_state = logs.entry(reason).or_default();
        log_state.unlogged += 1;
        if log_state.logged_at.is_none_or(|logged| now.since(logged) >= LOG_EVERY) {
            log(log_state.unlogged);
            *log_state = RefusalLog {
                unlogged: 0,
                logged_at: Some(now),
            };
        }
    }
}
