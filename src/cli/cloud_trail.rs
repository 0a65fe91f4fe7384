//! An event of CloudTrail as lines of a table.

use super::{
    cell::{Cell, TableRow},
    text::one_line,
};
use crate::proto::v1::CloudTrailEvent;

/// Who made a call to AWS, when and from where.
pub(super) fn event_rows(event: &CloudTrailEvent) -> TableRow {
    vec![
        ("By", one_line(&event.principal_arn).into()),
        ("Called at", Cell::Time(event.event_time)),
        ("From", one_line(&event.source_ip).into()),
        ("With", one_line(&event.user_agent).into()),
        ("CloudTrail event", one_line(&event.event_id).into()),
    ]
}
