//! Raw bytes on a socket, and malformed frames of HTTP/2 (RFC 9113) and HPACK (RFC 7541).

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The timeout for one write, and for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// A connection that has sent the HTTP/2 preface and its settings.
    pub(crate) async fn greeted(address: SocketAddr) -> Self {
        let mut raw = Self::open(address).await;
        let greeting = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        assert!(raw.send(&greeting).await, "the greeting is taken");
        raw
    }

    /// Sends the bytes. False if the server closed the connection or does not read.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        // Read the answers meanwhile, because a server that cannot write may stop reading.
        let (mut read, mut write) = self.0.split();
        let mut thrown_away = [0; 4096];
        let reading = async {
            while read.read(&mut thrown_away).await.is_ok_and(|count| count > 0) {}
            std::future::pending::<()>().await;
        };
        tokio::select! {
            sent = tokio::time::timeout(TIMEOUT, write.write_all(bytes)) => matches!(sent, Ok(Ok(()))),
            () = reading => false,
        }
    }

    /// Sends without reading the answers.
    pub(crate) async fn send_only(&mut self, bytes: &[u8]) -> bool {
        matches!(tokio::time::timeout(TIMEOUT, self.0.write_all(bytes)).await, Ok(Ok(())))
    }

    /// The bytes until the server closes, and whether it closed in time.
    pub(crate) async fn rest(&mut self, within: Duration) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let read = async {
            let mut part = [0; 4096];
            // A reset ends the connection too.
            while let Ok(count @ 1..) = self.0.read(&mut part).await {
                bytes.extend_from_slice(&part[..count]);
            }
        };
        let is_closed = tokio::time::timeout(within, read).await.is_ok();
        (bytes, is_closed)
    }

    /// The bytes until `enough` holds or the server closes, and whether that was in time.
    pub(crate) async fn until(&mut self, enough: impl Fn(&[u8]) -> bool) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let read = async {
            let mut part = [0; 4096];
            while !enough(&bytes) {
                match self.0.read(&mut part).await {
                    Ok(count @ 1..) => bytes.extend_from_slice(&part[..count]),
                    _ => break,
                }
            }
        };
        let is_answered = tokio::time::timeout(TIMEOUT, read).await.is_ok();
        (bytes, is_answered)
    }

    /// Fails unless the server closes in time.
    pub(crate) async fn assert_closed(&mut self, why: &str) -> Vec<u8> {
        let (bytes, is_closed) = self.rest(TIMEOUT).await;
        assert!(is_closed, "the server did not close the connection: {why}");
        bytes
    }
}

/// A frame of HTTP/2.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&head(length, kind, flags, stream), payload].concat()
}

/// The header of a frame. `length` may be wrong.
pub(crate) fn head(length: u32, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes()].concat()
}

/// A literal HPACK header without indexing.
pub(crate) fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

/// A literal HPACK header with indexing. It gets index 62, and earlier ones move up by one.
pub(crate) fn indexed(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0x40][..], &text(name), &text(value)].concat()
}

/// An HPACK string without Huffman coding.
fn text(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    match text.len() {
        length @ ..127 => bytes.push(length as u8),
        length => {
            bytes.push(127);
            bytes.extend(crate::mutate::varint(length as u64 - 127));
        }
    }
    bytes.extend_from_slice(text);
    bytes
}

/// The headers of a call.
pub(crate) fn call(path: &str) -> Vec<u8> {
    [
        literal(b":method", b"POST"),
        literal(b":scheme", b"http"),
        literal(b":path", path.as_bytes()),
        literal(b":authority", b"localhost"),
        literal(b"te", b"trailers"),
        literal(b"content-type", b"application/grpc"),
        literal(b"x-sharewarden-principal", b"tester@example.com"),
    ]
    .concat()
}
