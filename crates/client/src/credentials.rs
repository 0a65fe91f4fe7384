//! The caller's credentials: a principal name, a TLS certificate, a bearer token. The last two are read from files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tonic::{
    metadata::{AsciiMetadataValue, MetadataMap},
    transport::{Certificate, ClientTlsConfig, Identity},
};

use crate::options::{ConnectOptions, ConnectionError};

const PRINCIPAL: &str = "x-sharewarden-principal";
const AUTHORIZATION: &str = "authorization";

/// The metadata that authenticates every call.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    principal: Option<AsciiMetadataValue>,
    token: Option<Token>,
}

/// A token, and the file that newer ones replace.
#[derive(Debug, Clone)]
struct Token {
    file: PathBuf,
    first: AsciiMetadataValue,
}

impl Credentials {
    pub(crate) fn read(options: &ConnectOptions) -> Result<Self, ConnectionError> {
        let token = match &options.token_file {
            None => None,
            Some(_) if !options.is_confidential() => return Err(ConnectionError::TokenWithoutTls),
            Some(file) => Some(Token {
                file: file.clone(),
                first: token(file)?,
            }),
        };
        let principal = options.principal.clone();
        Ok(Self { principal, token })
    }

    /// Adds them to the metadata of a call.
    pub(crate) fn add_to(&self, metadata: &mut MetadataMap) {
        if let Some(principal) = &self.principal {
            metadata.insert(PRINCIPAL, principal.clone());
        }
        if let Some(Token { file, first }) = &self.token {
            // Tokens expire, so the file may have a newer one by now.
            let token = token(file).unwrap_or_else(|_| first.clone());
            metadata.insert(AUTHORIZATION, token);
        }
    }
}

fn token(file: &Path) -> Result<AsciiMetadataValue, ConnectionError> {
    let text = fs::read_to_string(file).map_err(|error| file_error("token_file", file, &error.to_string()))?;
    let token = text.trim_start_matches('\u{feff}').trim();
    if token.is_empty() {
        return Err(file_error("token_file", file, "the file holds no token"));
    }
    let scheme = token.get(..7).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer ") {
        return Err(file_error(
            "token_file",
            file,
            "write the token without the word Bearer",
        ));
    }
    let value = AsciiMetadataValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|_| {
        file_error(
            "token_file",
            file,
            "the token has characters that a header cannot carry",
        )
    })?;
    // Code that logs headers must not log the token.
    value.set_sensitive(true);
    Ok(value)
}

/// The TLS configuration; `None` for a server URL with `http://`.
pub(crate) fn tls(options: &ConnectOptions) -> Result<Option<ClientTlsConfig>, ConnectionError> {
    let ConnectOptions {
        tls_ca,
        tls_certificate,
        tls_key,
        ..
    } = options;
    if !options.is_tls() {
        let unused = tls_ca.is_some() || tls_certificate.is_some() || tls_key.is_some();
        return if unused {
            Err(ConnectionError::TlsOptionsWithoutHttps)
        } else {
            Ok(None)
        };
    }
    let mut tls = ClientTlsConfig::new();
    tls = match tls_ca {
        Some(file) => tls.ca_certificate(Certificate::from_pem(pem("tls_ca", file)?)),
        None => tls.with_native_roots(),
    };
    match (tls_certificate, tls_key) {
        (Some(certificate), Some(key)) => {
            let (certificate, key) = (pem("tls_certificate", certificate)?, pem("tls_key", key)?);
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        (None, None) => {}
        _ => return Err(ConnectionError::IncompleteIdentity),
    }
    Ok(Some(tls))
}

fn pem(option: &'static str, file: &Path) -> Result<Vec<u8>, ConnectionError> {
    fs::read(file).map_err(|error| file_error(option, file, &error.to_string()))
}

fn file_error(option: &'static str, file: &Path, why: &str) -> ConnectionError {
    ConnectionError::File {
        option,
        file: file.to_owned(),
        why: why.to_owned(),
    }
}
