//! Malformed HTTP/2: random bytes and frames, floods, header bombs, and connections that send nothing.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method};
use sharewarden_testkit::{
    http2::{Http2Call, Http2Connection, Http2Outcome},
    postgres::database,
    stack::{config_text, simulator},
};

use crate::{
    process::Process,
    raw::*,
    rpcs::{QUICK, address, assert_serves},
    seed::{Seed, bytes, one_of},
};

const PATH: &str = "/sharewarden.v1.SharePermissionService/GetChange";
const BATCH: usize = 1000;
/// The limit for the growth of the server's memory, in MiB.
const GROWTH: u64 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_frames_and_floods_do_not_break_the_service() {
    let seed = Seed::new();
    let (database, simulator) = tokio::join!(database(), simulator());
    let server = Process::serve(&config_text(database.url(), &simulator.url(), QUICK));
    let address = address(&server).await;
    assert_serves(address).await;
    // The server keeps the memory that the first streams allocate. Later ones must not need more.
    garbage(seed, address, 0..50).await;
    for _ in 0..4 {
        streams_that_never_end(address).await;
    }
    let before = server.memory();
    attack(seed, address).await;
    server.assert_memory_growth(before, GROWTH);
    server.assert_no_internal_error();
    server.stop().await;
    simulator.shutdown().await;
}

/// Runs every kind of attack.
async fn attack(seed: Seed, address: SocketAddr) {
    garbage(seed, address, 50..seed.cases(400)).await;
    too_large_a_frame(address).await;
    unusual_headers(address).await;
    assert_serves(address).await;

    streams_that_are_reset_at_once(address).await;
    headers_without_an_end(address).await;
    a_small_block_of_huge_headers(address).await;
    assert_serves(address).await;

    for (kind, flags, payload) in [
        (SETTINGS, 0, &[0, 3, 0, 0, 0, 100][..]),
        (PING, 0, &[7; 8]),
        (PRIORITY, 0, &[0, 0, 0, 0, 1]),
        (WINDOW_UPDATE, 0, &[0, 0, 0, 1]),
        (0xf0, 0xff, &[1; 100]),
    ] {
        flood(address, kind, flags, payload).await;
        flood_unread(address, kind, flags, payload).await;
    }
    empty_data(address).await;
    streams_that_never_end(address).await;

    old_http(seed, address).await;
    assert_serves(address).await;
}

/// Random bytes, with and without a valid preface, and random frames.
async fn garbage(seed: Seed, address: SocketAddr, cases: std::ops::Range<u64>) {
    let mut under_way = tokio::task::JoinSet::new();
    for number in cases {
        under_way.spawn(async move {
            let mut rng = seed.rng_for_case(number);
            let sent = match rng.u32(..4) {
                0 => bytes(&mut rng, 300),
                1 => PREFACE[..rng.usize(..PREFACE.len())].to_vec(),
                2 => [PREFACE, &bytes(&mut rng, 300)].concat(),
                _ => random_frames(&mut rng),
            };
            let mut raw = Raw::open(address).await;
            raw.send(&sent).await;
            raw.rest(Duration::from_millis(200)).await;
        });
        if under_way.len() >= 32 {
            under_way.join_next().await.unwrap().unwrap();
        }
    }
    under_way.join_all().await;
}

fn random_frames(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut sent = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    for _ in 0..rng.u32(1..30) {
        let payload = match rng.u32(..3) {
            0 => call(PATH),
            1 => bytes(rng, 12),
            _ => bytes(rng, 200),
        };
        let kind = one_of(
            rng,
            &[
                DATA,
                HEADERS,
                PRIORITY,
                RST_STREAM,
                SETTINGS,
                5,
                PING,
                7,
                WINDOW_UPDATE,
                CONTINUATION,
                10,
            ],
        );
        let flags = one_of(rng, &[0, 1, 4, 5, 8, 0x20, 0xff]);
        let stream = one_of(rng, &[0, 1, 1, 3, 5, 2, 7, u32::MAX]);
        sent.extend(frame(kind, flags, stream, &payload));
    }
    sent
}

async fn too_large_a_frame(address: SocketAddr) {
    for kind in [DATA, HEADERS, SETTINGS, 0xee] {
        let mut raw = Raw::greeted(address).await;
        raw.send(&head(0xff_ffff, kind, 0, 1)).await;
        raw.assert_closed("a frame is larger than allowed").await;
    }
}

/// Headers that no client library sends, each in its own call. None may cause an internal error.
async fn unusual_headers(address: SocketAddr) {
    let odd: [Vec<u8>; 10] = [
        literal(b"te", b"chunked"),
        literal(b"connection", b"close"),
        literal(b"transfer-encoding", b"chunked"),
        literal(b"X-Upper", b"case"),
        literal(b":path", b"/twice"),
        literal(b":unknown", b"x"),
        literal(b"x-control", b"a\r\nb"),
        literal(b"", b"x"),
        literal(b"x-bin", b"%%%"),
        vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ];
    for odd in odd {
        let mut raw = Raw::greeted(address).await;
        let message = [0, 0, 0, 0, 0];
        let request = [
            frame(HEADERS, END_HEADERS, 1, &[call(PATH), odd].concat()),
            frame(DATA, END_STREAM, 1, &message),
        ];
        raw.send(&request.concat()).await;
        raw.rest(Duration::from_millis(100)).await;
    }
}

/// CVE-2023-44487 (rapid reset): each stream costs work, and frees its slot at once.
async fn streams_that_are_reset_at_once(address: SocketAddr) {
    let mut raw = Raw::greeted(address).await;
    let headers = call(PATH);
    for batch in 0..20 {
        let streams = (0..BATCH).map(|index| u32::try_from((batch * BATCH + index) * 2 + 1).unwrap());
        let pairs = streams.map(|stream| {
            [
                frame(HEADERS, END_HEADERS, stream, &headers),
                frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
            ]
            .concat()
        });
        if !raw.send(&pairs.collect::<Vec<_>>().concat()).await {
            break;
        }
    }
    raw.assert_closed("every stream is reset at once").await;
}

/// CVE-2024-27316 (continuation flood): headers without an end.
async fn headers_without_an_end(address: SocketAddr) {
    for more in [literal(b"x-more", &[b'x'; 1000]), literal(b"x", b""), vec![]] {
        let mut raw = Raw::greeted(address).await;
        raw.send(&frame(HEADERS, 0, 1, &call(PATH))).await;
        let batch = frame(CONTINUATION, 0, 1, &more).repeat(BATCH);
        for _ in 0..100 {
            if !raw.send(&batch).await {
                break;
            }
        }
        raw.assert_closed("the headers do not end").await;
    }
}

/// A header of 3,900 bytes in the HPACK table, and then 10,000 references to it of one byte each.
async fn a_small_block_of_huge_headers(address: SocketAddr) {
    let mut raw = Raw::greeted(address).await;
    let block = [call(PATH), indexed(b"x-bomb", &[b'x'; 3900]), vec![0x80 | 62; 10_000]].concat();
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await;
    let is_of_the_call =
        |frame: &[u8]| matches!(frame, [HEADERS | RST_STREAM, _, 0, 0, 0, 1] | [GOAWAY, 0, 0, 0, 0, 0]);
    let answered = |bytes: &[u8]| bytes.windows(6).any(is_of_the_call);
    let (answer, is_answered) = raw.until(answered).await;
    assert!(is_answered, "neither answered nor closed: {answer:?}");
    assert!(answer.len() < 10_000, "{} bytes", answer.len());
}

async fn flood(address: SocketAddr, kind: u8, flags: u8, payload: &[u8]) {
    let mut raw = Raw::greeted(address).await;
    let batch = frame(kind, flags, 0, payload).repeat(BATCH);
    for _ in 0..20 {
        if !raw.send(&batch).await {
            break;
        }
    }
}

/// Floods without reading the answers. The server must not buffer them.
async fn flood_unread(address: SocketAddr, kind: u8, flags: u8, payload: &[u8]) {
    let mut raw = Raw::greeted(address).await;
    let batch = frame(kind, flags, 0, payload).repeat(BATCH);
    let sending = async {
        for _ in 0..1000 {
            if !raw.send_only(&batch).await {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(500), sending).await;
}

/// Empty DATA frames, which flow control does not limit.
async fn empty_data(address: SocketAddr) {
    let mut raw = Raw::greeted(address).await;
    raw.send(&frame(HEADERS, END_HEADERS, 1, &call(PATH))).await;
    let batch = frame(DATA, 0, 1, &[]).repeat(BATCH);
    for _ in 0..100 {
        if !raw.send(&batch).await {
            break;
        }
    }
}

/// More streams than allowed, on two connections. Each sends a part of a message and does not end.
async fn streams_that_never_end(address: SocketAddr) {
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::greeted(address).await;
        let headers = call(PATH);
        for stream in (0..1500).map(|index| index * 2 + 1) {
            let begun = [
                frame(HEADERS, END_HEADERS, stream, &headers),
                frame(DATA, 0, stream, &[0, 0, 0, 1, 0, 7]),
            ];
            if !raw.send(&begun.concat()).await {
                break;
            }
        }
        open.push(raw);
    }
    assert_serves(address).await;
}

/// HTTP/1, which the server accepts only for gRPC-Web.
async fn old_http(seed: Seed, address: SocketAddr) {
    let web = |length: &str, body: &str| {
        format!(
            "POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/grpc-web-text\r\n\
             x-sharewarden-principal: tester\r\n{length}\r\n\r\n{body}"
        )
    };
    let requests = [
        "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".into(),
        format!("POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0"),
        "GET / HTTP/1.1\r\n\r\n".into(),
        "GET / HTTP/9.9\r\nhost: x\r\n\r\n".into(),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(100_000)),
        format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-many: x\r\n".repeat(1000)),
        format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(1_000_000)),
        web("content-length: 8", "AAAAAAA="),
        web("content-length: 8", "********"),
        web("content-length: 3", "AAA"),
        web("content-length: 8\r\ncontent-length: 9", "AAAAAAA="),
        web("content-length: -1", ""),
        web("transfer-encoding: chunked", "8\r\nAAAAAAA=\r\n0\r\n\r\n"),
        web("transfer-encoding: chunked", "fffffffffffffffff\r\nAAAAAAA="),
        web("transfer-encoding: chunked\r\ncontent-length: 3", "zz\r\n"),
        web("upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 0", ""),
    ];
    for (number, request) in (0..).zip(&requests) {
        // The request itself, and five corrupted copies.
        let mut sent = vec![(request.clone().into_bytes(), true)];
        let mut rng = seed.rng_for_case(1_000_000 + number);
        sent.extend((0..5).map(|_| (crate::mutate::corrupted(&mut rng, request.clone().into_bytes()), false)));
        for (bytes, is_whole) in sent {
            let mut raw = Raw::open(address).await;
            raw.send(&bytes).await;
            let mut answer = Vec::new();
            if is_whole {
                let (begun, is_answered) = raw.until(|bytes| !bytes.is_empty()).await;
                assert!(is_answered, "neither answered nor closed: {request:.300}");
                answer.extend(begun);
            }
            // The server may wait for the rest of a corrupted request without an answer.
            answer.extend(raw.rest(Duration::from_millis(50)).await.0);
            let answer = String::from_utf8_lossy(&answer);
            let is_fault = answer.starts_with("HTTP/1.1 5")
                || answer.contains("grpc-status:13")
                || answer.contains("grpc-status: 13");
            assert!(!is_fault, "{request:.300}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_block_nobody_and_are_closed() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let server = Process::serve(&config_text(database.url(), &simulator.url(), QUICK));
    let address = address(&server).await;
    assert_serves(address).await;
    let before = server.memory();

    let (mut silent, mut begun) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        silent.push(Raw::open(address).await);
        let mut raw = Raw::open(address).await;
        raw.send_only(&PREFACE[..10]).await;
        begun.push(raw);
    }
    assert_serves(address).await;
    server.assert_memory_growth(before, GROWTH);

    // The server ends a call whose request does not end, with or without a deadline.
    let connection = Http2Connection::open(address).await;
    let endless = |headers: &[(&'static str, &'static str)]| Http2Call {
        method: Method::POST,
        path: PATH.into(),
        headers: [
            ("content-type", "application/grpc"),
            ("x-sharewarden-principal", "tester"),
        ]
        .iter()
        .chain(headers)
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect(),
        body: vec![Bytes::from_static(&[0, 0, 0, 1])],
        ends: false,
        is_streamed: false,
    };
    let (with, without) = (endless(&[("grpc-timeout", "1S")]), endless(&[]));
    let answers = tokio::join!(connection.call(&with), connection.call(&without));
    for answer in [answers.0, answers.1] {
        let Http2Outcome::Response(given) = answer else {
            panic!("{answer:?}")
        };
        assert!(matches!(given.code(), Some(1 | 4)), "{given:?}");
    }

    // By then the server has closed the silent connections.
    for mut raw in silent.into_iter().take(20).chain(begun.into_iter().take(20)) {
        raw.assert_closed("the client sent nothing").await;
    }

    // Open connections do not delay the shutdown.
    let _more: Vec<_> = [Raw::open(address).await, Raw::greeted(address).await].into();
    server.stop().await;
    simulator.shutdown().await;
}
