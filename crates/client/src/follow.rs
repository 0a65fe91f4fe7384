//! Polls a change until it ends.

use std::time::Duration;

use crate::{
    connection::{Client, ShareStub},
    error::Error,
    proto::v1::{Change, GetChangeRequest, GetChangeResponse, change::State},
};

const INITIAL_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(5);

impl Client {
    /// Polls a change until it has ended or the timeout has passed. Returns the last answer.
    pub async fn follow(&self, request: GetChangeRequest) -> Result<GetChangeResponse, Error> {
        self.follow_telling(request, &mut |_| ()).await
    }

    /// Polls a change in the same way, and tells each answer in which it is pending.
    pub async fn follow_telling(
        &self,
        request: GetChangeRequest,
        tell: &mut (dyn FnMut(&Change) + Send),
    ) -> Result<GetChangeResponse, Error> {
        let deadline = self.deadline();
        let mut delay = INITIAL_DELAY;
        let mut seen: Option<GetChangeResponse> = None;
        loop {
            let polled = self
                .call(deadline, request.clone(), async |mut stub: ShareStub, request| {
                    stub.get_change(request).await
                })
                .await;
            let answer = match (polled, seen.take()) {
                (Ok(answer), _) => answer,
                (Err(error), Some(seen)) if error.is_timeout() => return Ok(seen),
                (Err(error), _) => return Err(error),
            };
            let is_pending = answer
                .change
                .as_ref()
                .is_none_or(|change| change.state() == State::Pending);
            if !is_pending || deadline.is_over() {
                return Ok(answer);
            }
            if let Some(change) = &answer.change {
                tell(change);
            }
            // At most half of the remaining time, so that the last poll is close to the deadline.
            tokio::time::sleep(jittered(delay).min(deadline.remaining() / 2)).await;
            delay = (delay * 2).min(MAX_DELAY);
            seen = Some(answer);
        }
    }
}

fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(0.75 + 0.5 * fastrand::f64())
}
