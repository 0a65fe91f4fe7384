//! The URL of the database, in the form that the driver reads.
//!
//! The driver logs parameters that it does not know, with their values, and takes what follows a `/`, `?` or `#` in a password
//! for the database or a parameter. So every URL is parsed here first. No message repeats a part of the URL, except the name of
//! an unknown parameter: a URL often contains a password.

use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, ParseError, Url};

/// The parameters that the driver knows, and the rule of their values.
const PARAMETERS: &[(&[&str], ParameterRule)] = &[
    (&["sslmode", "ssl-mode"], ParameterRule::SslMode),
    (
        &[
            "sslrootcert",
            "ssl-root-cert",
            "ssl-ca",
            "sslcert",
            "ssl-cert",
            "sslkey",
            "ssl-key",
        ],
        ParameterRule::Text,
    ),
    (
        &["host", "dbname", "user", "password", "application_name", "options"],
        ParameterRule::Text,
    ),
    (&["hostaddr"], ParameterRule::Address),
    (&["port"], ParameterRule::Port),
    (&["statement-cache-capacity"], ParameterRule::Number),
];

const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// Stands in the URL for a host that is a parameter: a URL with a user needs a host.
const PLACEHOLDER: &str = "localhost";

#[derive(Debug, Clone, Copy)]
enum ParameterRule {
    Text,
    SslMode,
    Address,
    Port,
    Number,
}

impl ParameterRule {
    /// What a value must be. `None`: the value follows the rule.
    fn broken_by(self, value: &str) -> Option<&'static str> {
        let (holds, rule) = match self {
            Self::Text => (
                !value.is_empty() && !value.contains('\0'),
                "not empty, and without a NUL",
            ),
            Self::SslMode => (
                SSL_MODES.iter().any(|mode| value.eq_ignore_ascii_case(mode)),
                "disable, allow, prefer, require, verify-ca or verify-full",
            ),
            Self::Address => (value.parse::<IpAddr>().is_ok(), "an IP address"),
            Self::Port => (value.parse().is_ok_and(|port: u16| port != 0), "1..65535"),
            Self::Number => (value.parse::<u16>().is_ok(), "a number, 0..65535"),
        };
        (!holds).then_some(rule)
    }
}

/// The rule that a URL breaks. The message follows the name of the key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlProblem {
    /// Another scheme, or none.
    #[error("must begin with postgres:// or postgresql://")]
    Scheme,
    /// A part of the user or password stands where the driver does not expect it.
    #[error("has an @ or # after the host: write / ? # @ of the user and the password as %2F %3F %23 %40")]
    NotEncoded,
    /// The driver tries one host only.
    #[error(
        "must name one host: the driver does not try several; use one DNS name or virtual address that always leads to the primary"
    )]
    SeveralHosts,
    /// A user without a host.
    #[error("must name a host after the @, or have the parameter host")]
    NoHost,
    /// The port, which may also be a part of a password.
    #[error("has an invalid port: it must be 1..65535; write / ? # of a password as %2F %3F %23")]
    Port,
    /// The user, the password or the database is not percent-encoded UTF-8, or has a NUL.
    #[error("has a user, a password or a database that is not percent-encoded UTF-8; write a % as %25")]
    Encoding,
    /// Not a URL for another reason.
    #[error("must be a URL: {0}")]
    Malformed(ParseError),
    /// A parameter that the driver does not know.
    #[error("has the parameter {0:?}, which the driver does not know")]
    UnknownParameter(String),
    /// A parameter that the driver does not know, and whose name may be a part of a secret.
    #[error("has a parameter that the driver does not know")]
    UnnamedParameter,
    /// The value of a parameter.
    #[error("must have a {0} that is {1}")]
    Value(&'static str, &'static str),
}

/// A URL that the driver reads as it was meant. Secret.
#[derive(Debug, Clone)]
pub struct DatabaseUrl(SecretString);

impl DatabaseUrl {
    /// Parses the text of `database.url`.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(text: &SecretString) -> Result<Self, DatabaseUrlProblem> {
        let (scheme, rest) = text
            .expose_secret()
            .split_once("://")
            .ok_or(DatabaseUrlProblem::Scheme)?;
        if !["postgres", "postgresql"].contains(&scheme) {
            return Err(DatabaseUrlProblem::Scheme);
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if tail.contains(['@', '#']) {
            return Err(DatabaseUrlProblem::NotEncoded);
        }
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        if hosts.contains(',') {
            return Err(DatabaseUrlProblem::SeveralHosts);
        }
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let is_placeholder = hosts.is_empty() && !user.is_empty();
        let host = if is_placeholder { PLACEHOLDER } else { hosts };
        let mut url = Url::parse(&format!("{scheme}://{user}{host}{tail}")).map_err(|error| match error {
            ParseError::InvalidPort => DatabaseUrlProblem::Port,
            error => DatabaseUrlProblem::Malformed(error),
        })?;
        check(&url)?;
        let names_host = url
            .query_pairs()
            .any(|(name, _)| ["host", "hostaddr"].contains(&&*name));
        if is_placeholder && !names_host {
            return Err(DatabaseUrlProblem::NoHost);
        }
        // The driver would ask DNS for the address with its brackets.
        if let (Some(Host::Ipv6(address)), false) = (url.host(), names_host) {
            url.query_pairs_mut().append_pair("host", &address.to_string());
        }
        Ok(Self(String::from(url).into()))
    }

    /// The URL, for the driver only.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Checks the parts that a URL allows and the driver does not.
fn check(url: &Url) -> Result<(), DatabaseUrlProblem> {
    if url.port() == Some(0) {
        return Err(DatabaseUrlProblem::Port);
    }
    let parts = [url.username(), url.password().unwrap_or_default(), url.path()];
    if !parts.into_iter().all(is_encoded) {
        return Err(DatabaseUrlProblem::Encoding);
    }
    for (name, value) in url.query_pairs() {
        let is_server_option = name.starts_with("options[") && name.ends_with(']');
        let known = PARAMETERS.iter().find_map(|(names, rule)| {
            let name = names.iter().find(|known| **known == name)?;
            Some((*name, *rule))
        });
        match known {
            Some((name, rule)) => {
                if let Some(rule) = rule.broken_by(&value) {
                    return Err(DatabaseUrlProblem::Value(name, rule));
                }
            }
            None if is_server_option => {}
            // A name without a value may be the end of a password with an unencoded &.
            None if is_name(&name) && !value.is_empty() => {
                return Err(DatabaseUrlProblem::UnknownParameter(name.into_owned()));
            }
            None => return Err(DatabaseUrlProblem::UnnamedParameter),
        }
    }
    Ok(())
}

/// True for a name as Postgres's parameters have them.
fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'-'))
}

/// True if each `%` has two hex digits after it, and the decoded bytes are UTF-8 without a NUL.
fn is_encoded(part: &str) -> bool {
    let mut pieces = part.split('%');
    let mut decoded = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let byte = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(byte) = byte else { return false };
        decoded.push(byte);
        decoded.extend(piece.as_bytes().iter().skip(2));
    }
    str::from_utf8(&decoded).is_ok_and(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use DatabaseUrlProblem as P;

    use super::*;

    fn parsed(url: &str) -> Result<String, DatabaseUrlProblem> {
        let url = DatabaseUrl::parse(&url.to_owned().into())?;
        Ok(url.expose().to_owned())
    }

    #[test]
    fn a_url_that_the_driver_reads_is_taken_as_it_is() {
        for url in [
            "postgres://x",
            "postgres:///db",
            "postgres://u@h/db",
            "postgresql://u:p%2F%3F%23%40%25@h:5432/db?sslmode=VERIFY-FULL&sslrootcert=%2Fca.pem",
            "postgres://u@%2Frun%2Fpostgresql/db",
            "postgres://u@localhost:5432/db?host=/run/postgresql&sslmode=disable",
            "postgres://h/db?options[search_path]=a&options=-c%20jit%3Doff&application_name=x&dbname=y&user=z",
            "postgres://10.0.0.7/d%C3%BCb?port=6432&hostaddr=::1&statement-cache-capacity=0",
        ] {
            assert_eq!(parsed(url).unwrap(), url);
        }
    }

    #[test]
    fn an_address_of_ipv6_and_a_host_in_a_parameter_get_a_form_that_the_driver_reads() {
        assert_eq!(
            parsed("postgres://u@[::1]:5433/db").unwrap(),
            "postgres://u@[::1]:5433/db?host=%3A%3A1"
        );
        assert_eq!(
            parsed("postgres://u:p@/db?host=db.example.com").unwrap(),
            "postgres://u:p@localhost/db?host=db.example.com"
        );
    }

    #[test]
    fn other_urls_are_refused_by_their_rule_and_no_message_repeats_a_secret() {
        let port = || P::Port;
        for (url, problem) in [
            ("", P::Scheme),
            ("hunter2", P::Scheme),
            ("mysql://u:hunter2@h/db", P::Scheme),
            ("POSTGRES://u:hunter2@h/db", P::Scheme),
            ("postgres:u:hunter2@h/db", P::Scheme),
            ("postgres://u:hunter2@h:notaport/db", port()),
            ("postgres://h:notaport", port()),
            ("postgres://h:0/db", port()),
            ("postgres://h:65536/db", port()),
            ("postgres://u:hunter2/x@h/db", P::NotEncoded),
            ("postgres://u:1/hunter2@h/db", P::NotEncoded),
            ("postgres://u:1?hunter2@h/db", P::NotEncoded),
            ("postgres://u:1#hunter2@h/db", P::NotEncoded),
            ("postgres://u@h/db?password=hunter2#", P::NotEncoded),
            ("postgres://u:hunter%2@h/db", P::Encoding),
            ("postgres://u:hunter2%@h/db", P::Encoding),
            ("postgres://u:hunter2%ff@h/db", P::Encoding),
            ("postgres://u:hunter2%00@h/db", P::Encoding),
            (
                "postgres://u:hunter2@h1:5432,h2:5432/db?target_session_attrs=read-write",
                P::SeveralHosts,
            ),
            ("postgres://u:hunter2@/db", P::NoHost),
            (
                "postgres://u:hunter2@h/db?sslpassword=hunter2",
                P::UnknownParameter("sslpassword".into()),
            ),
            (
                "postgres://u@h/db?connect_timeout=10",
                P::UnknownParameter("connect_timeout".into()),
            ),
            ("postgres://u@h/db?hunter2", P::UnnamedParameter),
            ("postgres://u@h/db?password=abc&hunter", P::UnnamedParameter),
            (
                "postgres://u@h/db?sslmode=hunter2",
                P::Value("sslmode", "disable, allow, prefer, require, verify-ca or verify-full"),
            ),
            ("postgres://u@h/db?port=hunter2", P::Value("port", "1..65535")),
            (
                "postgres://u@h/db?hostaddr=hunter2",
                P::Value("hostaddr", "an IP address"),
            ),
            (
                "postgres://u@h/db?host=",
                P::Value("host", "not empty, and without a NUL"),
            ),
        ] {
            let found = parsed(url).unwrap_err();
            assert_eq!(found, problem, "{url}");
            assert!(!format!("{found} {found:?}").contains("hunter2"), "{found}");
        }
        for malformed in [
            "postgres://u:hunter2@h h/db",
            "postgres://[::1/hunter2",
            "postgres://[hunter2]/db",
        ] {
            assert!(
                matches!(parsed(malformed), Err(P::Malformed(_) | P::Port)),
                "{malformed}"
            );
        }
    }
}
