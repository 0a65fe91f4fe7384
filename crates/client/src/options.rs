//! Where the service is, who asks, and for how long.

use std::{path::PathBuf, time::Duration};

use tonic::{metadata::AsciiMetadataValue, transport::Uri};

/// How to reach the service.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Where it listens, as `http://HOST:PORT` or `https://HOST:PORT`.
    pub server: Uri,
    /// Who asks, where the service believes what it is told.
    pub principal: Option<AsciiMetadataValue>,
    /// The authorities that the service's certificate is verified with, a PEM file. Without it, the system's.
    pub tls_ca: Option<PathBuf>,
    /// A certificate to show to the service, a PEM file; `tls_key` goes with it.
    pub tls_certificate: Option<PathBuf>,
    /// The key of the certificate, a PEM file.
    pub tls_key: Option<PathBuf>,
    /// A file with a bearer token. It is read for each call, because tokens are replaced.
    pub token_file: Option<PathBuf>,
    /// How long a call may take with all its tries.
    pub timeout: Duration,
    /// Maximum tries of one call, and of connecting.
    pub tries: u32,
    /// The name of this program in the header `user-agent`.
    pub user_agent: String,
}

impl ConnectOptions {
    /// No credentials, 30 s for each call, and tries until then.
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

    /// Nobody between here and the service reads what is sent.
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

/// Why there is no connection. Nothing was asked.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// A file that the options name cannot be used.
    #[error("cannot use {}: {why}", file.display())]
    File {
        /// The field of [`ConnectOptions`].
        option: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// `token_file` needs `https`, or a service on this machine.
    #[error("a token is not sent to another machine without TLS: whoever reads it could use it")]
    TokenWithoutTls,
    /// `tls_ca`, `tls_certificate` and `tls_key` need `https`.
    #[error("a certificate, a key or an authority is for TLS, and the URL of the server does not begin with https://")]
    TlsOptionsWithoutHttps,
    /// `tls_certificate` and `tls_key` go together.
    #[error("a certificate is shown with its key, and one of them is missing")]
    IncompleteIdentity,
    /// The service was not reached.
    #[error("cannot connect to {server}")]
    Unreachable {
        /// Its URL.
        server: Uri,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
