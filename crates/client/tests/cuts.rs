//! The connection between the client and a service is cut after every possible number of bytes, in each direction. The client
//! still sends one request id, causes one effect, and returns the outcome that the ledger has.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail so")]

use std::{collections::BTreeMap, net::SocketAddr};

use futures_util::{StreamExt, stream};
use serde_json::Value;
use sharewarden_client::{
    Client, ConnectOptions, Outcome,
    proto::v1::{ErrorReason, GrantSharePermissionRequest, GrantSharePermissionResponse},
};
use sharewarden_testkit::{
    cutter::{Cut, CutPlan, CuttingProxy, Direction, Traffic, frame_ends},
    stack::{ACCOUNT, Stack, TIMEOUT, UPDATE, nth_grant},
};

/// Grants at the same time. Each has its own proxy and connection.
const CONCURRENCY: usize = 48;

/// An image that AWS does not know.
const MISSING_IMAGE: &str = "wsi-missing0001";

async fn connect(proxy: &CuttingProxy) -> Client {
    let options = ConnectOptions {
        principal: Some("tester@example.com".parse().unwrap()),
        timeout: TIMEOUT,
        ..ConnectOptions::new(format!("http://{}", proxy.address()).parse().unwrap())
    };
    Client::connect(&options).await.unwrap()
}

/// The bytes of a grant whose connection is not cut.
async fn recorded(server: SocketAddr, request: GrantSharePermissionRequest) -> Traffic {
    let proxy = CuttingProxy::start(CutPlan {
        cut: None,
        first: server,
        refused: 0,
        later: server,
    })
    .await;
    let _ = connect(&proxy).await.grant(request).await;
    proxy.traffic()
}

/// Every number of bytes, up to a few more than were recorded, because the lengths of times and ids in a message vary.
fn every_byte(traffic: &Traffic) -> Vec<Cut> {
    let bytes = |bytes: &[u8]| (0..=bytes.len() + 8).collect();
    cuts(bytes(&traffic.to_server), bytes(&traffic.to_client))
}

/// Between every two frames, and a byte before and after.
fn every_frame(traffic: &Traffic) -> Vec<Cut> {
    let around = |bytes: &[u8]| {
        let ends = frame_ends(bytes);
        ends.into_iter()
            .flat_map(|end| [end.saturating_sub(1), end, end + 1])
            .collect()
    };
    cuts(around(&traffic.to_server), around(&traffic.to_client))
}

fn cuts(to_server: Vec<usize>, to_client: Vec<usize>) -> Vec<Cut> {
    let cut = |direction| move |after_bytes| Cut { direction, after_bytes };
    let to_server = to_server.into_iter().map(cut(Direction::ToServer));
    to_server
        .chain(to_client.into_iter().map(cut(Direction::ToClient)))
        .collect()
}

/// A grant whose connection is cut, and its outcome.
struct Trial {
    name: String,
    recipient: String,
    outcome: Outcome<GrantSharePermissionResponse>,
}

/// Makes a grant for each cut. Every second one finds the service refusing connections, and then another replica.
async fn trials(
    cuts: Vec<Cut>,
    servers: [SocketAddr; 2],
    request_of: impl Fn(usize) -> GrantSharePermissionRequest,
) -> Vec<Trial> {
    let trials = cuts.into_iter().enumerate().map(|(number, cut)| {
        let moves = number % 2 == 1;
        let connections = CutPlan {
            cut: Some(cut),
            first: servers[0],
            refused: if moves { 3 } else { 0 },
            later: servers[usize::from(moves)],
        };
        let request = request_of(number);
        async move {
            let proxy = CuttingProxy::start(connections).await;
            Trial {
                name: format!("{cut:?}, to another replica: {moves}"),
                recipient: request.shared_account_id.clone(),
                outcome: connect(&proxy).await.grant(request).await,
            }
        }
    });
    stream::iter(trials).buffer_unordered(CONCURRENCY).collect().await
}

/// The kinds of the ledger's entries by recipient, each with the body.
async fn entries(stack: &Stack) -> BTreeMap<String, Vec<(String, Value)>> {
    let mut entries: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in stack.ledger(ACCOUNT).await {
        let recipient = entry["body"]["shared_account_id"].as_str().unwrap().to_owned();
        let kind = entry["kind"].as_str().unwrap().to_owned();
        entries
            .entry(recipient)
            .or_default()
            .push((kind, entry["body"].clone()));
    }
    entries
}

/// Asserts one accepted request, one call that changes AWS, and one end. Returns the id of the request, and the last entry.
fn one_effect<'a>(
    trial: &Trial,
    entries: &'a BTreeMap<String, Vec<(String, Value)>>,
    calls: &BTreeMap<String, usize>,
    end: &str,
) -> (&'a str, &'a Value) {
    let of_share = entries.get(&trial.recipient).map_or(&[][..], Vec::as_slice);
    let kinds: Vec<_> = of_share.iter().map(|(kind, _)| kind.as_str()).collect();
    let seen = format!("{}: {:?}", trial.name, trial.outcome);
    // A second request id would open or join a change.
    assert_eq!(kinds, ["change.requested", end], "{seen}");
    assert_eq!(calls.get(&trial.recipient), Some(&1), "{seen}: calls that change AWS");
    (of_share[0].1["request_id"].as_str().unwrap(), &of_share[1].1)
}

fn calls(stack: &Stack) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for call in stack.simulator.calls() {
        if call.operation == UPDATE {
            *calls.entry(call.shared_account.unwrap()).or_default() += 1;
        }
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_cut_after_any_number_of_bytes_takes_effect_once_and_is_reported_as_the_ledger_has_it() {
    let stack = Stack::start().await;
    let other = stack.second_server("").await;
    let traffic = recorded(stack.address, nth_grant(0)).await;
    let trials = trials(every_byte(&traffic), [stack.address, other.address], |number| {
        nth_grant(number + 1)
    })
    .await;
    assert!(trials.len() > 500, "{} cuts", trials.len());
    let (entries, calls) = (entries(&stack).await, calls(&stack));
    for trial in &trials {
        let (request_id, end) = one_effect(trial, &entries, &calls, "change.succeeded");
        let Outcome::Succeeded(answer) = &trial.outcome else {
            panic!("{}: {:?}", trial.name, trial.outcome);
        };
        let change = answer.change.as_ref().unwrap();
        assert_eq!(change.request_id, request_id, "{}", trial.name);
        assert_eq!(change.change_id, end["change_id"].as_str().unwrap(), "{}", trial.name);
        assert_eq!(change.state().as_str_name(), "STATE_SUCCEEDED", "{}", trial.name);
        assert!(!answer.joined, "{}", trial.name);
    }
    other.stop().await;
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_aws_refuses_is_reported_as_the_ledger_has_it_after_a_cut_between_any_two_frames() {
    let stack = Stack::start().await;
    let other = stack.second_server("").await;
    let refused = |number| GrantSharePermissionRequest {
        image_id: MISSING_IMAGE.into(),
        ..nth_grant(number)
    };
    let traffic = recorded(stack.address, refused(0)).await;
    let trials = trials(every_frame(&traffic), [stack.address, other.address], |number| {
        refused(number + 1)
    })
    .await;
    let (entries, calls) = (entries(&stack).await, calls(&stack));
    for trial in &trials {
        let (request_id, end) = one_effect(trial, &entries, &calls, "change.failed");
        let Outcome::Failed(error) = &trial.outcome else {
            panic!("{}: {:?}", trial.name, trial.outcome);
        };
        assert_eq!(error.known_reason(), Some(ErrorReason::ImageNotFound), "{}", trial.name);
        assert_eq!(error.request_id.as_deref(), Some(request_id), "{}", trial.name);
        assert_eq!(error.change_id.as_deref(), end["change_id"].as_str(), "{}", trial.name);
    }
    other.stop().await;
    stack.end().await;
}
