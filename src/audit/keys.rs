//! The keys of checkpoints.

use std::sync::Arc;

use crate::{
    domain::AccountId,
    ledger::{SigningKey, VerifierKey, checkpoint},
};

/// The keys that checkpoints are signed and verified with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CheckpointKeys(Arc<KeyMaterial>);

#[derive(Debug)]
struct KeyMaterial {
    signing: SigningKey,
    verifiers: Vec<VerifierKey>,
    witnesses: Vec<VerifierKey>,
}

impl CheckpointKeys {
    /// Signs with `signing`; `retired` keys stay known, and the signatures of `witnesses` are kept.
    pub fn new(signing: SigningKey, retired: Vec<VerifierKey>, witnesses: Vec<VerifierKey>) -> Self {
        let verifiers = std::iter::once(signing.verifier_key()).chain(retired).collect();
        Self(Arc::new(KeyMaterial {
            signing,
            verifiers,
            witnesses,
        }))
    }

    /// The keys that checkpoints are or were signed with, the one in use first.
    pub fn verifiers(&self) -> &[VerifierKey] {
        &self.0.verifiers
    }

    pub(super) fn signing(&self) -> &SigningKey {
        &self.0.signing
    }

    pub(super) fn witnesses(&self) -> &[VerifierKey] {
        &self.0.witnesses
    }

    /// The origin of the checkpoints of an account's ledger, as they are signed now.
    pub(super) fn origin(&self, account: AccountId) -> String {
        checkpoint::origin(self.0.signing.name(), account)
    }
}
