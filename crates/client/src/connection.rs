//! Calls to the service. Each carries the credentials and a deadline, and is retried where a retry is safe. `Client` is also the
//! test kit's short name of the generated client, which tests call without retries.

use std::{error::Error as StdError, time::Duration};

use tokio::sync::watch;
use tonic::{
    Code, Request, Response, Status, Streaming,
    transport::{ClientTlsConfig, Endpoint},
};

use crate::{
    channel::ServiceChannel,
    credentials::{self, Credentials},
    deadline::Deadline,
    error::{Error, RequestDelivery},
    options::{ConnectOptions, ConnectionError},
    proto::v1::{
        access_service_client::AccessServiceClient, audit_service_client::AuditServiceClient,
        drift_service_client::DriftServiceClient, share_permission_service_client::SharePermissionServiceClient,
    },
    silence::Silence,
};

/// The generated client of `SharePermissionService`.
pub type ShareStub = SharePermissionServiceClient<ServiceChannel>;
/// The generated client of `AuditService`.
pub type AuditStub = AuditServiceClient<ServiceChannel>;
/// The generated client of `AccessService`.
pub type AccessStub = AccessServiceClient<ServiceChannel>;

/// The generated client of `DriftService`.
pub type DriftStub = DriftServiceClient<ServiceChannel>;

/// A generated client, made for a channel.
pub trait Stub {
    /// Makes the client for this channel.
    fn on(channel: ServiceChannel) -> Self;
}

impl Stub for ShareStub {
    fn on(channel: ServiceChannel) -> Self {
        Self::new(channel)
    }
}

impl Stub for AccessStub {
    fn on(channel: ServiceChannel) -> Self {
        Self::new(channel)
    }
}

impl Stub for DriftStub {
    fn on(channel: ServiceChannel) -> Self {
        Self::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }
}

impl Stub for AuditStub {
    fn on(channel: ServiceChannel) -> Self {
        Self::new(channel).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }
}

/// 16 MiB. The service sends less: a page is at most about 3 MiB (1.5 MiB of text), and a summary has at most 50,000 counts.
const MAX_RESPONSE_BYTES: usize = 16 * 1024 * 1024;
/// A call may wait for a long time, so HTTP/2 pings detect a peer that is gone: a call fails after 10 s without any sign of it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

const MAX_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of the service. It reconnects when the connection breaks. Clones share one connection.
#[derive(Debug, Clone)]
pub struct Client {
    channel: ServiceChannel,
    credentials: Credentials,
    timeout: Duration,
    silence: Silence,
    pub(crate) tries: u32,
    /// Set for a job: a change has no limit of time while the service answers that it is pending or that a limit is reached. No
    /// try is repeated when the value is true.
    pub(crate) job_is_stopped: Option<watch::Receiver<bool>>,
}

impl Client {
    /// Connects to the service.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, ConnectionError> {
        let credentials = Credentials::read(options)?;
        let channel = open_channel(options).await?;
        Ok(Self {
            channel,
            credentials,
            timeout: options.timeout,
            silence: Silence::default(),
            tries: options.tries.max(1),
            job_is_stopped: None,
        })
    }

    /// The same client for a job, until the flag is true.
    pub(crate) fn for_job(&self, is_stopped: watch::Receiver<bool>) -> Self {
        Self {
            tries: u32::MAX,
            job_is_stopped: Some(is_stopped),
            ..self.clone()
        }
    }

    /// Waits before a change is sent again. False if its job is stopped, and it is not sent again.
    pub(crate) async fn may_repeat_after(&self, delay: Duration) -> bool {
        match self.job_is_stopped.clone() {
            None => {
                tokio::time::sleep(delay).await;
                true
            }
            Some(mut is_stopped) => {
                let stopped = is_stopped.wait_for(|is_stopped| *is_stopped);
                tokio::time::timeout(delay, stopped).await.is_err()
            }
        }
    }

    /// Since when the calls of this client have had no answer.
    pub fn silence(&self) -> Silence {
        self.silence.clone()
    }

    /// The deadline of a call that starts now.
    pub fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }

    /// The deadline of a call that starts after `delay`.
    pub(crate) fn deadline_after(&self, delay: Duration) -> Deadline {
        Deadline::after(delay + self.timeout)
    }

    /// Calls `rpc`, and retries while the service answers UNAVAILABLE. For grants and revokes, use [`grant`](Self::grant)
    /// and [`revoke`](Self::revoke).
    pub async fn call<C, Q, A, F>(&self, deadline: Deadline, request: Q, rpc: F) -> Result<A, Error>
    where
        C: Stub,
        Q: Clone,
        F: AsyncFn(C, Request<Q>) -> Result<Response<A>, Status>,
    {
        let mut tries = 1;
        loop {
            let error = match self.call_once(deadline, request.clone(), &rpc).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let delay = backoff(tries).max(error.retry_delay.unwrap_or_default());
            if tries >= self.tries || !error.is_retryable() || delay >= deadline.remaining() {
                return Err(error);
            }
            tokio::time::sleep(delay).await;
            tries += 1;
        }
    }

    pub(crate) async fn call_once<C, Q, A, F>(&self, deadline: Deadline, message: Q, rpc: &F) -> Result<A, Error>
    where
        C: Stub,
        F: AsyncFn(C, Request<Q>) -> Result<Response<A>, Status>,
    {
        let mut request = self.request(message);
        request.set_timeout(deadline.remaining());
        let call = rpc(C::on(self.channel.clone()), request);
        let expected = self.silence.begin();
        match tokio::time::timeout_at(deadline.instant(), call).await {
            Ok(Ok(answer)) => {
                expected.answered();
                Ok(answer.into_inner())
            }
            // tonic answers CANCELLED when a deadline passes, on either side. This client cancels no call itself.
            Ok(Err(status)) if status.code() == Code::Cancelled && deadline.is_over() => Err(self.timed_out()),
            Ok(Err(status)) => {
                let error = Error::from(&status);
                // An error without a reason may be one of the transport.
                if error.reason.is_some() {
                    expected.answered();
                }
                Err(error)
            }
            Err(_) => Err(self.timed_out()),
        }
    }

    /// Opens a stream. The timeout limits the opening, not the stream; [`next`](Self::next) limits each message.
    pub async fn stream<C, Q, A, F>(&self, message: Q, rpc: F) -> Result<Streaming<A>, Error>
    where
        C: Stub,
        F: AsyncFn(C, Request<Q>) -> Result<Response<Streaming<A>>, Status>,
    {
        let call = rpc(C::on(self.channel.clone()), self.request(message));
        let expected = self.silence.begin();
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => {
                expected.answered();
                Ok(response.into_inner())
            }
            Ok(Err(status)) => Err(Error::from(&status)),
            Err(_) => Err(self.timed_out()),
        }
    }

    /// The next message of a stream. Fails if none arrives within the timeout.
    pub async fn next<A>(&self, stream: &mut Streaming<A>) -> Result<Option<A>, Error> {
        let expected = self.silence.begin();
        match tokio::time::timeout(self.timeout, stream.message()).await {
            Ok(message) => {
                expected.answered();
                message.map_err(|status| Error::from(&status))
            }
            Err(_) => Err(self.timed_out()),
        }
    }

    fn request<Q>(&self, message: Q) -> Request<Q> {
        let mut request = Request::new(message);
        self.credentials.add_to(request.metadata_mut());
        request
    }

    fn timed_out(&self) -> Error {
        let timeout = humantime::format_duration(self.timeout);
        Error {
            delivery: RequestDelivery::Unanswered,
            ..Error::from(&Status::deadline_exceeded(format!("no answer came within {timeout}")))
        }
    }
}

/// Opens a channel. It sends no principal and no token; a TLS certificate still identifies the caller.
pub async fn open_channel(options: &ConnectOptions) -> Result<ServiceChannel, ConnectionError> {
    let tls = credentials::tls(options)?;
    connect(options, tls)
        .await
        .map_err(|source| ConnectionError::Unreachable {
            server: options.server.clone(),
            source,
        })
}

async fn connect(
    options: &ConnectOptions,
    tls: Option<ClientTlsConfig>,
) -> Result<ServiceChannel, Box<dyn StdError + Send + Sync>> {
    let endpoint = Endpoint::from(options.server.clone())
        .user_agent(options.user_agent.as_str())?
        .connect_timeout(options.timeout.min(MAX_CONNECT_TIMEOUT))
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    let endpoint = match tls {
        Some(tls) => endpoint.tls_config(tls)?,
        None => endpoint,
    };
    let deadline = Deadline::after(options.timeout);
    let mut tries = 1;
    loop {
        let attempt = tokio::time::timeout_at(deadline.instant(), endpoint.connect()).await;
        let error: Box<dyn StdError + Send + Sync> = match attempt {
            Ok(Ok(channel)) => return Ok(channel.into()),
            Ok(Err(error)) => error.into(),
            Err(late) => late.into(),
        };
        let delay = backoff(tries);
        if tries >= options.tries || delay >= deadline.remaining() {
            return Err(error);
        }
        tokio::time::sleep(delay).await;
        tries += 1;
    }
}

/// The delay after this number of tries: 100 to 200 ms after the first, doubled after each further one, at most 6.4 s.
pub fn backoff(tries: u32) -> Duration {
    let max = Duration::from_millis(200) * 2_u32.pow(tries.saturating_sub(1).min(5));
    max.mul_f64(0.5 + 0.5 * fastrand::f64())
}
