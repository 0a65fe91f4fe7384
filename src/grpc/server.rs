//! The server: which services answer, behind which layers.

use std::{any::Any, future::Future, time::Duration};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, codec::CompressionEncoding, server::NamedService, service::Routes};
use tonic_reflection::server::Builder as Reflection;
use tonic_web::GrpcWebLayer;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    clock::Clock,
    config::ServerConfig,
    edge::{
        Authenticator, CountRefused, RefusedCallers, ServerTls,
        admission::{Admission, AdmissionRules, Guarded},
        limits::Limits,
        listener::{HttpListener, ListenerSettings, Tls},
        observation::ObservationLayer,
        quota::Quotas,
    },
    policy::Policy,
    proto::{
        self,
        v1::{
            audit_service_server::AuditServiceServer,
            share_permission_service_server::{SharePermissionService, SharePermissionServiceServer},
        },
    },
    telemetry::Instruments,
};

use super::{
    audit::AuditApi,
    call::{CallLayer, UnderWay},
    code, cors,
    health::Health,
    rpcs::Rpc,
    service::ShareService,
    status,
};

/// How long an answer takes to reach the socket.
const TIME_TO_SEND: Duration = Duration::from_millis(500);

/// How long a browser's connection may rest between two calls.
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
    /// Who tells who calls.
    pub authenticator: Authenticator,
    /// What they may do.
    pub policy: Policy,
    /// What makes TLS of connections, if anything does.
    pub tls: Option<ServerTls>,
    /// Counts callers that were refused.
    pub count_refused: CountRefused,
    /// What the health service tells.
    pub health: Health,
    /// Says how long calls take.
    pub clock: Clock,
    /// Measures calls.
    pub instruments: Instruments,
    /// How to talk to clients.
    pub settings: ServerConfig,
    /// A call is answered after this time at the latest, whatever its deadline.
    pub longest_call: Duration,
}

/// Serves on `socket` until `shutdown` is over; then ends when the calls under way have, or when the time for that is up.
///
/// Native gRPC over HTTP/2 and gRPC-Web over HTTP/1.1, with health and reflection, on the same port.
pub async fn serve<S: SharePermissionService>(
    socket: TcpListener,
    services: Services<S>,
    shutdown: impl Future<Output = ()>,
) {
    let (clock, settings) = (services.clock.clone(), services.settings.clone());
    let (draining, under_way) = (CancellationToken::new(), UnderWay::default());
    let refused = RefusedCallers::new(services.count_refused.clone(), clock.clone());
    let listener = HttpListener {
        socket,
        settings: listener(&settings),
        tls: services.tls.clone().map(|server| Tls {
            server,
            refused: refused.clone(),
        }),
    };
    let observation = ObservationLayer {
        protocol: &code::OBSERVED,
        instruments: services.instruments.clone(),
        clock: clock.clone(),
    };
    let calls = CallLayer {
        clock: clock.clone(),
        under_way: under_way.clone(),
        limits: Limits::new(settings.max_calls, settings.max_open_streams),
        longest: services.longest_call,
    };
    // From the outside in: browsers are told what they may do, gRPC-Web is made gRPC, then the call is observed and watched, and
    // a panic is an answer like any other.
    let service = ServiceBuilder::new()
        .layer(cors::layer(&settings.allowed_origins))
        .layer(GrpcWebLayer::new())
        .layer(observation)
        .layer(calls)
        .layer(CatchPanicLayer::custom(answer_to_panic))
        .service(routes(services, refused).prepare());
    let stopping = async {
        shutdown.await;
        draining.cancel();
        std::future::pending().await
    };
    tokio::select! {
        () = listener.serve(service, draining.clone()) => {}
        () = drained(&draining, &under_way, &clock, &settings) => {}
        never = stopping => never,
    }
}

/// Ends when no connection is waited for any more, though some are open.
async fn drained(draining: &CancellationToken, under_way: &UnderWay, clock: &Clock, settings: &ServerConfig) {
    draining.cancelled().await;
    let overdue = clock.sleep(settings.shutdown_grace);
    // Streams end by themselves; one whose reader takes nothing cannot be told so, and is not waited for.
    let only_streams_are_left = async {
        clock.sleep(STREAM_DRAIN_TIMEOUT.min(settings.shutdown_grace)).await;
        under_way.none().await;
        // An answer that was made is on its way yet.
        clock.sleep(TIME_TO_SEND).await;
    };
    tokio::select! {
        () = only_streams_are_left => {
            tracing::warn!("streams were still open when every other call was over");
        }
        () = overdue => {
            tracing::warn!("calls were still under way when the time for them to end was up");
        }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

fn routes<S: SharePermissionService>(services: Services<S>, refused: RefusedCallers) -> Routes {
    let settings = &services.settings;
    let admission = Admission::new(AdmissionRules {
        authenticator: services.authenticator,
        policy: services.policy,
        quotas: Quotas::new(
            settings.max_calls_per_principal,
            settings.calls_per_second_per_principal,
            &services.clock,
        ),
        refused,
        allowed_origins: settings.allowed_origins.clone(),
        operation: |path| Rpc::at(path).operation,
        answer: status::not_admitted,
    });
    let share_permissions = SharePermissionServiceServer::new(services.share_permissions)
        .max_decoding_message_size(settings.max_message_size)
        .accept_compressed(CompressionEncoding::Gzip);
    let audit = AuditServiceServer::new(services.audit)
        .max_decoding_message_size(settings.max_message_size)
        .accept_compressed(CompressionEncoding::Gzip);
    Routes::new(admission.before(share_permissions))
        .add_service(admission.before(audit))
        .add_service(services.health.service())
        .add_service(reflection().build_v1().expect(READABLE))
        .add_service(reflection().build_v1alpha().expect(READABLE))
}

const READABLE: &str = "the descriptors are compiled in, and a test reads them";

/// Describes our services, health, and the details of errors, so that tools can print them.
fn reflection() -> Reflection<'static> {
    Reflection::configure()
        .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// What the panic says stays here: the hook of the process has printed it.
fn answer_to_panic(_: Box<dyn Any + Send>) -> http::Response<Body> {
    tracing::error!("a handler panicked");
    status::fault().into_status().into_http()
}
