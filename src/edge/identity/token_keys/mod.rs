//! The public keys of a token issuer: a JWK Set (RFC 7517), cached and fetched again.
//!
//! There are two triggers. A worker fetches every `jwks_refresh`, so a withdrawn key is trusted no longer than that. A token with
//! an unknown key fetches too, because issuers rotate keys, but at most once every `jwks_retry`. If fetches fail, the old keys
//! stay valid for `jwks_max_age`.
//!
//! Anyone can send a token with an unknown key. So a call with a known key never waits, one fetch runs at a time, and a bounded
//! number of calls waits for it. A fetch does not end when its caller disconnects: that would let a client prevent all fetches.

use std::{
    collections::HashMap,
    error::Error as StdError,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::{
    clock::{Clock, MonotonicInstant},
    config::JwtConfig,
    edge::holder_limit::HolderLimit,
    worker::{NextRound, Trigger, Worker},
};

use super::{AuthenticationFailure, fetch};

/// Maximum number of keys that are read from a set.
const MAX_KEYS: usize = 256;

/// Maximum calls that wait for a fetch. Further ones are refused at once.
const MAX_WAITING: usize = 64;

/// Maximum calls of one network that wait for a fetch.
const MAX_WAITING_PER_NETWORK: usize = 16;

/// The keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenKeysProblem {
    /// A file cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The path.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The request failed.
    #[error("the request to the URL failed: {0}")]
    Fetch(String),
    /// The text is not a JWK Set, or was cut at the maximum size.
    #[error("the text is not a JWK Set, or is larger than 1 MiB")]
    NoSet,
    /// No key in the set can be used.
    #[error("the set has no usable key: a key needs a kid, and must verify RS, PS, ES or EdDSA signatures")]
    NoKey,
}

/// The keys of an issuer. Clones share one cache.
#[derive(Debug, Clone)]
pub struct TokenKeys(Arc<TokenKeysState>);

#[derive(Debug)]
struct TokenKeysState {
    settings: JwtConfig,
    clock: Clock,
    current: RwLock<Option<Arc<FetchedKeys>>>,
    /// The lock is held during a fetch, so other callers wait for its result.
    last_attempt: Arc<Mutex<Option<FetchAttempt>>>,
    waiting: HolderLimit<IpAddr>,
}

/// A fetch that was started.
#[derive(Debug, Clone, Copy)]
struct FetchAttempt {
    started: MonotonicInstant,
    has_succeeded: bool,
}

#[derive(Debug)]
struct FetchedKeys {
    keys: KeySet,
    fetched: MonotonicInstant,
}

impl TokenKeys {
    /// Fetches the keys for the first time. If a URL does not answer, later calls fetch again.
    ///
    /// # Errors
    /// If the keys are in a file that cannot be used.
    pub async fn start(settings: JwtConfig, clock: Clock) -> Result<Self, TokenKeysProblem> {
        let is_file = !settings.jwks_is_url();
        let keys = Self(Arc::new(TokenKeysState {
            settings,
            clock,
            current: RwLock::default(),
            last_attempt: Arc::default(),
            waiting: HolderLimit::new(MAX_WAITING, MAX_WAITING_PER_NETWORK),
        }));
        match keys.fetch_now().await {
            Err(problem) if is_file => Err(problem),
            Err(problem) => {
                log_failure(&problem);
                Ok(keys)
            }
            Ok(()) => Ok(keys),
        }
    }

    /// The key with this id, for this algorithm. `network` is that of the caller.
    pub(super) async fn find(
        &self,
        kid: &str,
        algorithm: Algorithm,
        network: IpAddr,
    ) -> Result<DecodingKey, AuthenticationFailure> {
        let current = self.current();
        if let Some(key) = current.as_ref().and_then(|current| current.keys.find(kid)) {
            return key.for_algorithm(algorithm);
        }
        let is_up_to_date = self.fetch_unless_newer(current.as_ref(), network).await;
        let current = self.current().ok_or(AuthenticationFailure::TokenKeysUnavailable)?;
        match current.keys.find(kid) {
            Some(key) => key.for_algorithm(algorithm),
            None if is_up_to_date => Err(AuthenticationFailure::TokenKey),
            None => Err(AuthenticationFailure::TokenKeysUnavailable),
        }
    }

    /// The cached keys. `None`: there are none, or they are older than `jwks_max_age`.
    fn current(&self) -> Option<Arc<FetchedKeys>> {
        let TokenKeysState {
            settings,
            clock,
            current,
            ..
        } = &*self.0;
        let current = current.read().unwrap_or_else(PoisonError::into_inner).clone();
        current.filter(|current| clock.monotonic_now().since(current.fetched) <= settings.jwks_max_age)
    }

    /// Fetches the keys, unless another caller has replaced `seen`, or the last fetch was less than `jwks_retry` ago. False: the
    /// last fetch failed, or too many calls wait for it, of all networks or of this one.
    async fn fetch_unless_newer(&self, seen: Option<&Arc<FetchedKeys>>, network: IpAddr) -> bool {
        let Some(_place) = self.0.waiting.take(&network) else {
            return false;
        };
        let last_attempt = self.0.last_attempt.clone().lock_owned().await;
        let current = self.current();
        if current.as_ref().map(Arc::as_ptr) != seen.map(Arc::as_ptr) {
            return true;
        }
        let now = self.0.clock.monotonic_now();
        match *last_attempt {
            Some(last) if now.since(last.started) < self.0.settings.jwks_retry => last.has_succeeded,
            _ => {
                let keys = self.clone();
                let fetching = tokio::spawn(async move { keys.fetch(last_attempt).await.inspect_err(log_failure) });
                matches!(fetching.await, Ok(Ok(())))
            }
        }
    }

    /// Fetches the keys after the fetch that is under way.
    async fn fetch_now(&self) -> Result<(), TokenKeysProblem> {
        let last_attempt = self.0.last_attempt.clone().lock_owned().await;
        self.fetch(last_attempt).await
    }

    async fn fetch(&self, mut last_attempt: OwnedMutexGuard<Option<FetchAttempt>>) -> Result<(), TokenKeysProblem> {
        let mut attempt = FetchAttempt {
            started: self.0.clock.monotonic_now(),
            has_succeeded: false,
        };
        *last_attempt = Some(attempt);
        self.replace().await?;
        attempt.has_succeeded = true;
        *last_attempt = Some(attempt);
        Ok(())
    }

    async fn replace(&self) -> Result<(), TokenKeysProblem> {
        let TokenKeysState {
            settings,
            clock,
            current,
            ..
        } = &*self.0;
        let text = fetch::text(settings).await?;
        let keys = KeySet::parse(&text)?;
        let fresh = FetchedKeys {
            keys,
            fetched: clock.monotonic_now(),
        };
        let mut current = current.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current
            .as_ref()
            .is_none_or(|current| current.keys.ids() != fresh.keys.ids());
        if changed {
            tracing::info!(keys = ?fresh.keys.ids(), "fetched new keys for tokens (auth.jwt.jwks)");
        }
        *current = Some(Arc::new(fresh));
        Ok(())
    }
}

impl Worker for TokenKeys {
    const NAME: &'static str = "keys";
    const FAILURE: &'static str = "the keys for tokens cannot be fetched (auth.jwt.jwks): the old keys stay in use";
    const AT_ONCE: bool = false;
    type Error = TokenKeysProblem;

    fn every(&self) -> Duration {
        self.0.settings.jwks_refresh
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, TokenKeysProblem> {
        self.fetch_now().await?;
        Ok(NextRound::Interval)
    }
}

fn log_failure(problem: &TokenKeysProblem) {
    tracing::error!(error = problem as &dyn StdError, "{}", TokenKeys::FAILURE);
}

/// The usable keys of a JWK Set, by key id.
#[derive(Debug)]
struct KeySet(HashMap<String, Key>);

#[derive(Debug)]
struct Key {
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Key {
    fn for_algorithm(&self, algorithm: Algorithm) -> Result<DecodingKey, AuthenticationFailure> {
        if self.algorithms.contains(&algorithm) {
            Ok(self.key.clone())
        } else {
            Err(AuthenticationFailure::TokenAlgorithm)
        }
    }
}

impl KeySet {
    /// Parses a set. Unusable keys are ignored, as RFC 7517, section 5 asks for.
    fn parse(text: &[u8]) -> Result<Self, TokenKeysProblem> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(text).map_err(|_| TokenKeysProblem::NoSet)?;
        let mut keys = HashMap::new();
        for (kid, key) in set.keys.into_iter().take(MAX_KEYS).filter_map(usable) {
            // If two keys have the same id, the first counts.
            keys.entry(kid).or_insert(key);
        }
        if keys.is_empty() {
            Err(TokenKeysProblem::NoKey)
        } else {
            Ok(Self(keys))
        }
    }

    fn find(&self, kid: &str) -> Option<&Key> {
        self.0.get(kid)
    }

    fn ids(&self) -> std::collections::BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

fn usable(jwk: Value) -> Option<(String, Key)> {
    let jwk: Jwk = serde_json::from_value(jwk).ok()?;
    let common = &jwk.common;
    let verifies = common
        .key_operations
        .as_ref()
        .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let is_for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
    if !verifies || !is_for_signatures {
        return None;
    }
    let mut algorithms = algorithms(&jwk.algorithm);
    if let Some(only) = common.key_algorithm {
        let only: Algorithm = only.to_string().parse().ok()?;
        algorithms.retain(|algorithm| *algorithm == only);
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let kid = common.key_id.clone()?;
    (!algorithms.is_empty()).then_some((kid, Key { algorithms, key }))
}

/// The algorithms that a key of this type can verify. None for a symmetric key.
fn algorithms(parameters: &AlgorithmParameters) -> Vec<Algorithm> {
    use Algorithm as A;
    match parameters {
        AlgorithmParameters::RSA(_) => vec![A::RS256, A::RS384, A::RS512, A::PS256, A::PS384, A::PS512],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => vec![A::ES256],
            EllipticCurve::P384 => vec![A::ES384],
            _ => Vec::new(),
        },
        AlgorithmParameters::OctetKeyPair(key) => match key.curve {
            EllipticCurve::Ed25519 => vec![A::EdDSA],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
