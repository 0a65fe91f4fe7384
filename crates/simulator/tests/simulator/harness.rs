//! Shared helpers: a simulator, SDK clients and raw HTTP.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_workspaces::{
    error::{ProvideErrorMetadata, SdkError},
    types::ImagePermission,
};
use sharewarden_simulator::{Account, ApiCall, Image, Simulator, SimulatorSettings, sample};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) const OWNER: &str = "111122223333";
pub(crate) const RECIPIENT: &str = "210987654321";
pub(crate) const ZEROS: &str = "000011112222";
pub(crate) const BYOL_OWNER: &str = "444455556666";
pub(crate) const BYOL_RECIPIENT: &str = "777788889999";
pub(crate) const FRANKFURT: &str = "eu-central-1";
pub(crate) const VIRGINIA: &str = "us-east-1";
pub(crate) const IMAGE: &str = "wsi-basewin11";
pub(crate) const PENDING_IMAGE: &str = "wsi-pending01";
pub(crate) const BYOL_IMAGE: &str = "wsi-byolwin11";

pub(crate) use aws_sdk_workspaces::Client;

/// A simulator with the sample inventory. New images are AVAILABLE at once.
pub(crate) async fn start() -> Simulator {
    start_with(quick()).await
}

pub(crate) fn quick() -> SimulatorSettings {
    SimulatorSettings {
        image_build_milliseconds: 0,
        ..sample()
    }
}

pub(crate) async fn start_with(settings: SimulatorSettings) -> Simulator {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    Simulator::start(listener, settings).await.expect("good settings")
}

/// The sample inventory with one more account and image.
pub(crate) async fn start_with_image(owner: Account, image: Image) -> Simulator {
    let sim = start().await;
    sim.add_account(owner).expect("a good account");
    sim.add_image(image).expect("a good image");
    sim
}

/// Waits until the call log satisfies the condition. Panics after 20 s.
pub(crate) async fn until(sim: &Simulator, condition: impl FnMut(&[ApiCall]) -> bool) -> Vec<ApiCall> {
    let calls = tokio::time::timeout(Duration::from_secs(20), sim.wait_for_calls(condition)).await;
    calls.unwrap_or_else(|_| panic!("the condition does not hold for {:?}", sim.calls()))
}

/// A client with a made-up key of the account. Retries are disabled, so that one call is one request.
pub(crate) fn client(sim: &Simulator, account: &str, region: &str) -> Client {
    let keys = Credentials::new(format!("AKIA{account}"), "any secret", None, None, "test");
    client_with(sim, keys, region)
}

pub(crate) fn client_with(sim: &Simulator, keys: Credentials, region: &str) -> Client {
    let timeouts = aws_sdk_workspaces::config::timeout::TimeoutConfig::builder()
        .operation_timeout(Duration::from_secs(20))
        .build();
    let config = aws_sdk_workspaces::Config::builder()
        .behavior_version(aws_sdk_workspaces::config::BehaviorVersion::latest())
        .region(aws_sdk_workspaces::config::Region::new(region.to_owned()))
        .endpoint_url(sim.url())
        .credentials_provider(keys)
        .retry_config(aws_sdk_workspaces::config::retry::RetryConfig::disabled())
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}

pub(crate) fn sts_client(sim: &Simulator, account: &str, region: &str) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
        .region(aws_sdk_sts::config::Region::new(region.to_owned()))
        .endpoint_url(sim.url())
        .credentials_provider(Credentials::new(
            format!("AKIA{account}"),
            "any secret",
            None,
            None,
            "test",
        ))
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
        .build();
    aws_sdk_sts::Client::from_conf(config)
}

/// Grants (`allow`) or revokes. Returns the error code.
pub(crate) async fn share(client: &Client, image: &str, account: &str, allow: bool) -> Result<(), String> {
    let call = client.update_workspace_image_permission();
    let call = call.image_id(image).shared_account_id(account).allow_copy_image(allow);
    call.send().await.map(drop).map_err(code)
}

/// The accounts that the image is shared with, as its owner sees it. One page.
pub(crate) async fn shared_with(client: &Client, image: &str) -> Result<Vec<String>, String> {
    let answer = client
        .describe_workspace_image_permissions()
        .image_id(image)
        .send()
        .await
        .map_err(code)?;
    Ok(accounts(answer.image_permissions()))
}

pub(crate) fn accounts(permissions: &[ImagePermission]) -> Vec<String> {
    permissions
        .iter()
        .filter_map(|permission| permission.shared_account_id())
        .map(str::to_owned)
        .collect()
}

/// The error code of a response. `(no code)` if there was no response.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: SdkError<E, R>) -> String {
    error.code().unwrap_or("(no code)").to_owned()
}

#[derive(Debug)]
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl RawResponse {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self {
            status,
            head,
            body: bytes[end + 4..].to_vec(),
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `__type` of an error.
    pub(crate) fn code(&self) -> String {
        self.json()["__type"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends a request on a new connection and reads until it closes.
pub(crate) async fn http(
    sim: &Simulator,
    line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<RawResponse> {
    let mut request = format!("{line} HTTP/1.1\r\nHost: simulator\r\nConnection: close\r\n");
    headers
        .iter()
        .for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
    request.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let answer = send(sim, &[request.as_bytes(), body].concat()).await?;
    RawResponse::parse(&answer).ok_or_else(|| std::io::Error::other(format!("no answer, but {} bytes", answer.len())))
}

/// Sends bytes and reads until the connection closes.
pub(crate) async fn send(sim: &Simulator, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(sim.address()).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// A well-formed Authorization header.
pub(crate) fn authorization(access_key: &str, region: &str, service: &str) -> String {
    let signature = "0".repeat(64);
    format!(
        "AWS4-HMAC-SHA256 Credential={access_key}/20260131/{region}/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={signature}"
    )
}

/// Calls an operation as the owner, with a raw body.
pub(crate) async fn operation(sim: &Simulator, operation: &str, body: impl AsRef<[u8]>) -> RawResponse {
    try_operation(sim, operation, body).await.expect("a response")
}

/// Like [`operation`]. Returns the connection's error if there was no response.
pub(crate) async fn try_operation(
    sim: &Simulator,
    operation: &str,
    body: impl AsRef<[u8]>,
) -> std::io::Result<RawResponse> {
    let authorization = authorization(&format!("AKIA{OWNER}"), FRANKFURT, "workspaces");
    let target = format!("WorkspacesService.{operation}");
    let headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("X-Amz-Target", &target),
        ("X-Amz-Date", "20260131T000000Z"),
        ("Authorization", &authorization),
    ];
    http(sim, "POST /", &headers, body.as_ref()).await
}

/// Calls an operation that must fail. Returns status and code.
pub(crate) async fn refusal(sim: &Simulator, name: &str, body: &str) -> (u16, String) {
    let answer = operation(sim, name, body).await;
    (answer.status, answer.code())
}

/// Calls the admin API.
pub(crate) async fn admin(sim: &Simulator, line: &str, body: &str) -> RawResponse {
    let headers = [("Content-Type", "application/json")];
    http(sim, line, &headers, body.as_bytes()).await.expect("an answer")
}
