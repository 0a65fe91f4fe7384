//! `drift_event`, and the event of a finding.

use std::sync::Arc;

use crate::domain::{DriftFinding, EventId, SharingEvent, Timestamp};

use super::{
    bigint,
    table::{Bigint, Text, Timestamptz, Uuid},
};

super::table::rows! {
    /// Events to save.
    rows Events of event: &'a (Arc<SharingEvent>, u64);
    account_id: Text = event.0.key.account.as_str(),
    region: Text = event.0.key.region.as_str(),
    event_id: Uuid = event.0.id.0,
    image_id: Text = event.0.key.image.as_str(),
    shared_account_id: Text = event.0.key.shared_account.as_str(),
    access: Text = event.0.access.as_str(),
    event_time: Timestamptz = event.0.at.to_offset_date_time(),
    principal_arn: Option<Text> = event.0.principal_arn.as_deref(),
    source_ip: Option<Text> = event.0.source_ip.as_deref(),
    user_agent: Option<Text> = event.0.user_agent.as_deref(),
    log_index: Bigint = bigint(event.1),
}

super::table::row! {
    /// The event that made a finding.
    FindingEventRow;
    event_id: Uuid,
    event_time: Timestamptz,
    principal_arn: Option<Text>,
    source_ip: Option<Text>,
    user_agent: Option<Text>,
}

impl FindingEventRow {
    /// The event of this finding.
    pub(in crate::store) fn of(self, finding: &DriftFinding) -> SharingEvent {
        SharingEvent {
            id: EventId(self.event_id),
            at: Timestamp::new(self.event_time),
            key: finding.key.clone(),
            access: finding.difference.shown(),
            principal_arn: self.principal_arn,
            source_ip: self.source_ip,
            user_agent: self.user_agent,
        }
    }
}
