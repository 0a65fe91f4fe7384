//! Bytes on a socket, and the frames of HTTP/2 (RFC 9113) and HPACK (RFC 7541) as nobody should send them.

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

/// Who does not take what is sent is left after so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, after HTTP/2's greeting where that is wanted.
pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// A connection that speaks HTTP/2 so far.
    pub(crate) async fn greeted(address: SocketAddr) -> Self {
        let mut raw = Self::open(address).await;
        let greeting = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        assert!(raw.send(&greeting).await, "the greeting is taken");
        raw
    }

    /// Sends; false if the other side does not take it (any more).
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        // What comes back is read meanwhile: a server that waits for a reader may stop reading.
        let (mut read, mut write) = self.0.split();
        let mut thrown_away = [0; 4096];
        let reading = async {
            while read.read(&mut thrown_away).await.is_ok_and(|count| count > 0) {}
            std::future::pending::<()>().await;
        };
        tokio::select! {
            sent = tokio::time::timeout(PATIENCE, write.write_all(bytes)) => matches!(sent, Ok(Ok(()))),
            () = reading => false,
        }
    }

    /// Sends, and reads nothing of what comes back.
    pub(crate) async fn send_only(&mut self, bytes: &[u8]) -> bool {
        matches!(
            tokio::time::timeout(PATIENCE, self.0.write_all(bytes)).await,
            Ok(Ok(()))
        )
    }

    /// What comes back until the other side closes, and whether it did within the time.
    pub(crate) async fn rest(&mut self, within: Duration) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let read = async {
            let mut part = [0; 4096];
            // A reset is an end too.
            while let Ok(count @ 1..) = self.0.read(&mut part).await {
                bytes.extend_from_slice(&part[..count]);
            }
        };
        let is_closed = tokio::time::timeout(within, read).await.is_ok();
        (bytes, is_closed)
    }

    /// What comes back until it is enough, or the other side closes; and whether either was soon.
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
        let is_answered = tokio::time::timeout(PATIENCE, read).await.is_ok();
        (bytes, is_answered)
    }

    /// Fails unless the other side closes soon.
    pub(crate) async fn assert_closed(&mut self, why: &str) -> Vec<u8> {
        let (bytes, is_closed) = self.rest(PATIENCE).await;
        assert!(is_closed, "the connection is closed: {why}");
        bytes
    }
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&head(length, kind, flags, stream), payload].concat()
}

/// The head of a frame, of whatever length it says.
pub(crate) fn head(length: u32, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes()].concat()
}

/// A header, literally and without a place in the table.
pub(crate) fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &text(name), &text(value)].concat()
}

/// The same with a place in the table: the next header that is written so gets index 62, and pushes this one on.
pub(crate) fn remembered(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0x40][..], &text(name), &text(value)].concat()
}

/// A text without Huffman's code.
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
