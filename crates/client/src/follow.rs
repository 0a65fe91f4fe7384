//! Follows a change to its end, by its id.

use std::time::Duration;

use crate::{
    connection::{Client, ShareStub},
    error::Error,
    proto::v1::{GetChangeRequest, GetChangeResponse, change::State},
};

const INITIAL_DELAY: Duration = Duration::from_millis(100);
const MAX_DELAY: Duration = Duration::from_secs(5);

impl Client {
    /// Reads a change again and again, until it has ended or the time-out has passed, and returns what was read last.
    pub async fn follow(&self, request: GetChangeRequest) -> Result<GetChangeResponse, Error> {
        let deadline = self.deadline();
        let mut delay = INITIAL_DELAY;
        let mut seen: Option<GetChangeResponse> = None;
        loop {
            let look = self
                .call(deadline, request.clone(), async |mut stub: ShareStub, request| {
                    stub.get_change(request).await
                })
                .await;
            let answer = match (look, seen.take()) {
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
            // Half of what remains at most, so that the last look comes close to the deadline.
            tokio::time::sleep(jittered(delay).min(deadline.remaining() / 2)).await;
            delay = (delay * 2).min(MAX_DELAY);
            seen = Some(answer);
        }
    }
}

fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(0.75 + 0.5 * fastrand::f64())
}
