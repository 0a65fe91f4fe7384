//! Traces, metrics and the admin port.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{Config, parse};

/// Traces and metrics for a collector: OTLP over gRPC.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// The collector's address for OTLP over gRPC: `http://host:4317`, or `https://host:4317` with a certificate that the system
    /// trusts. Default: none; nothing is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// Headers of every export, such as `{ "api-key" = "…" }`: names in lower case, values in visible ASCII. The values are
    /// secret. Default none.
    #[serde(serialize_with = "parse::hidden_map")]
    pub otlp_headers: BTreeMap<String, SecretString>,
    /// The fraction of new traces that is sent. For a trace that a caller began, the caller decides. 0..1. Default 1.
    pub sample_ratio: f64,
    /// The name of this service in the collector. 1..255 characters. Default `sharewarden`.
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

/// The admin port: plain HTTP for probes and Prometheus, apart from the RPC port. It is read-only, and needs no credentials.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// The address of `/healthz`, `/readyz` and `/metrics`, such as `127.0.0.1:9464`; port 0 takes any free port. Default:
    /// none, also for an empty text.
    #[serde(with = "parse::optional_address", skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// The rules of both sections.
pub(super) fn rules(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    let telemetry = &config.telemetry;
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

    /// The smallest valid configuration, after these lines.
    fn with(lines: &str) -> Result<Config, String> {
        let text = format!(
            "{lines}\ndatabase.url = \"postgres://x\"\nauth.modes = [\"trusted-header\"]\n\
             checkpoint.name = \"test\"\ncheckpoint.key = \"key\"\n\
             [[accounts]]\nid = \"111122223333\"\nregions = [\"eu-central-1\"]\nshare_with = \"anyone\"\n"
        );
        Config::from_toml(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn by_default_there_is_no_admin_port_and_no_collector() {
        for lines in ["", "admin.listen = \"\""] {
            let config = with(lines).unwrap();
            assert_eq!(config.admin.listen, None);
            assert_eq!(config.telemetry.otlp_endpoint, None);
        }
    }

    #[test]
    fn the_headers_of_the_collector_are_never_shown() {
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
    fn an_error_names_the_key_and_shows_no_secret() {
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
