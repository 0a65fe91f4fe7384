//! What callers ask about drift: scans now, how far they are, and what was found.

use std::sync::Arc;

use crate::{
    domain::{AccountId, DriftFinding, PermissionKey, Region},
    store::{
        Database, StoreError,
        drift::{
            findings::{self, FindingFilter},
            requests::{self, RequestedScan, ScanProgress},
        },
    },
};

/// Why a caller gets no answer about drift.
#[derive(Debug, thiserror::Error)]
pub enum DriftError {
    /// The service is not configured for this account or Region.
    #[error("no such account and Region is configured")]
    NotConfigured,
    /// Nothing is compared yet: the schema still admits builds that know no drift, or no replica compares.
    #[error("nothing is compared yet")]
    NotCompared,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A page of findings.
#[derive(Debug)]
pub struct FindingPage {
    /// The findings, by permission.
    pub findings: Vec<DriftFinding>,
    /// The last of them, if there are more.
    pub next: Option<PermissionKey>,
}

/// Answers callers about drift. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DriftQueries {
    database: Database,
    endpoints: Arc<[(AccountId, Region)]>,
}

impl DriftQueries {
    /// Answers about these accounts and Regions, which are configured.
    pub fn new(database: Database, endpoints: impl IntoIterator<Item = (AccountId, Region)>) -> Self {
        Self {
            database,
            endpoints: endpoints.into_iter().collect(),
        }
    }

    /// Asks for a scan of the configured accounts and Regions that match.
    ///
    /// # Errors
    /// [`DriftError`].
    pub async fn scan_now(
        &self,
        account: Option<AccountId>,
        region: Option<&Region>,
    ) -> Result<Vec<RequestedScan>, DriftError> {
        let matches = |endpoint: &&(AccountId, Region)| {
            account.is_none_or(|account| endpoint.0 == account) && region.is_none_or(|region| endpoint.1 == *region)
        };
        let endpoints: Vec<_> = self.endpoints.iter().filter(matches).cloned().collect();
        if endpoints.is_empty() {
            return Err(DriftError::NotConfigured);
        }
        let requested = requests::request(&self.database, &endpoints).await?;
        match requested.is_empty() {
            true => Err(DriftError::NotCompared),
            false => Ok(requested),
        }
    }

    /// How far the scans are.
    ///
    /// # Errors
    /// [`DriftError::Store`].
    pub async fn scans(
        &self,
        account: Option<AccountId>,
        region: Option<&Region>,
    ) -> Result<Vec<ScanProgress>, DriftError> {
        Ok(requests::progress(&self.database, account, region).await?)
    }

    /// Lists at most `size` findings that follow `after`.
    ///
    /// # Errors
    /// [`DriftError::Store`].
    pub async fn findings(
        &self,
        filter: &FindingFilter,
        after: Option<&PermissionKey>,
        size: u32,
    ) -> Result<FindingPage, DriftError> {
        let mut findings = findings::list(&self.database, filter, after, size.saturating_add(1)).await?;
        let more = findings.len() > size as usize;
        findings.truncate(size as usize);
        let last = findings.last().filter(|_| more);
        Ok(FindingPage {
            next: last.map(|finding| finding.key.clone()),
            findings,
        })
    }

    /// The newest finding of a permission.
    ///
    /// # Errors
    /// [`DriftError::Store`].
    pub async fn finding(&self, key: &PermissionKey) -> Result<Option<DriftFinding>, DriftError> {
        Ok(findings::of(&self.database, key).await?)
    }
}
