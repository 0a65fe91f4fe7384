//! How many refusals by the policy are recorded one by one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::parse;

/// How many refusals by the policy are recorded one by one (`change.denied`). Further ones are counted, and recorded together
/// (`change.denials`). Each replica has budgets of its own.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DenialsConfig {
    /// Maximum refusals of one principal that are recorded one by one after a pause. 1..1000000. Default 20.
    pub burst: u32,
    /// The time in which a principal's budget regains one refusal. 1ms..1d. Default 10s.
    #[serde(with = "parse::duration")]
    pub refill_every: Duration,
    /// How often the counts are recorded: one entry for each principal and account. A crash loses the counts of this time.
    /// 100ms..1h. Default 1m.
    #[serde(with = "parse::duration")]
    pub summary_every: Duration,
}

impl Default for DenialsConfig {
    fn default() -> Self {
        Self {
            burst: 20,
            refill_every: Duration::from_secs(10),
            summary_every: Duration::from_secs(60),
        }
    }
}
