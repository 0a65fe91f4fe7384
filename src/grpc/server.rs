//! The gRPC server: its services and the layers in front of them.

use std::{any::Any, future::Future, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, codec::CompressionEncoding, server::NamedService, service::Routes};
use tonic_web::GrpcWebLayer;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    clock::Clock,
    config::ServerConfig,
    edge::{
        Authenticator, CountRefused, RefusedCallers, ServerTls,
        admission::{Admission, AdmissionRules, Guarded},
        answers::Answers,
        limits::Limits,
        listener::{HttpListener, ListenerSettings, Tls},
        observation::ObservationLayer,
        quota::{QuotaSettings, Quotas},
    },
    policy::Policy,
    proto::v1::{
        access_service_server::AccessServiceServer,
        audit_service_server::AuditServiceServer,
        drift_service_server::DriftServiceServer,
        share_permission_service_server::{SharePermissionService, SharePermissionServiceServer},
    },
    telemetry::Instruments,
};

use super::{
    access_service::AccessApi,
    audit::AuditApi,
    call::{CallLayer, CallsInProgress},
    code, cors,
    drift_service::DriftApi,
    health::Health,
    reflection::{self, Reflection},
    rpcs::Rpc,
    service::ShareService,
    status,
};

/// How long a response may take to reach the socket.
const RESPONSE_SEND_TIME: Duration = Duration::from_millis(500);

/// How long an HTTP/1.1 connection may be idle between two calls.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long streams may take to end once the server shuts down.
const STREAM_DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

fn listener(settings: &ServerConfig) -> ListenerSettings {
    ListenerSettings {
        max_connections: settings.max_connections,
        handshake_timeout: settings.handshake_timeout,
        head_timeout: HEAD_TIMEOUT,
        max_head_bytes: settings.max_header_size,
        max_concurrent_streams: settings.max_calls_per_connection,
        keepalive_interval: settings.keepalive_interval,
        keepalive_timeout: settings.keepalive_timeout,
        unread_timeout: settings.unread_timeout,
        // A watch may last for days.
        max_age: None,
    }
}

/// What the server serves.
pub struct Services<S = ShareService> {
    /// `SharePermissionService`.
    pub share_permissions: S,
    /// `AuditService`.
    pub audit: AuditApi,
    /// `AccessService`.
    pub access: AccessApi,
    /// `DriftService`.
    pub drift: DriftApi,
    /// Authenticates callers.
    pub authenticator: Authenticator,
    /// Authorizes callers.
    pub policy: Policy,
    /// The TLS settings. None: plain text.
    pub tls: Option<ServerTls>,
    /// Counts callers that failed authentication or authorization.
    pub count_refused: CountRefused,
    /// The health service.
    pub health: Health,
    /// Measures the duration of calls.
    pub clock: Clock,
    /// Records the metrics of calls.
    pub instruments: Instruments,
    /// Limits and timeouts of connections and calls.
    pub settings: ServerConfig,
    /// The latest response to a call, counted from its arrival, whatever its deadline.
    pub max_call_duration: Duration,
}

/// Serves on `socket` until `shutdown` completes. Then drains: waits for the calls in progress, at most
/// `settings.shutdown_grace`.
///
/// Native gRPC over HTTP/2 and gRPC-Web over HTTP/1.1 share the port, with health and reflection.
pub async fn serve<S: SharePermissionService>(
    socket: TcpListener,
    services: Services<S>,
    shutdown: impl Future<Output = ()>,
) {
    let (clock, settings) = (services.clock.clone(), services.settings.clone());
    let (draining, in_progress) = (CancellationToken::new(), CallsInProgress::default());
    let refused = RefusedCallers::new(services.count_refused.clone(), clock.clone());
    let answers = Answers::new(settings.max_unsent_bytes, &services.instruments);
    let listener = HttpListener {
        socket,
        answers: answers.clone(),
        settings: listener(&settings),
        tls: services.tls.clone().map(|server| Tls {
            server,
            refused: refused.clone(),
        }),
        clock: clock.clone(),
    };
    let limits = Limits::new(settings.max_calls, settings.max_open_streams, &clock);
    let observation = ObservationLayer {
        protocol: &code::OBSERVED,
        instruments: services.instruments.clone(),
        clock: clock.clone(),
    };
    let calls = CallLayer {
        clock: clock.clone(),
        in_progress: in_progress.clone(),
        limits: limits.clone(),
        max_duration: services.max_call_duration,
    };
    // From the outside in: CORS, gRPC-Web to gRPC, metrics, the timeout and the span of a call, and the conversion of a panic to
    // a status.
    let service = ServiceBuilder::new()
        .layer(cors::layer(&settings.allowed_origins))
        .layer(GrpcWebLayer::new())
        .layer(observation)
        .layer(calls)
        .layer(CatchPanicLayer::custom(panic_response))
        .service(routes(services, limits, refused, answers).prepare());
    let stopping = async {
        shutdown.await;
        draining.cancel();
        std::future::pending().await
    };
    tokio::select! {
        () = listener.serve(service, draining.clone()) => {}
        () = drain(&draining, &in_progress, &clock, &settings) => {}
        never = stopping => never,
    }
}

/// Returns when the drain is over, although connections may be open.
async fn drain(draining: &CancellationToken, in_progress: &CallsInProgress, clock: &Clock, settings: &ServerConfig) {
    draining.cancelled().await;
    let overdue = clock.sleep(settings.shutdown_grace);
    // Streams end by themselves at shutdown, except a stream whose reader does not read. The drain does not wait for those.
    let only_streams_are_left = async {
        clock.sleep(STREAM_DRAIN_TIMEOUT.min(settings.shutdown_grace)).await;
        in_progress.wait_for_none().await;
        // The last response may not have reached the socket yet.
        clock.sleep(RESPONSE_SEND_TIME).await;
    };
    tokio::select! {
        () = only_streams_are_left => {
            tracing::warn!("streams were still open after all other calls had ended: the server closes them");
        }
        () = overdue => {
            tracing::warn!("calls were still in progress at the end of the grace period: the server closes them");
        }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

fn routes<S: SharePermissionService>(
    services: Services<S>,
    limits: Limits,
    refused: RefusedCallers,
    answers: Answers,
) -> Routes {
    let settings = &services.settings;
    let admission = Admission::new(AdmissionRules {
        authenticator: services.authenticator,
        policy: services.policy,
        quotas: Quotas::new(
            QuotaSettings {
                calls: settings.max_calls_per_principal,
                streams: settings.max_open_streams_per_principal,
                calls_per_second: settings.calls_per_second_per_principal,
                unsent_bytes: settings.max_unsent_bytes_per_principal,
            },
            &services.clock,
        ),
        answers,
        limits,
        refused,
        allowed_origins: settings.allowed_origins.clone(),
        method: |path| Rpc::at(path).admission(),
        answer: status::not_admitted,
    });
    let share_permissions = SharePermissionServiceServer::new(services.share_permissions)
        .max_decoding_message_size(settings.max_message_size)
        .accept_compressed(CompressionEncoding::Gzip);
    let audit = AuditServiceServer::new(services.audit)
        .max_decoding_message_size(settings.max_message_size)
        .accept_compressed(CompressionEncoding::Gzip);
    let access = AccessServiceServer::new(services.access)
        .max_decoding_message_size(settings.max_message_size)
        .accept_compressed(CompressionEncoding::Gzip);
    let drift = DriftServiceServer::new(services.drift)
        .max_decoding_message_size(settings.max_message_size)
        .accept_compressed(CompressionEncoding::Gzip);
    let reflection = Reflection::new();
    Routes::new(admission.before(share_permissions))
        .add_service(admission.before(audit))
        .add_service(admission.before(access))
        .add_service(admission.before(drift))
        .add_service(services.health.service())
        .add_service(reflection::v1::ServerReflectionServer::new(reflection.clone()))
        .add_service(reflection::v1alpha::ServerReflectionServer::new(reflection))
}

/// The caller does not get the message of the panic. The panic hook of the process has logged it.
fn panic_response(_: Box<dyn Any + Send>) -> http::Response<Body> {
    tracing::error!("a handler panicked");
    status::internal_error().into_status().into_http()
}
