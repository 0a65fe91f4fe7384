//! Rules for URLs. No message repeats a URL: it may contain a password.

use url::Url;

use crate::{
    config::{Config, DatabaseUrl},
    domain::Invalid,
};

const ENDPOINT: &str = "http://host:port or https://host:port, without a user, a query and a fragment";
const COLLECTOR: &str = "http://host:port or https://host:port, without a user, a path or a query";
const ISSUER: &str = "a text without a colon, or a URI (RFC 7519, StringOrURI)";
const KEYS: &str = "a file or an https:// URL without a user: a replaced key set would let anyone in";

pub(super) fn problems(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    if let Err(problem) = DatabaseUrl::parse(&config.database.url) {
        check(false, "database.url", problem.to_string());
    }
    let mut follows = |key: &str, text: &str, rule: &'static str, holds: bool| {
        check(holds, key, Invalid::new(rule, text).to_string());
    };
    let aws = &config.aws;
    let endpoints = [
        ("aws.endpoint_url", &aws.endpoint_url),
        ("aws.sts_endpoint_url", &aws.sts_endpoint_url),
    ];
    let of_accounts = config.accounts.iter().map(|account| &account.endpoint_url);
    for (key, url) in endpoints
        .into_iter()
        .chain(of_accounts.map(|url| ("accounts.endpoint_url", url)))
    {
        if let Some(url) = url {
            follows(key, url, ENDPOINT, is_endpoint(url));
        }
    }
    if let Some(url) = &config.telemetry.otlp_endpoint {
        let has_path = Url::parse(url).is_ok_and(|url| url.path() != "/");
        follows("telemetry.otlp_endpoint", url, COLLECTOR, is_endpoint(url) && !has_path);
    }
    if let Some(jwt) = &config.auth.jwt {
        let is_text = !jwt.issuer.contains(':');
        follows(
            "auth.jwt.issuer",
            &jwt.issuer,
            ISSUER,
            is_text || Url::parse(&jwt.issuer).is_ok(),
        );
        // With one slash or none, the URL would be taken for a file.
        let is_file = !jwt.jwks_is_url() && !jwt.jwks.starts_with("http:") && !jwt.jwks.starts_with("https:");
        let is_https = http_url(&jwt.jwks).is_some_and(|url| url.scheme() == "https");
        follows("auth.jwt.jwks", &jwt.jwks, KEYS, is_file || is_https);
    }
}

/// True for a URL to which a client appends its own paths and queries.
fn is_endpoint(text: &str) -> bool {
    http_url(text).is_some_and(|url| url.query().is_none() && url.fragment().is_none())
}

/// A URL for HTTP without a user.
fn http_url(text: &str) -> Option<Url> {
    let has_slashes = text.starts_with("http://") || text.starts_with("https://");
    let url = has_slashes.then(|| Url::parse(text).ok()).flatten()?;
    let is_anonymous = url.username().is_empty() && url.password().is_none();
    (is_anonymous && url.port() != Some(0)).then_some(url)
}
