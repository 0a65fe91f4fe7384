//! Clients that ask for much and read nothing: HTTP/2 streams without a window, exports, and gRPC-Web over HTTP/1.1.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method};
use prost::Message;
use sharewarden::{clock::Clock, server::Server};
use sharewarden_client::proto::v1::{
    ExportAuditEntriesRequest, GetSharePermissionRequest, GrantSharePermissionRequest, ListAuditEntriesRequest,
    WatchAuditEntriesRequest,
};
use sharewarden_simulator::Simulator;
use sharewarden_testkit::{
    http2::{Http2Call, Http2Connection},
    postgres::{TestDatabase, database},
    stack::*,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request};

use crate::gauges::ReadMetrics;

const MIB: u64 = 1024 * 1024;
/// The share of one principal, and what small answers and frames may take beside it.
const SHARE: u64 = 4 * MIB;
const SMALL: u64 = 256 * 1024;
const SETTINGS: &str = "server.max_unsent_bytes = 12582912\nserver.max_unsent_bytes_per_principal = 4194304\n\
                        server.max_open_streams_per_principal = 40\n";
const CANCEL: u32 = 8;
const LIST: &str = "AuditService/ListAuditEntries";

/// A measured service with a history that fills more than one page.
struct Measured {
    _database: TestDatabase,
    simulator: Simulator,
    metrics: ReadMetrics,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Measured {
    async fn start(unread_timeout: &str) -> Self {
        let (database, simulator) = tokio::join!(database(), simulator());
        let more = format!("{SETTINGS}server.unread_timeout = \"{unread_timeout}\"\n");
        let config = config(database.url(), &simulator.url(), &more);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let measured = ReadMetrics::of(&config);
        let server = Server::build_measured(&config, credentials(), Clock::system(), listener, &measured.0)
            .await
            .unwrap();
        let (address, stop) = (server.address(), CancellationToken::new());
        let stopped = stop.clone().cancelled_owned();
        let measured = Self {
            _database: database,
            simulator,
            metrics: measured,
            address,
            stop,
            task: tokio::spawn(async move { server.run(stopped).await.unwrap() }),
        };
        measured.fill().await;
        measured
    }

    /// Makes 160 entries of about 4.5 kB.
    async fn fill(&self) {
        let mut grants = JoinSet::new();
        let client = Client::connect(format!("http://{}", self.address)).await.unwrap();
        for number in 0..80 {
            let mut client = client.clone();
            let request = GrantSharePermissionRequest {
                reason: "\u{1D11E}".repeat(1024),
                ..nth_grant(number)
            };
            grants.spawn(async move { client.grant_share_permission(as_tester(request)).await.unwrap() });
        }
        grants.join_all().await;
    }

    /// The memory of unsent answers in bytes.
    fn unsent(&self) -> u64 {
        self.metrics.value("sharewarden_answers_unsent_bytes").unwrap() as u64
    }

    async fn until_unsent(&self, is_reached: impl Fn(u64) -> bool, what: &str) {
        let reached = async {
            while !is_reached(self.unsent()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(TIMEOUT, reached).await;
        reached.unwrap_or_else(|_| panic!("not {what}: {} bytes are unsent", self.unsent()));
    }

    /// The largest number of unsent bytes while `work` runs.
    async fn peak<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let peak = AtomicU64::new(0);
        let watch = async {
            loop {
                peak.fetch_max(self.unsent(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let done = tokio::select! {
            done = tokio::time::timeout(TIMEOUT, work) => done.expect("it ends in time"),
            never = watch => never,
        };
        (done, peak.into_inner())
    }

    /// Another principal reads a page, and grants.
    async fn assert_serves_others(&self) {
        let mut audit = audit_at(self.address).await;
        let request = ListAuditEntriesRequest {
            page_size: 500,
            ..Default::default()
        };
        audit.list_audit_entries(by("other", request)).await.unwrap();
        let mut client = Client::connect(format!("http://{}", self.address)).await.unwrap();
        client.grant_share_permission(by("other", grant())).await.unwrap();
    }

    async fn end(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(TIMEOUT, self.task).await;
        ended.expect("the server stops in time").unwrap();
        self.simulator.shutdown().await;
    }
}

fn by<T>(principal: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let principal = principal.parse().unwrap();
    request.metadata_mut().insert("x-sharewarden-principal", principal);
    request
}

fn framed(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &message].concat().into()
}

fn call(method: &str, message: &impl Message) -> Http2Call {
    let headers = [
        ("content-type", "application/grpc"),
        ("x-sharewarden-principal", "hostile"),
    ];
    Http2Call {
        method: Method::POST,
        path: format!("/sharewarden.v1.{method}"),
        headers: headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect(),
        body: vec![framed(message)],
        ends: true,
        is_streamed: false,
    }
}

fn largest_page() -> ListAuditEntriesRequest {
    ListAuditEntriesRequest {
        page_size: 500,
        ..Default::default()
    }
}

/// How a call ended whose client reads nothing.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ended {
    Refused(i32),
    Reset(u32),
    ConnectionClosed,
    Answered,
}

/// Makes this number of calls at once, and waits for their ends.
async fn unread(connection: &Arc<Http2Connection>, call: &Http2Call, calls: usize) -> Vec<Ended> {
    let mut ends = JoinSet::new();
    for _ in 0..calls {
        let (connection, call) = (connection.clone(), call.clone());
        ends.spawn(async move {
            let Ok((head, body)) = connection.begin(&call).await else {
                return Ended::ConnectionClosed;
            };
            if let Some(code @ 1..) = head.code() {
                return Ended::Refused(code);
            }
            match body.end_unread().await {
                Some(Some(code)) => Ended::Reset(code),
                Some(None) => Ended::ConnectionClosed,
                None => Ended::Answered,
            }
        });
    }
    ends.join_all().await
}

#[tokio::test]
async fn pages_that_nobody_reads_take_only_the_share_of_their_principal_and_are_reset() {
    let service = Measured::start("2s").await;
    let connection = Arc::new(Http2Connection::open_with_window(service.address, 0).await);
    let list = call(LIST, &largest_page());
    let hostile = tokio::spawn(async move { unread(&connection, &list, 60).await });
    service.until_unsent(|bytes| bytes > SHARE / 2, "full").await;
    service.assert_serves_others().await;
    let (ends, peak) = service.peak(hostile).await;
    let ends = ends.unwrap();
    assert!(peak <= SHARE + SMALL, "{peak} bytes");
    let reset = ends.iter().filter(|end| **end == Ended::Reset(CANCEL)).count();
    let overloaded = Ended::Refused(Code::ResourceExhausted.into());
    let refused = ends.iter().filter(|end| **end == overloaded).count();
    assert!(reset > 0 && refused > 0 && reset + refused == ends.len(), "{ends:?}");
    service.until_unsent(|bytes| bytes == 0, "free").await;
    service.end().await;
}

#[tokio::test]
async fn a_stream_that_takes_one_byte_and_no_more_is_reset_and_its_connection_goes_on() {
    let service = Measured::start("300ms").await;
    let connection = Arc::new(Http2Connection::open_with_window(service.address, 1).await);
    for method in [LIST, "AuditService/ExportAuditEntries"] {
        let call = match method {
            LIST => call(method, &largest_page()),
            _ => {
                service.wait_for_checkpoint().await;
                call(method, &whole_ledger())
            }
        };
        assert_eq!(unread(&connection, &call, 1).await, [Ended::Reset(CANCEL)], "{method}");
    }
    service.until_unsent(|bytes| bytes == 0, "free").await;
    service.end().await;
}

#[tokio::test]
async fn small_answers_that_nobody_reads_end_with_their_connection() {
    let service = Measured::start("300ms").await;
    let connection = Arc::new(Http2Connection::open_with_window(service.address, 1).await);
    let request = GetSharePermissionRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: nth_grant(0).shared_account_id,
    };
    let get = call("SharePermissionService/GetSharePermission", &request);
    let ends = unread(&connection, &get, 5).await;
    assert!(ends.iter().all(|end| *end == Ended::ConnectionClosed), "{ends:?}");
    service.until_unsent(|bytes| bytes == 0, "free").await;
    service.end().await;
}

fn whole_ledger() -> ExportAuditEntriesRequest {
    ExportAuditEntriesRequest {
        account_id: ACCOUNT.into(),
        ..Default::default()
    }
}

impl Measured {
    /// Waits until a checkpoint covers all entries.
    async fn wait_for_checkpoint(&self) {
        let mut audit = audit_at(self.address).await;
        let signed = async {
            loop {
                let request = sharewarden_client::proto::v1::GetCheckpointRequest {
                    account_id: ACCOUNT.into(),
                    tree_size: 0,
                };
                let answer = audit.get_checkpoint(by("other", request)).await;
                let size = answer.map(|answer| answer.into_inner().checkpoint.unwrap().tree_size);
                if size.is_ok_and(|size| size >= 160) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(TIMEOUT, signed)
            .await
            .expect("a checkpoint is signed in time");
    }
}

#[tokio::test]
async fn exports_that_nobody_reads_wait_for_room_and_are_reset() {
    let service = Measured::start("500ms").await;
    service.wait_for_checkpoint().await;
    // Enough for the headers of the exports, and not for a page.
    let connection = Arc::new(Http2Connection::open_with_window(service.address, 20_000).await);
    let export = call("AuditService/ExportAuditEntries", &whole_ledger());
    let hostile = tokio::spawn(async move { unread(&connection, &export, 40).await });
    service.until_unsent(|bytes| bytes > SHARE / 2, "full").await;
    service.assert_serves_others().await;
    let (ends, peak) = service.peak(hostile).await;
    let ends = ends.unwrap();
    assert!(peak <= SHARE + SMALL, "{peak} bytes");
    assert!(ends.iter().all(|end| *end == Ended::Reset(CANCEL)), "{ends:?}");
    service.until_unsent(|bytes| bytes == 0, "free").await;
    service.end().await;
}

#[tokio::test]
async fn a_web_client_that_reads_nothing_is_disconnected() {
    let service = Measured::start("500ms").await;
    let message = framed(&largest_page());
    let request = format!(
        "POST /sharewarden.v1.{LIST} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web+proto\r\n\
         x-sharewarden-principal: hostile\r\ncontent-length: {}\r\n\r\n",
        message.len()
    );
    let request = [request.as_bytes(), &message].concat();
    let mut sockets = Vec::new();
    for _ in 0..10 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut socket = socket.connect(service.address).await.unwrap();
        // Together they are larger than the buffers of the kernel.
        socket.write_all(&request.repeat(40)).await.unwrap();
        sockets.push(socket);
    }
    let closed = async {
        for socket in &mut sockets {
            assert_answer_is_cut(socket).await;
        }
    };
    service.until_unsent(|bytes| bytes > 0, "begun").await;
    service.assert_serves_others().await;
    let ((), peak) = service
        .peak(async { service.until_unsent(|bytes| bytes == 0, "free").await })
        .await;
    assert!(peak <= SHARE + SMALL, "{peak} bytes");
    tokio::time::timeout(TIMEOUT, closed)
        .await
        .expect("the connections are closed");
    service.end().await;
}

/// Reads what the kernel has, until the server's end.
async fn assert_answer_is_cut(socket: &mut TcpStream) {
    let mut received = 0;
    let mut part = vec![0; 1 << 20];
    while let Ok(count @ 1..) = socket.read(&mut part).await {
        received += count;
    }
    assert!(received < 32 << 20, "{received} bytes are all answers");
}

#[tokio::test]
async fn one_principal_cannot_take_all_streams() {
    let stack = Stack::start_with("server.max_open_streams_per_principal = 2\n").await;
    let mut audit = stack.audit().await;
    let watch = WatchAuditEntriesRequest::default;
    let first = audit.watch_audit_entries(by("greedy", watch())).await.unwrap();
    let _second = audit.watch_audit_entries(by("greedy", watch())).await.unwrap();
    let refused = audit.watch_audit_entries(by("greedy", watch())).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused)),
        (Code::ResourceExhausted, "OVERLOADED".into())
    );
    let _other = audit.watch_audit_entries(by("modest", watch())).await.unwrap();
    // Its calls go on, and a stream that ends makes room.
    audit.list_audit_entries(by("greedy", largest_page())).await.unwrap();
    drop(first);
    let again = async { while audit.watch_audit_entries(by("greedy", watch())).await.is_err() {} };
    tokio::time::timeout(TIMEOUT, again).await.expect("there is room again");
    drop((audit, _second, _other));
    stack.end().await;
}

#[tokio::test]
async fn a_page_ends_early_at_its_limit_of_bytes_and_the_next_one_goes_on() {
    let service = Measured::start("15s").await;
    let mut audit = audit_at(service.address).await;
    let (mut request, mut indexes, mut pages) = (largest_page(), Vec::new(), 0);
    loop {
        let page = audit.list_audit_entries(by("other", request.clone())).await;
        let page = page.unwrap().into_inner();
        assert!((page.encoded_len() as u64) < MIB, "{} bytes", page.encoded_len());
        indexes.extend(page.entries.iter().map(|entry| entry.log_index));
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(pages > 1, "{pages} page");
    assert_eq!(indexes, (0..160).rev().collect::<Vec<_>>());
    drop(audit);
    service.end().await;
}
