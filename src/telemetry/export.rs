//! Exporters to the collector: OTLP over gRPC.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig,
    tonic_types::{metadata::MetadataMap, transport::ClientTlsConfig},
};
use opentelemetry_sdk::Resource;
use secrecy::ExposeSecret;

use crate::config::TelemetryConfig;

use super::TelemetryError;

/// Timeout of one export.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The exporter of spans. `None`: no collector is configured.
pub(super) fn spans(config: &TelemetryConfig) -> Result<Option<SpanExporter>, TelemetryError> {
    let Some(endpoint) = &config.otlp_endpoint else {
        return Ok(None);
    };
    let exporter = with_collector(endpoint, SpanExporter::builder().with_tonic(), config)?;
    exporter.build().map(Some).map_err(collector_error)
}

/// The exporter of metrics. `None`: no collector is configured.
pub(super) fn metrics(config: &TelemetryConfig) -> Result<Option<MetricExporter>, TelemetryError> {
    let Some(endpoint) = &config.otlp_endpoint else {
        return Ok(None);
    };
    let exporter = with_collector(endpoint, MetricExporter::builder().with_tonic(), config)?;
    exporter.build().map(Some).map_err(collector_error)
}

fn with_collector<B: WithExportConfig + WithTonicConfig>(
    endpoint: &str,
    builder: B,
    config: &TelemetryConfig,
) -> Result<B, TelemetryError> {
    let builder = builder
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT)
        .with_metadata(metadata(config)?);
    Ok(if endpoint.starts_with("https:") {
        builder.with_tls_config(ClientTlsConfig::new().with_enabled_roots())
    } else {
        builder
    })
}

/// The configured headers, marked as sensitive. Errors do not show their values.
fn metadata(config: &TelemetryConfig) -> Result<MetadataMap, TelemetryError> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in &config.otlp_headers {
        let wrong = || TelemetryError::Collector(format!("the header {name:?} cannot be sent"));
        let parsed: http::HeaderName = name.parse().map_err(|_| wrong())?;
        let mut value = http::HeaderValue::from_str(value.expose_secret()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(MetadataMap::from_headers(headers))
}

fn collector_error(error: impl std::error::Error) -> TelemetryError {
    TelemetryError::Collector(error.to_string())
}

/// The attributes of this service. `OTEL_RESOURCE_ATTRIBUTES` can add more, such as the deployment environment.
pub(super) fn resource(config: &TelemetryConfig) -> Resource {
    Resource::builder()
        .with_service_name(config.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}
