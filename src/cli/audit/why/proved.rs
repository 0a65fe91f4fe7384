//! The proofs of the entries that `why` shows.

use std::time::Duration;

use crate::{
    cli::{
        audit::{proof, show},
        connection::Client,
        failure::Stop,
        table::Cells,
    },
    ledger::VerifierKey,
    proto::v1::{AuditEntry, ErrorReason, GetInclusionProofResponse},
};

/// How long to wait for a checkpoint of a new entry. A service signs every few seconds.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(200);

/// An entry with its proof, and what was verified.
pub(super) struct ProvedEntry {
    /// What the entry is for the share.
    pub(super) role: &'static str,
    pub(super) entry: AuditEntry,
    /// None if no checkpoint covers the entry yet, or if the caller may not ask for proofs.
    pub(super) proof: Option<GetInclusionProofResponse>,
    pub(super) checks: Cells,
}

/// Asks for proofs, and verifies them.
pub(super) struct Prover<'a> {
    client: &'a Client,
    account: &'a str,
    keys: Vec<VerifierKey>,
}

impl<'a> Prover<'a> {
    pub(super) fn new(client: &'a Client, account: &'a str, keys: Vec<VerifierKey>) -> Self {
        Self { client, account, keys }
    }

    /// Proves each entry. Fails if a proof does not hold.
    pub(super) async fn prove(
        &self,
        entries: impl Iterator<Item = (&'static str, &AuditEntry)>,
    ) -> Result<Vec<ProvedEntry>, Stop> {
        let mut proved = Vec::new();
        for (role, entry) in entries {
            let proof = self.proof(entry.log_index).await?;
            let hash = proof::verified_hash(entry)?;
            let checks = match &proof {
                Ok(proof) => proof::verify(entry, &hash, proof, &self.keys)?,
                Err(why) => vec![("Inclusion", format!("not verified: {why}"))],
            };
            proved.push(ProvedEntry {
                role,
                entry: entry.clone(),
                proof: proof.ok(),
                checks,
            });
        }
        Ok(proved)
    }

    /// The proof, once a checkpoint covers the entry; or why there is none. Somebody who gives a key wants one.
    async fn proof(&self, log_index: u64) -> Result<Result<GetInclusionProofResponse, &'static str>, Stop> {
        let covered = async {
            loop {
                match show::prove(self.client, self.account, log_index).await {
                    Err(Stop::Failed(failure)) if failure.is_of(ErrorReason::NotYetCovered) => {
                        tokio::time::sleep(POLL).await;
                    }
                    Err(Stop::Failed(failure)) if failure.is_of(ErrorReason::PolicyDenied) && self.keys.is_empty() => {
                        return Ok(Err("proofs need the role of an auditor"));
                    }
                    answered => return answered.map(Ok),
                }
            }
        };
        let waited = tokio::time::timeout(CHECKPOINT_WAIT, covered).await;
        waited.unwrap_or(Ok(Err("no checkpoint covers the entry yet")))
    }
}
