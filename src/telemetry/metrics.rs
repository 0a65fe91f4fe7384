//! The readers of the metrics: the collector, at an interval, and `/metrics`.

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Encoder, Registry, TextEncoder};

use crate::config::TelemetryConfig;

use super::{
    TelemetryError, export,
    instruments::{Instruments, SCOPE},
};

/// The instruments and their readers. Clones share them. The default measures nothing.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    instruments: Instruments,
    provider: Option<SdkMeterProvider>,
    registry: Option<Registry>,
}

impl Metrics {
    /// Measures for the collector, if one is configured, and for [`text`](Self::text), if `scraped` is true.
    ///
    /// # Errors
    /// If the collector's address or headers are invalid.
    pub fn new(config: &TelemetryConfig, scraped: bool) -> Result<Self, TelemetryError> {
        let collector = export::metrics(config)?;
        if collector.is_none() && !scraped {
            return Ok(Self::default());
        }
        let mut provider = SdkMeterProvider::builder().with_resource(export::resource(config));
        if let Some(exporter) = collector {
            let reader = PeriodicReader::builder(exporter).with_interval(config.metrics_interval);
            provider = provider.with_reader(reader.build());
        }
        let registry = scraped.then(Registry::new);
        if let Some(registry) = &registry {
            let reader = opentelemetry_prometheus::exporter()
                .with_registry(registry.clone())
                .scope_info_enabled(false)
                .build();
            provider = provider.with_reader(reader.map_err(|error| TelemetryError::Metrics(error.to_string()))?);
        }
        let provider = provider.build();
        let instruments = Instruments::new(&provider.meter(SCOPE));
        instruments.observe_process();
        Ok(Self {
            instruments,
            provider: Some(provider),
            registry,
        })
    }

    /// The instruments of these metrics, for other rooms.
    pub fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    /// All metrics in the text format of Prometheus. `None`: `/metrics` is not enabled.
    pub fn text(&self) -> Option<Vec<u8>> {
        let registry = self.registry.as_ref()?;
        let mut text = Vec::new();
        // Writing to memory cannot fail. The encoder leaves out invalid metric families.
        let _ = TextEncoder::new().encode(&registry.gather(), &mut text);
        Some(text)
    }

    /// The media type of [`text`](Self::text).
    pub const MEDIA_TYPE: &'static str = prometheus::TEXT_FORMAT;

    /// Sends the last metrics to the collector. Blocks.
    pub(super) fn shutdown(&self) {
        if let Some(provider) = &self.provider {
            let _ = provider.shutdown();
        }
    }
}
