//! What callers ask about drift: scans now, how far they are, and what was found.

use std::sync::Arc;

use crate::{
    domain::{
        AccountId, DriftBaselineBody, ImageId, PermissionKey, Region,
        transition::{Command, CommandReply},
    },
    store::{
        CommitError, Committer, Database, StoreError,
        drift::{
            baselines::{self, BaselineStatus},
            findings::{self, AttributedFinding, FindingFilter},
            images::DriftImage,
            requests::{self, RequestedScan, ScanProgress},
        },
    },
    telemetry::DriftRevocation,
};

use super::revoke;

/// Why a caller gets no answer about drift.
#[derive(Debug, thiserror::Error)]
pub enum DriftError {
    /// The service is not configured for this account or Region.
    #[error("no such account and Region is configured")]
    NotConfigured,
    /// Nothing is compared yet: the schema still admits builds that know no drift, or no replica compares.
    #[error("nothing is compared yet")]
    NotCompared,
    /// The schema still admits builds that do not know baselines.
    #[error("no baseline can be confirmed yet")]
    BaselineNotAdmitted,
    /// No scan has seen the image.
    #[error("no scan has seen the image")]
    ImageNotSeen,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An operator's decision was not recorded, or it is not known whether it was.
    #[error("the decision is not known to be recorded")]
    Commit(#[from] CommitError),
}

/// A page of findings.
#[derive(Debug)]
pub struct FindingPage {
    /// The findings, by permission.
    pub findings: Vec<AttributedFinding>,
    /// The last of them, if there are more.
    pub next: Option<PermissionKey>,
}

/// An operator's decision about the unrecorded shares of an account.
#[derive(Debug, Clone)]
pub struct BaselineChange {
    /// Whose unrecorded shares it is about.
    pub account: AccountId,
    /// What is decided, by whom and why.
    pub body: DriftBaselineBody,
}

/// Answers callers about drift. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DriftQueries {
    database: Database,
    committer: Committer,
    endpoints: Arc<[(AccountId, Region)]>,
    /// The accounts whose unrecorded shares are to be revoked.
    revoking: Arc<[AccountId]>,
}

impl DriftQueries {
    /// Answers about these accounts and Regions, which are configured. In the accounts `revoking`, unrecorded shares are to be
    /// revoked.
    pub fn new(
        database: Database,
        committer: Committer,
        endpoints: impl IntoIterator<Item = (AccountId, Region)>,
        revoking: impl IntoIterator<Item = AccountId>,
    ) -> Self {
        Self {
            database,
            committer,
            endpoints: endpoints.into_iter().collect(),
            revoking: revoking.into_iter().collect(),
        }
    }

    /// Whether unrecorded shares of a configured account are revoked. None if the configuration says that they are reported.
    ///
    /// # Errors
    /// [`DriftError`].
    pub async fn baseline(&self, account: AccountId) -> Result<(BaselineStatus, Option<DriftRevocation>), DriftError> {
        if !self.endpoints.iter().any(|endpoint| endpoint.0 == account) {
            return Err(DriftError::NotConfigured);
        }
        let status = baselines::of(&self.database, account).await?;
        let is_revoking = self.revoking.contains(&account);
        let state = is_revoking.then(|| revoke::state(&status));
        Ok((status, state))
    }

    /// Records an operator's decision, and puts it in force. The baseline is removed before the withdrawal is recorded, and put
    /// after its confirmation is recorded. So what is in force is on record.
    ///
    /// # Errors
    /// [`DriftError`].
    pub async fn set_baseline(
        &self,
        change: BaselineChange,
    ) -> Result<(BaselineStatus, Option<DriftRevocation>), DriftError> {
        let BaselineChange { account, body } = change;
        // Only a configured account has a ledger.
        self.baseline(account).await?;
        let (principal, is_confirmed) = (body.principal.clone(), body.is_confirmed);
        if !is_confirmed {
            baselines::remove(&self.database, account).await?;
        }
        let command = Command::SetBaseline(account, Box::new(body));
        let CommandReply::BaselineSet(log_index) = self.committer.commit(command).await? else {
            return Err(DriftError::BaselineNotAdmitted);
        };
        if is_confirmed {
            baselines::put(&self.database, account, log_index, &principal).await?;
        }
        self.baseline(account).await
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

    /// Asks for a look at one image.
    ///
    /// # Errors
    /// [`DriftError`].
    pub async fn look_now(&self, image: &DriftImage) -> Result<RequestedScan, DriftError> {
        let is_served = |endpoint: &(AccountId, Region)| *endpoint == (image.account, image.region.clone());
        if !self.endpoints.iter().any(is_served) {
            return Err(DriftError::NotConfigured);
        }
        let requested = requests::request_look(&self.database, image).await?;
        requested.ok_or(DriftError::ImageNotSeen)
    }

    /// How far the scans are, or the look at one image.
    ///
    /// # Errors
    /// [`DriftError::Store`].
    pub async fn scans(
        &self,
        account: Option<AccountId>,
        region: Option<&Region>,
        image: Option<&ImageId>,
    ) -> Result<Vec<ScanProgress>, DriftError> {
        Ok(requests::progress(&self.database, account, region, image).await?)
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
            next: last.map(|last| last.finding.key.clone()),
            findings,
        })
    }

    /// The newest finding of a permission.
    ///
    /// # Errors
    /// [`DriftError::Store`].
    pub async fn finding(&self, key: &PermissionKey) -> Result<Option<AttributedFinding>, DriftError> {
        Ok(findings::of(&self.database, key).await?)
    }
}
