//! Connects the commands to the service, with the package `sharewarden-client`.

use super::{
    diagnosis,
    failure::{Exit, Failure},
    options::ClientOptions,
};
use crate::client::{self, ConnectOptions, ConnectionError};
pub(super) use crate::client::{AccessStub, AuditStub, Client, DriftStub, ServiceChannel, ShareStub, Silence};

/// Maximum tries of a call. Few, because a person waits for the answer.
const TRIES: u32 = 3;

/// Connects as the principal of the options, or else as the OS user. With a certificate or a token it sends no principal.
pub(super) async fn open(options: &ClientOptions) -> Result<Client, Failure> {
    let mut connect_options = connect_options(options);
    if connect_options.principal.is_none() && !options.has_credential() {
        connect_options.principal = Some(options.principal().ok_or_else(|| {
            let what = "the OS gives no user name that can be sent as the principal";
            let hint = "name the principal with --principal or SHAREWARDEN_PRINCIPAL";
            Failure::new(Exit::Invalid, what, hint)
        })?);
    }
    let connected = Client::connect(&connect_options).await;
    connected.map_err(|error| connect_failure(options, &error))
}

/// Opens a channel without principal and token, for calls that need no authentication.
pub(super) async fn open_channel(options: &ClientOptions) -> Result<ServiceChannel, Failure> {
    let opened = client::open_channel(&connect_options(options)).await;
    opened.map_err(|error| connect_failure(options, &error))
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
        ..ConnectOptions::new(options.server_uri())
    }
}

fn connect_failure(options: &ClientOptions, error: &ConnectionError) -> Failure {
    let what = error.to_string();
    match error {
        ConnectionError::Variable { .. } => Failure::new(Exit::Invalid, what, "correct the variable"),
        ConnectionError::File { option, .. } => {
            Failure::new(Exit::Invalid, what, format!("check --{}", option.replace('_', "-")))
        }
        ConnectionError::TokenWithoutTls => Failure::new(Exit::Invalid, what, "begin --server with https://"),
        ConnectionError::TlsOptionsWithoutHttps => {
            let what = "--tls-ca, --tls-certificate and --tls-key need TLS, and --server begins with http://";
            Failure::new(Exit::Invalid, what, "begin --server with https://")
        }
        ConnectionError::IncompleteIdentity => {
            Failure::new(Exit::Invalid, what, "give both --tls-certificate and --tls-key")
        }
        ConnectionError::Unreachable { source, .. } => diagnosis::unreachable(options, source.as_ref()),
    }
}
