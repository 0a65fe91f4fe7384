//! Authentication: the one place that decides which principal makes a call. It runs before the message is read.
//!
//! A call may have a client certificate (of its connection), a token and a header with a name. Only the kinds that `auth.modes`
//! enables are read. Every credential that is present must be valid: a valid certificate does not excuse a bad token. All must
//! name the same principal.

use http::{HeaderMap, header::AUTHORIZATION};

use crate::{
    clock::Clock,
    domain::{CredentialKind, Timestamp},
};

use super::{AuthenticationFailure, Identity, Tokens, listener::Peer};

/// The metadata in which a trusted proxy or a client on this machine names the principal.
pub const PRINCIPAL: &str = "x-sharewarden-principal";

/// Authenticates calls. Each field enables one kind of credential.
#[derive(Debug, Clone)]
pub struct Authenticator {
    /// Accept client certificates.
    pub certificates: bool,
    /// Accept bearer tokens that these settings verify.
    pub tokens: Option<Tokens>,
    /// Accept the name in [`PRINCIPAL`], from loopback addresses. The name is not verified: every local process is trusted.
    pub trusted_header: bool,
    /// For the expiry of certificates.
    pub clock: Clock,
}

impl Authenticator {
    /// The caller's identity.
    ///
    /// # Errors
    /// [`AuthenticationFailure`].
    pub(crate) async fn identity(&self, headers: &HeaderMap, peer: &Peer) -> Result<Identity, AuthenticationFailure> {
        let mut found = None;
        if self.certificates
            && let Some(certificate) = peer.certificate.clone()
        {
            agree(&mut found, self.unexpired(certificate?)?)?;
        }
        if let Some(tokens) = &self.tokens
            && let Some(token) = bearer(headers)?
        {
            agree(&mut found, tokens.identity(token, peer.connection.network).await?)?;
        }
        if self.trusted_header && headers.contains_key(PRINCIPAL) {
            agree(&mut found, named(headers, peer)?)?;
        }
        found.ok_or(AuthenticationFailure::Missing)
    }

    /// The handshake checked the certificate, but a connection can outlive it.
    fn unexpired(&self, identity: Identity) -> Result<Identity, AuthenticationFailure> {
        match identity.until {
            Some(until) if self.clock.now() > until => Err(AuthenticationFailure::CertificateExpired),
            _ => Ok(identity),
        }
    }
}

/// Adds a credential. It must name the same principal as the others. The identity expires with the first of them.
fn agree(found: &mut Option<Identity>, next: Identity) -> Result<(), AuthenticationFailure> {
    match found {
        None => *found = Some(next),
        Some(first) if first.principal == next.principal => {
            first.until = sooner(first.until, next.until);
            first.authentication.claims.add(next.authentication.claims);
            first.authentication.credentials.extend(next.authentication.credentials);
        }
        Some(_) => return Err(AuthenticationFailure::Contradicting),
    }
    Ok(())
}

fn sooner(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The bearer token of a call (RFC 6750, section 2.1), if it has one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthenticationFailure> {
    if !headers.contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let value = only_header(headers, AUTHORIZATION.as_str()).ok_or(AuthenticationFailure::Malformed)?;
    let (scheme, token) = value.split_once(' ').ok_or(AuthenticationFailure::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthenticationFailure::Malformed);
    }
    Ok(Some(token.trim()))
}

/// The identity in the trusted header, for a caller on this machine.
fn named(headers: &HeaderMap, peer: &Peer) -> Result<Identity, AuthenticationFailure> {
    if !peer.address.ip().to_canonical().is_loopback() {
        return Err(AuthenticationFailure::NotLocal);
    }
    let name = only_header(headers, PRINCIPAL).and_then(|name| name.parse().ok());
    let name = name.ok_or(AuthenticationFailure::Malformed)?;
    Ok(Identity::without_claims(name, CredentialKind::TrustedHeader, None))
}

/// The value of a header that is present exactly once. With two, a caller could have added one to those of a proxy.
pub(crate) fn only_header<'a>(headers: &'a HeaderMap, key: &str) -> Option<&'a str> {
    let mut values = headers.get_all(key).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use crate::edge::listener::connection_for_tests;

    use super::*;

    fn peer(address: &str, certificate: Option<Result<Identity, AuthenticationFailure>>) -> Peer {
        Peer {
            address: address.parse().unwrap(),
            certificate,
            connection: connection_for_tests(address.parse().unwrap()),
        }
    }

    fn headers(values: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn identity(name: &str, until: Option<&str>) -> Identity {
        let until = until.map(|until| Timestamp::parse(until).unwrap());
        Identity::without_claims(name.parse().unwrap(), CredentialKind::Certificate, until)
    }

    /// The principal by certificate and header, at noon.
    async fn known(values: &[(&'static str, &'static str)], peer: &Peer) -> Result<String, AuthenticationFailure> {
        let authenticator = Authenticator {
            certificates: true,
            tokens: None,
            trusted_header: true,
            clock: Clock::manual(Timestamp::parse("2026-11-22T12:00:00Z").unwrap()),
        };
        let identity = authenticator.identity(&headers(values), peer).await?;
        Ok(identity.principal.to_string())
    }

    #[tokio::test]
    async fn the_trusted_header_counts_once_and_from_this_machine_only() {
        let here = peer("127.0.0.1:1", None);
        let name = "pipeline@example.com";
        assert_eq!(known(&[(PRINCIPAL, name)], &here).await.unwrap(), name);
        assert_eq!(known(&[], &here).await, Err(AuthenticationFailure::Missing));
        for wrong in [&["two words"][..], &[""], &["one", "two"], &["one", "one"]] {
            let values: Vec<_> = wrong.iter().map(|value| (PRINCIPAL, *value)).collect();
            assert_eq!(
                known(&values, &here).await,
                Err(AuthenticationFailure::Malformed),
                "{wrong:?}"
            );
        }
        let elsewhere = peer("192.0.2.1:1", None);
        assert_eq!(
            known(&[(PRINCIPAL, name)], &elsewhere).await,
            Err(AuthenticationFailure::NotLocal)
        );
        let mapped = peer("[::ffff:127.0.0.1]:1", None);
        assert_eq!(known(&[(PRINCIPAL, name)], &mapped).await.unwrap(), name);
    }

    #[tokio::test]
    async fn credentials_that_contradict_each_other_and_invalid_ones_are_refused() {
        let with = |certificate| peer("127.0.0.1:1", Some(certificate));
        let valid = with(Ok(identity("build", Some("2026-11-22T12:00:00Z"))));
        assert_eq!(known(&[], &valid).await.unwrap(), "build");
        assert_eq!(known(&[(PRINCIPAL, "build")], &valid).await.unwrap(), "build");
        assert_eq!(
            known(&[(PRINCIPAL, "other")], &valid).await,
            Err(AuthenticationFailure::Contradicting)
        );
        let expired = with(Ok(identity("build", Some("2026-11-22T11:59:59Z"))));
        let nameless = with(Err(AuthenticationFailure::CertificateName));
        for (peer, why) in [
            (&expired, AuthenticationFailure::CertificateExpired),
            (&nameless, AuthenticationFailure::CertificateName),
        ] {
            assert_eq!(known(&[(PRINCIPAL, "build")], peer).await, Err(why));
        }
    }

    #[test]
    fn the_bearer_scheme_is_case_insensitive_and_the_header_must_be_unique() {
        let read = |values: &[&'static str]| {
            let values: Vec<_> = values.iter().map(|value| ("authorization", *value)).collect();
            bearer(&headers(&values)).map(|token| token.map(str::to_owned))
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Bearer abc"]), Ok(Some("abc".into())));
        assert_eq!(read(&["bearer  abc"]), Ok(Some("abc".into())));
        for wrong in [&["abc"][..], &["Basic abc"], &["Bearer a", "Bearer b"], &["Bearer"]] {
            assert_eq!(read(wrong), Err(AuthenticationFailure::Malformed), "{wrong:?}");
        }
    }
}
