//! The justification of a change in messages: read from requests, written into answers.

use crate::{domain::Justification, proto::v1};

use super::present::text;

/// Reads the justification of a request of any type. A field that breaks its rule is added to `$fields`.
macro_rules! read {
    ($fields:ident, $request:ident) => {{
        let reason = $fields.required("reason", &$request.reason);
        let ticket = $fields.optional("ticket", &$request.ticket);
        reason.map(|reason| $crate::domain::Justification { reason, ticket })
    }};
}
pub(super) use read;

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
