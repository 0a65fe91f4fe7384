//! The authentication of callers, built from the configuration.

use tokio::task::JoinSet;

use crate::{
    clock::Clock,
    config::{AuthMode, Config},
    edge::{Authenticator, ServerTls, TlsProblem, TokenKeys, TokenKeysProblem, Tokens},
    worker::Supervisor,
};

/// What authenticates callers, and what must be reloaded for it.
#[derive(Debug)]
pub(super) struct CallerAuthentication {
    pub(super) authenticator: Authenticator,
    pub(super) tls: Option<ServerTls>,
    keys: Option<TokenKeys>,
}

/// The certificates or the token keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationProblem {
    /// The files of `server.tls`.
    #[error(transparent)]
    Tls(#[from] TlsProblem),
    /// The keys of `auth.jwt`.
    #[error("the keys for tokens cannot be used (auth.jwt.jwks)")]
    TokenKeys(#[from] TokenKeysProblem),
}

impl CallerAuthentication {
    /// Reads the certificates and the token keys.
    pub(super) async fn new(config: &Config, clock: &Clock) -> Result<Self, AuthenticationProblem> {
        let tls = match &config.server.tls {
            Some(tls) => Some(ServerTls::load(tls.clone(), clock.clone()).await?),
            None => None,
        };
        let (tokens, keys) = match &config.auth.jwt {
            Some(jwt) => {
                let keys = TokenKeys::start(jwt.clone(), clock.clone()).await?;
                let tokens = Tokens::new(jwt.clone(), keys.clone(), clock.clone());
                (Some(tokens), Some(keys))
            }
            None => (None, None),
        };
        Ok(Self {
            authenticator: Authenticator {
                certificates: config.auth.has(AuthMode::Mtls),
                tokens,
                trusted_header: config.auth.has(AuthMode::TrustedHeader),
                clock: clock.clone(),
            },
            tls,
            keys,
        })
    }

    /// Starts the workers that reload certificates and token keys.
    pub(super) fn watch(&self, supervisor: &Supervisor, tasks: &mut JoinSet<()>) {
        if let Some(tls) = &self.tls {
            tasks.spawn(supervisor.run(tls.clone()));
        }
        if let Some(keys) = &self.keys {
            tasks.spawn(supervisor.run(keys.clone()));
        }
    }
}
