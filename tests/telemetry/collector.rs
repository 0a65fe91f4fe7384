//! A collector that accepts OTLP over gRPC and keeps what it receives.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::Metric,
    trace::v1::Span,
};
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A running collector. It stops when dropped.
pub(crate) struct Collector {
    pub(crate) url: String,
    kept: Kept,
    server: AbortHandle,
}

#[derive(Clone, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<Metric>>>,
    senders: Arc<Mutex<Vec<Sender>>>,
}

/// The resource attributes of a sender, and its `api-key` header.
type Sender = (Vec<KeyValue>, Option<String>);

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = Kept::default();
        let serving = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(kept.clone()))
            .add_service(MetricsServiceServer::new(kept.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(serving).abort_handle();
        Self { url, kept, server }
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.spans.lock().unwrap().clone()
    }

    /// The one span of this name.
    pub(crate) fn span(&self, name: &str) -> Span {
        let mut named = self.spans_named(name);
        assert_eq!(named.len(), 1, "{name}: {:?}", self.names());
        named.remove(0)
    }

    /// The spans of this name, in the order of their start.
    pub(crate) fn spans_named(&self, name: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| span.name == name);
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }

    fn names(&self) -> Vec<String> {
        self.spans().into_iter().map(|span| span.name).collect()
    }

    /// The last export of a metric.
    pub(crate) fn metric(&self, name: &str) -> Option<Metric> {
        let metrics = self.kept.metrics.lock().unwrap();
        metrics.iter().rev().find(|metric| metric.name == name).cloned()
    }

    /// The senders of all exports.
    pub(crate) fn senders(&self) -> Vec<Sender> {
        self.kept.senders.lock().unwrap().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Kept {
    fn note_sender<T>(&self, request: &Request<T>, attributes: Option<Vec<KeyValue>>) {
        let header = request.metadata().get("api-key");
        let header = header.map(|value| value.to_str().unwrap().to_owned());
        self.senders
            .lock()
            .unwrap()
            .push((attributes.unwrap_or_default(), header));
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resource = request.get_ref().resource_spans.first();
        let resource = resource.and_then(|spans| spans.resource.clone());
        self.note_sender(&request, resource.map(|resource| resource.attributes));
        let scopes = request.into_inner().resource_spans.into_iter();
        let spans = scopes
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans);
        self.spans.lock().unwrap().extend(spans);
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Kept {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let resource = request.get_ref().resource_metrics.first();
        let resource = resource.and_then(|metrics| metrics.resource.clone());
        self.note_sender(&request, resource.map(|resource| resource.attributes));
        let scopes = request.into_inner().resource_metrics.into_iter();
        let metrics = scopes
            .flat_map(|resource| resource.scope_metrics)
            .flat_map(|scope| scope.metrics);
        self.metrics.lock().unwrap().extend(metrics);
        Ok(Response::new(Default::default()))
    }
}

/// The value of an attribute, as a text.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    let AnyValue { value } = found.value.as_ref()?;
    Some(match value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(is) => is.to_string(),
        other => panic!("{key}: {other:?}"),
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
