//! Who reaches the service and who they are, as the configuration has it.

use tokio::task::JoinSet;

use crate::{
    clock::Clock,
    config::{AuthMode, Config},
    edge::{Authenticator, ServerTls, TlsProblem, TokenKeys, TokenKeysProblem, Tokens},
    policy::PolicySet,
    worker::Supervisor,
};

/// What lets callers in.
#[derive(Debug)]
pub(super) struct CallerAuthentication {
    pub(super) authenticator: Authenticator,
    pub(super) tls: Option<ServerTls>,
    keys: Option<TokenKeys>,
}

/// The certificates or the keys of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationProblem {
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsProblem),
    /// The keys of tokens.
    #[error("the keys that tokens are verified with cannot be used (auth.jwt.jwks)")]
    TokenKeys(#[from] TokenKeysProblem),
}

impl CallerAuthentication {
    /// Reads the certificates and the keys for the first time.
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

    /// Runs what follows changes of the files and of the issuer's keys.
    pub(super) fn watch(&self, supervisor: &Supervisor, tasks: &mut JoinSet<()>) {
        if let Some(tls) = &self.tls {
            tasks.spawn(supervisor.run(tls.clone()));
        }
        if let Some(keys) = &self.keys {
            tasks.spawn(supervisor.run(keys.clone()));
        }
    }
}

/// What the configuration allows.
pub(super) fn policy_set(config: &Config) -> PolicySet {
    let accounts = config.accounts.iter();
    PolicySet::new(
        accounts.map(|account| (account.id, account.share_with.clone())),
        config.roles.iter().cloned(),
    )
}
