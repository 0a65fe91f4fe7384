//! A scripted HTTP server. The script decides the exact bytes of each answer, and how the connection ends.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

/// What to do after a request.
pub(crate) enum ScriptedAnswer {
    /// Send these bytes, and keep the connection.
    Send(String),
    /// Send these bytes, and close.
    SendAndClose(String),
    /// Close the connection.
    Close,
    /// Reset the connection.
    Reset,
    /// Never answer.
    Hang,
}

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct ReceivedRequest {
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl ReceivedRequest {
    /// Such as `UpdateWorkspaceImagePermission`. Empty for STS.
    pub(crate) fn operation(&self) -> &str {
        self.headers
            .get("x-amz-target")
            .and_then(|target| target.strip_prefix("WorkspacesService."))
            .unwrap_or_default()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// A running server. Dropping it closes all connections.
pub(crate) struct Upstream {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<ReceivedRequest>>>,
    server: AbortHandle,
}

impl Upstream {
    pub(crate) async fn start(script: impl Fn(&ReceivedRequest) -> ScriptedAnswer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let server = tokio::spawn(serve(listener, Arc::new(script), seen.clone())).abort_handle();
        Self { url, seen, server }
    }

    /// A server that sends the same answer to all requests.
    pub(crate) async fn answering(answer: String) -> Self {
        Self::start(move |_| ScriptedAnswer::Send(answer.clone())).await
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<ReceivedRequest> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Script = Arc<dyn Fn(&ReceivedRequest) -> ScriptedAnswer + Send + Sync>;

async fn serve(listener: TcpListener, script: Script, seen: Arc<Mutex<Vec<ReceivedRequest>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, script.clone(), seen.clone()));
    }
}

async fn connection(stream: TcpStream, script: Script, seen: Arc<Mutex<Vec<ReceivedRequest>>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        seen.lock().unwrap().push(request.clone());
        match script(&request) {
            ScriptedAnswer::Send(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
            ScriptedAnswer::SendAndClose(bytes) => return stream.write_all(bytes.as_bytes()).await.unwrap(),
            ScriptedAnswer::Close => return,
            ScriptedAnswer::Reset => return stream.get_ref().set_zero_linger().unwrap(),
            ScriptedAnswer::Hang => std::future::pending().await,
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<ReceivedRequest> {
    let mut headers = HashMap::new();
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let body = String::from_utf8(body).unwrap();
    Some(ReceivedRequest { headers, body })
}

/// An HTTP answer with a request id.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> String {
    let mut answer = format!("HTTP/1.1 {status} X\r\nx-amzn-RequestId: request-1\r\n");
    for (name, value) in headers {
        answer.push_str(&format!("{name}: {value}\r\n"));
    }
    answer + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

/// An error as WorkSpaces sends it.
pub(crate) fn error(status: u16, code: &str, message: &str) -> String {
    let body = serde_json::json!({ "__type": format!("com.amazonaws.workspaces#{code}"), "message": message });
    answer(
        status,
        &[
            ("x-amzn-ErrorType", code),
            ("Content-Type", "application/x-amz-json-1.1"),
        ],
        &body.to_string(),
    )
}
