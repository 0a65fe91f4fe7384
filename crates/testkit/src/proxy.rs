//! A TCP proxy in front of Postgres that injects faults on demand, also exactly around COMMIT.
//!
//! It parses Postgres' protocol (version 3, without TLS) far enough to find message boundaries, a `COMMIT` that is
//! sent as a simple query, the `Sync` after a statement that commits by itself, and the response to either. Rules can
//! be changed at any time. [`Proxy`] is the interface. `serve` handles a connection, and `to_postgres` and
//! `to_caller` its two directions.

use std::{
    collections::{HashSet, VecDeque},
    io,
    net::SocketAddr,
    path::PathBuf,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{
        TcpListener, TcpStream, UnixStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const LOOPBACK: &str = "127.0.0.1:0";

/// What happens to all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Everything passes.
    Pass,
    /// New connections are reset. Existing ones continue.
    Refuse,
    /// Connections are accepted, but nothing passes. When the rule changes, the delayed bytes pass.
    BlackHole,
    /// Bytes are delayed in both directions.
    Delay(Duration),
}

/// What happens to one COMMIT, or to the Sync that commits a writing statement outside of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// The connection is reset before Postgres receives the COMMIT.
    CutBefore,
    /// Postgres commits, and the connection is reset before the client receives the response.
    CutAfter,
    /// The client's connection is reset at once, and Postgres receives the COMMIT after this time.
    Delayed(Duration),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyCounts {
    pub connections: u64,
    pub refused: u64,
    /// Connections reset by [`Proxy::cut`].
    pub cut: u64,
    /// COMMITs that clients sent.
    pub commits: u64,
    /// COMMITs that met [`CommitFault::CutBefore`].
    pub cut_before: u64,
    /// COMMITs that met [`CommitFault::CutAfter`].
    pub cut_after: u64,
    /// COMMITs that met [`CommitFault::Delayed`].
    pub late: u64,
}

/// A running proxy. It stops with all its connections when dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<ProxyState>,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Proxy {
    /// Starts a proxy for the server in this `postgres://` URL (TCP, or a socket with `?host=/folder`).
    pub async fn start(upstream: &str) -> Self {
        Self::start_for(LOOPBACK, ProxyTarget::of(upstream), true).await
    }

    /// As [`start`](Self::start), on the loopback address of IPv6.
    pub async fn start_on_ipv6(upstream: &str) -> Self {
        Self::start_for("[::1]:0", ProxyTarget::of(upstream), true).await
    }

    /// Starts a proxy for any other TCP server. It ignores COMMITs, and rules apply only to new connections.
    pub async fn start_plain(upstream: SocketAddr) -> Self {
        let upstream = ProxyTarget::Tcp(upstream.ip().to_string(), upstream.port());
        Self::start_for(LOOPBACK, upstream, false).await
    }

    async fn start_for(listen: &str, upstream: ProxyTarget, speaks_postgres: bool) -> Self {
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let shared = Arc::new(ProxyState {
            rule: watch::Sender::new(Rule::Pass),
            upstream: Mutex::new(upstream),
            speaks_postgres,
            fates: Mutex::default(),
            cut: Mutex::new(stop.child_token()),
            counted: Counted::default(),
        });
        tasks.spawn(accept(listener, Arc::clone(&shared), tasks.clone(), stop.clone()));
        Self { shared, address, stop }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The database URL through this proxy.
    pub fn url(&self, database_url: &str) -> String {
        let (scheme, rest) = database_url.split_once("://").unwrap();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
        let kept = query.split('&').filter(|pair| {
            let name = pair.split('=').next().unwrap();
            !["", "host", "hostaddr", "port", "sslmode", "ssl-mode"].contains(&name)
        });
        let query: Vec<_> = kept.chain(["sslmode=disable"]).collect();
        format!("{scheme}://{user}@{}/{database}?{}", self.address, query.join("&"))
    }

    pub fn set(&self, rule: Rule) {
        self.shared.rule.send_replace(rule);
    }

    /// Resets all connections.
    pub fn cut(&self) {
        let next = self.stop.child_token();
        std::mem::replace(&mut *lock(&self.shared.cut), next).cancel();
    }

    /// Injects this fault into the next `times` COMMITs of any connection. Faults queue up.
    pub fn next_commits(&self, fate: CommitFault, times: usize) {
        lock(&self.shared.fates).extend(std::iter::repeat_n(fate, times));
    }

    /// Removes the queued faults.
    pub fn clear_commit_faults(&self) {
        lock(&self.shared.fates).clear();
    }

    /// Sends new connections to another server: a failover. Existing ones stay: see [`cut`](Self::cut).
    pub fn retarget(&self, upstream: &str) {
        *lock(&self.shared.upstream) = ProxyTarget::of(upstream);
    }

    pub fn counts(&self) -> ProxyCounts {
        let counted = &self.shared.counted;
        ProxyCounts {
            connections: counted.connections.load(Relaxed),
            refused: counted.refused.load(Relaxed),
            cut: counted.cut.load(Relaxed),
            commits: counted.commits.load(Relaxed),
            cut_before: counted.cut_before.load(Relaxed),
            cut_after: counted.cut_after.load(Relaxed),
            late: counted.late.load(Relaxed),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Debug)]
struct ProxyState {
    rule: watch::Sender<Rule>,
    upstream: Mutex<ProxyTarget>,
    speaks_postgres: bool,
    fates: Mutex<VecDeque<CommitFault>>,
    /// Cancelled to reset the current connections.
    cut: Mutex<CancellationToken>,
    counted: Counted,
}

#[derive(Debug, Default)]
struct Counted {
    connections: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    commits: AtomicU64,
    cut_before: AtomicU64,
    cut_after: AtomicU64,
    late: AtomicU64,
}

impl ProxyState {
    /// Waits until the rule lets bytes pass.
    async fn may_pass(&self) {
        let mut rule = self.rule.subscribe();
        // The sender is in `self`, so this cannot fail.
        let _ = rule.wait_for(|rule| *rule != Rule::BlackHole).await;
        let now = *rule.borrow();
        if let Rule::Delay(time) = now {
            tokio::time::sleep(time).await;
        }
    }

    /// The fault for a COMMIT that was just sent.
    fn fate(&self) -> Option<CommitFault> {
        let fate = lock(&self.fates).pop_front();
        let counter = match fate {
            Some(CommitFault::CutBefore) => Some(&self.counted.cut_before),
            Some(CommitFault::CutAfter) => Some(&self.counted.cut_after),
            Some(CommitFault::Delayed(_)) => Some(&self.counted.late),
            None => None,
        };
        for counter in counter.into_iter().chain([&self.counted.commits]) {
            counter.fetch_add(1, Relaxed);
        }
        fate
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

#[derive(Clone, Debug)]
enum ProxyTarget {
    Tcp(String, u16),
    Unix(PathBuf),
}

trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

impl ProxyTarget {
    fn of(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).unwrap();
        let port = options.get_port();
        match options.get_socket() {
            Some(folder) => Self::Unix(folder.join(format!(".s.PGSQL.{port}"))),
            None => Self::Tcp(options.get_host().to_owned(), port),
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn ByteStream>> {
        Ok(match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }
}

async fn accept(listener: TcpListener, shared: Arc<ProxyState>, tasks: TaskTracker, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((mut client, _)) = accepted else { continue };
        if *shared.rule.borrow() == Rule::Refuse {
            shared.counted.refused.fetch_add(1, Relaxed);
            let _ = client.set_zero_linger();
            continue;
        }
        shared.counted.connections.fetch_add(1, Relaxed);
        let (shared, cut) = (Arc::clone(&shared), lock(&shared.cut).clone());
        tasks.spawn(async move {
            let late = tokio::select! {
                end = serve(&mut client, &shared) => end.unwrap_or(None),
                () = cut.cancelled() => {
                    shared.counted.cut.fetch_add(1, Relaxed);
                    None
                }
            };
            // The client always sees a reset.
            let _ = client.set_zero_linger();
            drop(client);
            if let Some(late) = late {
                // If Postgres has stopped meanwhile, the COMMIT is lost.
                let _ = late.deliver().await;
            }
        });
    }
}

/// A COMMIT for Postgres whose client is gone.
struct DelayedCommit {
    server: Box<dyn ByteStream>,
    commit: Bytes,
    after: Duration,
}

impl DelayedCommit {
    async fn deliver(mut self) -> io::Result<()> {
        tokio::time::sleep(self.after).await;
        self.server.write_all(&self.commit).await?;
        // Any response shows that Postgres has read the COMMIT.
        self.server.read_u8().await.map(drop)
    }
}

async fn serve(client: &mut TcpStream, shared: &ProxyState) -> io::Result<Option<DelayedCommit>> {
    client.set_nodelay(true)?;
    shared.may_pass().await;
    let upstream = lock(&shared.upstream).clone();
    let mut server = upstream.connect().await?;
    if !shared.speaks_postgres {
        tokio::io::copy_bidirectional(client, &mut server).await?;
        return Ok(None);
    }
    let startup = startup(client).await?;
    server.write_all(&startup).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = tokio::io::split(server);
    // True if the next response must not arrive.
    let doomed = AtomicBool::new(false);
    let late = tokio::select! {
        late = to_postgres(&mut from_client, &mut to_server, shared, &doomed) => late?,
        ended = to_caller(&mut from_server, &mut to_client, shared, &doomed) => {
            ended?;
            None
        }
    };
    Ok(late.map(|(commit, after)| DelayedCommit {
        server: from_server.unsplit(to_server),
        commit,
        after,
    }))
}

/// Reads the first packet, which has a length and no type. Declines encryption.
async fn startup(client: &mut TcpStream) -> io::Result<BytesMut> {
    const SSL_REQUEST: u32 = 80_877_103;
    const GSS_REQUEST: u32 = 80_877_104;
    loop {
        let mut packet = BytesMut::new();
        while packet.len() < 8 || packet.len() < length(&packet) {
            some(client.read_buf(&mut packet).await?)?;
        }
        match u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]) {
            SSL_REQUEST | GSS_REQUEST => client.write_all(b"N").await?,
            _ => return Ok(packet),
        }
    }
}

/// Forwards the client's bytes. Returns a COMMIT that must be delayed.
async fn to_postgres(
    client: &mut ReadHalf<'_>,
    server: &mut (impl AsyncWrite + Unpin),
    shared: &ProxyState,
    doomed: &AtomicBool,
) -> io::Result<Option<(Bytes, Duration)>> {
    let (mut read, mut session) = (BytesMut::new(), ClientSession::default());
    loop {
        some(client.read_buf(&mut read).await?)?;
        shared.may_pass().await;
        while let Some(message) = next_message(&mut read) {
            if session.commits_with(&message) {
                match shared.fate() {
                    Some(CommitFault::CutBefore) => return Ok(None),
                    Some(CommitFault::Delayed(after)) => return Ok(Some((message, after))),
                    Some(CommitFault::CutAfter) => doomed.store(true, Relaxed),
                    None => {}
                }
            }
            server.write_all(&message).await?;
        }
    }
}

/// Forwards the server's bytes, up to the response that must not arrive.
async fn to_caller(
    server: &mut (impl AsyncRead + Unpin),
    client: &mut WriteHalf<'_>,
    shared: &ProxyState,
    doomed: &AtomicBool,
) -> io::Result<()> {
    let mut read = BytesMut::new();
    loop {
        some(server.read_buf(&mut read).await?)?;
        if doomed.load(Relaxed) {
            // Any response shows that Postgres has processed the COMMIT.
            return Ok(());
        }
        shared.may_pass().await;
        let whole = read.split();
        client.write_all(&whole).await?;
    }
}

/// The state of a client's session that decides what commits.
#[derive(Debug, Default)]
struct ClientSession {
    in_transaction: bool,
    /// Names of prepared writing statements that have several parts.
    writing: HashSet<Vec<u8>>,
    /// True if one of them was bound outside of a transaction: the next Sync commits it.
    bound: bool,
}

impl ClientSession {
    fn commits_with(&mut self, message: &[u8]) -> bool {
        let mut texts = message[5..].split(|byte| *byte == 0);
        let mut text = || texts.next().unwrap_or_default();
        match message[0] {
            b'Q' => {
                let query = text().trim_ascii().to_ascii_uppercase();
                let ends = query.starts_with(b"COMMIT") || query.starts_with(b"ROLLBACK");
                self.in_transaction = query.starts_with(b"BEGIN") || self.in_transaction && !ends;
                query == b"COMMIT"
            }
            b'P' => {
                let (name, query) = (text().to_vec(), text());
                let has = |word: &[u8]| query.windows(word.len()).any(|part| part == word);
                if query.starts_with(b"WITH ") && (has(b"INSERT INTO ") || has(b"UPDATE ")) {
                    self.writing.insert(name);
                } else {
                    self.writing.remove(&name);
                }
                false
            }
            b'B' => {
                let (_portal, name) = (text(), text());
                self.bound = !self.in_transaction && self.writing.contains(name);
                false
            }
            b'S' => std::mem::take(&mut self.bound),
            _ => false,
        }
    }
}

/// Takes one complete message: type, length (which includes itself), contents.
fn next_message(read: &mut BytesMut) -> Option<Bytes> {
    let whole = 1 + length(read.get(1..)?);
    (read.len() >= 5 && read.len() >= whole).then(|| read.split_to(whole).freeze())
}

/// The length at the beginning, or a length that is never reached if it is incomplete.
fn length(bytes: &[u8]) -> usize {
    match bytes.first_chunk() {
        Some(length) => u32::from_be_bytes(*length) as usize,
        None => usize::MAX - 1,
    }
}

/// Zero bytes mean the end of the connection.
fn some(read: usize) -> io::Result<()> {
    match read {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
