//! Verifies with STS, in each Region, that the credentials belong to each account. A Region that the account has not enabled
//! refuses them. A wrong role would share another account's images. The answer also says as whom the service calls AWS.

use std::{collections::HashMap, fmt, sync::Arc};

use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    classify::{self, FailedCall},
    credentials::AccountCredentials,
    interceptor::CallInterceptor,
    text,
};
use crate::{
    config::AccountConfig,
    domain::{AccountId, AwsError, OwnIdentity, Region},
};

/// Maximum concurrent calls: STS throttles.
const MAX_CONCURRENT_CHECKS: usize = 16;

/// An account whose credentials belong to another account, or could not be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityProblem {
    /// The configured account.
    pub account: AccountId,
    /// The configured Region in which STS was called.
    pub region: Region,
    /// What is wrong.
    pub kind: IdentityProblemKind,
}

/// What is wrong with an account's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityProblemKind {
    /// The credentials belong to this other account.
    OtherAccount(String),
    /// STS did not answer, or refused.
    Unverified(AwsError),
}

impl fmt::Display for IdentityProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (account, region) = (self.account, &self.region);
        match &self.kind {
            IdentityProblemKind::OtherAccount(actual) => {
                write!(
                    f,
                    "account {account}: the configured credentials belong to account {actual}"
                )
            }
            IdentityProblemKind::Unverified(error) => {
                let code = error.code.as_deref().unwrap_or("no code");
                write!(
                    f,
                    "account {account}: sts:GetCallerIdentity failed in {region} ({code})"
                )?;
                error.message.iter().try_for_each(|message| write!(f, ": {message}"))
            }
        }
    }
}

/// The check of one account's credentials in a Region.
pub(super) struct IdentityCheck {
    pub(super) expected: AccountId,
    pub(super) region: Region,
    pub(super) credentials: Option<AccountCredentials>,
    pub(super) client: aws_sdk_sts::Client,
}

impl IdentityCheck {
    /// The ARN of the caller, if it belongs to the account.
    async fn verify(self) -> Result<(AccountId, Option<String>), IdentityProblem> {
        let account = self.expected;
        let interceptor = CallInterceptor::new(self.credentials, None, None);
        let send = self
            .client
            .get_caller_identity()
            .customize()
            .interceptor(interceptor.clone())
            .send();
        let kind = match send.await {
            Ok(output) if output.account() == Some(account.as_str()) => return Ok((account, output.arn)),
            Ok(output) => IdentityProblemKind::OtherAccount(text::code(output.account().unwrap_or("(not said)"))),
            Err(error) => {
                tracing::warn!(%account, region = %self.region, error = text::chain(&error), "sts:GetCallerIdentity failed");
                IdentityProblemKind::Unverified(classify::aws_error(FailedCall::new(&error), interceptor.sent()))
            }
        };
        let region = self.region;
        Err(IdentityProblem { account, region, kind })
    }
}

/// Runs all checks. Returns the ARN of the caller for each account, or all problems, ordered by account.
pub(super) async fn verify(
    identities: Vec<IdentityCheck>,
) -> Result<HashMap<AccountId, Option<String>>, Vec<IdentityProblem>> {
    let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_CHECKS));
    let mut asked = JoinSet::new();
    for identity in identities {
        let permits = permits.clone();
        asked.spawn(async move {
            let _permit = permits.acquire().await;
            identity.verify().await
        });
    }
    let (mut arns, mut problems) = (HashMap::new(), Vec::new());
    for verified in asked.join_all().await {
        match verified {
            Ok((account, arn)) => arns.extend([(account, arn)]),
            Err(problem) => problems.push(problem),
        }
    }
    problems.sort_by(|one, other| (one.account, &one.region).cmp(&(other.account, &other.region)));
    if problems.is_empty() { Ok(arns) } else { Err(problems) }
}

/// As whom the service calls AWS for each account: by the configured role, or as the verified caller.
pub(super) fn own(
    accounts: &[AccountConfig],
    mut verified: HashMap<AccountId, Option<String>>,
) -> HashMap<AccountId, OwnIdentity> {
    let own = |account: &AccountConfig| match (&account.role_arn, verified.remove(&account.id).flatten()) {
        (Some(role_arn), _) => OwnIdentity::Role(role_arn.clone()),
        (None, Some(arn)) => OwnIdentity::Caller(arn),
        (None, None) => OwnIdentity::Unknown,
    };
    accounts
        .iter()
        .map(|account| account.id)
        .zip(accounts.iter().map(own))
        .collect()
}
