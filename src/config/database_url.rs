//! The rules of `database.url`, and the spelling that the driver reads. The driver logs a parameter that it does not know, with
//! its value, so the URL is checked first. A message never has a text of the URL except the name of a parameter.

use std::{borrow::Cow, net::IpAddr};

use url::{ParseError, Url};

/// The parameters that the driver knows, without `options[NAME]`.
const PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

const ENCODE: &str = "write each / ? # @ : % and space of the user name and the password as % and its hexadecimal code";

/// The URL as the driver reads it, or the rule that it breaks.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("postgres" | "postgresql")) {
        return Err("must begin with postgres:// or postgresql://".into());
    }
    let url = Url::parse(&with_host(text)).map_err(|error| unreadable(text, error))?;
    if url.fragment().is_some() {
        return Err(format!("must not have a #: {ENCODE}"));
    }
    if url.path().contains('@') || url.query().is_some_and(|query| query.contains('@')) {
        return Err(format!("must not have an @ behind the host: {ENCODE}"));
    }
    if url.path().trim_start_matches('/').contains('/') {
        return Err(format!("must have one name of a database behind the host: {ENCODE}"));
    }
    for (name, value) in url.query_pairs() {
        parameter(&name, &value)?;
    }
    Ok(url)
}

/// `postgres://user@/name?host=…` has its host in a parameter, as libpq allows. A URL needs one before the path.
fn with_host(text: &str) -> Cow<'_, str> {
    let Some((user, rest)) = text.split_once("@/") else {
        return text.into();
    };
    if user.contains(['?', '#']) || !rest.contains("host=") {
        return text.into();
    }
    format!("{user}@localhost/{rest}").into()
}

fn unreadable(text: &str, error: ParseError) -> String {
    let authority = text.split("://").nth(1).unwrap_or_default();
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let hosts = authority.rsplit('@').next().unwrap_or_default();
    if hosts.contains(',') {
        return "must have one host: for several servers, name the address that leads to the primary (a DNS name, a proxy or a \
                virtual address)"
            .into();
    }
    match error {
        ParseError::EmptyHost => "must have a host, before the path or as the parameter host".into(),
        ParseError::InvalidPort => format!("must have a port of 1 to 65535 behind the host; {ENCODE}"),
        ParseError::InvalidIpv6Address | ParseError::InvalidIpv4Address => {
            "has a host that is not an IP address".into()
        }
        _ => format!("is not a URL: {ENCODE}"),
    }
}

fn parameter(name: &str, value: &str) -> Result<(), String> {
    let is_name = |c: char| c.is_ascii_lowercase() || matches!(c, '_' | '-' | '[' | ']' | '.');
    if !name.chars().all(is_name) || name.len() > 40 {
        return Err(format!("has a parameter whose name is not one of libpq's; {ENCODE}"));
    }
    let valid = match name {
        "target_session_attrs" => {
            return Err(
                "must not have the parameter target_session_attrs: it is for several hosts, and the service \
                        connects to one"
                    .into(),
            );
        }
        "connect_timeout" => {
            return Err("must not have the parameter connect_timeout: database.acquire_timeout limits it".into());
        }
        "sslmode" | "ssl-mode" => SSL_MODES.contains(&value),
        "port" => value.parse::<u16>().is_ok_and(|port| port > 0),
        "hostaddr" => value.parse::<IpAddr>().is_ok(),
        "statement-cache-capacity" => value.parse::<u16>().is_ok(),
        name if name.starts_with("options[") => name.ends_with(']'),
        name => {
            if !PARAMETERS.contains(&name) {
                return Err(format!("has a parameter that the service does not know: {name}"));
            }
            !value.contains(',') || !matches!(name, "host" | "port")
        }
    };
    match valid {
        true => Ok(()),
        false => Err(format!("has a value of the parameter {name} that is not allowed")),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_url_is_read_as_libpq_reads_it() {
        for (text, host) in [
            (
                "postgres://u:p@db.example.com:5432/audit?sslmode=verify-full",
                Some("db.example.com"),
            ),
            ("postgresql://u@[::1]:5432/audit", Some("[::1]")),
            ("postgres://user@/db?host=/run/postgresql", Some("localhost")),
            ("postgres:///db?host=/run/postgresql&user=u", None),
            ("postgres://u:a%2Fb%3Fc%23d%40@h/db", Some("h")),
            ("postgres://u@%2Frun%2Fpostgresql/db", Some("%2Frun%2Fpostgresql")),
            ("postgres://u@h/db?options[search_path]=a&application_name=x", Some("h")),
        ] {
            let url = parse(text).unwrap_or_else(|rule| panic!("{text}: {rule}"));
            assert_eq!(url.host_str(), host, "{text}");
        }
    }

    #[test]
    fn a_broken_rule_is_named_without_a_value_of_the_url() {
        for (text, words) in [
            ("mysql://u:hunter2@h/db", "must begin with postgres://"),
            ("host=h password=hunter2", "must begin with postgres://"),
            ("postgres://u:hunter2@h:notaport/db", "a port of 1 to 65535"),
            ("postgres://u:hunter2@h:70000/db", "a port of 1 to 65535"),
            ("postgres://u:hunter/2@h/db", "as % and its hexadecimal code"),
            ("postgres://u:12/hunter2@h/db", "as % and its hexadecimal code"),
            ("postgres://u:hunter?2@h/db", "as % and its hexadecimal code"),
            ("postgres://u:12?hunter2@h/db", "as % and its hexadecimal code"),
            ("postgres://u:hunter#2@h/db", "as % and its hexadecimal code"),
            ("postgres://u:12#hunter2@h/db", "must not have a #"),
            ("postgres://u@h/db?sslpassword=hunter2", "does not know: sslpassword"),
            ("postgres://u@h/db?HUNTER2", "not one of libpq's"),
            (
                "postgres://u@h/db?sslmode=hunter2",
                "the parameter sslmode that is not allowed",
            ),
            ("postgres://u@h/db?connect_timeout=10", "database.acquire_timeout"),
            (
                "postgres://u@h1:5432,h2:5432/db?target_session_attrs=read-write",
                "must have one host",
            ),
            ("postgres://u@h/db?host=h1,h2", "the parameter host that is not allowed"),
            (
                "postgres://u@h/db?target_session_attrs=read-write",
                "it is for several hosts",
            ),
            ("postgres://u:hunter2@/db", "must have a host"),
        ] {
            let rule = parse(text).expect_err(text);
            assert!(rule.contains(words), "{text}: {rule}");
            assert!(!rule.to_lowercase().contains("hunter"), "{text}: {rule}");
        }
    }
}
