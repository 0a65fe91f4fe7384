//! `change --wait`: looks at a change again and again until it has ended.

use std::time::Duration;

use super::connection::{Client, Connection};
use super::failure::{Exit, Failure, Stop};
use super::options::ClientOptions;
use super::{advice, command_line};
use crate::proto::v1::change::State;
use crate::proto::v1::{Change, ErrorReason, GetChangeRequest, GetChangeResponse};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// With less than this left, another look would be cut off before its answer.
const LAST_LOOK: Duration = Duration::from_millis(50);

/// Returns the change as last seen, and whether it succeeded.
pub(super) async fn until_ended(
    options: &ClientOptions,
    connection: &Connection,
    request: GetChangeRequest,
) -> Result<(GetChangeResponse, Result<(), Failure>), Stop> {
    let deadline = connection.deadline();
    let mut pause = FIRST_PAUSE;
    let mut seen: Option<GetChangeResponse> = None;
    loop {
        let look = connection
            .call(deadline, request.clone(), async |mut client: Client, request| {
                client.get_change(request).await
            })
            .await;
        let answer = match (look, seen.take()) {
            (Ok(answer), _) => answer,
            (Err(fault), Some(seen)) if fault.is_timeout() => return Ok((seen, Err(still_pending(options, &request)))),
            (Err(fault), _) => return Err(fault.into()),
        };
        if let Some(verdict) = answer.change.as_ref().and_then(verdict) {
            return Ok((answer, verdict));
        }
        let remaining = deadline.remaining();
        if remaining < LAST_LOOK {
            return Ok((answer, Err(still_pending(options, &request))));
        }
        // Half of what remains at most, so that the last look comes close to the deadline.
        tokio::time::sleep(jittered(pause).min(remaining / 2)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        seen = Some(answer);
    }
}

/// How a change ended; `None` while it has not.
fn verdict(change: &Change) -> Option<Result<(), Failure>> {
    match State::try_from(change.state) {
        Ok(State::Pending) => None,
        Ok(State::Succeeded) => Some(Ok(())),
        Ok(State::Failed) => Some(Err(ended_badly(change, "has failed"))),
        Ok(State::Superseded) => Some(Err(ended_badly(change, "was superseded"))),
        Ok(State::Unspecified) | Err(_) => Some(Err(Failure::new(
            Exit::General,
            "the change is in a state that this client does not know",
            "use a client as new as the service",
        ))),
    }
}

fn ended_badly(change: &Change, how: &str) -> Failure {
    let reason = ErrorReason::try_from(change.error_reason).unwrap_or_default();
    let aws = match (change.error_code.as_str(), change.error_message.as_str()) {
        ("", "") => String::new(),
        (code, "") => format!(": {code}"),
        ("", message) => format!(": {message}"),
        (code, message) => format!(": {code}: {message}"),
    };
    let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
    let advice = advice::of_reason(reason);
    Failure::new(advice.exit, format!("the change {how}{aws} ({name})"), advice.text)
}

fn still_pending(options: &ClientOptions, request: &GetChangeRequest) -> Failure {
    let timeout = humantime::format_duration(options.timeout);
    let what = format!("the change has not ended within {timeout}");
    let command = command_line::follow(options, &request.account_id, &request.change_id);
    Failure::new(Exit::Pending, what, "it goes on").then("follow it with", &command)
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + 0.5 * fastrand::f64())
}
