//! The justification of a change in messages: read from requests, written into answers.

use crate::{domain::Justification, proto::v1};

use super::{fields::Fields, present::text};

/// A request for a change.
pub(super) trait Justified {
    /// Reads the justification. A field that breaks its rule is added to `fields`.
    fn justification(&self, fields: &mut Fields) -> Option<Justification>;
}

macro_rules! requests {
    ($($request:ident),+) => {$(
        impl Justified for v1::$request {
            fn justification(&self, fields: &mut Fields) -> Option<Justification> {
                let reason = fields.required("reason", &self.reason);
                let ticket = fields.optional("ticket", &self.ticket);
                Some(Justification { reason: reason?, ticket })
            }
        }
    )+};
}
requests!(GrantSharePermissionRequest, RevokeSharePermissionRequest);

macro_rules! answers {
    ($($message:ident),+) => {$(
        /// The fields that justify it; the others are empty.
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
answers!(Change, ChangeBody);
