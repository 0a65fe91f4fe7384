//! Faults: what goes wrong, for which calls, and how often.
//!
//! A fault is tried on every call that its filter lets through. `skip` passes the first of them by, `calls` ends it after so
//! many hits, and `share` lets the dice decide each time. The first fault in the list that says yes is the only one a call
//! meets; one that says no leaves the call to the next.

use serde::{Deserialize, Serialize};
use time::Duration;

/// A scripted fault. Everything but the effect may be left out: then every call meets it, until it is removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which calls it may hit.
    #[serde(default, rename = "when")]
    pub filter: Filter,
    /// How many matching calls go by unharmed first.
    #[serde(default)]
    pub skip: u64,
    /// After how many hits it is over; none: never.
    #[serde(default)]
    pub calls: Option<u64>,
    /// The probability of a hit, 0 to 1; none: always.
    #[serde(default)]
    pub share: Option<f64>,
    /// Where the dice start, so that a run can be repeated.
    #[serde(default)]
    pub seed: u64,
    /// What happens.
    pub effect: Effect,
}

/// Which calls a fault is for: all that is named must be the same. Names are AWS's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// The operation, such as `UpdateWorkspaceImagePermission` or `AssumeRole`.
    pub operation: Option<String>,
    /// The account that calls.
    pub account: Option<String>,
    /// The Region that is called.
    pub region: Option<String>,
    /// The image that the call names (for a copy: the source).
    pub image: Option<String>,
    /// The account to share with.
    pub shared_account: Option<String>,
}

/// Before or after the operation has been carried out. A caller who sees only the fault cannot know which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Nothing has changed yet.
    BeforeApplying,
    /// The change is made; only its answer is at stake.
    AfterApplying,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// It takes this much longer. A caller who leaves meanwhile does not stop it: the change still lands, late.
    Latency {
        /// How long.
        milliseconds: u64,
        /// Is the change late, or only its answer?
        moment: Moment,
    },
    /// ThrottlingException; nothing is changed.
    Throttle {
        /// 400 as AWS JSON services do, or 429.
        #[serde(default = "bad_request")]
        http_status: u16,
        /// Sent as `retry-after`.
        #[serde(default)]
        retry_after_seconds: Option<u64>,
    },
    /// 500, 502 or 503.
    ServerError {
        /// The HTTP status.
        http_status: u16,
        /// Before or after the change.
        moment: Moment,
        /// Sent as `retry-after`.
        #[serde(default)]
        retry_after_seconds: Option<u64>,
    },
    /// The connection is reset (TCP RST) without a byte of an answer.
    Reset {
        /// Before or after the change.
        moment: Moment,
    },
    /// The change is made, and its 200 breaks off before its body is complete.
    CutShort,
    /// The change is made, and its 200 has a body that cannot be read.
    Garbage,
    /// No answer until the caller leaves or this time is over; then the connection is reset.
    Hang {
        /// Before or after the change. Before: it is never made.
        moment: Moment,
        /// The longest it may take.
        #[serde(default = "a_minute")]
        at_most_milliseconds: u64,
    },
    /// Describe operations do not see the latest shares. Other operations do not meet this fault.
    StaleRead {
        /// How far behind they are.
        behind: Behind,
    },
    /// A refusal with any code; nothing is changed.
    Refuse {
        /// Such as `ResourceUnavailableException`.
        code: String,
        /// The text that goes with it.
        #[serde(default)]
        message: String,
        /// The HTTP status.
        #[serde(default = "bad_request")]
        http_status: u16,
    },
}

/// How old a stale read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behind {
    /// It misses this many of the image's latest changes.
    Changes(u64),
    /// It misses what changed in this time.
    Milliseconds(u64),
}

impl Behind {
    /// Is a change missed that has so many newer ones and such an age?
    pub(super) fn misses(self, newer: u64, age: Duration) -> bool {
        match self {
            Self::Changes(changes) => newer < changes,
            Self::Milliseconds(milliseconds) => age.whole_milliseconds() < i128::from(milliseconds),
        }
    }
}

impl Fault {
    /// A fault that every call meets, until it is removed.
    pub fn new(effect: Effect) -> Self {
        Self {
            filter: Filter::default(),
            skip: 0,
            calls: None,
            share: None,
            seed: 0,
            effect,
        }
    }

    /// Only for one operation.
    #[must_use]
    pub fn operation(mut self, operation: impl Into<String>) -> Self {
        self.filter.operation = Some(operation.into());
        self
    }

    /// Only for one caller's account.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.filter.account = Some(account.into());
        self
    }

    /// Only in one Region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.filter.region = Some(region.into());
        self
    }

    /// Only for one image.
    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.filter.image = Some(image.into());
        self
    }

    /// Only for sharing with one account.
    #[must_use]
    pub fn shared_account(mut self, shared_account: impl Into<String>) -> Self {
        self.filter.shared_account = Some(shared_account.into());
        self
    }

    /// Lets so many matching calls go by first.
    #[must_use]
    pub fn skip(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Is over after so many hits.
    #[must_use]
    pub fn calls(mut self, calls: u64) -> Self {
        self.calls = Some(calls);
        self
    }

    /// Hits a share (0 to 1) of the calls, by dice that start at `seed`.
    #[must_use]
    pub fn share(mut self, share: f64, seed: u64) -> Self {
        self.share = Some(share);
        self.seed = seed;
        self
    }

    /// Says what is wrong with a fault that could never be meant.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err("share must be from 0 to 1".to_owned());
        }
        let (status, good) = match &self.effect {
            Effect::Throttle { http_status, .. } => (*http_status, [400, 429].contains(http_status)),
            Effect::ServerError { http_status, .. } => (*http_status, (500..=599).contains(http_status)),
            Effect::Refuse { http_status, .. } => (*http_status, (400..=599).contains(http_status)),
            _ => (0, true),
        };
        match good {
            true => Ok(()),
            false => Err(format!("http_status {status} does not go with this kind of fault")),
        }
    }
}

fn bad_request() -> u16 {
    400
}

fn a_minute() -> u64 {
    60_000
}
