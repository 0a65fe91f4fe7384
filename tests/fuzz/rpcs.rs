//! Calls of every RPC with valid, corrupted and wrongly framed messages, and with unusual metadata.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use prost::Message as _;
use prost_reflect::MethodDescriptor;
use sharewarden::{
    grpc::PRINCIPAL,
    proto::v1::{GrantSharePermissionRequest, change},
};
use sharewarden_testkit::{
    http2::{Http2Call, Http2Connection, TIMEOUT},
    postgres::database,
    stack::{Client, as_tester, config_text, grant, simulator},
};
use sqlx::{Connection, PgConnection};
use tonic::Code;

use crate::{
    messages::{MessageGenerator, methods, path},
    mutate::{corrupted, varint},
    process::Process,
    seed::{Seed, bytes, one_of, percent},
    verdict::{Made, Sent, judge, message},
};

/// The cases of the whole test.
const CASES: u64 = 4000;
/// The cases before the first measurement of memory.
const WARM_UP: u64 = 2000;
/// The number of concurrent callers.
const WORKERS: u64 = 32;
/// The limit for the growth of the server's memory, in MiB.
const GROWTH: u64 = 24;
/// The largest message that the server accepts, in bytes.
const LARGEST: usize = 64 * 1024;

/// A short wait, so that the test does not wait long for a change.
pub(crate) const QUICK: &str = "server.max_wait = \"2s\"
log.filter = \"info\"
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_calls_of_any_method_do_not_break_the_service() {
    let seed = Seed::new();
    let (database, simulator) = tokio::join!(database(), simulator());
    let server = Process::serve(&config_text(database.url(), &simulator.url(), QUICK));
    let address = address(&server).await;
    let methods = methods();
    assert!(methods.len() > 17, "all services are there");

    let mut made = run(seed, address, &methods, 0..seed.cases(WARM_UP)).await;
    let before = server.memory();
    made.append(run(seed, address, &methods, seed.cases(WARM_UP)..seed.cases(CASES)).await);
    let wrong = made.wrong.len();
    assert!(
        wrong == 0,
        "{wrong} answers are wrong, such as\n{}",
        made.wrong[..wrong.min(8)].join("\n")
    );
    server.assert_memory_growth(before, GROWTH);

    assert_serves(address).await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let entries: Vec<String> = sqlx::query_scalar(
        "SELECT entry FROM audit_entry WHERE principal <> 'tester@example.com' ORDER BY account_id, log_index",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    println!("{} entries on record", entries.len());
    assert!(!entries.is_empty(), "some calls came through");
    for entry in entries {
        let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
        made.judge(&entry).unwrap_or_else(|wrong| panic!("{wrong}: {entry}"));
    }
    server.stop().await;
    simulator.shutdown().await;
}

/// The address of the server, from its log.
pub(crate) async fn address(server: &Process) -> SocketAddr {
    let serving: serde_json::Value = serde_json::from_str(&server.line_with("\"serving\"").await).unwrap();
    serving["address"].as_str().unwrap().parse().unwrap()
}

/// Fails unless the server completes a grant. On a busy machine that may take more than one try.
pub(crate) async fn assert_serves(address: SocketAddr) {
    let mut client = Client::connect(format!("http://{address}")).await.unwrap();
    let request = GrantSharePermissionRequest {
        request_id: uuid::Uuid::new_v4().to_string(),
        ..grant()
    };
    let serves = async {
        loop {
            match client.grant_share_permission(as_tester(request.clone())).await {
                Ok(granted) => return granted.into_inner(),
                // The flood before it may have spent the quota of this principal.
                Err(status) if status.code() == Code::ResourceExhausted => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(status) => assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}"),
            }
        }
    };
    let granted = tokio::time::timeout(TIMEOUT, serves)
        .await
        .expect("the server completes a grant in time");
    assert_eq!(granted.change.unwrap().state(), change::State::Succeeded);
}

async fn run(seed: Seed, address: SocketAddr, methods: &[MethodDescriptor], cases: std::ops::Range<u64>) -> Made {
    let workers = (0..WORKERS).map(|worker| {
        let numbers = cases.clone().filter(move |number| number % WORKERS == worker);
        tokio::spawn(work(seed, address, methods.to_vec(), numbers.collect()))
    });
    let workers: Vec<_> = workers.collect();
    let mut made = Made::default();
    for worker in workers {
        made.append(worker.await.unwrap());
    }
    made
}

async fn work(seed: Seed, address: SocketAddr, methods: Vec<MethodDescriptor>, numbers: Vec<u64>) -> Made {
    let (mut generator, mut made) = (MessageGenerator::default(), Made::default());
    let mut connection = Http2Connection::open(address).await;
    for number in numbers {
        let mut rng = seed.rng_for_case(number);
        // The methods in turn.
        let method = &methods[usize::try_from(number / WORKERS).unwrap() % methods.len()];
        let sent = make(&mut rng, &generator, method, number);
        let answer = connection.call(&sent.call).await;
        if let Err(wrong) = judge(&sent, &answer) {
            let call = format!("{:?}", sent.call);
            made.wrong
                .push(format!("case {number}, {}: {wrong}\n{call:.2000}", sent.call.path));
        }
        if let Some(answer) = message(&sent, &answer) {
            generator.learn(&answer);
        }
        made.note(number, &sent, &answer);
        if sent.may_be_refused || percent(&mut rng, 2) {
            connection = Http2Connection::open(address).await; // The server may have closed it.
        }
    }
    made
}

fn make(rng: &mut fastrand::Rng, generator: &MessageGenerator, method: &MethodDescriptor, number: u64) -> Sent {
    let principal = format!("fuzz-{number}");
    let message = generator.message(rng, &method.input()).encode_to_vec();
    let mut sent = Sent {
        method: method.clone(),
        call: Http2Call {
            method: Method::POST,
            path: path(method),
            headers: vec![
                header("te", b"trailers"),
                header("content-type", b"application/grpc"),
                header("grpc-timeout", one_of(rng, &[&b"10S"[..], b"3000m", b"9H"])),
                header(PRINCIPAL, principal.as_bytes()),
            ],
            body: vec![framed(0, &message)],
            ends: true,
            is_streamed: method.is_server_streaming(),
        },
        principal,
        message: Some(message.clone()),
        may_be_refused: false,
    };
    match rng.u32(..100) {
        0..15 => {}
        15..60 => {
            let message = corrupted(rng, message);
            sent.call.body = vec![framed(0, &message)];
            sent.message = (message.len() <= LARGEST).then_some(message);
        }
        60..75 => misframe(rng, &mut sent, &message),
        _ => {
            for _ in 0..rng.u32(1..=2) {
                unusual_metadata(rng, &mut sent, &message);
            }
            // The last content type counts: a mutation may replace the one of an earlier mutation.
            if !is_grpc(&sent.call) {
                sent.message = None;
            }
        }
    }
    sent
}

fn header(name: &str, value: &[u8]) -> (HeaderName, HeaderValue) {
    (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap())
}

fn framed(flag: u8, message: &[u8]) -> Bytes {
    framed_as(flag, u32::try_from(message.len()).unwrap(), message)
}

fn framed_as(flag: u8, length: u32, message: &[u8]) -> Bytes {
    [&[flag], &length.to_be_bytes()[..], message].concat().into()
}

/// Breaks the framing of gRPC.
fn misframe(rng: &mut fastrand::Rng, sent: &mut Sent, message: &[u8]) {
    let right = framed(0, message);
    let length = u32::try_from(message.len()).unwrap();
    sent.message = None;
    let body = match rng.u32(..14) {
        0 => vec![framed(1, message)],
        1 => vec![framed(rng.u8(2..), message)],
        2 => vec![framed_as(0, length + rng.u32(1..1000), message)],
        3 => vec![framed_as(
            0,
            one_of(rng, &[u32::MAX, 1 << 31, LARGEST as u32 + 1]),
            message,
        )],
        4 => {
            // The first message may take effect.
            sent.message = Some(message.to_vec());
            vec![right; rng.usize(2..50)]
        }
        5 => vec![],
        6 => vec![Bytes::new()],
        7 => vec![right.slice(..rng.usize(..5))],
        8 => vec![right, bytes(rng, 4).into_iter().chain([1]).collect()],
        9 => {
            sent.call.headers.push(header("grpc-encoding", b"gzip"));
            vec![framed(1, &bytes(rng, 100))]
        }
        10 => {
            // Beyond the limit after decompression.
            sent.call.headers.push(header("grpc-encoding", b"gzip"));
            vec![framed(
                1,
                &gzip(&vec![0; one_of(rng, &[LARGEST + 1, 16 * 1024 * 1024])]),
            )]
        }
        11 => {
            sent.call.headers.push(header("grpc-encoding", b"gzip"));
            sent.message = Some(message.to_vec());
            vec![framed(1, &gzip(message))]
        }
        12 => {
            sent.message = Some(message.to_vec());
            right
                .chunks(1 + message.len() / 200)
                .map(Bytes::copy_from_slice)
                .collect()
        }
        _ => vec![framed(0, &large(rng, message))],
    };
    sent.call.body = body;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// The message with an unknown field that makes it too large.
fn large(rng: &mut fastrand::Rng, message: &[u8]) -> Vec<u8> {
    let size = rng.usize(LARGEST..LARGEST * 4);
    let field = [varint(1000 << 3 | 2), varint(size as u64), vec![0; size]].concat();
    [message, &field].concat()
}

/// Makes the metadata unusual or invalid.
fn unusual_metadata(rng: &mut fastrand::Rng, sent: &mut Sent, message: &[u8]) {
    let call = &mut sent.call;
    match rng.u32(..13) {
        0 => {
            let odd = [
                &b"99999999999H"[..],
                b"99999999H",
                b"-1m",
                b"0n",
                b"1u",
                b"",
                b"S",
                b"1.5S",
                b"\xff\xfe",
                b"1\xc3\xa9",
            ];
            set(call, "grpc-timeout", &[one_of(rng, &odd)]);
        }
        1 => {
            // Without exactly one principal, the call must not be recorded.
            let long = vec![b'x'; 257];
            let odd = [
                &[][..],
                &[&b""[..]],
                &[b"two words"],
                &[b"one", b"two"],
                &[b"one", b"one"],
                &[b"\xff\xc3"],
                &[&long],
            ];
            set(call, PRINCIPAL, one_of(rng, &odd));
            sent.message = None;
        }
        2 => {
            let size = one_of(rng, &[100, 4000, 8000, 17_000, 60_000]);
            call.headers.push(header("x-long", &vec![b'l'; size]));
            sent.may_be_refused |= size > 4000;
        }
        3 => {
            let count = one_of(rng, &[10, 100, 2000]);
            call.headers
                .extend((0..count).map(|index| header(&format!("x-many-{index}"), b"")));
            sent.may_be_refused |= count > 10;
        }
        4 => {
            let odd: Vec<u8> = bytes(rng, 100).into_iter().map(|byte| byte.max(0x80)).collect();
            let name = one_of(
                rng,
                &[
                    "x-odd-bin",
                    "grpc-trace-bin",
                    "grpc-tags-bin",
                    "grpc-status-details-bin",
                ],
            );
            call.headers.push(header(name, &odd));
        }
        5 => {
            let odd = [
                &b"gzip"[..],
                b"deflate",
                b"zstd",
                b"identity",
                b"",
                b"gzip,gzip",
                b"\xff",
                b"br",
            ];
            let name = one_of(rng, &["grpc-encoding", "grpc-accept-encoding"]);
            call.headers.push(header(name, one_of(rng, &odd)));
            call.body = vec![framed(rng.u8(..2), message)];
        }
        6 => {
            let odd = [
                &[][..],
                &[&b""[..]],
                &[b"text/plain"],
                &[b"application/json"],
                &[b"application/grpc+json"],
                &[b"application/grpc;charset"],
                &[b"APPLICATION/GRPC"],
                &[b"\xff"],
                &[b"application/grpc", b"text/plain"],
            ];
            set(call, "content-type", one_of(rng, &odd));
            sent.may_be_refused = true;
        }
        7 => {
            let odd = [
                &b"application/grpc-web"[..],
                b"application/grpc-web+proto",
                b"application/grpc-web+json",
            ];
            set(call, "content-type", &[one_of(rng, &odd)]);
            sent.may_be_refused = true;
        }
        8 => {
            set(
                call,
                "content-type",
                &[one_of(
                    rng,
                    &[&b"application/grpc-web-text"[..], b"application/grpc-web-text+proto"],
                )],
            );
            sent.may_be_refused = true;
            let mut text = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, framed(0, message)).into_bytes();
            // This replaces the body of an earlier mutation.
            sent.message = Some(message.to_vec());
            if rng.bool() {
                let at = rng.usize(..text.len());
                text[at] = b'*';
                sent.message = None;
            }
            call.body = vec![text.into()];
        }
        9 => {
            let odd = [
                &b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"[..],
                b"00-0-0-0",
                b"ff",
                b"\xff",
                b"",
            ];
            call.headers.push(header("traceparent", one_of(rng, &odd)));
        }
        10 => {
            call.method = one_of(
                rng,
                &[
                    &Method::GET,
                    &Method::PUT,
                    &Method::OPTIONS,
                    &Method::DELETE,
                    &Method::HEAD,
                ],
            )
            .clone();
            sent.message = None;
            sent.may_be_refused = true;
        }
        11 => {
            let suffix = one_of(rng, &["x", "/", "/x", "?a=b", "%00", "//"]);
            call.path = match rng.u32(..4) {
                0 => "/".into(),
                1 => format!("/sharewarden.v1.NoService/{}", sent.method.name()),
                _ => format!("{}{suffix}", call.path),
            };
            sent.may_be_refused = true;
        }
        _ => {
            // The length must match, or HTTP/2 refuses the request.
            let length = one_of(rng, &[&b"0"[..], b"1", b"99999999999999999999", b"-1", b"x"]);
            call.headers.push(header("content-length", length));
            sent.may_be_refused = true;
        }
    }
}

/// Whether a call with this content type may take effect. The first of two counts.
fn is_grpc(call: &Http2Call) -> bool {
    let content_type = call.headers.iter().find(|(name, _)| name.as_str() == "content-type");
    content_type.is_some_and(|(_, value)| {
        let value = value.as_bytes().to_ascii_lowercase();
        value.starts_with(b"application/grpc") && !value.ends_with(b"json")
    })
}

fn set(call: &mut Http2Call, name: &str, values: &[&[u8]]) {
    call.headers.retain(|(known, _)| known.as_str() != name);
    call.headers.extend(values.iter().map(|value| header(name, value)));
}
