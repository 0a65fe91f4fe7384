use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

use crate::telemetry::Instruments;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(30);
const REQUEST: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// A port whose service answers each client with the client's address.
struct Port {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Port {
    async fn open(change: impl FnOnce(&mut ListenerSettings)) -> Self {
        let mut settings = ListenerSettings {
            max_connections: 8,
            handshake_timeout: TIMEOUT,
            head_timeout: TIMEOUT,
            max_head_bytes: 8 * 1024,
            max_concurrent_streams: 8,
            keepalive_interval: TIMEOUT,
            keepalive_timeout: TIMEOUT,
            unread_timeout: TIMEOUT,
            max_age: None,
        };
        change(&mut settings);
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let listener = HttpListener {
            socket,
            settings,
            tls: None,
            clock: Clock::system(),
            answers: Answers::new(0, &Instruments::default()),
        };
        let service = tower::service_fn(async |request: Request<Incoming>| {
            let peer: &Peer = request.extensions().get().unwrap();
            Ok(Response::new(peer.address.to_string()))
        });
        let stop = CancellationToken::new();
        Self {
            address,
            serving: tokio::spawn(listener.serve(service, stop.clone())),
            stop,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn close(self) {
        self.stop.cancel();
        let closed = tokio::time::timeout(TIMEOUT, self.serving).await;
        closed.expect("no connection is left").unwrap();
    }
}

/// Sends `text`, and reads until the answer contains `answer`.
async fn ask(stream: &mut TcpStream, text: &str, answer: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut received = String::new();
    let read = async {
        while !received.contains(answer) {
            let mut part = [0; 1024];
            let count = stream.read(&mut part).await.unwrap();
            assert!(count > 0, "closed after {received:?}");
            received.push_str(&String::from_utf8_lossy(&part[..count]));
        }
    };
    tokio::time::timeout(TIMEOUT, read).await.expect("it is answered");
}

async fn assert_closed(mut stream: TcpStream) {
    let end = tokio::time::timeout(TIMEOUT, stream.read(&mut [0; 1024])).await;
    assert!(matches!(end.expect("it is closed"), Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_request_has_its_peer_address_and_a_connection_is_reused() {
    let port = Port::open(|_| {}).await;
    let mut stream = port.connect().await;
    let own = stream.local_addr().unwrap().to_string();
    for _ in 0..2 {
        ask(&mut stream, REQUEST, &own).await;
    }
    drop(stream);
    port.close().await;
}

#[tokio::test]
async fn a_request_head_over_the_limit_is_refused() {
    let port = Port::open(|_| {}).await;
    let mut stream = port.connect().await;
    let head = format!("GET / HTTP/1.1\r\nhost: test\r\nx-long: {}", "x".repeat(9 * 1024));
    ask(&mut stream, &head, "HTTP/1.1 431").await;
    port.close().await;
}

#[tokio::test]
async fn a_connection_in_use_ends_at_its_maximum_age() {
    let port = Port::open(|settings| settings.max_age = Some(Duration::from_millis(300))).await;
    let (mut used, silent) = (port.connect().await, port.connect().await);
    ask(&mut used, REQUEST, "127.0.0.1").await;
    assert_closed(used).await;
    assert_closed(silent).await;
    port.close().await;
}

#[tokio::test]
async fn stopping_a_port_closes_idle_connections_and_refuses_new_ones() {
    let port = Port::open(|_| {}).await;
    let (mut used, silent) = (port.connect().await, port.connect().await);
    ask(&mut used, REQUEST, "127.0.0.1").await;
    let address = port.address;
    port.close().await;
    assert_closed(used).await;
    assert_closed(silent).await;
    TcpStream::connect(address).await.unwrap_err();
}
