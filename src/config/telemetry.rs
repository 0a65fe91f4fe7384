//! What is told of a running service, and to whom.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{Config, parse};

/// Traces and metrics for a collector: OTLP over gRPC.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Where the collector takes OTLP over gRPC: `http://host:4317`, or `https://host:4317` with a certificate that the system
    /// trusts. Default: none; nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// What goes with everything that is sent, such as `{ "api-key" = "…" }`: names in lower case, values of visible ASCII
    /// characters. The values are secret. Default none.
    #[serde(serialize_with = "parse::hidden_map")]
    pub otlp_headers: BTreeMap<String, SecretString>,
    /// Which part of the traces that begin here is sent. A trace that a caller began goes on as the caller decided. 0..1.
    /// Default 1.
    pub sample_ratio: f64,
    /// What the collector knows this service as. 1..255 characters. Default `sharewarden`.
    pub service_name: String,
    /// How often metrics are sent. 1s..1h. Default 60s.
    #[serde(with = "parse::duration")]
    pub metrics_interval: Duration,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_headers: BTreeMap::new(),
            sample_ratio: 1.0,
            service_name: "sharewarden".into(),
            metrics_interval: Duration::from_secs(60),
        }
    }
}

/// The admin port: plain HTTP/1.1 for probes and for Prometheus, apart from the port of the calls. It tells whoever reaches it how
/// the service is doing, and takes no orders.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Where `/healthz`, `/readyz` and `/metrics` are answered, such as `127.0.0.1:9464`; port 0 takes any. Default: nowhere; an
    /// empty text means the same.
    #[serde(with = "parse::optional_address", skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// The rules of both.
pub(super) fn rules(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    let telemetry = &config.telemetry;
    if let Some(endpoint) = &telemetry.otlp_endpoint {
        // It is not repeated: it may hold a password.
        check(
            is_endpoint(endpoint),
            "telemetry.otlp_endpoint",
            "must be http://host:port or https://host:port, without a user, a path or a query".into(),
        );
    }
    for (name, value) in &telemetry.otlp_headers {
        check(
            is_header(name, value),
            "telemetry.otlp_headers",
            format!(
                "must be names of metadata in lower case, not beginning with grpc- and not ending with -bin, with values of \
                 visible ASCII characters; {name:?} is not"
            ),
        );
    }
    check(
        (0.0..=1.0).contains(&telemetry.sample_ratio),
        "telemetry.sample_ratio",
        format!("must be 0..1; it is {}", telemetry.sample_ratio),
    );
    check(
        (1..=255).contains(&telemetry.service_name.chars().count()),
        "telemetry.service_name",
        format!("must have 1..255 characters; it is {:?}", telemetry.service_name),
    );
    let every = telemetry.metrics_interval;
    check(
        (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&every),
        "telemetry.metrics_interval",
        format!("must be 1s..1h; it is {every:?}"),
    );
    let (admin, calls) = (config.admin.listen, config.server.listen);
    check(
        admin.is_none_or(|admin| admin.port() == 0 || admin != calls),
        "admin.listen",
        format!("must not be server.listen; both are {calls}"),
    );
}

fn is_endpoint(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return false;
    };
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
        && matches!(path, "" | "/")
}

fn is_header(name: &str, value: &SecretString) -> bool {
    let value = value.expose_secret();
    name.parse::<http::HeaderName>()
        .is_ok_and(|parsed| parsed.as_str() == name)
        && !name.starts_with("grpc-")
        && !name.ends_with("-bin")
        && !value.is_empty()
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest configuration, with these lines on top.
    fn with(lines: &str) -> Result<Config, String> {
        let text = format!(
            "{lines}\ndatabase.url = \"postgres://x\"\nauth.modes = [\"trusted-header\"]\n\
             checkpoint.name = \"test\"\ncheckpoint.key = \"key\"\n\
             [[accounts]]\nid = \"111122223333\"\nregions = [\"eu-central-1\"]\nshare_with = \"anyone\"\n"
        );
        Config::from_toml(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_told_unless_it_is_asked_for() {
        for lines in ["", "admin.listen = \"\""] {
            let config = with(lines).unwrap();
            assert_eq!(config.admin.listen, None);
            assert_eq!(config.telemetry.otlp_endpoint, None);
        }
    }

    #[test]
    fn the_headers_of_the_collector_are_kept_and_never_shown() {
        let lines = "telemetry.otlp_endpoint = \"https://collector.example.com:4317\"\n\
                     telemetry.otlp_headers = { api-key = \"hunter2\" }\nadmin.listen = \"[::1]:9464\"";
        let config = with(lines).unwrap();
        assert_eq!(config.telemetry.otlp_headers["api-key"].expose_secret(), "hunter2");
        let shown = config.to_toml().unwrap();
        assert!(
            shown.contains("api-key = \"[hidden]\"") && !shown.contains("hunter2"),
            "{shown}"
        );
        assert!(shown.contains("listen = \"[::1]:9464\""), "{shown}");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn what_breaks_a_rule_is_named_by_its_key_and_no_secret_is_said() {
        for (lines, key) in [
            (
                "telemetry.otlp_endpoint = \"collector:4317\"",
                "telemetry.otlp_endpoint",
            ),
            (
                "telemetry.otlp_endpoint = \"ftp://collector:4317\"",
                "telemetry.otlp_endpoint",
            ),
            (
                "telemetry.otlp_endpoint = \"http://me:hunter2@collector\"",
                "telemetry.otlp_endpoint",
            ),
            (
                "telemetry.otlp_endpoint = \"http://collector/v1/traces\"",
                "telemetry.otlp_endpoint",
            ),
            (
                "telemetry.otlp_headers = { \"API KEY\" = \"hunter2\" }",
                "telemetry.otlp_headers",
            ),
            (
                "telemetry.otlp_headers = { grpc-timeout = \"hunter2\" }",
                "telemetry.otlp_headers",
            ),
            (
                "telemetry.otlp_headers = { key-bin = \"hunter2\" }",
                "telemetry.otlp_headers",
            ),
            (
                "telemetry.otlp_headers = { key = \"hunter2\\n\" }",
                "telemetry.otlp_headers",
            ),
            ("telemetry.sample_ratio = 1.5", "telemetry.sample_ratio"),
            ("telemetry.sample_ratio = nan", "telemetry.sample_ratio"),
            ("telemetry.service_name = \"\"", "telemetry.service_name"),
            ("telemetry.metrics_interval = \"10ms\"", "telemetry.metrics_interval"),
            (
                "server.listen = \"127.0.0.1:7443\"\nadmin.listen = \"127.0.0.1:7443\"",
                "admin.listen",
            ),
            ("admin.listen = \"everywhere\"", "must be an address and a port"),
            ("admin.lisen = \"127.0.0.1:1\"", "lisen"),
        ] {
            let error = with(lines).expect_err(lines);
            assert!(error.contains(key) && !error.contains("hunter2"), "{lines}: {error}");
        }
    }
}
