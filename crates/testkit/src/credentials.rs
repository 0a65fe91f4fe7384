//! Certificate authorities, certificates, token issuers and tokens for a test.

use std::{path::PathBuf, time::Duration};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, string::Ia5String,
};
use serde_json::{Value, json};
use sharewarden::clock::Clock;
use tempfile::TempDir;
use time::OffsetDateTime;
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

pub fn now() -> OffsetDateTime {
    Clock::system().now().to_offset_date_time()
}

pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its private key, as PEM.
#[derive(Clone)]
pub struct CertifiedKey {
    pub certificate: String,
    pub key: String,
}

pub struct LeafCertificate {
    pub subject: &'static str,
    pub names: Vec<SanType>,
    pub from: OffsetDateTime,
    pub until: OffsetDateTime,
}

impl Default for LeafCertificate {
    fn default() -> Self {
        Self {
            subject: "",
            names: Vec::new(),
            from: now() - Duration::from_secs(3600),
            until: now() + Duration::from_secs(3600),
        }
    }
}

pub fn uri(text: &str) -> SanType {
    SanType::URI(Ia5String::try_from(text).unwrap())
}

pub fn host(text: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(text).unwrap())
}

impl CertificateAuthority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    fn sign(&self, leaf: LeafCertificate, usage: ExtendedKeyUsagePurpose) -> CertifiedKey {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if !leaf.subject.is_empty() {
            params.distinguished_name.push(DnType::CommonName, leaf.subject);
        }
        params.subject_alt_names = leaf.names;
        (params.not_before, params.not_after) = (leaf.from, leaf.until);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        CertifiedKey {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    pub fn client(&self, leaf: LeafCertificate) -> CertifiedKey {
        self.sign(leaf, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// For localhost.
    pub fn server(&self) -> CertifiedKey {
        self.server_until(LeafCertificate::default().until)
    }

    pub fn server_until(&self, until: OffsetDateTime) -> CertifiedKey {
        let leaf = LeafCertificate {
            names: vec![host("localhost"), SanType::IpAddress([127, 0, 0, 1].into())],
            until,
            ..LeafCertificate::default()
        };
        self.sign(leaf, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client configuration that trusts this authority, with a client certificate if one is given.
    pub fn trusted(&self, client: Option<&CertifiedKey>) -> ClientTlsConfig {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.pem));
        match client {
            Some(CertifiedKey { certificate, key }) => tls.identity(Identity::from_pem(certificate, key)),
            None => tls,
        }
    }
}

/// A temporary folder for the files of a server.
pub struct ServerFiles(TempDir);

impl ServerFiles {
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    pub fn write_certified_key(&self, pair: &CertifiedKey) {
        self.write("certificate.pem", &pair.certificate);
        self.write("key.pem", &pair.key);
    }
}

pub const ISSUER: &str = "https://login.example.com";
pub const AUDIENCE: &str = "sharewarden";

/// A key of a token issuer.
pub struct TokenKey {
    pub kid: String,
    pub pair: KeyPair,
    algorithm: Algorithm,
}

impl TokenKey {
    /// ECDSA with P-256.
    pub fn es256(kid: &str) -> Self {
        Self {
            kid: kid.into(),
            pair: KeyPair::generate().unwrap(),
            algorithm: Algorithm::ES256,
        }
    }

    pub fn ed25519(kid: &str) -> Self {
        Self {
            kid: kid.into(),
            pair: KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
            algorithm: Algorithm::EdDSA,
        }
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> Value {
        let public = self.pair.public_key_raw();
        match self.algorithm {
            Algorithm::EdDSA => json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(public), "kid": self.kid}),
            _ => json!({
                "kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig",
                "x": encoded(&public[1..33]), "y": encoded(&public[33..]),
            }),
        }
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.kid, claims)
    }

    /// Signs with another key id in the header.
    pub fn sign_as(&self, kid: &str, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(kid.into());
        let pem = self.pair.serialize_pem();
        let key = match self.algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_ec_pem(pem.as_bytes()),
        };
        jsonwebtoken::encode(&header, claims, &key.unwrap()).unwrap()
    }
}

/// The keys, as a JWK Set.
pub fn jwks(keys: &[&TokenKey]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// Valid claims with these replaced. A null value removes a claim.
pub fn claims(others: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": now().unix_timestamp() + 300,
        "sub": "pipeline@example.com",
    });
    let all = claims.as_object_mut().unwrap();
    for (name, value) in others.as_object().unwrap() {
        if value.is_null() {
            all.remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
    claims
}

pub fn encoded(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}
