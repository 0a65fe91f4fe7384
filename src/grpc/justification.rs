//! The justification of a change in messages: read from requests, written into answers.

use crate::{domain::Justification, proto::v1};

use super::{fields::FieldReader, present::text};

/// A request with a justification.
pub(super) trait JustifiedRequest {
    fn reason(&self) -> &str;
    fn ticket(&self) -> &str;
}

macro_rules! requests {
    ($($message:ident),+) => {$(
        impl JustifiedRequest for v1::$message {
            fn reason(&self) -> &str {
                &self.reason
            }

            fn ticket(&self) -> &str {
                &self.ticket
            }
        }
    )+};
}
requests!(
    GrantSharePermissionRequest,
    RevokeSharePermissionRequest,
    ExplainPolicyRequest,
    ConfirmDriftBaselineRequest,
    WithdrawDriftBaselineRequest
);

/// Reads the justification of a request. A field that breaks its rule is added to `fields`.
pub(super) fn read(fields: &mut FieldReader, request: &impl JustifiedRequest) -> Option<Justification> {
    let reason = fields.required("reason", request.reason());
    let ticket = fields.optional("ticket", request.ticket());
    Some(Justification {
        reason: reason?,
        ticket,
    })
}

macro_rules! answers {
    ($($message:ident),+) => {$(
        /// Sets the justification. The other fields have their defaults.
        impl From<&Justification> for v1::$message {
            fn from(Justification { reason, ticket }: &Justification) -> Self {
                Self {
                    reason: reason.to_string(),
                    ticket: text(ticket.as_ref()),
                    ..Self::default()
                }
            }
        }
    )+};
}
answers!(Change, ChangeBody, CheckpointConfirmedBody, DriftBaselineBody);
