//! Makes the changes of a planned job.

use std::{collections::HashMap, pin::pin};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::watch;

use super::{CONCURRENCY, ShareJob, Step, Verdict, send};
use crate::{
    change::Outcome,
    connection::Client,
    error::Error,
    proto::v1::{Change, ErrorReason},
};

/// How a step of a job ended.
#[derive(Debug, Clone)]
#[must_use]
pub enum StepEnd {
    /// The share was as wanted when the job was planned, and nothing was sent.
    Unchanged,
    /// AWS accepted the change, and the ledger records this.
    Succeeded(Box<Change>),
    /// The service refused the change, or the change ended without success.
    Failed(Error),
    /// The outcome is not known yet. The change may still succeed. The same job, planned and run again, gets its outcome.
    Unresolved(Error),
    /// The job stopped before the service accepted the change. Nothing was done.
    NotSent,
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// How each step ended, in the order of the steps.
    pub endings: Vec<StepEnd>,
    /// True if the job stopped early: it was asked to, or the service does not answer, or does not know the caller.
    pub is_stopped: bool,
}

impl ShareJob {
    /// Makes the changes, up to 32 at the same time, and waits for the end of each. While the service answers that a change is
    /// pending, or that it is overloaded, the job waits without a limit.
    ///
    /// The job sends no further change when `stop` is ready, when a change got no answer for two timeouts of the client, or when
    /// the service does not know the caller. It then repeats no call, however long a delay the service asked for, and ends when
    /// the calls that are out have an answer or no time left. `ended` is called with the index of each step that was sent and
    /// has ended.
    ///
    /// Dropping the future cancels no change that the service has accepted.
    pub async fn run(&self, client: &Client, stop: impl Future<Output = ()>, mut ended: impl FnMut(usize)) -> Report {
        let (is_stopped, stopped) = watch::channel(false);
        let client = &client.for_job(stopped);
        let mut endings: Vec<_> = self.steps.iter().map(|step| before_run(&step.verdict)).collect();
        let mut waiting = self.order().into_iter();
        let mut out = FuturesUnordered::new();
        let mut stop = pin!(stop);
        loop {
            while out.len() < CONCURRENCY && !*is_stopped.borrow() {
                let Some(at) = waiting.next() else { break };
                let step = &self.steps[at];
                out.push(async move { (at, perform(client, step).await) });
            }
            tokio::select! {
                Some((at, ending)) = out.next() => {
                    if stops(&ending) {
                        is_stopped.send_replace(true);
                    }
                    endings[at] = ending;
                    ended(at);
                }
                () = &mut stop, if !*is_stopped.borrow() && !out.is_empty() => {
                    is_stopped.send_replace(true);
                }
                else => break,
            }
        }
        Report {
            endings,
            is_stopped: *is_stopped.borrow(),
        }
    }

    /// The steps to send, with accounts and Regions taking turns, because each has its own pace at AWS.
    fn order(&self) -> Vec<usize> {
        let mut turns = HashMap::new();
        let mut order = Vec::new();
        for (at, step) in self.steps.iter().enumerate() {
            if matches!(step.verdict, Verdict::Send) {
                let share = &step.change.share;
                let turn: &mut usize = turns.entry((&share.account_id, &share.region)).or_default();
                order.push((*turn, at));
                *turn += 1;
            }
        }
        order.sort_unstable();
        order.into_iter().map(|(_, at)| at).collect()
    }
}

/// The ending of a step that is never sent.
fn before_run(verdict: &Verdict) -> StepEnd {
    match verdict {
        Verdict::Send => StepEnd::NotSent,
        Verdict::Unchanged => StepEnd::Unchanged,
        Verdict::Refused(error) => StepEnd::Failed(error.clone()),
    }
}

async fn perform(client: &Client, step: &Step) -> StepEnd {
    match send(client, &step.change, step.request_id.clone(), false).await {
        Outcome::Succeeded(answer) => StepEnd::Succeeded(Box::new(answer.change.unwrap_or_default())),
        Outcome::Failed(error) if error.is_pushback() => StepEnd::NotSent,
        Outcome::Failed(error) => StepEnd::Failed(error),
        Outcome::Unresolved { error, .. } => StepEnd::Unresolved(error),
    }
}

fn is_pending(error: &Error) -> bool {
    error.known_reason() == Some(ErrorReason::ChangePending)
}

fn stops(ending: &StepEnd) -> bool {
    match ending {
        StepEnd::Failed(error) => error.stops_a_job(),
        StepEnd::Unresolved(error) => !is_pending(error),
        StepEnd::Unchanged | StepEnd::Succeeded(_) | StepEnd::NotSent => false,
    }
}
