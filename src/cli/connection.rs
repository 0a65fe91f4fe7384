//! How the commands reach the service: with the package `sharewarden-client`, as the options say.

use tonic::transport::Channel;

use super::{
    failure::{Exit, Failure},
    options::ClientOptions,
    text::one_line,
};
pub(super) use crate::client::{AuditStub, Client, ShareStub};
use crate::{
    client::{self, ConnectOptions, ConnectionError},
    domain::causes,
};

/// Maximum tries of a call. A person waits for its answer.
const TRIES: u32 = 3;

/// Connects, and says who asks: as told, or as the OS calls the user.
pub(super) async fn open(options: &ClientOptions) -> Result<Client, Failure> {
    let mut connect_options = connect_options(options);
    if connect_options.principal.is_none() && !options.has_credential() {
        connect_options.principal = Some(options.principal().ok_or_else(|| {
            let what = "the OS does not tell a user name that can be sent";
            let hint = "say who asks with --principal or SHAREWARDEN_PRINCIPAL";
            Failure::new(Exit::Invalid, what, hint)
        })?);
    }
    let connected = Client::connect(&connect_options).await;
    connected.map_err(|error| connect_failure(options, &error))
}

/// Connects, and says nothing of who asks but what the connection itself says.
pub(super) async fn open_channel(options: &ClientOptions) -> Result<Channel, Failure> {
    let connect_options = client::open_channel(&connect_options(options)).await;
    connect_options.map_err(|error| connect_failure(options, &error))
}

fn connect_options(options: &ClientOptions) -> ConnectOptions {
    ConnectOptions {
        principal: options.principal.clone(),
        tls_ca: options.tls_ca.clone(),
        tls_certificate: options.tls_certificate.clone(),
        tls_key: options.tls_key.clone(),
        token_file: options.token_file.clone(),
        timeout: options.timeout,
        tries: TRIES,
        user_agent: concat!("sharewarden-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..ConnectOptions::new(options.server.clone())
    }
}

fn connect_failure(options: &ClientOptions, error: &ConnectionError) -> Failure {
    let what = error.to_string();
    match error {
        ConnectionError::File { option, .. } => {
            Failure::new(Exit::Invalid, what, format!("check --{}", option.replace('_', "-")))
        }
        ConnectionError::TokenWithoutTls => Failure::new(Exit::Invalid, what, "begin --server with https://"),
        ConnectionError::TlsOptionsWithoutHttps => {
            let what = "--tls-ca, --tls-certificate and --tls-key are for TLS, and --server does not ask for it";
            Failure::new(Exit::Invalid, what, "begin --server with https://")
        }
        ConnectionError::IncompleteIdentity => {
            Failure::new(Exit::Invalid, what, "give both --tls-certificate and --tls-key")
        }
        ConnectionError::Unreachable { source, .. } => {
            let cause = causes(source.as_ref()).last().map(|cause| one_line(&cause.to_string()));
            let what = format!("cannot connect to {}: {}", options.server(), cause.unwrap_or_default());
            let hint = "nothing was asked; check --server or SHAREWARDEN_SERVER, and that the service runs there \
                          (`sharewarden dev` starts one on this machine)";
            Failure::new(Exit::TryLater, what, hint)
        }
    }
}
