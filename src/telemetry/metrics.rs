//! The readers of what is measured: a collector, which is sent it now and then, and whoever asks for `/metrics`.

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Encoder, Registry, TextEncoder};

use crate::config::TelemetryConfig;

use super::{
    TelemetryError, export,
    instruments::{Instruments, Meter, SCOPE},
};

/// What is measured, and who reads it. Cheap to clone; clones are the same. By default nothing is measured.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    instruments: Instruments,
    provider: Option<SdkMeterProvider>,
    registry: Option<Registry>,
}

impl Metrics {
    /// Measures for a collector, if there is one, and for [`text`](Self::text), if it is `scraped`.
    ///
    /// # Errors
    /// When the collector's address or headers are none.
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

    /// Measures with a meter whose readers are somebody else's.
    pub fn with_meter(meter: &Meter) -> Self {
        Self {
            instruments: Instruments::new(meter),
            provider: None,
            registry: None,
        }
    }

    /// What is measured.
    pub fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    /// Everything that is measured, in the text format of Prometheus. None: nobody was to ask.
    pub fn text(&self) -> Option<Vec<u8>> {
        let registry = self.registry.as_ref()?;
        let mut text = Vec::new();
        // Writing to memory does not fail; a family that is none is left out.
        let _ = TextEncoder::new().encode(&registry.gather(), &mut text);
        Some(text)
    }

    /// The media type of [`text`](Self::text).
    pub const MEDIA_TYPE: &'static str = prometheus::TEXT_FORMAT;

    /// Sends what is left to the collector. Blocks.
    pub(super) fn shutdown(&self) {
        if let Some(provider) = &self.provider {
            let _ = provider.shutdown();
        }
    }
}
