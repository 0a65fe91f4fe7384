//! The principal that a verified client certificate names.
//!
//! It is the SPIFFE URI in the subject alternative names (SPIFFE X.509-SVID, section 2), else the DNS name there, else the
//! subject. A certificate with two SPIFFE URIs, or without one and with two DNS names, is refused: the choice would be a guess.
//! One with an invalid SPIFFE URI is refused too, and does not get the name of its subject.

use time::OffsetDateTime;
use x509_cert::{
    Certificate,
    der::Decode,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use crate::domain::{CredentialKind, Principal, Timestamp};

use super::{AuthenticationFailure, Identity};

const SPIFFE: &str = "spiffe:";

/// The time in which a certificate is valid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validity {
    from: Timestamp,
    until: Timestamp,
}

impl Validity {
    /// Reads it from a certificate (DER).
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        validity(&Certificate::from_der(der).ok()?)
    }

    pub(super) fn includes(self, now: Timestamp) -> bool {
        self.from <= now && now <= self.until
    }

    pub(super) fn until(self) -> Timestamp {
        self.until
    }
}

/// The identity in a client certificate (DER).
pub(super) fn identity(der: &[u8]) -> Result<Identity, AuthenticationFailure> {
    let certificate = Certificate::from_der(der).map_err(|_| AuthenticationFailure::CertificateInvalid)?;
    let validity = validity(&certificate).ok_or(AuthenticationFailure::CertificateInvalid)?;
    let until = Some(validity.until);
    Ok(Identity::without_claims(
        principal(&certificate)?,
        CredentialKind::Certificate,
        until,
    ))
}

fn validity(certificate: &Certificate) -> Option<Validity> {
    let validity = certificate.tbs_certificate().validity();
    let moment = |time: x509_cert::time::Time| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).ok()?;
        Some(Timestamp::new(OffsetDateTime::from_unix_timestamp(seconds).ok()?))
    };
    Some(Validity {
        from: moment(validity.not_before)?,
        until: moment(validity.not_after)?,
    })
}

fn principal(certificate: &Certificate) -> Result<Principal, AuthenticationFailure> {
    let certificate = certificate.tbs_certificate();
    let names = certificate
        .get_extension::<SubjectAltName>()
        .map_err(|_| AuthenticationFailure::CertificateInvalid)?
        .map(|(_, names)| names.0)
        .unwrap_or_default();
    let uris = names.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) if is_spiffe(uri.as_str()) => Some(uri.as_str()),
        _ => None,
    });
    let hosts = names.iter().filter_map(|name| match name {
        GeneralName::DnsName(host) => Some(host.as_str()),
        _ => None,
    });
    let subject = certificate.subject();
    if let Some(name) = only(uris)? {
        return parsed(name);
    }
    if let Some(name) = only(hosts)? {
        return if is_host(name) {
            parsed(name)
        } else {
            Err(AuthenticationFailure::CertificateName)
        };
    }
    if subject.is_empty() {
        return Err(AuthenticationFailure::CertificateName);
    }
    parsed(&visible(&subject.to_string()))
}

/// True for the scheme of SPIFFE IDs in any spelling. The principal's own rule refuses invalid ones.
fn is_spiffe(uri: &str) -> bool {
    let scheme = uri.get(..SPIFFE.len());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SPIFFE))
}

/// The name if there is one, and an error if there are several.
fn only<'a>(mut names: impl Iterator<Item = &'a str>) -> Result<Option<&'a str>, AuthenticationFailure> {
    match (names.next(), names.next()) {
        (name, None) => Ok(name),
        (_, Some(_)) => Err(AuthenticationFailure::CertificateName),
    }
}

fn parsed(name: &str) -> Result<Principal, AuthenticationFailure> {
    name.parse().map_err(|_| AuthenticationFailure::CertificateName)
}

/// True for one host name. A wildcard names several hosts, and other characters could imitate a principal of another kind.
fn is_host(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

/// A distinguished name (RFC 4514) in visible ASCII. Every other character becomes `\` and two hex digits for each byte of its
/// UTF-8, which the RFC allows. So different names stay different.
fn visible(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut letters = name.chars();
    while let Some(letter) = letters.next() {
        // An escape of the RFC has two characters. The second may be a space.
        let escaped = (letter == '\\').then(|| letters.next()).flatten();
        match escaped {
            Some(second) if second.is_ascii_graphic() => text.extend([letter, second]),
            Some(second) => write_hex(&mut text, second),
            None if letter.is_ascii_graphic() => text.push(letter),
            None => write_hex(&mut text, letter),
        }
    }
    text
}

fn write_hex(text: &mut String, letter: char) {
    for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
        text.push('\\');
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, string::Ia5String};

    use super::*;

    fn named(subject: &[(DnType, &str)], names: Vec<SanType>) -> Result<String, AuthenticationFailure> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.subject_alt_names = names;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        identity(certificate.der()).map(|identity| identity.principal.to_string())
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(Ia5String::try_from(text).unwrap())
    }

    fn host(text: &str) -> SanType {
        SanType::DnsName(Ia5String::try_from(text).unwrap())
    }

    const SUBJECT: &[(DnType, &str)] = &[(DnType::CommonName, "build")];

    #[test]
    fn a_spiffe_id_wins_over_a_dns_name_and_a_dns_name_over_the_subject() {
        let id = "spiffe://example.org/ns/a/sa/b";
        assert_eq!(named(SUBJECT, vec![host("a.example"), uri(id)]).unwrap(), id);
        assert_eq!(
            named(SUBJECT, vec![uri("https://example.org"), host("a.example")]).unwrap(),
            "a.example"
        );
        assert_eq!(named(SUBJECT, vec![]).unwrap(), "CN=build");
        assert_eq!(named(SUBJECT, vec![uri("https://example.org")]).unwrap(), "CN=build");
    }

    #[test]
    fn a_certificate_with_no_usable_name_or_several_is_refused() {
        for names in [
            vec![uri("spiffe://a/b"), uri("spiffe://a/c")],
            vec![host("a.example"), host("b.example")],
            vec![host("*.example")],
            vec![uri("spiffe://example.org/a/../b"), host("a.example")],
            vec![uri("SPIFFE://example.org/a"), host("a.example")],
            vec![uri("spiffe:example.org")],
            vec![uri("spiffe://example.org:8443/a%2e?b#c")],
        ] {
            let shown = format!("{names:?}");
            assert_eq!(
                named(SUBJECT, names),
                Err(AuthenticationFailure::CertificateName),
                "{shown}"
            );
        }
        assert_eq!(named(&[], vec![]), Err(AuthenticationFailure::CertificateName));
        assert_eq!(
            named(&[(DnType::CommonName, &"x".repeat(300))], vec![]),
            Err(AuthenticationFailure::CertificateName)
        );
    }

    #[test]
    fn different_subjects_are_different_principals() {
        let subject = |organization: &str| {
            let subject = [(DnType::OrganizationName, organization), (DnType::CommonName, "build")];
            named(&subject, vec![]).unwrap()
        };
        assert_eq!(subject("Example Inc"), "CN=build,O=Example\\20Inc");
        assert_eq!(subject("Example, Inc"), "CN=build,O=Example\\,\\20Inc");
        assert_eq!(subject(" a"), "CN=build,O=\\20a");
        assert_eq!(subject("Münch"), "CN=build,O=M\\c3\\bcnch");
        let tricky = ["a b", "a\\20b", "a\\ b", "a,O=b", "a\\,O=b", "a\\"];
        let names: std::collections::BTreeSet<_> = tricky.iter().map(|name| subject(name)).collect();
        assert_eq!(names.len(), tricky.len(), "{names:?}");
    }
}
