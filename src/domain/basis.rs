//! Why a share exists, and until when.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ChangeId, Timestamp, decision::displayed};

/// The longest time that a share can be granted for: 100 years.
pub const MAX_TTL: Duration = Duration::from_secs(100 * 36525 * 864);

/// Why a share exists: the grant that last succeeded. A newer grant replaces it, so renewal is a grant with a later end.
///
/// In JSON, the members stand in the order of their names (RFC 8785), and unknown ones are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// The grant.
    pub change_id: ChangeId,
    /// When the share ends, on the database's clock. None for a share without an end.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "displayed::optional")]
    pub expire_time: Option<Timestamp>,
}

/// The end of a share, as a grant asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareEnd {
    /// At this time. An accepted change has this form.
    At(Timestamp),
    /// After this time, a TTL. It counts from the commit that accepts the change.
    After(Duration),
}

impl ShareEnd {
    /// The time of the end, of a grant that is accepted at `accepted`.
    pub fn from(self, accepted: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::After(ttl) => accepted + ttl,
        }
    }

    /// The part of a request's content: a name and a text.
    pub(super) fn text(self) -> (&'static str, Cow<'static, str>) {
        match self {
            Self::At(time) => ("expire_time", time.to_string().into()),
            Self::After(ttl) => ("ttl", format!("{}us", ttl.as_micros()).into()),
        }
    }
}
