//! Callers who grant and revoke at random, through any replica: with short deadlines, leaving early, asking again under the
//! same request id, and using one for something else.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use fastrand::Rng;
use sharewarden::clock::Clock;
use sharewarden_client::proto::v1::{
    GetChangeRequest, GrantSharePermissionRequest, RevokeSharePermissionRequest,
    share_permission_service_client::SharePermissionServiceClient,
};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::history::{Action, Answer, Permission, Reading, Request, Told};

/// Where replicas are reached, as it changes.
pub type Channels = Vec<watch::Receiver<Option<Channel>>>;

/// What all clients write down.
#[derive(Debug, Default)]
pub struct Notebook {
    pub answers: Mutex<Vec<Answer>>,
    pub readings: Mutex<Vec<Reading>>,
}

/// One caller.
pub struct Client {
    pub dice: Rng,
    pub channels: Channels,
    pub permissions: Vec<Permission>,
    pub notebook: Arc<Notebook>,
    /// What it has asked for: the latest, to be asked for again.
    pub asked: Vec<Request>,
    /// Changes that it has heard of, by account.
    pub heard: Vec<(String, String)>,
}

/// A client remembers so much.
const MEMORY: usize = 200;

/// Longer than any server makes anyone wait.
const PATIENCE: Duration = Duration::from_secs(20);

impl Client {
    /// Asks for one thing after the other, until told to stop.
    pub async fn run(mut self, stop: CancellationToken) -> Self {
        while !stop.is_cancelled() {
            match self.dice.u32(..100) {
                0..65 => {
                    let request = self.anything();
                    self.ask_somehow(request).await;
                }
                65..82 => {
                    if let Some(request) = self.dice.choice(&self.asked).cloned() {
                        self.ask_somehow(request).await;
                    }
                }
                82..88 => {
                    if let Some(request) = self.dice.choice(&self.asked).cloned() {
                        let request = self.something_else(request);
                        self.ask_somehow(request).await;
                    }
                }
                _ => self.read().await,
            }
            tokio::time::sleep(Duration::from_millis(self.dice.u64(..40))).await;
        }
        self
    }

    /// Asks again for what was asked before, with patience: what was accepted is answered as it was.
    pub async fn ask_again(mut self) {
        for request in self.asked.clone() {
            let replica = self.dice.usize(..self.channels.len());
            self.ask(request, replica, PATIENCE).await;
        }
    }

    fn anything(&mut self) -> Request {
        let permission = self.dice.choice(&self.permissions).unwrap().clone();
        let request = Request {
            request_id: Uuid::from_u128(self.dice.u128(..)).to_string(),
            permission,
            action: if self.dice.bool() {
                Action::Grant
            } else {
                Action::Revoke
            },
            reason: "a trial".into(),
        };
        if self.asked.len() == MEMORY {
            self.asked.remove(0);
        }
        self.asked.push(request.clone());
        request
    }

    /// Other content under the same request id.
    fn something_else(&mut self, mut request: Request) -> Request {
        match self.dice.bool() {
            true => request.reason = "another reason".into(),
            false => {
                request.action = if request.action.allows() {
                    Action::Revoke
                } else {
                    Action::Grant
                }
            }
        }
        request
    }

    async fn ask_somehow(&mut self, request: Request) {
        let replica = self.dice.usize(..self.channels.len());
        let deadline = match self.dice.u32(..10) {
            0..3 => self.dice.u64(20..300),
            3..5 => self.dice.u64(300..2_000),
            _ => 5_000,
        };
        match self.dice.u32(..10) {
            0 => {
                let leaves = Duration::from_millis(self.dice.u64(1..500));
                // The connection goes on: only this call is given up.
                let _ = tokio::time::timeout(leaves, self.ask(request, replica, PATIENCE)).await;
            }
            _ => self.ask(request, replica, Duration::from_millis(deadline)).await,
        }
    }

    async fn ask(&mut self, request: Request, replica: usize, deadline: Duration) {
        let Some(channel) = self.channels[replica].borrow().clone() else {
            return;
        };
        let mut client = SharePermissionServiceClient::new(channel);
        let asked_at = now();
        let told = match request.action {
            Action::Grant => {
                let message = with_deadline(grant(&request), deadline);
                let answer = client.grant_share_permission(message).await;
                answer.map(|answer| answer.into_inner().change)
            }
            Action::Revoke => {
                let message = with_deadline(revoke(&request), deadline);
                let answer = client.revoke_share_permission(message).await;
                answer.map(|answer| answer.into_inner().change)
            }
        };
        let told = match told {
            Ok(change) => Told::Ok {
                change_id: change.unwrap().change_id,
            },
            Err(status) => refused(&status),
        };
        let answer = Answer {
            request,
            replica,
            asked_at,
            answered_at: now(),
            told,
        };
        self.remember(&answer);
        self.notebook.answers.lock().unwrap().push(answer);
    }

    fn remember(&mut self, answer: &Answer) {
        let known = match &answer.told {
            Told::Ok { change_id } => Some(change_id),
            Told::Refused { change_id, reason, .. } if reason == "CHANGE_PENDING" => change_id.as_ref(),
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
        let Some((account, change_id)) = self.dice.choice(&self.heard).cloned() else {
            return;
        };
        let replica = self.dice.usize(..self.channels.len());
        let Some(channel) = self.channels[replica].borrow().clone() else {
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
        self.notebook.readings.lock().unwrap().push(Reading {
            account,
            change_id,
            asked_at,
            read_at: now(),
            state: state.as_str_name().trim_start_matches("STATE_").to_owned(),
        });
    }
}

pub fn now() -> OffsetDateTime {
    Clock::system().now().to_offset_date_time()
}

/// A message that says who asks, and how long they wait.
pub fn with_deadline<T>(message: T, deadline: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let principal = "trial@example.com".parse().unwrap();
    request.metadata_mut().insert("x-sharewarden-principal", principal);
    request.set_timeout(deadline);
    request
}

fn grant(request: &Request) -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        account_id: request.permission.account.clone(),
        region: request.permission.region.clone(),
        image_id: request.permission.image.clone(),
        shared_account_id: request.permission.shared_account.clone(),
        request_id: request.request_id.clone(),
        reason: request.reason.clone(),
        ..Default::default()
    }
}

fn revoke(request: &Request) -> RevokeSharePermissionRequest {
    RevokeSharePermissionRequest {
        account_id: request.permission.account.clone(),
        region: request.permission.region.clone(),
        image_id: request.permission.image.clone(),
        shared_account_id: request.permission.shared_account.clone(),
        request_id: request.request_id.clone(),
        reason: request.reason.clone(),
        ..Default::default()
    }
}

fn refused(status: &Status) -> Told {
    let code = format!("{:?}", status.code());
    match status.get_details_error_info() {
        Some(info) => Told::Refused {
            code,
            reason: info.reason,
            change_id: info.metadata.get("change_id").cloned(),
            message: status.message().to_owned(),
        },
        None => Told::Nothing { code },
    }
}
