//! A TCP proxy that cuts its first connection after an exact number of bytes, and records the bytes of a connection that it
//! does not cut. [`frame_ends`] finds the places between two HTTP/2 frames in them.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// Ends a connection directly after this number of bytes has passed in one direction.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub direction: Direction,
    pub after_bytes: usize,
}

/// What happens to the connections, in the order in which they arrive.
#[derive(Clone, Debug)]
pub struct CutPlan {
    /// Where the first connection is cut. `None`: it is recorded.
    pub cut: Option<Cut>,
    /// The server of the first connection.
    pub first: SocketAddr,
    /// The number of connections after the first that are reset at once.
    pub refused: usize,
    /// The server of all later connections.
    pub later: SocketAddr,
}

/// The bytes of the first connection, by direction.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    pub to_server: Vec<u8>,
    pub to_client: Vec<u8>,
}

/// A running proxy. Dropping it ends its connections.
pub struct CuttingProxy {
    address: SocketAddr,
    traffic: Arc<Mutex<Traffic>>,
    task: JoinHandle<()>,
}

impl CuttingProxy {
    pub async fn start(connections: CutPlan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let traffic = Arc::default();
        let task = tokio::spawn(serve(listener, connections, Arc::clone(&traffic)));
        Self { address, traffic, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The bytes that the first connection passed on.
    pub fn traffic(&self) -> Traffic {
        self.traffic.lock().unwrap().clone()
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, connections: CutPlan, traffic: Arc<Mutex<Traffic>>) {
    let mut open = tokio::task::JoinSet::new();
    for number in 0.. {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        let (traffic, plan) = (Arc::clone(&traffic), connections.clone());
        if number == 0 {
            open.spawn(async move { pass(client, plan.first, plan.cut, &traffic).await });
        } else if number <= plan.refused {
            let _ = client.set_zero_linger();
        } else {
            open.spawn(async move { pass(client, plan.later, None, &Mutex::default()).await });
        }
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, cut: Option<Cut>, traffic: &Mutex<Traffic>) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let limit = |direction| cut.filter(|cut| cut.direction == direction).map(|cut| cut.after_bytes);
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let sent = |bytes: &[u8]| traffic.lock().unwrap().to_server.extend_from_slice(bytes);
    let answered = |bytes: &[u8]| traffic.lock().unwrap().to_client.extend_from_slice(bytes);
    // Either end ends both directions.
    tokio::select! {
        ended = copy(&mut from_client, &mut to_server, limit(Direction::ToServer), sent) => ended?,
        ended = copy(&mut from_server, &mut to_client, limit(Direction::ToClient), answered) => ended?,
    }
    // A reset could discard bytes that the other side has not read yet. So both sides get an orderly end, and the proxy reads
    // what they still send.
    to_client.shutdown().await?;
    to_server.shutdown().await?;
    let (mut client_rest, mut server_rest) = (tokio::io::sink(), tokio::io::sink());
    let rest = (
        tokio::io::copy(&mut from_client, &mut client_rest),
        tokio::io::copy(&mut from_server, &mut server_rest),
    );
    let _ = tokio::join!(rest.0, rest.1);
    Ok(())
}

/// Copies until the end of `from`, or until `limit` bytes were written.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    limit: Option<usize>,
    passed: impl Fn(&[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut left = limit.unwrap_or(usize::MAX);
    while left > 0 {
        let room = left.min(buffer.len());
        let read = from.read(&mut buffer[..room]).await?;
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read]).await?;
        passed(&buffer[..read]);
        left -= read;
    }
    Ok(())
}

/// The preface that a client sends before its first HTTP/2 frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The number of bytes before and after each HTTP/2 frame.
pub fn frame_ends(bytes: &[u8]) -> Vec<usize> {
    let mut at = if bytes.starts_with(PREFACE) { PREFACE.len() } else { 0 };
    let mut ends = vec![at];
    // A frame has a head of 9 bytes, and the first three are the length of the rest.
    while let Some([high, middle, low]) = bytes.get(at..at + 3) {
        at += 9 + usize::from(*high) * 65_536 + usize::from(*middle) * 256 + usize::from(*low);
        ends.push(at);
    }
    ends
}
