//! A server with the real edge, and a service that answers without a store.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use sharewarden::{
    audit::{Audit, CheckpointKeys, KnownCheckpoints, Tail},
    clock::Clock,
    config::{CommitterConfig, DatabaseConfig, ForwarderConfig, RoleConfig, ServerConfig},
    domain::{Principal, ReplicaId},
    drift::DriftQueries,
    edge::ServerTls,
    grpc::{AccessApi, AuditApi, Authenticator, DriftApi, Health, PRINCIPAL, Services, serve},
    ledger::SigningKey,
    policy::{Policy, PolicySet, roles::Role},
    probe::Readiness,
    proto::v1::{
        share_permission_service_client::SharePermissionServiceClient,
        share_permission_service_server::SharePermissionService, *,
    },
    store::{Committer, Database, Notifications},
    telemetry::Instruments,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, transport::Channel};

/// A committer whose database does not exist.
fn storeless_committer() -> Committer {
    let (work, _) = mpsc::unbounded_channel();
    let clock = Clock::system();
    Committer::start(
        &storeless_audit().database,
        CommitterConfig::default(),
        &ForwarderConfig::default(),
        ReplicaId(clock.uuid()),
        &clock,
        &Notifications::default(),
        &work,
    )
    .unwrap()
}

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) health: Health,
    pub(crate) readiness: Readiness,
    /// Notified when a call that never ends has begun.
    pub(crate) endless: Arc<Notify>,
    refused: Arc<Mutex<Vec<&'static str>>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(ServerConfig::default()).await
    }

    pub(crate) async fn start_with(settings: ServerConfig) -> Self {
        Self::start_guarded(settings, Guard::default()).await
    }

    pub(crate) async fn start_guarded(settings: ServerConfig, guard: Guard) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Readiness::new(Instruments::default());
        let health = Health::new(readiness.clone()).await;
        let endless = Arc::new(Notify::new());
        let refused: Arc<Mutex<Vec<&'static str>>> = Arc::default();
        let counted = refused.clone();
        let policy = Policy::new(PolicySet::new([], guard.roles));
        let services = Services {
            share_permissions: Storeless {
                endless: endless.clone(),
            },
            access: AccessApi::new(policy.clone(), [], Clock::system(), Duration::from_secs(1)),
            drift: DriftApi::new(
                DriftQueries::new(storeless_audit().database, storeless_committer(), [], []),
                Clock::system(),
                Duration::from_secs(1),
            ),
            audit: AuditApi::new(storeless_audit(), policy.clone(), Duration::from_secs(1)),
            authenticator: guard.authenticator,
            policy,
            tls: guard.tls,
            count_refused: Arc::new(move |reason| counted.lock().unwrap().push(reason)),
            health: health.clone(),
            clock: Clock::system(),
            instruments: Instruments::default(),
            settings,
            max_call_duration: guard.max_call_duration,
        };
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, services, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            health,
            readiness,
            endless,
            refused,
            stop,
            serving,
        }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// A connection from another loopback address, which is another network.
    pub(crate) async fn channel_from(&self, address: [u8; 4]) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.local_address(Some(address.into())).connect().await.unwrap()
    }

    pub(crate) async fn client(&self) -> SharePermissionServiceClient<Channel> {
        SharePermissionServiceClient::new(self.channel().await)
    }

    /// The reasons of refusals since the last call of this function.
    pub(crate) fn refused(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.refused.lock().unwrap())
    }

    /// Waits until a caller was refused for this reason.
    pub(crate) async fn refused_for(&self, reason: &'static str) {
        let refused = async {
            while !self.refused.lock().unwrap().contains(&reason) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), refused)
            .await
            .unwrap_or_else(|_| panic!("{reason} is not among {:?}", self.refused()));
        self.refused.lock().unwrap().clear();
    }

    /// Shuts down and waits for the end. Clients must be dropped before.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.serving).await;
        ended.expect("the server drains").unwrap();
    }
}

/// How callers are authenticated, and what they may do.
pub(crate) struct Guard {
    pub(crate) authenticator: Authenticator,
    pub(crate) roles: Vec<RoleConfig>,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) max_call_duration: Duration,
}

/// A caller that names a principal may do everything.
impl Default for Guard {
    fn default() -> Self {
        Self {
            authenticator: Authenticator {
                certificates: false,
                tokens: None,
                trusted_header: true,
                clock: Clock::system(),
            },
            roles: vec![binding("*", Role::ALL)],
            tls: None,
            max_call_duration: Duration::from_secs(35),
        }
    }
}

pub(crate) fn binding(principal: &str, roles: &[Role]) -> RoleConfig {
    RoleConfig::of(principal.parse().unwrap(), roles.iter().copied())
}

/// A request of a caller that names its principal.
pub(crate) fn from_tester<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(PRINCIPAL, "tester".parse().unwrap());
    request
}

/// The audit use cases on an unreachable store.
fn storeless_audit() -> Audit {
    let settings = DatabaseConfig {
        url: "postgres://nobody@127.0.0.1:1/none".to_owned().into(),
        max_connections: 1,
        acquire_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(1),
    };
    let key = SigningKey::from_seed("sharewarden.test".parse().unwrap(), &[7; 32]);
    Audit {
        database: Database::new(&settings, &Clock::system()).unwrap(),
        clock: Clock::system(),
        tail: Tail::default(),
        keys: CheckpointKeys::new(key, Vec::new(), Vec::new()),
        known: KnownCheckpoints::default(),
        stop: CancellationToken::new(),
    }
}

/// Answers every call with success, but panics in GetSharePermission and never answers GetChange.
struct Storeless {
    endless: Arc<Notify>,
}

#[tonic::async_trait]
impl SharePermissionService for Storeless {
    async fn grant_share_permission(
        &self,
        request: Request<GrantSharePermissionRequest>,
    ) -> Result<Response<GrantSharePermissionResponse>, Status> {
        let principal: Option<&Principal> = request.extensions().get();
        Ok(Response::new(GrantSharePermissionResponse {
            change: Some(Change {
                principal: principal.unwrap().to_string(),
                ..Change::default()
            }),
            ..GrantSharePermissionResponse::default()
        }))
    }

    async fn revoke_share_permission(
        &self,
        _: Request<RevokeSharePermissionRequest>,
    ) -> Result<Response<RevokeSharePermissionResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_share_permission(
        &self,
        _: Request<GetSharePermissionRequest>,
    ) -> Result<Response<GetSharePermissionResponse>, Status> {
        panic!("hunter2")
    }

    async fn list_share_permissions(
        &self,
        _: Request<ListSharePermissionsRequest>,
    ) -> Result<Response<ListSharePermissionsResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn get_change(&self, _: Request<GetChangeRequest>) -> Result<Response<GetChangeResponse>, Status> {
        self.endless.notify_one();
        std::future::pending().await
    }

    async fn list_changes(&self, _: Request<ListChangesRequest>) -> Result<Response<ListChangesResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn list_images(&self, _: Request<ListImagesRequest>) -> Result<Response<ListImagesResponse>, Status> {
        Ok(Response::new(Default::default()))
    }

    async fn explain_policy(
        &self,
        _: Request<ExplainPolicyRequest>,
    ) -> Result<Response<ExplainPolicyResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}
