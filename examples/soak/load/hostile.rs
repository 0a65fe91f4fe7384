//! Callers that want to harm: a viewer that asks for the largest pages and reads nothing, and a principal without a role that
//! sends grants as fast as it can.

use std::{
    io::{self, Read},
    net::SocketAddr,
    process::Stdio,
    sync::Arc,
};

use bytes::Bytes;
use clap::{ValueEnum, builder::PossibleValue};
use http::{HeaderValue, Method};
use prost::Message;
use sharewarden_client::proto::v1::{GrantSharePermissionRequest, ListAuditEntriesRequest};
use sharewarden_testkit::http2::{Http2Call, Http2Connection};
use tokio::{
    process::{Child, Command},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{Caller, Counts, asked_by, until};
use crate::surroundings::{ACCOUNT, IMAGE, NOBODY, REGION, VIEWER};

/// Concurrent calls of the viewer, on each of its connections.
const UNREAD: usize = 150;
const CONNECTIONS: usize = 4;
/// Concurrent callers without a role.
const NOBODIES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Hostile {
    Viewer,
    Nobody,
}

/// The process of the hostile callers. In reality they have machines of their own. So it has the lowest priority: what is
/// measured is the work that they give the server, not the processor time that they need themselves.
pub(crate) struct Attack(Child);

impl Attack {
    pub(crate) fn start(address: SocketAddr, hostile: &[Hostile], seed: u64) -> Self {
        let names = hostile.iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<_> = names.map(|name: PossibleValue| name.get_name().to_owned()).collect();
        let child = Command::new("nice")
            .args(["-n", "19"])
            .arg(std::env::current_exe().unwrap())
            .args(["--attack", &address.to_string(), "--hostile", &names.join(",")])
            .args(["--seed", &seed.to_string()])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Stops the callers. They print what they got.
    pub(crate) async fn stop(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().await.unwrap();
    }
}

/// Attacks until standard input ends, and prints the answers.
pub(crate) async fn run(address: SocketAddr, hostile: &[Hostile], seed: u64) {
    let (mut callers, stop, counts) = (JoinSet::new(), CancellationToken::new(), Counts::default());
    for _ in 0..CONNECTIONS * usize::from(hostile.contains(&Hostile::Viewer)) {
        callers.spawn(until(stop.clone(), read_nothing(address, counts.clone())));
    }
    for number in 0..NOBODIES * usize::from(hostile.contains(&Hostile::Nobody)) {
        let caller = Caller::new(address, seed.wrapping_add(1000 + number as u64), &counts);
        callers.spawn(until(stop.clone(), grant_without_role(caller)));
    }
    let ended = tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new()));
    ended.await.unwrap().unwrap();
    stop.cancel();
    callers.join_all().await;
    for (outcome, count) in counts.outcomes() {
        println!("hostile: {outcome}: {count}");
    }
}

/// Keeps calls open on a connection with a window of 0.
async fn read_nothing(address: SocketAddr, counts: Counts) {
    let message = ListAuditEntriesRequest {
        page_size: 500,
        ..Default::default()
    };
    let call = Arc::new(list(&message.encode_to_vec()));
    loop {
        let connection = Arc::new(Http2Connection::open_with_window(address, 0).await);
        let mut open = JoinSet::new();
        let mut is_alive = true;
        while is_alive || !open.is_empty() {
            while is_alive && open.len() < UNREAD {
                let (connection, call) = (connection.clone(), call.clone());
                open.spawn(async move { unread(&connection, &call).await });
            }
            if let Some(Ok(code)) = open.join_next().await {
                counts.add("page that is not read", code.unwrap_or(Code::Aborted));
                is_alive &= code.is_some();
            }
        }
    }
}

/// The status of an unread call, CANCELLED for a reset. None if the connection has ended.
async fn unread(connection: &Http2Connection, call: &Http2Call) -> Option<Code> {
    let (head, body) = connection.begin(call).await.ok()?;
    if head.value("grpc-status").is_some() {
        return Some(Status::from_header_map(&head.headers).map_or(Code::Unknown, |status| status.code()));
    }
    match body.end_unread().await {
        Some(Some(_)) => Some(Code::Cancelled),
        Some(None) => None,
        None => Some(Code::Ok),
    }
}

fn list(message: &[u8]) -> Http2Call {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let headers = [
        ("content-type", "application/grpc"),
        ("x-sharewarden-principal", VIEWER),
    ];
    Http2Call {
        method: Method::POST,
        path: "/sharewarden.v1.AuditService/ListAuditEntries".into(),
        headers: headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect(),
        body: vec![Bytes::from([&[0], &length[..], message].concat())],
        ends: true,
        is_streamed: false,
    }
}

async fn grant_without_role(mut caller: Caller) {
    loop {
        let (mut clients, calls) = caller.connect().await;
        for _ in 0..calls {
            let request = GrantSharePermissionRequest {
                account_id: ACCOUNT.into(),
                region: REGION.into(),
                image_id: IMAGE.into(),
                shared_account_id: "200000000099".into(),
                reason: "no role".repeat(100),
                ..Default::default()
            };
            let answer = clients.shares.grant_share_permission(asked_by(NOBODY, request)).await;
            caller.note("grant without a role", answer);
        }
    }
}
