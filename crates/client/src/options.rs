//! The options of a connection: server, credentials, timeout and tries.

use std::{path::PathBuf, time::Duration};

use tonic::{metadata::AsciiMetadataValue, transport::Uri};

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
    /// Maximum tries of one call, and of opening the connection. At least one try is made; 0 means 1.
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

/// Why there is no connection. No call was sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
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
