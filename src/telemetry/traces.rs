//! Spans on their way to a collector: which of them, and how many may wait.

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

/// So many ended spans may wait for the collector; more are dropped.
const MAX_QUEUED_SPANS: usize = 16_384;

/// So many spans are sent at once.
const MAX_SPANS_PER_EXPORT: usize = 512;

/// How often what waits is sent.
const EXPORT_INTERVAL: Duration = Duration::from_secs(1);

/// A batch of the committer is linked to each of its commands.
const MAX_LINKS: u32 = 4096;

/// Which part of the traces that begin here is sent. None: none.
static SAMPLE_RATIO: OnceLock<f64> = OnceLock::new();

/// True when there is a collector.
pub(super) fn has_collector() -> bool {
    SAMPLE_RATIO.get().is_some()
}

/// Whether a trace of this id would be sent if it began here. The same on all replicas with the same ratio.
pub(super) fn would_sample(trace: TraceId) -> bool {
    SAMPLE_RATIO.get().is_some_and(|ratio| {
        let sampler = Sampler::TraceIdRatioBased(*ratio);
        let result = sampler.should_sample(None, trace, "", &SpanKind::Internal, &[], &[]);
        result.decision == opentelemetry_sdk::trace::SamplingDecision::RecordAndSample
    })
}

/// What sends spans, if there is a collector.
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

/// Makes spans of ours spans of OpenTelemetry. Nobody else's: the exporter's own would be endless, and libraries' hold secrets.
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

/// A trace that a caller began goes on as they decided; one that begins here is sent by the ratio. A span without a parent that
/// exists for the sake of others, such as a batch, is made only when one of these is sent, and then it is sent too.
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
