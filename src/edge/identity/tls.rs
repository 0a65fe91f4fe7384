//! TLS of the server. The files of the certificates are read again at an interval. New connections use the last valid contents.

use std::{
    error::Error as StdError,
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    CertificateError, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::{
    clock::Clock,
    config::{ClientAuth, TlsConfig},
};

use super::{AuthenticationFailure, Identity, certificate, certificate::Validity};

/// A TLS connection from a client.
pub type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// ALPN: gRPC over HTTP/2, and gRPC-Web over HTTP/1.1.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The log warns when the server's certificate expires within this time.
const EXPIRY_WARNING: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The files of `server.tls` cannot be used. The message names the configuration key,
/// and the file if one file is at fault. It never contains contents of a file.
#[derive(Debug, thiserror::Error)]
pub enum TlsProblem {
    /// A file cannot be read.
    #[error("cannot read {} ({key})", file.display())]
    Unreadable {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file does not contain the expected PEM.
    #[error("cannot find a valid PEM {what} in {} ({key})", file.display())]
    NotPem {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The server's certificate has expired, or is not valid yet.
    #[error("the certificate has expired or is not valid yet (server.tls.certificate)")]
    NotValidNow,
    /// The key does not match the certificate, or one of them is not supported.
    #[error("the certificate and the key do not match, or are not supported (server.tls.certificate, server.tls.key)")]
    Pair(#[source] rustls::Error),
    /// The client authorities cannot be used.
    #[error("the client authorities cannot be used (server.tls.client_ca)")]
    Authorities(#[source] Box<dyn StdError + Send + Sync>),
}

/// Makes TLS connections. Clones share the current certificates.
#[derive(Debug, Clone)]
pub struct ServerTls {
    pub(super) settings: Arc<TlsConfig>,
    clock: Clock,
    current: Arc<RwLock<Current>>,
}

#[derive(Debug)]
struct Current {
    /// SHA-256 of the files.
    digest: [u8; 32],
    config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsProblem`].
    pub async fn load(settings: TlsConfig, clock: Clock) -> Result<Self, TlsProblem> {
        let files = Files::read(&settings).await?;
        let config = files.config(&settings, &clock)?;
        let current = Current {
            digest: files.digest(),
            config: Arc::new(config),
        };
        Ok(Self {
            settings: Arc::new(settings),
            clock,
            current: Arc::new(RwLock::new(current)),
        })
    }

    /// Reads the files again. New contents are used from now on if they are valid.
    pub(super) async fn reload_files(&self) -> Result<(), TlsProblem> {
        let files = Files::read(&self.settings).await?;
        let digest = files.digest();
        if self.current.read().unwrap_or_else(PoisonError::into_inner).digest != digest {
            let config = Arc::new(files.config(&self.settings, &self.clock)?);
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current { digest, config };
            tracing::info!("the certificates of server.tls have changed: new connections use the new ones");
        }
        Ok(())
    }

    /// Makes the TLS handshake.
    ///
    /// # Errors
    /// Why the handshake failed.
    pub async fn accept(&self, stream: TcpStream) -> Result<TlsStream, AuthenticationFailure> {
        let current = self
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .config
            .clone();
        TlsAcceptor::from(current).accept(stream).await.map_err(|error| {
            let error = error.get_ref().and_then(|error| error.downcast_ref());
            error.map_or(AuthenticationFailure::Handshake, handshake_failure)
        })
    }

    /// The identity in the client's certificate, if the client sent one.
    pub fn identity(stream: &TlsStream) -> Option<Result<Identity, AuthenticationFailure>> {
        let (_, session) = stream.get_ref();
        let leaf = session.peer_certificates()?.first()?;
        Some(certificate::identity(leaf))
    }
}

fn handshake_failure(error: &rustls::Error) -> AuthenticationFailure {
    match error {
        rustls::Error::NoCertificatesPresented => AuthenticationFailure::CertificateMissing,
        rustls::Error::InvalidCertificate(problem) => match problem {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                AuthenticationFailure::CertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                AuthenticationFailure::CertificateNotYetValid
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                AuthenticationFailure::CertificateIssuer
            }
            _ => AuthenticationFailure::CertificateInvalid,
        },
        _ => AuthenticationFailure::Handshake,
    }
}

/// The contents of the files.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Files {
    async fn read(settings: &TlsConfig) -> Result<Self, TlsProblem> {
        Ok(Self {
            certificate: read("server.tls.certificate", &settings.certificate).await?,
            key: read("server.tls.key", &settings.key).await?,
            client_ca: match &settings.client_ca {
                Some(file) => Some(read("server.tls.client_ca", file).await?),
                None => None,
            },
        })
    }

    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()] {
            let part = part.map_or(&[][..], |part| part);
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    fn config(&self, settings: &TlsConfig, clock: &Clock) -> Result<ServerConfig, TlsProblem> {
        let chain = certificates(&self.certificate, "server.tls.certificate", &settings.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsProblem::NotPem {
            key: "server.tls.key",
            file: settings.key.clone(),
            what: "private key",
        })?;
        check_validity(&chain, clock)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsProblem::Pair)?;
        let builder = match self.verifier(settings, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(TlsProblem::Pair)?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        // Sessions are not resumed: a resumed session would not check whether the client certificate has expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// The verifier of client certificates. `None`: clients are not asked for one.
    fn verifier(
        &self,
        settings: &TlsConfig,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsProblem> {
        let (Some(pem), Some(file)) = (&self.client_ca, &settings.client_ca) else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        for authority in certificates(pem, "server.tls.client_ca", file)? {
            roots
                .add(authority)
                .map_err(|error| TlsProblem::Authorities(error.into()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = match settings.client_auth {
            ClientAuth::None => return Ok(None),
            ClientAuth::Optional => verifier.allow_unauthenticated(),
            ClientAuth::Required => verifier,
        };
        let verifier = verifier
            .build()
            .map_err(|error| TlsProblem::Authorities(error.into()))?;
        Ok(Some(verifier))
    }
}

fn check_validity(chain: &[CertificateDer<'_>], clock: &Clock) -> Result<(), TlsProblem> {
    let now = clock.now();
    let validity = chain.first().and_then(|leaf| Validity::of(leaf));
    match validity {
        Some(validity) if !validity.includes(now) => Err(TlsProblem::NotValidNow),
        Some(validity) => {
            if !validity.includes(now + EXPIRY_WARNING) {
                tracing::warn!(until = %validity.until(), "the certificate of server.tls expires within 7 days");
            }
            Ok(())
        }
        // rustls decides about a certificate that this parser cannot read.
        None => Ok(()),
    }
}

async fn read(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsProblem> {
    tokio::fs::read(file).await.map_err(|source| TlsProblem::Unreadable {
        key,
        file: file.to_owned(),
        source,
    })
}

fn certificates(pem: &[u8], key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    certificates
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| TlsProblem::NotPem {
            key,
            file: file.to_owned(),
            what: "certificate",
        })
}
