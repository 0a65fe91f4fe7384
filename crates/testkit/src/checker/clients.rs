//! Clients that grant and revoke at random through any replica: with short deadlines, cancelled calls, repeated
//! request ids, and request ids reused for other content.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use sharewarden_client::proto::v1::{
    GetChangeRequest, GrantSharePermissionRequest, RevokeSharePermissionRequest,
    share_permission_service_client::SharePermissionServiceClient,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::{
    check::resolves,
    history::{ChangeRead, ImagePermission, RpcOutcome, RpcRecord, ShareAction, ShareRequest},
};
use crate::credentials::now;

/// The current channel of each replica.
pub type Channels = Vec<watch::Receiver<Option<Channel>>>;

/// The number and the channel of a replica that runs, chosen at random.
fn any_running(channels: &Channels, rng: &mut Rng) -> Option<(usize, Channel)> {
    let running = channels.iter().enumerate();
    let running = running.filter_map(|(number, channel)| Some((number, channel.borrow().clone()?)));
    rng.choice(running.collect::<Vec<_>>())
}

/// What all clients observed.
#[derive(Debug, Default)]
pub struct Recorder {
    pub answers: Mutex<Vec<RpcRecord>>,
    pub readings: Mutex<Vec<ChangeRead>>,
}

pub struct RandomClient {
    pub rng: Rng,
    pub channels: Channels,
    /// Permissions that are changed all the time.
    pub permissions: Vec<ImagePermission>,
    /// Permissions that are changed so seldom that their shares end.
    pub quiet_permissions: Vec<ImagePermission>,
    /// Permissions that somebody also changes past the service.
    pub outside_permissions: Vec<ImagePermission>,
    /// True if half of the grants have an end.
    pub grants_for_a_time: bool,
    pub recorder: Arc<Recorder>,
    /// The latest requests, to be repeated.
    pub asked: Vec<ShareRequest>,
    /// The requests that got an error, or no answer, and are repeated until they are resolved.
    pub unresolved: Vec<ShareRequest>,
    /// Account and id of changes in responses.
    pub heard: Vec<(String, String)>,
}

/// Maximum number of requests, and of changes, that a client remembers.
const MEMORY: usize = 200;

/// A client with this number of unresolved requests makes no new ones.
const MAX_UNRESOLVED: usize = 20;

/// Minimum TTL of a grant in milliseconds: that of the service.
const SHORTEST_TTL: i64 = 1_000;

/// Maximum TTL of a grant in milliseconds.
pub const LONGEST_TTL: i64 = 8_000;

/// Longer than any server delays a response.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Maximum time until a request is resolved after healing.
const HEALED_TIMEOUT: Duration = Duration::from_secs(60);

impl RandomClient {
    /// Sends requests until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            let unresolved = self.unresolved.len();
            let repeats = unresolved >= MAX_UNRESOLVED || (unresolved > 0 && self.rng.bool());
            match self.rng.u32(..100) {
                _ if repeats => {
                    let request = self.unresolved.swap_remove(self.rng.usize(..unresolved));
                    self.ask_somehow(request).await;
                }
                0..65 => {
                    let request = self.random_request();
                    self.ask_somehow(request).await;
                }
                65..82 => {
                    if let Some(request) = self.rng.choice(&self.asked).cloned() {
                        self.ask_somehow(request).await;
                    }
                }
                82..88 => {
                    if let Some(request) = self.rng.choice(&self.asked).cloned() {
                        let request = self.with_other_content(request);
                        self.ask_somehow(request).await;
                    }
                }
                _ => self.read().await,
            }
            tokio::time::sleep(Duration::from_millis(self.rng.u64(..40))).await;
        }
        self
    }

    /// Repeats all requests with a long timeout. An accepted request gets the recorded result.
    pub async fn ask_again(mut self) {
        let unresolved = std::mem::take(&mut self.unresolved);
        for request in self.asked.clone().into_iter().chain(unresolved) {
            let until_resolved = async {
                while !self.ask(request.clone(), TIMEOUT).await {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            // The check finds a request without an answer that resolves it.
            let _ = tokio::time::timeout(HEALED_TIMEOUT, until_resolved).await;
        }
    }

    fn random_request(&mut self) -> ShareRequest {
        let permissions = match self.rng.u32(..96) {
            0..16 => &self.quiet_permissions,
            // So seldom that a difference is there for longer than it takes to be found.
            16 if !self.outside_permissions.is_empty() => &self.outside_permissions,
            _ => &self.permissions,
        };
        let permission = self.rng.choice(permissions).unwrap().clone();
        let action = if self.rng.bool() {
            ShareAction::Grant
        } else {
            ShareAction::Revoke
        };
        let request = ShareRequest {
            request_id: Uuid::from_u128(self.rng.u128(..)).to_string(),
            permission,
            action,
            ttl: (self.grants_for_a_time && action.allows() && self.rng.bool()).then(|| self.random_ttl()),
            reason: "a trial".into(),
            ticket: self.rng.bool().then(|| "CHG-1".into()),
        };
        if self.asked.len() == MEMORY {
            self.asked.remove(0);
        }
        self.asked.push(request.clone());
        request
    }

    /// Often the shortest one, so that shares end before another change.
    fn random_ttl(&mut self) -> time::Duration {
        let longest = if self.rng.bool() { LONGEST_TTL } else { SHORTEST_TTL };
        time::Duration::milliseconds(self.rng.i64(SHORTEST_TTL..=longest))
    }

    /// Other content under the same request id.
    fn with_other_content(&mut self, mut request: ShareRequest) -> ShareRequest {
        match self.rng.u32(..3) {
            0 => request.reason = "another reason".into(),
            1 if request.ttl.is_some() => request.ttl = None,
            _ => {
                request.ttl = None;
                request.action = if request.action.allows() {
                    ShareAction::Revoke
                } else {
                    ShareAction::Grant
                }
            }
        }
        request
    }

    /// Asks, and remembers the request if it is not resolved.
    async fn ask_somehow(&mut self, request: ShareRequest) {
        let deadline = match self.rng.u32(..10) {
            0..3 => self.rng.u64(20..300),
            3..5 => self.rng.u64(300..2_000),
            _ => 5_000,
        };
        let is_resolved = match self.rng.u32(..10) {
            0 => {
                let leaves = Duration::from_millis(self.rng.u64(1..500));
                // Cancels only this call. The connection stays open.
                let asked = tokio::time::timeout(leaves, self.ask(request.clone(), TIMEOUT)).await;
                asked.unwrap_or(false)
            }
            _ => self.ask(request.clone(), Duration::from_millis(deadline)).await,
        };
        if !is_resolved {
            self.unresolved.push(request);
        }
    }

    /// True if the answer resolves the request.
    async fn ask(&mut self, request: ShareRequest, deadline: Duration) -> bool {
        let Some((replica, channel)) = any_running(&self.channels, &mut self.rng) else {
            return false;
        };
        let mut client = SharePermissionServiceClient::new(channel);
        let asked_at = now();
        let told = match request.action {
            ShareAction::Grant => {
                let message = with_deadline(grant(&request), deadline);
                let answer = client.grant_share_permission(message).await;
                answer.map(|answer| answer.into_inner().change)
            }
            ShareAction::Revoke => {
                let message = with_deadline(revoke(&request), deadline);
                let answer = client.revoke_share_permission(message).await;
                answer.map(|answer| answer.into_inner().change)
            }
        };
        let told = match told {
            Ok(change) => RpcOutcome::Ok {
                change_id: change.unwrap().change_id,
            },
            Err(status) => refused(&status),
        };
        let answer = RpcRecord {
            request,
            replica,
            asked_at,
            answered_at: now(),
            told,
        };
        self.remember(&answer);
        let is_resolved = resolves(&answer.told);
        self.recorder.answers.lock().unwrap().push(answer);
        is_resolved
    }

    fn remember(&mut self, answer: &RpcRecord) {
        let known = match &answer.told {
            RpcOutcome::Ok { change_id } => Some(change_id),
            RpcOutcome::Refused { change_id, reason, .. } if reason == "CHANGE_PENDING" => change_id.as_ref(),
            _ => None,
        };
        if let Some(id) = known {
            if self.heard.len() == MEMORY {
                self.heard.remove(0);
            }
            self.heard.push((answer.request.permission.account.clone(), id.clone()));
        }
    }

    async fn read(&mut self) {
        let Some((account, change_id)) = self.rng.choice(&self.heard).cloned() else {
            return;
        };
        let Some((_, channel)) = any_running(&self.channels, &mut self.rng) else {
            return;
        };
        let asked_at = now();
        let request = GetChangeRequest {
            account_id: account.clone(),
            change_id: change_id.clone(),
        };
        let mut client = SharePermissionServiceClient::new(channel);
        let Ok(answer) = client.get_change(with_deadline(request, Duration::from_secs(5))).await else {
            return;
        };
        let state = answer.into_inner().change.unwrap().state();
        self.recorder.readings.lock().unwrap().push(ChangeRead {
            account,
            change_id,
            asked_at,
            read_at: now(),
            state: state.as_str_name().trim_start_matches("STATE_").to_owned(),
        });
    }
}

/// A request with a principal and a deadline.
pub fn with_deadline<T>(message: T, deadline: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let principal = "trial@example.com".parse().unwrap();
    request.metadata_mut().insert("x-sharewarden-principal", principal);
    request.set_timeout(deadline);
    request
}

fn grant(request: &ShareRequest) -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        account_id: request.permission.account.clone(),
        region: request.permission.region.clone(),
        image_id: request.permission.image.clone(),
        shared_account_id: request.permission.shared_account.clone(),
        request_id: request.request_id.clone(),
        reason: request.reason.clone(),
        ticket: request.ticket.clone().unwrap_or_default(),
        ttl: request.ttl.map(|ttl| ttl.unsigned_abs().into()),
        ..Default::default()
    }
}

fn revoke(request: &ShareRequest) -> RevokeSharePermissionRequest {
    RevokeSharePermissionRequest {
        account_id: request.permission.account.clone(),
        region: request.permission.region.clone(),
        image_id: request.permission.image.clone(),
        shared_account_id: request.permission.shared_account.clone(),
        request_id: request.request_id.clone(),
        reason: request.reason.clone(),
        ticket: request.ticket.clone().unwrap_or_default(),
        ..Default::default()
    }
}

fn refused(status: &Status) -> RpcOutcome {
    let code = format!("{:?}", status.code());
    match status.get_details_error_info() {
        Some(info) => RpcOutcome::Refused {
            code,
            reason: info.reason,
            change_id: info.metadata.get("change_id").cloned(),
            is_recorded: info.metadata.contains_key("log_index"),
            message: status.message().to_owned(),
        },
        None => RpcOutcome::Nothing { code },
    }
}
