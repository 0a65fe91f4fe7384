//! Counts refusals, and logs them together. One line for each could fill the log.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{clock::Clock, domain::Principal};

use super::{AuthenticationFailure, refusal_log::RefusalLog};

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

    /// Counts a refusal, and logs the number of refusals since the last line with this reason.
    fn refused(&self, reason: &'static str, log: &dyn Fn(u64)) {
        (self.count)(reason);
        let mut logs = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(refusals) = logs.entry(reason).or_default().count(self.clock.monotonic_now()) {
            log(refusals);
        }
    }
}
