//! An HTTP/2 client that sends any frames, also invalid ones.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use tokio::{net::TcpStream, task::JoinHandle};

/// Maximum time for a response, also on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a stream is read.
const LISTEN: Duration = Duration::from_millis(150);

#[derive(Debug, Clone)]
pub struct Http2Call {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The data frames.
    pub body: Vec<Bytes>,
    /// False: the request is never ended.
    pub ends: bool,
    /// True if the response may be an endless stream.
    pub is_streamed: bool,
}

#[derive(Debug)]
pub enum Http2Outcome {
    /// A response, or the beginning of a long one.
    Response(Http2Response),
    /// An HTTP/2 error on the stream or the connection.
    Refused(String),
    /// No response within the timeout.
    None,
}

#[derive(Debug, Default)]
pub struct Http2Response {
    pub http: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
    /// False if the response was not read to its end.
    pub is_whole: bool,
}

impl Http2Response {
    /// A trailer, or else a header.
    pub fn value(&self, name: &str) -> Option<&HeaderValue> {
        self.trailers.get(name).or_else(|| self.headers.get(name))
    }

    /// The gRPC status code.
    pub fn code(&self) -> Option<i32> {
        self.value("grpc-status")?.to_str().ok()?.parse().ok()
    }
}

pub struct Http2Connection {
    send: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

impl Drop for Http2Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Http2Connection {
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_with_window(address, 65_535).await
    }

    /// A connection whose streams have this window: the maximum bytes of a response that the server may send before they are
    /// read.
    pub async fn open_with_window(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(window)
            .handshake(stream)
            .await
            .unwrap();
        let driver = tokio::spawn(async move {
            // Each call reports the error.
            let _ = connection.await;
        });
        Self { send, driver }
    }

    pub async fn call(&self, call: &Http2Call) -> Http2Outcome {
        match tokio::time::timeout(TIMEOUT, self.exchange(call)).await {
            Ok(Ok(given)) => Http2Outcome::Response(given),
            Ok(Err(error)) => Http2Outcome::Refused(error.to_string()),
            Err(_) => Http2Outcome::None,
        }
    }

    async fn exchange(&self, call: &Http2Call) -> Result<Http2Response, h2::Error> {
        let (given, Http2Body(body)) = self.begin(call).await?;
        if call.is_streamed {
            return Ok(listen(given, body).await);
        }
        read(given, body).await
    }

    /// The head of the response, and its body, which nothing has read.
    pub async fn begin(&self, call: &Http2Call) -> Result<(Http2Response, Http2Body), h2::Error> {
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
                break; // The server answered before everything was sent.
            }
        }
        let (head, body) = answer.await?.into_parts();
        let given = Http2Response {
            http: head.status.as_u16(),
            headers: head.headers,
            ..Http2Response::default()
        };
        Ok((given, Http2Body(body)))
    }
}

/// The body of a response. The window stays closed until it is read.
pub struct Http2Body(RecvStream);

impl Http2Body {
    /// Waits for the end without opening the window. `None`: the response ended well. Otherwise the code of the reset, or `None`
    /// in it when the connection ended.
    pub async fn end_unread(mut self) -> Option<Option<u32>> {
        while let Some(data) = self.0.data().await {
            if let Err(error) = data {
                return Some(error.reason().map(u32::from));
            }
        }
        None
    }
}

async fn read(mut given: Http2Response, mut body: RecvStream) -> Result<Http2Response, h2::Error> {
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        given.body.extend_from_slice(&data);
    }
    given.trailers = body.trailers().await?.unwrap_or_default();
    given.is_whole = true;
    Ok(given)
}

/// Reads a stream for [`LISTEN`], and leaves.
async fn listen(given: Http2Response, body: RecvStream) -> Http2Response {
    let begun = Http2Response {
        http: given.http,
        headers: given.headers.clone(),
        ..Http2Response::default()
    };
    match tokio::time::timeout(LISTEN, read(given, body)).await {
        Ok(Ok(given)) => given,
        Ok(Err(_)) | Err(_) => begun,
    }
}
