//! The credentials of each call. One SDK client serves all accounts of an endpoint, because a client for each account would
//! need about 100 KB. So each call has its [`AccountCredentials`]. The client's cache is a [`CredentialsCache`], which takes
//! the credentials from the call. A call without credentials fails and is not sent, so it cannot be signed with those of
//! another account.

use std::{fmt, time::SystemTime};

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use aws_sdk_workspaces::config::SharedIdentityCache;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        identity::{IdentityFuture, ResolveCachedIdentity, SharedIdentityResolver},
        runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
    },
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};

/// The credentials of an account. Clones share one entry of the cache.
#[derive(Debug, Clone)]
pub(super) struct AccountCredentials(SharedIdentityResolver);

impl AccountCredentials {
    pub(super) fn new(credentials: SharedCredentialsProvider) -> Self {
        Self(SharedIdentityResolver::new(credentials))
    }
}

impl Storable for AccountCredentials {
    type Storer = StoreReplace<Self>;
}

/// Resolves the credentials that a call has, with the SDK's cache.
#[derive(Debug, Clone)]
pub(super) struct CredentialsCache(pub(super) SharedIdentityCache);

impl ResolveCachedIdentity for CredentialsCache {
    /// Ignores the resolver of the client, which has no credentials.
    fn resolve_cached_identity<'a>(
        &'a self,
        _: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        config: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        match config.load::<AccountCredentials>() {
            Some(AccountCredentials(credentials)) => {
                self.0.resolve_cached_identity(credentials.clone(), components, config)
            }
            None => IdentityFuture::ready(Err("the call has no credentials of an account".into())),
        }
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.validate_base_client_config(components, config)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, config: &ConfigBag) -> Result<(), BoxError> {
        self.0.validate_final_config(components, config)
    }
}

/// Credentials from AssumeRole. A failure is not retried here: the call is then not sent, and the forwarder retries it.
pub(super) struct AssumedRole(pub(super) AssumeRoleFluentBuilder);

/// Shows no fields, because the request contains the external id.
impl fmt::Debug for AssumedRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssumedRole").finish_non_exhaustive()
    }
}

impl AssumedRole {
    async fn assume(&self) -> provider::Result {
        let assumed = self.0.clone().send().await;
        let assumed = assumed.map_err(CredentialsError::provider_error)?;
        let known = assumed.credentials.ok_or_else(|| unreadable("no credentials"))?;
        let until = SystemTime::try_from(known.expiration).map_err(|_| unreadable("an invalid expiry time"))?;
        Ok(Credentials::builder()
            .access_key_id(known.access_key_id)
            .secret_access_key(known.secret_access_key)
            .session_token(known.session_token)
            .expiry(until)
            .provider_name("AssumeRole")
            .build())
    }
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.assume())
    }
}

fn unreadable(what: &str) -> CredentialsError {
    CredentialsError::unhandled(format!("STS answered with {what}"))
}
