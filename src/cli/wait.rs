//! `change show --wait`: the result of the command, from the last state of the change.

use super::{
    command_line, error_hint,
    failure::{Exit, Failure},
    options::ClientOptions,
};
use crate::proto::v1::{Change, ErrorReason, GetChangeRequest, change::State};

/// Success if the change succeeded; else the failure of the command.
pub(super) fn outcome(options: &ClientOptions, request: &GetChangeRequest, change: &Change) -> Result<(), Failure> {
    match State::try_from(change.state) {
        Ok(State::Pending) => Err(still_pending(options, request)),
        Ok(State::Succeeded) => Ok(()),
        Ok(State::Failed) => Err(unsuccessful(change, "has failed")),
        Ok(State::Superseded) => Err(unsuccessful(change, "was superseded")),
        Ok(State::Unspecified) | Err(_) => Err(Failure::new(
            Exit::General,
            "the change has a state that this client does not know",
            "use a client as new as the service",
        )),
    }
}

fn unsuccessful(change: &Change, how: &str) -> Failure {
    let reason = ErrorReason::try_from(change.error_reason).unwrap_or_default();
    let aws = match (change.error_code.as_str(), change.error_message.as_str()) {
        ("", "") => String::new(),
        (code, "") => format!(": {code}"),
        ("", message) => format!(": {message}"),
        (code, message) => format!(": {code}: {message}"),
    };
    let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
    let hint = error_hint::of_reason(reason);
    Failure::new(hint.exit, format!("the change {how}{aws} ({name})"), hint.text)
}

fn still_pending(options: &ClientOptions, request: &GetChangeRequest) -> Failure {
    let timeout = humantime::format_duration(options.timeout);
    let what = format!("the change has not ended within {timeout}");
    let command = command_line::follow(options, &request.account_id, &request.change_id);
    Failure::new(Exit::Pending, what, "it is still in progress").then("follow it with", &command)
}
