//! The workloads that are compared.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_sdk_workspaces::config::{BehaviorVersion, Credentials, Region};
use sharewarden::domain::Timestamp;
use sharewarden_client::proto::v1::{
    GrantSharePermissionRequest, ListSharePermissionsRequest, RevokeSharePermissionRequest,
};
use sharewarden_client::{ShareStub, Stub};
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use uuid::Uuid;

use crate::{
    load::Workload,
    stack::{self, REGION, Stack},
};

mod naive;

pub(crate) use naive::{Batched, CONNECTIONS as POOL, Commit, Naive};

/// The caller of the service.
pub(crate) const PRINCIPAL: &str = "svc-image-pipeline";
const REASON: &str = "The base image of the quarter, for the workstations of the claims department";
const TICKET: &str = "CHG-2026-004711";

/// A recipient, a different one for each number.
fn recipient(number: u64) -> String {
    format!("2{number:011}")
}

/// The number of connections. A single one would limit a thousand calls in flight.
const CONNECTIONS: usize = 4;

pub(crate) async fn channels(stack: &Stack) -> Arc<[Channel]> {
    let endpoint = Endpoint::new(stack.address()).unwrap().tcp_nodelay(true);
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(endpoint.connect().await.unwrap());
    }
    channels.into()
}

pub(crate) fn as_bench<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let principal = PRINCIPAL.parse().unwrap();
    request.metadata_mut().insert("x-sharewarden-principal", principal);
    request.set_timeout(Duration::from_secs(60));
    request
}

/// A grant in the usual Region.
pub(crate) fn request(
    account_id: String,
    image_id: String,
    shared_account_id: String,
    request_id: Uuid,
) -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        account_id,
        region: REGION.into(),
        image_id,
        shared_account_id,
        reason: REASON.into(),
        ticket: TICKET.into(),
        request_id: request_id.to_string(),
        ..Default::default()
    }
}

/// The kind of call to the service.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Grant,
    /// Revokes each share that the warm-up granted, once.
    Revoke,
    /// Repeats one request.
    Replay,
    Denied,
    List,
}

/// Calls to the service.
#[derive(Clone)]
pub(crate) struct Grants {
    channels: Arc<[Channel]>,
    accounts: usize,
    kind: Kind,
    /// True if the recipients are accounts of the configuration, as policies demand.
    among_configured: bool,
    /// When the shares end.
    end: Option<pbjson_types::Timestamp>,
    /// The first recipient whose share is not revoked yet.
    revoked: Arc<AtomicU64>,
}

/// The number of shares that the warm-up grants for revokes.
const TO_REVOKE: u64 = 60_000;
const FIRST_TO_REVOKE: u64 = 50_000_000_000;
const REPLAYED: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

impl Grants {
    pub(crate) async fn new(stack: &Stack, accounts: usize, kind: Kind) -> Self {
        Self {
            channels: channels(stack).await,
            accounts,
            kind,
            among_configured: stack.has_policies(),
            end: None,
            revoked: Arc::new(AtomicU64::new(FIRST_TO_REVOKE)),
        }
    }

    /// The same, with shares that end at this time.
    pub(crate) fn until(self, end: Timestamp) -> Self {
        let end = end.to_offset_date_time();
        let end = pbjson_types::Timestamp {
            seconds: end.unix_timestamp(),
            nanos: 0,
        };
        Self { end: Some(end), ..self }
    }

    /// Makes `count` grants, with numbers from `first` on.
    pub(crate) async fn grant_many(&self, first: u64, count: u64) {
        let next = Arc::new(AtomicU64::new(first));
        let callers = (0..256).map(|_| {
            let (next, workload) = (next.clone(), self.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= first + count {
                        return;
                    }
                    workload.grant(number).await;
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
    }

    /// Makes what the run needs: a grant in each account, the shares to revoke, and the request to replay.
    pub(crate) async fn warm_up(&self) {
        let (first, count) = match self.kind {
            Kind::Grant => (90_000_000_000, self.accounts as u64),
            Kind::Revoke => (FIRST_TO_REVOKE, TO_REVOKE),
            Kind::Replay => (0, 1),
            Kind::Denied | Kind::List => return,
        };
        self.grant_many(first, count).await;
    }

    fn client(&self, number: u64) -> ShareStub {
        ShareStub::on(self.channels[number as usize % CONNECTIONS].clone().into())
    }

    fn recipient(&self, number: u64) -> String {
        match self.among_configured {
            true => stack::configured_recipient(number, self.accounts),
            false => recipient(number),
        }
    }

    async fn grant(&self, number: u64) {
        let (account_id, image_id) = stack::image(number, self.accounts);
        let request_id = match self.kind {
            Kind::Replay => REPLAYED,
            _ => Uuid::now_v7(),
        };
        let request = GrantSharePermissionRequest {
            expire_time: self.end,
            ..request(account_id, image_id, self.recipient(number), request_id)
        };
        self.client(number)
            .grant_share_permission(as_bench(request))
            .await
            .unwrap();
    }

    async fn revoke(&self) {
        let number = self.revoked.fetch_add(1, Ordering::Relaxed);
        assert!(number < FIRST_TO_REVOKE + TO_REVOKE, "all prepared shares are revoked");
        let (account_id, image_id) = stack::image(number, self.accounts);
        let request = RevokeSharePermissionRequest {
            account_id,
            region: REGION.into(),
            image_id,
            shared_account_id: self.recipient(number),
            reason: REASON.into(),
            request_id: Uuid::now_v7().to_string(),
            ..Default::default()
        };
        self.client(number)
            .revoke_share_permission(as_bench(request))
            .await
            .unwrap();
    }

    async fn grant_denied(&self, number: u64) {
        let request = GrantSharePermissionRequest {
            account_id: stack::denied(),
            region: REGION.into(),
            image_id: "wsi-000000000".into(),
            shared_account_id: recipient(number),
            reason: REASON.into(),
            ..Default::default()
        };
        let refused = self.client(number).grant_share_permission(as_bench(request)).await;
        assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    }

    async fn list(&self, number: u64) {
        let request = ListSharePermissionsRequest {
            account_id: stack::account(number as usize % self.accounts),
            page_size: 100,
            ..Default::default()
        };
        self.client(number)
            .list_share_permissions(as_bench(request))
            .await
            .unwrap();
    }
}

impl Workload for Grants {
    async fn call(&self, number: u64) -> u64 {
        match self.kind {
            Kind::Grant => self.grant(number).await,
            Kind::Replay => self.grant(0).await,
            Kind::Revoke => self.revoke().await,
            Kind::Denied => self.grant_denied(number).await,
            Kind::List => self.list(number).await,
        }
        1
    }
}

/// The call to AWS alone, as in the SDK's documentation.
#[derive(Clone)]
pub(crate) struct Bare(aws_sdk_workspaces::Client);

impl Bare {
    pub(crate) async fn new(stack: &Stack) -> Self {
        let account = stack::account(0);
        let key = format!("AKIA{account}");
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(key, "any", None, None, "bench"))
            .endpoint_url(&stack.simulator_url)
            .load()
            .await;
        Self(aws_sdk_workspaces::Client::new(&config))
    }
}

impl Workload for Bare {
    async fn call(&self, number: u64) -> u64 {
        let (_, image) = stack::image(number, 1);
        let request = self.0.update_workspace_image_permission();
        let request = request
            .image_id(image)
            .allow_copy_image(true)
            .shared_account_id(recipient(number));
        request.send().await.unwrap();
        1
    }
}

/// A health check of the service: little more than the round trip.
#[derive(Clone)]
pub(crate) struct Empty(Arc<[Channel]>);

impl Empty {
    pub(crate) async fn new(stack: &Stack) -> Self {
        Self(channels(stack).await)
    }
}

impl Workload for Empty {
    async fn call(&self, number: u64) -> u64 {
        let mut client = HealthClient::new(self.0[number as usize % CONNECTIONS].clone());
        client.check(HealthCheckRequest::default()).await.unwrap();
        1
    }
}
