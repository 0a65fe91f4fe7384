//! `change --wait`: how a change has ended that was followed.

use super::failure::{Exit, Failure};
use super::options::ClientOptions;
use super::{advice, command_line};
use crate::proto::v1::change::State;
use crate::proto::v1::{Change, ErrorReason, GetChangeRequest};

/// Whether a change succeeded.
pub(super) fn verdict(options: &ClientOptions, request: &GetChangeRequest, change: &Change) -> Result<(), Failure> {
    match State::try_from(change.state) {
        Ok(State::Pending) => Err(still_pending(options, request)),
        Ok(State::Succeeded) => Ok(()),
        Ok(State::Failed) => Err(ended_badly(change, "has failed")),
        Ok(State::Superseded) => Err(ended_badly(change, "was superseded")),
        Ok(State::Unspecified) | Err(_) => Err(Failure::new(
            Exit::General,
            "the change is in a state that this client does not know",
            "use a client as new as the service",
        )),
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
