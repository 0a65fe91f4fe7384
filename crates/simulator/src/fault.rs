//! Faults: what goes wrong, for which calls, and how often.
//!
//! A fault considers each call that matches its filter. The first `skip` of them pass. After `calls` hits the fault
//! is removed. With a `share`, a random number decides each time. A call is hit by the first active fault that
//! decides to hit it, and by no other.

use serde::{Deserialize, Serialize};
use time::Duration;

/// An injected fault. Only the effect is required. By default every call is hit until the fault is removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which calls it may hit.
    #[serde(default, rename = "when")]
    pub filter: Filter,
    /// The number of matching calls that pass first.
    #[serde(default)]
    pub skip: u64,
    /// The maximum number of hits. None: no maximum.
    #[serde(default)]
    pub calls: Option<u64>,
    /// The probability of a hit, 0 to 1. None: 1.
    #[serde(default)]
    pub share: Option<f64>,
    /// The seed of the random numbers, for reproducible runs.
    #[serde(default)]
    pub seed: u64,
    /// What happens.
    pub effect: Effect,
}

/// Which calls a fault may hit. Every member that is set must be equal. Names and values are AWS's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// The operation, such as `UpdateWorkspaceImagePermission` or `AssumeRole`.
    pub operation: Option<String>,
    /// The caller's account.
    pub account: Option<String>,
    /// The Region of the call.
    pub region: Option<String>,
    /// The image in the request. For a copy, the source.
    pub image: Option<String>,
    /// `SharedAccountId`.
    pub shared_account: Option<String>,
}

/// Whether the fault happens before or after the operation takes effect. The caller cannot tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultTiming {
    /// Before the change.
    #[default]
    BeforeApplying,
    /// After the change. Only its response is affected.
    AfterApplying,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// Adds latency. The change takes effect even if the caller disconnects meanwhile.
    Latency {
        /// The added latency.
        milliseconds: u64,
        /// Delays the change and its response, or only the response.
        #[serde(default)]
        moment: FaultTiming,
    },
    /// ThrottlingException. Nothing is changed.
    Throttle {
        /// 400 as AWS JSON services do, or 429.
        #[serde(default = "bad_request")]
        http_status: u16,
        /// The `retry-after` header.
        #[serde(default)]
        retry_after_seconds: Option<u64>,
    },
    /// A 5xx response.
    ServerError {
        /// The HTTP status.
        #[serde(default = "internal_error")]
        http_status: u16,
        /// Before or after the change.
        #[serde(default)]
        moment: FaultTiming,
        /// The `retry-after` header.
        #[serde(default)]
        retry_after_seconds: Option<u64>,
    },
    /// Resets the connection (TCP RST) without a response.
    Reset {
        /// Before or after the change.
        #[serde(default)]
        moment: FaultTiming,
    },
    /// The change takes effect, and the body of its 200 response is truncated.
    CutShort,
    /// The change takes effect, and the body of its 200 response is malformed.
    Garbage,
    /// No response until the caller disconnects or the time is over. Then the connection is reset.
    Hang {
        /// Before or after the change. If before, the change never takes effect.
        #[serde(default)]
        moment: FaultTiming,
        /// Maximum duration.
        #[serde(default = "a_minute")]
        at_most_milliseconds: u64,
    },
    /// Describe operations miss the latest changes of permissions. Does not hit other operations.
    StaleRead {
        /// How stale the read is.
        behind: Staleness,
    },
    /// An error with any code. Nothing is changed.
    Refuse {
        /// Such as `ResourceUnavailableException`.
        code: String,
        /// The error message.
        #[serde(default)]
        message: String,
        /// The HTTP status.
        #[serde(default = "bad_request")]
        http_status: u16,
    },
}

/// How stale a read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Staleness {
    /// It misses this many of the image's latest changes.
    Changes(u64),
    /// It misses the changes of this many milliseconds.
    Milliseconds(u64),
}

impl Staleness {
    /// True if the read misses a change that is this old and has this many newer changes.
    pub(super) fn misses(self, newer: u64, age: Duration) -> bool {
        match self {
            Self::Changes(changes) => newer < changes,
            Self::Milliseconds(milliseconds) => age.whole_milliseconds() < i128::from(milliseconds),
        }
    }
}

impl Fault {
    /// A fault that hits every call until it is removed.
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

    /// Only this operation.
    #[must_use]
    pub fn operation(mut self, operation: impl Into<String>) -> Self {
        self.filter.operation = Some(operation.into());
        self
    }

    /// Only calls by this account.
    #[must_use]
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.filter.account = Some(account.into());
        self
    }

    /// Only calls in this Region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.filter.region = Some(region.into());
        self
    }

    /// Only calls about this image.
    #[must_use]
    pub fn image(mut self, image: impl Into<String>) -> Self {
        self.filter.image = Some(image.into());
        self
    }

    /// Only calls about this recipient.
    #[must_use]
    pub fn shared_account(mut self, shared_account: impl Into<String>) -> Self {
        self.filter.shared_account = Some(shared_account.into());
        self
    }

    /// Lets this many matching calls pass first.
    #[must_use]
    pub fn skip(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Removes the fault after this many hits.
    #[must_use]
    pub fn calls(mut self, calls: u64) -> Self {
        self.calls = Some(calls);
        self
    }

    /// Hits this share of the calls (0 to 1), with random numbers from `seed`.
    #[must_use]
    pub fn share(mut self, share: f64, seed: u64) -> Self {
        self.share = Some(share);
        self.seed = seed;
        self
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err("share must be a number from 0 to 1".to_owned());
        }
        let (status, good) = match &self.effect {
            Effect::Throttle { http_status, .. } => (*http_status, [400, 429].contains(http_status)),
            Effect::ServerError { http_status, .. } => (*http_status, (500..=599).contains(http_status)),
            Effect::Refuse { http_status, .. } => (*http_status, (400..=599).contains(http_status)),
            _ => (0, true),
        };
        match good {
            true => Ok(()),
            false => Err(format!("http_status {status} is not valid for this kind of fault")),
        }
    }
}

fn bad_request() -> u16 {
    400
}

fn internal_error() -> u16 {
    500
}

fn a_minute() -> u64 {
    60_000
}
