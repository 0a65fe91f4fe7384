//! TLS for those who connect. The files are read again and again; new connections get what was good last.

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

/// A connection with TLS.
pub type TlsStream = tokio_rustls::server::TlsStream<TcpStream>;

/// gRPC, and gRPC-Web over HTTP/1.1.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The warning of a server's certificate that is about to expire.
const EXPIRY_WARNING: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Certificates cannot be used. Says which file, and never what it holds.
#[derive(Debug, thiserror::Error)]
pub enum TlsProblem {
    /// A file cannot be read.
    #[error("cannot read {} ({key})", file.display())]
    Unreadable {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("there is no {what} as PEM in {} ({key})", file.display())]
    Empty {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The certificate is expired, or not valid yet.
    #[error("the certificate is not valid now (server.tls.certificate)")]
    NotValidNow,
    /// Certificate and key do not go together, or one of them cannot be used.
    #[error("certificate and key cannot be used (server.tls.certificate, server.tls.key)")]
    Pair(#[source] rustls::Error),
    /// The authorities cannot be used.
    #[error("the authorities of clients cannot be used (server.tls.client_ca)")]
    Authorities(#[source] Box<dyn StdError + Send + Sync>),
}

/// Makes TLS of connections. Cheap to clone; clones are the same.
#[derive(Debug, Clone)]
pub struct ServerTls {
    pub(super) settings: Arc<TlsConfig>,
    clock: Clock,
    current: Arc<RwLock<Current>>,
}

#[derive(Debug)]
struct Current {
    /// Of the contents of the files.
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

    /// Reads the files again, and takes over new contents if they are good.
    pub(super) async fn reload_files(&self) -> Result<(), TlsProblem> {
        let files = Files::read(&self.settings).await?;
        let digest = files.digest();
        if self.current.read().unwrap_or_else(PoisonError::into_inner).digest != digest {
            let config = Arc::new(files.config(&self.settings, &self.clock)?);
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current { digest, config };
            tracing::info!("the certificates of server.tls have changed: new connections get the new ones");
        }
        Ok(())
    }

    /// Makes the TLS handshake.
    ///
    /// # Errors
    /// Why there is no connection.
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

    /// Whom the certificate of a connection names; none without one.
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

/// What is in the files.
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
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsProblem::Empty {
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
        // Who resumes a session is not asked for the certificate again: it may have been withdrawn since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// Who looks at clients' certificates; none if they are not asked for any.
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
                tracing::warn!(until = %validity.until(), "the certificate of server.tls is about to expire");
            }
            Ok(())
        }
        // What cannot be read here may be readable to rustls, which decides.
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
        .ok_or_else(|| TlsProblem::Empty {
            key,
            file: file.to_owned(),
            what: "certificate",
        })
}
