//! Callers of all kinds, which run until they are stopped. They make changes, replay and are denied, read, page through the
//! history, follow it for a while, export and prove.

mod audit;
mod changes;
pub(crate) mod hostile;
pub(crate) mod others;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use sharewarden::clock::Clock;
use sharewarden_client::{AuditStub, ConnectOptions, ShareStub, Stub};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use crate::surroundings::CALLER;

/// The maximum number of calls on one connection.
const CALLS_A_CONNECTION: u32 = 200;

/// The number of answers, by operation and code.
type Outcomes = BTreeMap<(&'static str, i32), u64>;

/// The results of the calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<Mutex<Outcomes>>);

impl Counts {
    fn add(&self, operation: &'static str, code: Code) {
        *self.0.lock().unwrap().entry((operation, code.into())).or_default() += 1;
    }

    /// The number of calls.
    pub(crate) fn operations(&self) -> u64 {
        self.0.lock().unwrap().values().sum()
    }

    /// The number of calls by operation and result.
    pub(crate) fn outcomes(&self) -> Vec<(String, u64)> {
        let outcomes = self.0.lock().unwrap();
        let named =
            |((operation, code), count): (&(&str, i32), &u64)| (format!("{operation} {:?}", Code::from(*code)), *count);
        outcomes.iter().map(named).collect()
    }

    /// The answers that are wrong here, where all requests are valid and all services run.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let expected = [
            Code::Ok,
            Code::PermissionDenied,
            Code::Aborted,
            Code::NotFound,
            Code::FailedPrecondition,
            Code::DeadlineExceeded,
        ];
        let outcomes = self.0.lock().unwrap();
        let wrong = outcomes
            .iter()
            .filter(|((_, code), _)| !expected.contains(&Code::from(*code)));
        wrong
            .map(|((operation, code), count)| {
                format!("{operation} was answered with {:?}, {count} times", Code::from(*code))
            })
            .collect()
    }
}

/// The running callers.
pub(crate) struct Load {
    callers: JoinSet<()>,
    stop: CancellationToken,
    counts: Counts,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, seed: u64) -> Self {
        let (mut callers, stop, counts) = (JoinSet::new(), CancellationToken::new(), Counts::default());
        let mut number = 0;
        let mut caller = || {
            number += 1;
            Caller::new(address, seed.wrapping_add(number), &counts)
        };
        for _ in 0..6 {
            callers.spawn(until(stop.clone(), changes::change(caller())));
        }
        for _ in 0..3 {
            callers.spawn(until(stop.clone(), changes::read(caller())));
            callers.spawn(until(stop.clone(), audit::ask(caller())));
        }
        for _ in 0..6 {
            callers.spawn(until(stop.clone(), audit::follow(caller())));
        }
        callers.spawn(until(stop.clone(), audit::export(caller())));
        Self { callers, stop, counts }
    }

    /// The results so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Stops the callers in the middle of their calls.
    pub(crate) async fn stop(self) -> Counts {
        self.stop.cancel();
        self.callers.join_all().await;
        self.counts
    }
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    stop.run_until_cancelled(work).await;
}

/// A caller.
struct Caller {
    address: SocketAddr,
    rng: fastrand::Rng,
    counts: Counts,
    clock: Clock,
}

/// The clients of one connection.
struct Clients {
    shares: ShareStub,
    audit: AuditStub,
}

impl Caller {
    fn new(address: SocketAddr, seed: u64, counts: &Counts) -> Self {
        Self {
            address,
            rng: fastrand::Rng::with_seed(seed),
            counts: counts.clone(),
            clock: Clock::system(),
        }
    }

    /// Opens a new connection, and chooses the number of calls to make on it.
    async fn connect(&mut self) -> (Clients, u32) {
        let server = format!("http://{}", self.address).parse().unwrap();
        let channel = sharewarden_client::open_channel(&ConnectOptions::new(server))
            .await
            .unwrap();
        let clients = Clients {
            shares: ShareStub::on(channel.clone()),
            audit: AuditStub::on(channel),
        };
        (clients, self.rng.u32(1..CALLS_A_CONNECTION))
    }

    fn note<T>(&self, operation: &'static str, answer: Result<Response<T>, Status>) -> Option<T> {
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.counts.add(operation, code);
        answer.ok().map(Response::into_inner)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())]
    }

    async fn pause(&mut self, at_most_milliseconds: u64) {
        let pause = self.rng.u64(..at_most_milliseconds);
        self.clock.sleep(Duration::from_millis(pause)).await;
    }
}

fn asked<T>(message: T) -> Request<T> {
    asked_by(CALLER, message)
}

fn asked_by<T>(principal: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let principal = principal.parse().unwrap();
    request.metadata_mut().insert("x-sharewarden-principal", principal);
    request
}
