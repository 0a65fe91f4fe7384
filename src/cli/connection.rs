//! Calls to the service: who asks and until when goes with each of them, and what is safe to repeat is repeated.

use std::error::Error;
use std::time::Duration;

use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use super::deadline::Deadline;
use super::failure::{Exit, Failure};
use super::fault::Fault;
use super::options::ClientOptions;
use super::text::one_line;
use crate::proto::v1::share_permission_service_client::SharePermissionServiceClient;

/// The generated client, over the one channel of a command.
pub(super) type Client = SharePermissionServiceClient<Channel>;

const PRINCIPAL: &str = "x-sharewarden-principal";
const TRIES: u32 = 3;
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// A connection to the service.
pub(super) struct Connection {
    client: Client,
    principal: AsciiMetadataValue,
    timeout: Duration,
}

impl Connection {
    pub(super) async fn open(options: &ClientOptions) -> Result<Self, Failure> {
        let principal = options.principal().ok_or_else(|| {
            let what = "the OS does not tell a user name that can be sent";
            Failure::new(
                Exit::Invalid,
                what,
                "say who asks with --principal or SHAREWARDEN_PRINCIPAL",
            )
        })?;
        let channel = connect(options)
            .await
            .map_err(|error| unreachable(options, error.as_ref()))?;
        Ok(Self {
            client: Client::new(channel),
            principal,
            timeout: options.timeout,
        })
    }

    /// When a call that begins now is to be done.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.timeout)
    }

    /// Calls `rpc`, and again a few times while the service is unavailable.
    pub(super) async fn call<Q, A, F>(&self, deadline: Deadline, request: Q, rpc: F) -> Result<A, Fault>
    where
        Q: Clone,
        F: AsyncFn(Client, Request<Q>) -> Result<Response<A>, Status>,
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

    async fn call_once<Q, A, F>(&self, deadline: Deadline, message: Q, rpc: &F) -> Result<Response<A>, Status>
    where
        F: AsyncFn(Client, Request<Q>) -> Result<Response<A>, Status>,
    {
        let mut request = Request::new(message);
        request.metadata_mut().insert(PRINCIPAL, self.principal.clone());
        request.set_timeout(deadline.remaining());
        match tokio::time::timeout_at(deadline.instant(), rpc(self.client.clone(), request)).await {
            // tonic answers CANCELLED when a deadline passes, on either side; nobody here cancels anything.
            Ok(Err(status)) if status.code() == Code::Cancelled => Err(self.too_late()),
            Ok(result) => result,
            Err(_) => Err(self.too_late()),
        }
    }

    fn too_late(&self) -> Status {
        let timeout = humantime::format_duration(self.timeout);
        Status::deadline_exceeded(format!("no answer came within {timeout}"))
    }
}

async fn connect(options: &ClientOptions) -> Result<Channel, Box<dyn Error>> {
    // `new` is what the generated client uses: it adds TLS with the system's roots where the URL says https.
    let endpoint = Endpoint::new(options.server.clone())?
        .user_agent(concat!("sharewarden-cli/", env!("CARGO_PKG_VERSION")))?
        .connect_timeout(options.timeout.min(LONGEST_CONNECT));
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
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
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
fn backoff(tries: u32) -> Duration {
    let most = Duration::from_millis(200) * 2_u32.pow(tries.saturating_sub(1).min(5));
    most.mul_f64(0.5 + 0.5 * fastrand::f64())
}
