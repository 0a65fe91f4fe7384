//! The export of spans to the collector: sampling and batching.

use std::{sync::OnceLock, time::Duration};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceId, TracerProvider},
};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SamplingResult, SdkTracerProvider, ShouldSample,
};
use tracing::Subscriber;
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    registry::LookupSpan,
};

use crate::config::TelemetryConfig;

use super::{TelemetryError, export, instruments::SCOPE};

/// Maximum ended spans that wait for an export; further ones are dropped.
const MAX_QUEUED_SPANS: usize = 16_384;

/// Maximum spans in one export.
const MAX_SPANS_PER_EXPORT: usize = 512;

/// Time between two exports.
const EXPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum links of a span. The committer links a batch to each of its commands.
const MAX_LINKS: u32 = 4096;

/// `telemetry.sample_ratio`. Empty without a collector.
static SAMPLE_RATIO: OnceLock<f64> = OnceLock::new();

/// True if a collector is configured.
pub(super) fn has_collector() -> bool {
    SAMPLE_RATIO.get().is_some()
}

/// True if a new trace with this id would be sampled. The result is the same on all replicas with the same ratio.
pub(super) fn would_sample(trace: TraceId) -> bool {
    SAMPLE_RATIO.get().is_some_and(|ratio| {
        let sampler = Sampler::TraceIdRatioBased(*ratio);
        let result = sampler.should_sample(None, trace, "", &SpanKind::Internal, &[], &[]);
        result.decision == opentelemetry_sdk::trace::SamplingDecision::RecordAndSample
    })
}

/// The provider that exports spans. `None`: no collector is configured.
pub(super) fn provider(config: &TelemetryConfig) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    let Some(exporter) = export::spans(config)? else {
        return Ok(None);
    };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(MAX_QUEUED_SPANS)
        .with_max_export_batch_size(MAX_SPANS_PER_EXPORT)
        .with_scheduled_delay(EXPORT_INTERVAL)
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
        .with_sampler(LinkAwareSampler {
            root: Sampler::TraceIdRatioBased(config.sample_ratio),
        })
        .with_max_links_per_span(MAX_LINKS)
        .with_resource(export::resource(config))
        .build();
    let _ = SAMPLE_RATIO.set(config.sample_ratio);
    Ok(Some(provider))
}

/// The layer that exports this service's spans. Others are left out: libraries' spans contain secrets, and exporting the
/// exporter's spans would never end.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(SCOPE))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_error_events_to_exceptions(false)
        .with_error_events_to_status(false)
        .with_filter(Targets::new().with_target("sharewarden", LevelFilter::INFO))
}

/// A trace with a remote parent keeps the caller's decision. A new trace is sampled by the ratio. A root span with links (a
/// batch) is sampled if one of the linked spans is.
#[derive(Debug, Clone)]
struct LinkAwareSampler {
    root: Sampler,
}

impl ShouldSample for LinkAwareSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let root = if links.iter().any(|link| link.span_context.is_sampled()) {
            Sampler::AlwaysOn
        } else {
            self.root.clone()
        };
        Sampler::ParentBased(Box::new(root)).should_sample(parent, trace, name, kind, attributes, links)
    }
}
