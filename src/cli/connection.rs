//! Calls to the service: who asks and until when goes with each of them, and what is safe to repeat is repeated.

use std::error::Error;
use std::time::Duration;

use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

use super::credentials::{self, Credentials};
use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::fault::Fault;
use super::options::ClientOptions;
use super::text::one_line;
use crate::domain::causes;
use crate::proto::v1::audit_service_client::AuditServiceClient;
use crate::proto::v1::share_permission_service_client::SharePermissionServiceClient;

/// The generated client of the service that changes permissions, over the one channel of a command.
pub(super) type Client = SharePermissionServiceClient<Channel>;
/// The generated client of the service that knows the history, over the same channel.
pub(super) type AuditClient = AuditServiceClient<Channel>;

/// A generated client.
pub(super) trait Over {
    fn over(channel: Channel) -> Self;
}

impl Over for Client {
    fn over(channel: Channel) -> Self {
        Self::new(channel)
    }
}

impl Over for AuditClient {
    fn over(channel: Channel) -> Self {
        Self::new(channel).max_decoding_message_size(LARGEST_ANSWER)
    }
}

/// Well above what the service sends: pages end at 1.5 MiB of text, about 3 MiB of message, and 50,000 counts take no more.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
/// Streams can be silent for long: a peer that does not answer a ping is gone.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_ANSWER: Duration = Duration::from_secs(15);

const TRIES: u32 = 3;
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// A connection to the service.
pub(super) struct Connection {
    channel: Channel,
    credentials: Credentials,
    timeout: Duration,
}

impl Connection {
    pub(super) async fn open(options: &ClientOptions) -> Result<Self, Failure> {
        let credentials = Credentials::read(options)?;
        let channel = reach(options).await?;
        Ok(Self {
            channel,
            credentials,
            timeout: options.timeout,
        })
    }

    /// When a call that begins now is to be done.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }

    /// Calls `rpc`, and again a few times while the service is unavailable.
    pub(super) async fn call<C, Q, A, F>(&self, deadline: Deadline, request: Q, rpc: F) -> Result<A, Fault>
    where
        C: Over,
        Q: Clone,
        F: AsyncFn(C, Request<Q>) -> Result<Response<A>, Status>,
    {
        let mut tries = 1;
        loop {
            let fault = match self.call_once(deadline, request.clone(), &rpc).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => Fault::from(&status),
            };
            let pause = backoff(tries).max(fault.retry_delay.unwrap_or_default());
            if tries == TRIES || !fault.may_repeat() || pause >= deadline.remaining() {
                return Err(fault);
            }
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    async fn call_once<C, Q, A, F>(&self, deadline: Deadline, message: Q, rpc: &F) -> Result<Response<A>, Status>
    where
        C: Over,
        F: AsyncFn(C, Request<Q>) -> Result<Response<A>, Status>,
    {
        let mut request = self.request(message);
        request.set_timeout(deadline.remaining());
        let call = rpc(C::over(self.channel.clone()), request);
        match tokio::time::timeout_at(deadline.instant(), call).await {
            // tonic answers CANCELLED when a deadline passes, on either side; nobody here cancels anything.
            Ok(Err(status)) if status.code() == Code::Cancelled => Err(self.too_late()),
            Ok(result) => result,
            Err(_) => Err(self.too_late()),
        }
    }

    /// Begins a stream, which may last: the time-out is for its beginning, and [`next`](Self::next) has its own.
    pub(super) async fn stream<C, Q, A, F>(&self, message: Q, rpc: F) -> Result<Streaming<A>, Fault>
    where
        C: Over,
        F: AsyncFn(C, Request<Q>) -> Result<Response<Streaming<A>>, Status>,
    {
        let call = rpc(C::over(self.channel.clone()), self.request(message));
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Fault::from(&status)),
            Err(_) => Err(Fault::from(&self.too_late())),
        }
    }

    /// The next message of a stream that is not to pause for longer than the time-out.
    pub(super) async fn next<A>(&self, stream: &mut Streaming<A>) -> Result<Option<A>, Fault> {
        match tokio::time::timeout(self.timeout, stream.message()).await {
            Ok(message) => message.map_err(|status| Fault::from(&status)),
            Err(_) => Err(Fault::from(&self.too_late())),
        }
    }

    fn request<Q>(&self, message: Q) -> Request<Q> {
        let mut request = Request::new(message);
        self.credentials.add_to(request.metadata_mut());
        request
    }

    fn too_late(&self) -> Status {
        let timeout = humantime::format_duration(self.timeout);
        Status::deadline_exceeded(format!("no answer came within {timeout}"))
    }
}

/// Connects, and says nothing of who asks but what the connection itself says.
pub(super) async fn reach(options: &ClientOptions) -> Result<Channel, Failure> {
    let tls = credentials::tls(options)?;
    let connected = connect(options, tls).await;
    connected.map_err(|error| unreachable(options, error.as_ref()))
}

async fn connect(options: &ClientOptions, tls: Option<ClientTlsConfig>) -> Result<Channel, Box<dyn Error>> {
    let endpoint = Endpoint::from(options.server.clone())
        .user_agent(concat!("sharewarden-cli/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(options.timeout.min(LONGEST_CONNECT))
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER);
    let endpoint = match tls {
        Some(tls) => endpoint.tls_config(tls)?,
        None => endpoint,
    };
    let deadline = Deadline::after(options.timeout);
    let mut tries = 1;
    loop {
        let attempt = tokio::time::timeout_at(deadline.instant(), endpoint.connect()).await;
        let error: Box<dyn Error> = match attempt {
            Ok(Ok(channel)) => return Ok(channel),
            Ok(Err(error)) => error.into(),
            Err(late) => late.into(),
        };
        let pause = backoff(tries);
        if tries == TRIES || pause >= deadline.remaining() {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        tries += 1;
    }
}

fn unreachable(options: &ClientOptions, error: &(dyn Error + 'static)) -> Failure {
    let cause = causes(error).last().unwrap_or(error);
    let what = format!(
        "cannot connect to {}: {}",
        options.server(),
        one_line(&cause.to_string())
    );
    let advice = "nothing was asked; check --server or SHAREWARDEN_SERVER, and that the service runs there \
                  (`sharewarden dev` starts one on this machine)";
    Failure::new(Exit::TryLater, what, advice)
}

/// 100 to 200 ms after the first try, and twice that after each further one.
pub(super) fn backoff(tries: u32) -> Duration {
    let most = Duration::from_millis(200) * 2_u32.pow(tries.saturating_sub(1).min(5));
    most.mul_f64(0.5 + 0.5 * fastrand::f64())
}
