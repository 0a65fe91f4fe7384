//! The end that a grant gives to its share.

use std::time::Duration;

use pbjson_types::Timestamp;

use crate::proto::v1::GrantSharePermissionRequest;

/// When the share of a grant ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GrantEnd {
    /// At this time.
    Time(Timestamp),
    /// With this day, such as `2026-12-31`, in the time zone of the service.
    Date(String),
    /// After this time. It counts from the acceptance of the grant.
    Ttl(Duration),
}

impl GrantEnd {
    /// Sets the field of the request that has this end.
    pub fn set(self, request: &mut GrantSharePermissionRequest) {
        match self {
            Self::Time(time) => request.expire_time = Some(time),
            Self::Date(date) => request.expire_date = date,
            Self::Ttl(ttl) => request.ttl = Some(ttl.into()),
        }
    }
}
