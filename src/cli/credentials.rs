//! What shows the service who asks: a name, a certificate, a token. The last two are in files, and never in an argument or an
//! environment variable that others could read.

use std::fs;
use std::path::{Path, PathBuf};

use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::failure::{Exit, Failure};
use super::options::ClientOptions;

const PRINCIPAL: &str = "x-sharewarden-principal";
const AUTHORIZATION: &str = "authorization";

/// What goes with every call.
pub(super) struct Credentials {
    principal: Option<AsciiMetadataValue>,
    token: Option<Token>,
}

/// A token, and where newer ones will be.
struct Token {
    file: PathBuf,
    first: AsciiMetadataValue,
}

impl Credentials {
    pub(super) fn read(options: &ClientOptions) -> Result<Self, Failure> {
        let principal = match (&options.principal, options.has_credential()) {
            (None, true) => None,
            _ => Some(options.principal().ok_or_else(|| {
                let what = "the OS does not tell a user name that can be sent";
                let advice = "say who asks with --principal or SHAREWARDEN_PRINCIPAL";
                Failure::new(Exit::Invalid, what, advice)
            })?),
        };
        let token = match &options.token_file {
            None => None,
            Some(_) if !is_private(options) => {
                let what = "a token is not sent to another machine without TLS: whoever reads it could use it";
                return Err(Failure::new(Exit::Invalid, what, "begin --server with https://"));
            }
            Some(file) => Some(Token {
                file: file.clone(),
                first: token(file)?,
            }),
        };
        Ok(Self { principal, token })
    }

    /// Adds them to the metadata of a call.
    pub(super) fn add_to(&self, metadata: &mut MetadataMap) {
        if let Some(principal) = &self.principal {
            metadata.insert(PRINCIPAL, principal.clone());
        }
        if let Some(Token { file, first }) = &self.token {
            // Tokens do not live long: while a command runs, somebody may have put a newer one there.
            let token = token(file).unwrap_or_else(|_| first.clone());
            metadata.insert(AUTHORIZATION, token);
        }
    }
}

/// Nobody in between reads what is sent.
fn is_private(options: &ClientOptions) -> bool {
    let host = options.server.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    options.server.scheme_str() == Some("https")
        || host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn token(file: &Path) -> Result<AsciiMetadataValue, Failure> {
    let text = fs::read_to_string(file).map_err(|error| unreadable("--token-file", file, &error.to_string()))?;
    let value = AsciiMetadataValue::try_from(format!("Bearer {}", text.trim()));
    let mut value = value.map_err(|_| unreadable("--token-file", file, "it holds no token"))?;
    // So that nothing which logs headers logs it.
    value.set_sensitive(true);
    Ok(value)
}

/// How TLS is spoken with the service; none where it is not.
pub(super) fn tls(options: &ClientOptions) -> Result<Option<ClientTlsConfig>, Failure> {
    let ClientOptions {
        tls_ca,
        tls_certificate,
        tls_key,
        ..
    } = options;
    if options.server.scheme_str() != Some("https") {
        let unused = tls_ca.is_some() || tls_certificate.is_some() || tls_key.is_some();
        let what = "--tls-ca, --tls-certificate and --tls-key are for TLS, and --server does not ask for it";
        return if unused {
            Err(Failure::new(Exit::Invalid, what, "begin --server with https://"))
        } else {
            Ok(None)
        };
    }
    let mut tls = ClientTlsConfig::new();
    tls = match tls_ca {
        Some(file) => tls.ca_certificate(Certificate::from_pem(pem("--tls-ca", file)?)),
        None => tls.with_native_roots(),
    };
    match (tls_certificate, tls_key) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (pem("--tls-certificate", certificate)?, pem("--tls-key", key)?);
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        (None, None) => {}
        _ => {
            let what = "a certificate is shown with its key, and one of them is missing";
            let advice = "give both --tls-certificate and --tls-key";
            return Err(Failure::new(Exit::Invalid, what, advice));
        }
    }
    Ok(Some(tls))
}

fn pem(option: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(file).map_err(|error| unreadable(option, file, &error.to_string()))
}

fn unreadable(option: &str, file: &Path, why: &str) -> Failure {
    let what = format!("cannot use {}: {why}", file.display());
    Failure::new(Exit::Invalid, what, format!("check {option}"))
}
