//! `drift_finding`.

use crate::{
    domain::{
        ChangeId, DriftDifference, DriftFinding, DriftResolution, PermissionKey, ResolvedDrift, ScanId, Timestamp,
    },
    store::error::StoreError,
};

use super::{
    bigint, count, named, parse,
    table::{Bigint, Text, Timestamptz, Uuid},
};

const TABLE: &str = "drift_finding";

super::table::table! {
    /// A finding to read.
    row FindingRow;
    /// Findings to save.
    rows Findings of finding: &'a DriftFinding;
    #[key] account_id: Text = finding.key.account.as_str(),
    #[key] region: Text = finding.key.region.as_str(),
    #[key] image_id: Text = finding.key.image.as_str(),
    #[key] shared_account_id: Text = finding.key.shared_account.as_str(),
    #[moves] difference: Text = finding.difference.as_str(),
    #[moves] found_index: Bigint = bigint(finding.found_index),
    #[moves] first_seen_at: Timestamptz = finding.first_seen_at.to_offset_date_time(),
    #[moves] found_at: Timestamptz = finding.found_at.to_offset_date_time(),
    #[moves] scan_id: Uuid = finding.scan_id.0,
    #[moves] resolution: Option<Text> = finding.resolved.map(|end| end.resolution.as_str()),
    #[moves] resolved_index: Option<Bigint> = finding.resolved.map(|end| bigint(end.index)),
    #[moves] resolved_at: Option<Timestamptz> = finding.resolved.map(|end| end.at.to_offset_date_time()),
    #[moves] resolved_by_change_id: Option<Uuid> = finding.resolved.and_then(|end| end.change_id).map(|id| id.0),
}

impl TryFrom<FindingRow> for DriftFinding {
    type Error = StoreError;

    fn try_from(row: FindingRow) -> Result<Self, StoreError> {
        let resolved = match (row.resolution, row.resolved_index, row.resolved_at) {
            (Some(resolution), Some(index), Some(at)) => Some(ResolvedDrift {
                resolution: named(TABLE, DriftResolution::parse, &resolution)?,
                index: count(TABLE, index)?,
                at: Timestamp::new(at),
                change_id: row.resolved_by_change_id.map(ChangeId),
            }),
            _ => None,
        };
        Ok(Self {
            key: PermissionKey {
                account: parse(TABLE, &row.account_id)?,
                region: parse(TABLE, &row.region)?,
                image: parse(TABLE, &row.image_id)?,
                shared_account: parse(TABLE, &row.shared_account_id)?,
            },
            difference: named(TABLE, DriftDifference::parse, &row.difference)?,
            found_index: count(TABLE, row.found_index)?,
            first_seen_at: Timestamp::new(row.first_seen_at),
            found_at: Timestamp::new(row.found_at),
            scan_id: ScanId(row.scan_id),
            resolved,
        })
    }
}
