//! Calls, frame by frame: an HTTP/2 client that sends whatever it is told.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use tokio::{net::TcpStream, task::JoinHandle};

/// However busy the machine is, an answer is there by then.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A stream is read for so long.
const LISTEN: Duration = Duration::from_millis(150);

/// A call as it goes over the wire.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The frames of the body.
    pub body: Vec<Bytes>,
    /// False: the request never ends.
    pub ends: bool,
    /// The answer may be a stream without an end.
    pub is_streamed: bool,
}

/// What came back.
#[derive(Debug)]
pub enum Answer {
    /// An answer, or the beginning of a long one.
    Given(Given),
    /// The stream, or the connection, was ended with an error of HTTP/2.
    Refused(String),
    /// Nothing in time.
    None,
}

/// An answer.
#[derive(Debug, Default)]
pub struct Given {
    pub http: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
    /// False: there would have been more.
    pub is_whole: bool,
}

impl Given {
    /// A header or a trailer.
    pub fn value(&self, name: &str) -> Option<&HeaderValue> {
        self.trailers.get(name).or_else(|| self.headers.get(name))
    }

    /// The status of gRPC.
    pub fn code(&self) -> Option<i32> {
        self.value("grpc-status")?.to_str().ok()?.parse().ok()
    }
}

/// A connection.
pub struct Connection {
    send: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        let driver = tokio::spawn(async move {
            // How it ended is told to those who use it.
            let _ = connection.await;
        });
        Self { send, driver }
    }

    /// Makes a call.
    pub async fn call(&self, call: &Call) -> Answer {
        match tokio::time::timeout(PATIENCE, self.exchange(call)).await {
            Ok(Ok(given)) => Answer::Given(given),
            Ok(Err(error)) => Answer::Refused(error.to_string()),
            Err(_) => Answer::None,
        }
    }

    async fn exchange(&self, call: &Call) -> Result<Given, h2::Error> {
        let mut request = Request::new(());
        *request.method_mut() = call.method.clone();
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = format!("http://localhost{}", call.path).parse().unwrap();
        for (name, value) in &call.headers {
            request.headers_mut().append(name, value.clone());
        }
        let mut send = self.send.clone().ready().await?;
        let (answer, mut stream) = send.send_request(request, call.body.is_empty() && call.ends)?;
        for (index, part) in call.body.iter().enumerate() {
            let is_last = index + 1 == call.body.len();
            if stream.send_data(part.clone(), is_last && call.ends).is_err() {
                break; // It was refused before all was sent.
            }
        }
        let (head, body) = answer.await?.into_parts();
        let given = Given {
            http: head.status.as_u16(),
            headers: head.headers,
            ..Given::default()
        };
        if call.is_streamed {
            return Ok(listen(given, body).await);
        }
        read(given, body).await
    }
}

async fn read(mut given: Given, mut body: RecvStream) -> Result<Given, h2::Error> {
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        given.body.extend_from_slice(&data);
    }
    given.trailers = body.trailers().await?.unwrap_or_default();
    given.is_whole = true;
    Ok(given)
}

/// Reads a stream for a moment, and leaves.
async fn listen(given: Given, body: RecvStream) -> Given {
    let begun = Given {
        http: given.http,
        headers: given.headers.clone(),
        ..Given::default()
    };
    match tokio::time::timeout(LISTEN, read(given, body)).await {
        Ok(Ok(given)) => given,
        Ok(Err(_)) | Err(_) => begun,
    }
}
