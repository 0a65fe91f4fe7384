//! The options of a connection: server, credentials, timeout and tries.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use tonic::{metadata::AsciiMetadataValue, transport::Uri};

/// The address of `sharewarden dev`.
const DEFAULT_SERVER: &str = "http://127.0.0.1:7443";

/// How to connect to the service.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// The URL of the service: `http://HOST:PORT` or `https://HOST:PORT`.
    pub server: Uri,
    /// The caller's name, sent in `x-sharewarden-principal`. The service reads it only in the mode `trusted-header`.
    pub principal: Option<AsciiMetadataValue>,
    /// The certificate authorities that the service's certificate is verified with, a PEM file. `None` uses the system's.
    pub tls_ca: Option<PathBuf>,
    /// The client certificate, a PEM file. Needs `tls_key`.
    pub tls_certificate: Option<PathBuf>,
    /// The private key of the client certificate, a PEM file.
    pub tls_key: Option<PathBuf>,
    /// A file with a bearer token. It is read again for each call, because tokens expire.
    pub token_file: Option<PathBuf>,
    /// The timeout of a call, all tries included.
    pub timeout: Duration,
    /// Maximum tries of one call, and of opening the connection. At least one try is made; 0 means 1. A change that the service
    /// is known to have accepted is followed until the timeout. So is one whose answer was lost, while nothing accepts
    /// connections.
    pub tries: u32,
    /// The value of the header `user-agent`.
    pub user_agent: String,
}

impl ConnectOptions {
    /// No credentials, a timeout of 30 s, and no limit of tries within it.
    pub fn new(server: Uri) -> Self {
        Self {
            server,
            principal: None,
            tls_ca: None,
            tls_certificate: None,
            tls_key: None,
            token_file: None,
            timeout: Duration::from_secs(30),
            tries: u32::MAX,
            user_agent: concat!("sharewarden-client/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// The options of the environment variables that the command line reads, too: `SHAREWARDEN_SERVER` (default: the address of
    /// `sharewarden dev`), `SHAREWARDEN_PRINCIPAL`, `SHAREWARDEN_TLS_CA`, `SHAREWARDEN_TLS_CERTIFICATE`, `SHAREWARDEN_TLS_KEY`
    /// and `SHAREWARDEN_TOKEN_FILE`. An empty variable counts as not set. The rest is as in [`new`](Self::new).
    ///
    /// # Errors
    /// [`ConnectionError::Variable`].
    pub fn from_environment() -> Result<Self, ConnectionError> {
        let file = |name| variable(name).map(PathBuf::from);
        Ok(Self {
            principal: parsed("SHAREWARDEN_PRINCIPAL")?,
            tls_ca: file("SHAREWARDEN_TLS_CA"),
            tls_certificate: file("SHAREWARDEN_TLS_CERTIFICATE"),
            tls_key: file("SHAREWARDEN_TLS_KEY"),
            token_file: file("SHAREWARDEN_TOKEN_FILE"),
            ..Self::new(parsed("SHAREWARDEN_SERVER")?.unwrap_or(Uri::from_static(DEFAULT_SERVER)))
        })
    }

    /// True if nobody on the network can read what is sent: TLS, or a loopback address.
    pub(crate) fn is_confidential(&self) -> bool {
        let host = self.server.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.is_tls()
            || host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.server.scheme_str() == Some("https")
    }
}

/// The value of an environment variable; `None` if it is not set or empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment is how a program is told its server"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn parsed<T: std::str::FromStr>(name: &'static str) -> Result<Option<T>, ConnectionError> {
    let Some(value) = variable(name) else {
        return Ok(None);
    };
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or(ConnectionError::Variable { name })
}

/// Why there is no connection. No call was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// An environment variable has a value that cannot be used: no URL, or a name that is no visible ASCII.
    #[error("the environment variable {name} has a value that cannot be used")]
    Variable {
        /// The variable.
        name: &'static str,
    },
    /// A file that the options name cannot be read or has wrong content.
    #[error("cannot use {}: {why}", file.display())]
    File {
        /// The field of [`ConnectOptions`].
        option: &'static str,
        /// The file.
        file: PathBuf,
        /// The error.
        why: String,
    },
    /// `token_file` needs `https`, or a service on this machine.
    #[error("the token is not sent: the server is on another machine, and its URL does not begin with https://")]
    TokenWithoutTls,
    /// `tls_ca`, `tls_certificate` and `tls_key` need `https`.
    #[error("a certificate, a key or an authority needs TLS, but the URL of the server does not begin with https://")]
    TlsOptionsWithoutHttps,
    /// `tls_certificate` and `tls_key` need each other.
    #[error("a client certificate needs its private key, and one of them is missing")]
    IncompleteIdentity,
    /// No connection within the timeout and the tries.
    #[error("cannot connect to {server}")]
    Unreachable {
        /// The URL of the service.
        server: Uri,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
