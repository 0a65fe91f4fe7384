//! Who reaches the service and who they are, as the configuration has it.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinSet;

use crate::{
    clock::Clock,
    config::{AuthMode, ClientAuth, Config, JwtConfig, RoleConfig, RoleName, ShareWithConfig, TlsConfig},
    edge::{
        Authenticator, CertificateReload, ClientCertificates, KeySettings, KeySource, Keys, KeysProblem, ServerTls,
        TlsProblem, TlsSettings, TokenSettings, Tokens,
    },
    policy::{
        PolicySet, ShareWith,
        roles::{Binding, Role},
    },
    worker::Supervisor,
};

/// What lets callers in.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) authenticator: Authenticator,
    pub(super) tls: Option<ServerTls>,
    keys: Option<Keys>,
}

/// The certificates or the keys of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessProblem {
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsProblem),
    /// The keys of tokens.
    #[error("the keys that tokens are verified with cannot be used (auth.jwt.jwks)")]
    Keys(#[from] KeysProblem),
}

impl Access {
    /// Reads the certificates and the keys for the first time.
    pub(super) async fn new(config: &Config, clock: &Clock) -> Result<Self, AccessProblem> {
        let tls = match &config.server.tls {
            Some(tls) => Some(ServerTls::load(tls_settings(tls), clock.clone()).await?),
            None => None,
        };
        let (tokens, keys) = match &config.auth.jwt {
            Some(jwt) => {
                let keys = Keys::start(key_settings(jwt), clock.clone()).await?;
                let tokens = Tokens::new(token_settings(jwt), keys.clone(), clock.clone());
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
    pub(super) fn watch(&self, config: &Config, supervisor: &Supervisor, tasks: &mut JoinSet<()>) {
        if let (Some(tls), Some(settings)) = (&self.tls, &config.server.tls) {
            let (tls, every) = (tls.clone(), settings.reload_every);
            tasks.spawn(supervisor.run(CertificateReload { tls, every }));
        }
        if let Some(keys) = &self.keys {
            tasks.spawn(supervisor.run(keys.clone()));
        }
    }
}

fn tls_settings(tls: &TlsConfig) -> TlsSettings {
    TlsSettings {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
        client_ca: tls.client_ca.clone(),
        client_certificates: match tls.client_auth {
            ClientAuth::None => ClientCertificates::None,
            ClientAuth::Optional => ClientCertificates::Optional,
            ClientAuth::Required => ClientCertificates::Required,
        },
    }
}

fn key_settings(jwt: &JwtConfig) -> KeySettings {
    let source = if jwt.jwks.contains("://") {
        KeySource::Url {
            url: jwt.jwks.clone(),
            ca: jwt.jwks_ca.clone(),
        }
    } else {
        KeySource::File(jwt.jwks.clone().into())
    };
    KeySettings {
        source,
        refresh: jwt.jwks_refresh,
        retry: jwt.jwks_retry,
        max_age: jwt.jwks_max_age,
    }
}

fn token_settings(jwt: &JwtConfig) -> TokenSettings {
    TokenSettings {
        issuer: jwt.issuer.clone(),
        audience: jwt.audience.clone(),
        principal_claim: jwt.principal_claim.clone(),
        leeway: jwt.leeway,
    }
}

/// What the configuration allows.
pub(super) fn policy_set(config: &Config) -> PolicySet {
    let accounts: BTreeMap<_, _> = config
        .accounts
        .iter()
        .map(|account| match &account.share_with {
            ShareWithConfig::Anyone => (account.id, ShareWith::Anyone),
            ShareWithConfig::Only(accounts) => (account.id, ShareWith::Only(accounts.clone())),
        })
        .collect();
    PolicySet::new(accounts, config.roles.iter().map(binding))
}

fn binding(config: &RoleConfig) -> Binding {
    let role = |name: &RoleName| match name {
        RoleName::Viewer => Role::Viewer,
        RoleName::Operator => Role::Operator,
        RoleName::Auditor => Role::Auditor,
    };
    Binding {
        principal: config.principal.clone(),
        roles: config.roles.iter().map(role).collect(),
        accounts: config
            .accounts
            .as_ref()
            .map(|accounts| accounts.iter().copied().collect::<BTreeSet<_>>()),
    }
}
