//! The keys that sign and verify checkpoints.

use std::sync::Arc;

use crate::{
    domain::AccountId,
    ledger::{SigningKey, VerifierKey, checkpoint},
};

/// The signing key, the verifier keys and the witness keys of checkpoints. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CheckpointKeys(Arc<KeyMaterial>);

#[derive(Debug)]
struct KeyMaterial {
    signing: SigningKey,
    verifiers: Vec<VerifierKey>,
    witnesses: Vec<VerifierKey>,
}

impl CheckpointKeys {
    /// Checkpoints are signed with `signing`. Checkpoints under `retired` keys still verify. Signatures of `witnesses` are
    /// accepted.
    pub fn new(signing: SigningKey, retired: Vec<VerifierKey>, witnesses: Vec<VerifierKey>) -> Self {
        let verifiers = std::iter::once(signing.verifier_key()).chain(retired).collect();
        Self(Arc::new(KeyMaterial {
            signing,
            verifiers,
            witnesses,
        }))
    }

    /// The keys that checkpoints are or were signed with. The current one is first.
    pub fn verifiers(&self) -> &[VerifierKey] {
        &self.0.verifiers
    }

    pub(super) fn signing(&self) -> &SigningKey {
        &self.0.signing
    }

    pub(super) fn witnesses(&self) -> &[VerifierKey] {
        &self.0.witnesses
    }

    /// The origin line of new checkpoints of the account's ledger.
    pub(super) fn origin(&self, account: AccountId) -> String {
        checkpoint::origin(self.0.signing.name(), account)
    }
}
