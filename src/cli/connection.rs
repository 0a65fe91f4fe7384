//! How the commands reach the service: with the package `sharewarden-client`, as the options say.

use tonic::transport::Channel;

use super::failure::{Exit, Failure};
use super::options::ClientOptions;
use super::text::one_line;
use crate::client::{self, ConnectError, Options};
use crate::domain::causes;

pub(super) use crate::client::{Audit as AuditClient, Client as Connection, Shares as Client};

/// Maximum tries of a call. A person waits for its answer.
const TRIES: u32 = 3;

/// Connects, and says who asks: as told, or as the OS calls the user.
pub(super) async fn open(options: &ClientOptions) -> Result<Connection, Failure> {
    let mut reached = of(options);
    if reached.principal.is_none() && !options.has_credential() {
        reached.principal = Some(options.principal().ok_or_else(|| {
            let what = "the OS does not tell a user name that can be sent";
            let advice = "say who asks with --principal or SHAREWARDEN_PRINCIPAL";
            Failure::new(Exit::Invalid, what, advice)
        })?);
    }
    let connected = Connection::connect(&reached).await;
    connected.map_err(|error| failure(options, &error))
}

/// Connects, and says nothing of who asks but what the connection itself says.
pub(super) async fn reach(options: &ClientOptions) -> Result<Channel, Failure> {
    let reached = client::reach(&of(options)).await;
    reached.map_err(|error| failure(options, &error))
}

fn of(options: &ClientOptions) -> Options {
    Options {
        principal: options.principal.clone(),
        tls_ca: options.tls_ca.clone(),
        tls_certificate: options.tls_certificate.clone(),
        tls_key: options.tls_key.clone(),
        token_file: options.token_file.clone(),
        timeout: options.timeout,
        tries: TRIES,
        user_agent: concat!("sharewarden-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..Options::new(options.server.clone())
    }
}

fn failure(options: &ClientOptions, error: &ConnectError) -> Failure {
    let what = error.to_string();
    match error {
        ConnectError::File { option, .. } => {
            Failure::new(Exit::Invalid, what, format!("check --{}", option.replace('_', "-")))
        }
        ConnectError::TokenWithoutTls => Failure::new(Exit::Invalid, what, "begin --server with https://"),
        ConnectError::TlsNotAskedFor => {
            let what = "--tls-ca, --tls-certificate and --tls-key are for TLS, and --server does not ask for it";
            Failure::new(Exit::Invalid, what, "begin --server with https://")
        }
        ConnectError::HalfIdentity => Failure::new(Exit::Invalid, what, "give both --tls-certificate and --tls-key"),
        ConnectError::Unreachable { source, .. } => {
            let cause = causes(source.as_ref()).last().map(|cause| one_line(&cause.to_string()));
            let what = format!("cannot connect to {}: {}", options.server(), cause.unwrap_or_default());
            let advice = "nothing was asked; check --server or SHAREWARDEN_SERVER, and that the service runs there \
                          (`sharewarden dev` starts one on this machine)";
            Failure::new(Exit::TryLater, what, advice)
        }
    }
}
