//! TLS on the RPC port.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::parse;

/// TLS on the RPC port. The files are read again while the service runs: new connections get what is in them, and files that
/// cannot be used are logged and left alone.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate and those between it and its authority, a PEM file.
    pub certificate: PathBuf,
    /// The key of the certificate, a PEM file (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
    /// The authorities that sign clients' certificates, a PEM file. Needed unless `client_auth` is `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Whether clients show certificates: `none`, `optional` or `required`. With `required` probes of health need one too.
    /// Default none.
    #[serde(default)]
    pub client_auth: ClientAuth,
    /// How often to look whether the files have changed. 50ms..1h. Default 10s.
    #[serde(default = "TlsConfig::reload_every", with = "parse::duration")]
    pub reload_every: Duration,
}

impl TlsConfig {
    fn reload_every() -> Duration {
        Duration::from_secs(10)
    }
}

/// Whether clients show certificates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuth {
    /// They are not asked to.
    #[default]
    None,
    /// They may. One that is not good ends the connection.
    Optional,
    /// They must.
    Required,
}
