//! TLS on the RPC port.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::parse;

/// TLS on the RPC port. The files are read again while the service runs. New connections use new contents; invalid files are
/// logged and ignored.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate and its intermediate certificates, a PEM file.
    pub certificate: PathBuf,
    /// The key of the certificate, a PEM file (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
    /// The authorities that sign client certificates, a PEM file. Required unless `client_auth` is `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Whether clients send certificates: `none`, `optional` or `required`. With `required`, health probes need one too.
    /// Default none.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// How often to check whether the files have changed. 50ms..1h. Default 10s.
    #[serde(default = "TlsConfig::reload_every", with = "parse::duration")]
    pub reload_every: Duration,
}

impl TlsConfig {
    fn reload_every() -> Duration {
        Duration::from_secs(10)
    }
}

/// Whether clients send certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuth {
    /// Clients are not asked for one.
    #[default]
    None,
    /// Clients may send one. An invalid one ends the connection.
    Optional,
    /// Clients must send one.
    Required,
}
