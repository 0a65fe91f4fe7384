//! With whose credentials a call is signed. One SDK client speaks for all accounts of an endpoint: a client of its own for each
//! would hold some 100 KB. So each call brings its [`AccountCredentials`], and [`CredentialsCache`], which the client takes for its cache of
//! credentials, looks there. A call without one is not sent: there are no credentials that it could be signed with by mistake.

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

/// An account's credentials. Cheap to clone; clones have one place in the cache.
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

/// The credentials of all accounts, as far as they are known.
#[derive(Debug, Clone)]
pub(super) struct CredentialsCache(pub(super) SharedIdentityCache);

impl ResolveCachedIdentity for CredentialsCache {
    /// The resolver that comes in is the client's, and nobody's.
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
            None => IdentityFuture::ready(Err("the call does not say for which account it is".into())),
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

/// The credentials of a role. Assuming it is not tried again here either: the call that needs the credentials is not sent without
/// them, and the forwarder tries it again.
pub(super) struct AssumedRole(pub(super) AssumeRoleFluentBuilder);

/// The call holds the external id.
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
        let until = SystemTime::try_from(known.expiration).map_err(|_| unreadable("an end that is no time"))?;
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
