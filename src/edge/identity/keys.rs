//! The public keys of an issuer of tokens: a JWK Set (RFC 7517), kept and fetched anew.
//!
//! Keys are fetched every so often, so that a withdrawn one is trusted no longer than that; and when a token names an unknown
//! one, since issuers rotate keys – but then only once in a while, whatever is sent. While they cannot be fetched, the old ones
//! stay, up to an age.

use std::{
    collections::HashMap,
    error::Error as StdError,
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
use tokio::sync::Mutex;

use crate::{
    clock::{Clock, MonotonicInstant},
    config::JwtConfig,
    worker::{NextRound, Trigger, Worker},
};

use super::{Distrust, fetch};

/// No issuer has more.
const MOST_KEYS: usize = 256;

/// Keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysProblem {
    /// A file cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The URL does not answer with a text that is small enough.
    #[error("the URL does not answer as it should: {0}")]
    Fetch(String),
    /// It is no JWK Set.
    #[error("it is no JWK Set")]
    NoSet,
    /// No key can be used.
    #[error("it has no key with a kid that verifies RS, PS, ES or EdDSA signatures")]
    NoKey,
}

/// The keys of an issuer. Cheap to clone; clones are the same.
#[derive(Debug, Clone)]
pub struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: JwtConfig,
    clock: Clock,
    kept: RwLock<Option<Arc<Kept>>>,
    /// When keys were fetched last, or in vain. Locked by who fetches: others wait for what comes of it.
    tried: Mutex<Option<MonotonicInstant>>,
}

#[derive(Debug)]
struct Kept {
    keys: KeySet,
    fetched: MonotonicInstant,
}

impl Keys {
    /// Fetches the keys for the first time. A file has to be there; a URL that does not answer is asked again later.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub async fn start(settings: JwtConfig, clock: Clock) -> Result<Self, KeysProblem> {
        let is_file = !settings.jwks_is_url();
        let keys = Self(Arc::new(Inner {
            settings,
            clock,
            kept: RwLock::default(),
            tried: Mutex::default(),
        }));
        let fetched = {
            let mut tried = keys.0.tried.lock().await;
            keys.fetch(&mut tried).await
        };
        match fetched {
            Err(problem) if is_file => Err(problem),
            Err(problem) => {
                failed(&problem);
                Ok(keys)
            }
            Ok(()) => Ok(keys),
        }
    }

    /// The key with this id for this algorithm.
    pub(super) async fn find(&self, kid: &str, algorithm: Algorithm) -> Result<DecodingKey, Distrust> {
        let kept = self.kept();
        if let Some(key) = kept.as_ref().and_then(|kept| kept.keys.find(kid)) {
            return key.for_algorithm(algorithm);
        }
        self.fetch_unless_newer(kept.as_ref()).await;
        let kept = self.kept().ok_or(Distrust::TokenKeysUnavailable)?;
        kept.keys.find(kid).ok_or(Distrust::TokenKey)?.for_algorithm(algorithm)
    }

    /// The keys, unless they are too old.
    fn kept(&self) -> Option<Arc<Kept>> {
        let Inner {
            settings, clock, kept, ..
        } = &*self.0;
        let kept = kept.read().unwrap_or_else(PoisonError::into_inner).clone();
        kept.filter(|kept| clock.monotonic_now().since(kept.fetched) <= settings.jwks_max_age)
    }

    /// Fetches, unless somebody else has since `seen` was, or tried to a short while ago.
    async fn fetch_unless_newer(&self, seen: Option<&Arc<Kept>>) {
        let mut tried = self.0.tried.lock().await;
        let kept = self.kept();
        if kept.as_ref().map(Arc::as_ptr) != seen.map(Arc::as_ptr) {
            return;
        }
        let now = self.0.clock.monotonic_now();
        if tried.is_some_and(|tried| now.since(tried) < self.0.settings.jwks_retry) {
            return;
        }
        if let Err(problem) = self.fetch(&mut tried).await {
            failed(&problem);
        }
    }

    async fn fetch(&self, tried: &mut Option<MonotonicInstant>) -> Result<(), KeysProblem> {
        let Inner {
            settings, clock, kept, ..
        } = &*self.0;
        *tried = Some(clock.monotonic_now());
        let text = fetch::text(settings).await?;
        let keys = KeySet::parse(&text)?;
        let fresh = Kept {
            keys,
            fetched: clock.monotonic_now(),
        };
        let mut kept = kept.write().unwrap_or_else(PoisonError::into_inner);
        let changed = kept.as_ref().is_none_or(|kept| kept.keys.ids() != fresh.keys.ids());
        if changed {
            tracing::info!(keys = ?fresh.keys.ids(), "the keys that tokens are verified with were fetched");
        }
        *kept = Some(Arc::new(fresh));
        Ok(())
    }
}

/// Fetches the keys every so often.
impl Worker for Keys {
    const NAME: &'static str = "keys";
    const FAILURE: &'static str =
        "the keys that tokens are verified with cannot be fetched (auth.jwt.jwks): the old ones stay";
    const AT_ONCE: bool = false;
    type Error = KeysProblem;

    fn every(&self) -> Duration {
        self.0.settings.jwks_refresh
    }

    async fn round(&mut self, _: Trigger) -> Result<NextRound, KeysProblem> {
        let mut tried = self.0.tried.lock().await;
        self.fetch(&mut tried).await?;
        Ok(NextRound::Interval)
    }
}

fn failed(problem: &KeysProblem) {
    tracing::error!(error = problem as &dyn StdError, "{}", Keys::FAILURE);
}

/// A JWK Set, as far as it can be used.
#[derive(Debug)]
struct KeySet(HashMap<String, Key>);

#[derive(Debug)]
struct Key {
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Key {
    fn for_algorithm(&self, algorithm: Algorithm) -> Result<DecodingKey, Distrust> {
        if self.algorithms.contains(&algorithm) {
            Ok(self.key.clone())
        } else {
            Err(Distrust::TokenAlgorithm)
        }
    }
}

impl KeySet {
    /// Reads a set. Keys that are not understood, or are not for this, are passed over (RFC 7517, section 5).
    fn parse(text: &[u8]) -> Result<Self, KeysProblem> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(text).map_err(|_| KeysProblem::NoSet)?;
        let mut keys = HashMap::new();
        for (kid, key) in set.keys.into_iter().take(MOST_KEYS).filter_map(usable) {
            // Of two keys with one id the first counts, as it does for everybody who looks for it from the start.
            keys.entry(kid).or_insert(key);
        }
        if keys.is_empty() {
            Err(KeysProblem::NoKey)
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

/// The algorithms that a key of this type verifies. A secret key verifies none: it could sign too.
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
