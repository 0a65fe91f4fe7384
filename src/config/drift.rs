//! How AWS is compared with the ledger.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::parse;

/// The comparison of what AWS holds with what the ledger says. It begins after `sharewarden finalize`. One replica at a time
/// compares an account and Region; it reads AWS at a share of the pace that grants and revokes leave. CloudTrail tells who made
/// calls past the service.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriftConfig {
    /// Whether this replica compares, and reads CloudTrail. Default true.
    pub enabled: bool,
    /// The time in which each account and Region is compared completely, once. 1s..7d. Default 1h.
    #[serde(with = "parse::duration")]
    pub interval: Duration,
    /// A difference counts when AWS shows it again after this time, or after `forwarder.late_effect_window` if that is longer.
    /// 100ms..1h. Default 1m.
    #[serde(with = "parse::duration")]
    pub confirm_after: Duration,
}

impl Default for DriftConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_hours(1),
            confirm_after: Duration::from_mins(1),
        }
    }
}
