//! A TCP proxy in front of Postgres that makes trouble on command, also exactly around COMMIT.
//!
//! It knows enough of Postgres' protocol (version 3, no TLS) to see where messages begin: a `COMMIT` sent as a simple
//! query, or the `Sync` behind a statement that commits by itself, and Postgres' answer to it. Rules can be changed while it runs. To read it: [`Proxy`] is what
//! tests use; `serve` is a connection; `to_postgres` and `to_caller` are its two ways.

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

/// What happens to all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Everything passes.
    Pass,
    /// New connections are reset; those that there are go on.
    Refuse,
    /// Connections are taken and nothing passes, either way. When the rule changes, what was held back goes on.
    BlackHole,
    /// What is said, either way, is this late.
    Delay(Duration),
}

/// What happens to one COMMIT, or to the commit of one statement with several parts that writes, outside of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The connection is cut, and Postgres never hears of the COMMIT.
    CutBefore,
    /// Postgres commits, and the connection is cut before the client hears of it.
    CutAfter,
    /// The client is cut at once, and the COMMIT still reaches Postgres so much later.
    Late(Duration),
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were taken.
    pub connections: u64,
    /// Connections that were refused.
    pub refused: u64,
    /// Connections ended by [`Proxy::cut`].
    pub cut: u64,
    /// COMMITs that clients sent.
    pub commits: u64,
    /// COMMITs that met [`Fate::CutBefore`].
    pub cut_before: u64,
    /// COMMITs that met [`Fate::CutAfter`].
    pub cut_after: u64,
    /// COMMITs that met [`Fate::Late`].
    pub late: u64,
}

/// A running proxy. Dropped, it ends with all its connections.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: CancellationToken,
}

impl Proxy {
    /// Starts a proxy in front of the server that this `postgres://` URL names (TCP, or a socket by `?host=/folder`).
    pub async fn start(upstream: &str) -> Self {
        Self::start_for(Upstream::of(upstream), true).await
    }

    /// Starts a proxy in front of anything else that speaks over TCP. COMMITs have no meaning for it; what is under way passes,
    /// whatever the rule.
    pub async fn start_plain(upstream: SocketAddr) -> Self {
        Self::start_for(Upstream::Tcp(upstream.ip().to_string(), upstream.port()), false).await
    }

    async fn start_for(upstream: Upstream, speaks_postgres: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let shared = Arc::new(Shared {
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same database URL, but through this proxy.
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

    /// Puts a rule in place of the one before.
    pub fn set(&self, rule: Rule) {
        self.shared.rule.send_replace(rule);
    }

    /// Cuts all connections (RST to the client); new ones are taken as the rule says.
    pub fn cut(&self) {
        let next = self.stop.child_token();
        std::mem::replace(&mut *lock(&self.shared.cut), next).cancel();
    }

    /// The next so many COMMITs, of whatever connection, meet this fate. Fates queue up.
    pub fn next_commits(&self, fate: Fate, times: usize) {
        lock(&self.shared.fates).extend(std::iter::repeat_n(fate, times));
    }

    /// The fates that no COMMIT has met yet are withdrawn.
    pub fn forget_fates(&self) {
        lock(&self.shared.fates).clear();
    }

    /// New connections lead to another server: a failover. [`cut`](Self::cut) ends those to the old one.
    pub fn retarget(&self, upstream: &str) {
        *lock(&self.shared.upstream) = Upstream::of(upstream);
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        let counted = &self.shared.counted;
        Counts {
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
struct Shared {
    rule: watch::Sender<Rule>,
    upstream: Mutex<Upstream>,
    speaks_postgres: bool,
    fates: Mutex<VecDeque<Fate>>,
    /// Cancelled to cut the connections of now.
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

impl Shared {
    /// Waits until something may pass.
    async fn may_pass(&self) {
        let mut rule = self.rule.subscribe();
        // The sender is in `self`: waiting cannot fail.
        let _ = rule.wait_for(|rule| *rule != Rule::BlackHole).await;
        let now = *rule.borrow();
        if let Rule::Delay(time) = now {
            tokio::time::sleep(time).await;
        }
    }

    /// The fate of a COMMIT that was just sent.
    fn fate(&self) -> Option<Fate> {
        let fate = lock(&self.fates).pop_front();
        let counter = match fate {
            Some(Fate::CutBefore) => Some(&self.counted.cut_before),
            Some(Fate::CutAfter) => Some(&self.counted.cut_after),
            Some(Fate::Late(_)) => Some(&self.counted.late),
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
enum Upstream {
    Tcp(String, u16),
    Unix(PathBuf),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Upstream {
    fn of(url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).unwrap();
        let port = options.get_port();
        match options.get_socket() {
            Some(folder) => Self::Unix(folder.join(format!(".s.PGSQL.{port}"))),
            None => Self::Tcp(options.get_host().to_owned(), port),
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
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

async fn accept(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker, stop: CancellationToken) {
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
            // Whatever the reason, the client sees a connection that broke: also when it is the one who left.
            let _ = client.set_zero_linger();
            drop(client);
            if let Some(late) = late {
                // Postgres may be gone meanwhile: then the COMMIT is.
                let _ = late.deliver().await;
            }
        });
    }
}

/// A COMMIT on its way to Postgres, whose client is gone.
struct Late {
    server: Box<dyn Stream>,
    commit: Bytes,
    after: Duration,
}

impl Late {
    async fn deliver(mut self) -> io::Result<()> {
        tokio::time::sleep(self.after).await;
        self.server.write_all(&self.commit).await?;
        // Whatever it says: then it has read the COMMIT.
        self.server.read_u8().await.map(drop)
    }
}

async fn serve(client: &mut TcpStream, shared: &Shared) -> io::Result<Option<Late>> {
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
    // The answer to the COMMIT that was sent is not to arrive.
    let doomed = AtomicBool::new(false);
    let late = tokio::select! {
        late = to_postgres(&mut from_client, &mut to_server, shared, &doomed) => late?,
        ended = to_caller(&mut from_server, &mut to_client, shared, &doomed) => {
            ended?;
            None
        }
    };
    Ok(late.map(|(commit, after)| Late {
        server: from_server.unsplit(to_server),
        commit,
        after,
    }))
}

/// The first packet, which has a length and no type. Encryption is declined.
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

/// What the client says. Ends with a COMMIT that is to come late, or when the connection is at its end.
async fn to_postgres(
    client: &mut ReadHalf<'_>,
    server: &mut (impl AsyncWrite + Unpin),
    shared: &Shared,
    doomed: &AtomicBool,
) -> io::Result<Option<(Bytes, Duration)>> {
    let (mut read, mut session) = (BytesMut::new(), Session::default());
    loop {
        some(client.read_buf(&mut read).await?)?;
        shared.may_pass().await;
        while let Some(message) = next_message(&mut read) {
            if session.commits_with(&message) {
                match shared.fate() {
                    Some(Fate::CutBefore) => return Ok(None),
                    Some(Fate::Late(after)) => return Ok(Some((message, after))),
                    Some(Fate::CutAfter) => doomed.store(true, Relaxed),
                    None => {}
                }
            }
            server.write_all(&message).await?;
        }
    }
}

/// What Postgres says, up to the answer that is not to arrive.
async fn to_caller(
    server: &mut (impl AsyncRead + Unpin),
    client: &mut WriteHalf<'_>,
    shared: &Shared,
    doomed: &AtomicBool,
) -> io::Result<()> {
    let mut read = BytesMut::new();
    loop {
        some(server.read_buf(&mut read).await?)?;
        if doomed.load(Relaxed) {
            // Whatever the answer is: it was a COMMIT, and Postgres has seen it.
            return Ok(());
        }
        shared.may_pass().await;
        let whole = read.split();
        client.write_all(&whole).await?;
    }
}

/// What a client has said, as far as it tells what commits.
#[derive(Debug, Default)]
struct Session {
    in_transaction: bool,
    /// Prepared statements with several parts, of which one writes.
    writing: HashSet<Vec<u8>>,
    /// One of them was bound outside of a transaction: the next Sync commits it.
    bound: bool,
}

impl Session {
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

/// Takes one whole message: a type, a length that counts itself, and so much.
fn next_message(read: &mut BytesMut) -> Option<Bytes> {
    let whole = 1 + length(read.get(1..)?);
    (read.len() >= 5 && read.len() >= whole).then(|| read.split_to(whole).freeze())
}

/// The length that these bytes begin with, or more than there can be while it is not there.
fn length(bytes: &[u8]) -> usize {
    match bytes.first_chunk() {
        Some(length) => u32::from_be_bytes(*length) as usize,
        None => usize::MAX - 1,
    }
}

/// No bytes is the end of a connection.
fn some(read: usize) -> io::Result<()> {
    match read {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
