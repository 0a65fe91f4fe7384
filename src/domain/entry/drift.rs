//! The bodies of the kinds `drift.*`, and their JSON texts.

use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

use super::{
    EntryColumns,
    change::{Text, optional},
};
use crate::domain::{
    AccountId, ChangeId, DriftDifference, DriftFinding, DriftResolution, Justification, PermissionKey, Principal,
    ScanId, Timestamp,
};

/// A difference between AWS and the ledger that was seen twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftFoundBody {
    /// Which permission.
    pub key: PermissionKey,
    /// How AWS and the ledger differ.
    pub difference: DriftDifference,
    /// A time before AWS first showed it.
    pub first_seen_at: Timestamp,
    /// A time before AWS showed it again.
    pub seen_at: Timestamp,
    /// The scan that confirmed it.
    pub scan_id: ScanId,
}

/// What became of a difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftResolvedBody {
    /// Which permission.
    pub key: PermissionKey,
    /// How AWS and the ledger differed.
    pub difference: DriftDifference,
    /// The index of the `drift.found` entry.
    pub found_index: u64,
    /// What became of it.
    pub resolution: DriftResolution,
    /// The change that resolved it. None if it went away by itself.
    pub change_id: Option<ChangeId>,
    /// The scan that no longer saw it, if it went away by itself, with a time before AWS was read.
    pub seen: Option<(ScanId, Timestamp)>,
}

/// An operator's decision about unrecorded shares of an account: whether the service may revoke those that are found from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftBaselineBody {
    /// True if the operator confirmed a baseline, false if the operator withdrew it.
    pub is_confirmed: bool,
    /// The authenticated principal of the operator.
    pub principal: Principal,
    /// Why.
    pub justification: Justification,
}

impl DriftBaselineBody {
    pub(super) fn read(_: AccountId, json: &str) -> Option<Self> {
        let read: BaselineJson<'_> = serde_json::from_str(json).ok()?;
        Some(Self {
            is_confirmed: read.is_confirmed,
            principal: read.principal.parse()?,
            justification: Justification::new(read.reason.parse()?, optional(read.ticket, |text| text.parse())?),
        })
    }

    pub(super) fn fill<'a>(&'a self, columns: &mut EntryColumns<'a>) {
        let Justification { reason, ticket, .. } = &self.justification;
        columns.principal = Some(self.principal.as_str().into());
        columns.reason = Some(reason.as_str().into());
        columns.ticket = ticket.as_ref().map(|ticket| ticket.as_str().into());
    }
}

impl DriftResolvedBody {
    /// The end of a finding.
    pub fn of(
        finding: &DriftFinding,
        resolution: DriftResolution,
        change_id: Option<ChangeId>,
        seen: Option<(ScanId, Timestamp)>,
    ) -> Self {
        Self {
            key: finding.key.clone(),
            difference: finding.difference,
            found_index: finding.found_index,
            resolution,
            change_id,
            seen,
        }
    }

    pub(super) fn read(account: AccountId, json: &str) -> Option<Self> {
        let read: ResolvedJson<'_> = serde_json::from_str(json).ok()?;
        let scan_id = optional(read.scan_id, |text| id(&text))?;
        let seen_at = optional(read.seen_at, |text| Timestamp::parse_displayed(&text.0))?;
        if scan_id.is_some() != seen_at.is_some() {
            return None;
        }
        Some(Self {
            key: key(account, &read.region, &read.image_id, &read.shared_account_id)?,
            difference: DriftDifference::parse(&read.difference.0)?,
            found_index: read.found_index,
            resolution: DriftResolution::parse(&read.resolution.0)?,
            change_id: optional(read.change_id, |text| id(&text))?,
            seen: scan_id.zip(seen_at),
        })
    }

    pub(super) fn fill<'a>(&'a self, columns: &mut EntryColumns<'a>) {
        fill(&self.key, columns);
        columns.change_id = self.change_id.map(|id| id.0);
    }
}

impl DriftFoundBody {
    pub(super) fn read(account: AccountId, json: &str) -> Option<Self> {
        let read: FoundJson<'_> = serde_json::from_str(json).ok()?;
        Some(Self {
            key: key(account, &read.region, &read.image_id, &read.shared_account_id)?,
            difference: DriftDifference::parse(&read.difference.0)?,
            first_seen_at: Timestamp::parse_displayed(&read.first_seen_at.0)?,
            seen_at: Timestamp::parse_displayed(&read.seen_at.0)?,
            scan_id: id(&read.scan_id)?,
        })
    }

    pub(super) fn fill<'a>(&'a self, columns: &mut EntryColumns<'a>) {
        fill(&self.key, columns);
    }
}

pub(super) fn fill<'a>(key: &'a PermissionKey, columns: &mut EntryColumns<'a>) {
    columns.region = Some(key.region.as_str().into());
    columns.image_id = Some(key.image.as_str().into());
    columns.shared_account_id = Some(key.shared_account.as_str().into());
}

pub(super) fn key(
    account: AccountId,
    region: &Text<'_>,
    image: &Text<'_>,
    shared_account: &Text<'_>,
) -> Option<PermissionKey> {
    Some(PermissionKey {
        account,
        region: region.parse()?,
        image: image.parse()?,
        shared_account: shared_account.parse()?,
    })
}

/// Reads an id. Upper-case letters are refused, because ids are written in lower case.
pub(super) fn id<T: FromStr>(text: &Text<'_>) -> Option<T> {
    let is_lower = !text.0.bytes().any(|letter| letter.is_ascii_uppercase());
    text.parse().filter(|_| is_lower)
}

impl Serialize for DriftFoundBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = FoundJson {
            difference: self.difference.as_str().into(),
            first_seen_at: self.first_seen_at.to_string().into(),
            image_id: self.key.image.as_str().into(),
            region: self.key.region.as_str().into(),
            scan_id: self.scan_id.to_string().into(),
            seen_at: self.seen_at.to_string().into(),
            shared_account_id: self.key.shared_account.as_str().into(),
        };
        body.serialize(serializer)
    }
}

impl Serialize for DriftResolvedBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = ResolvedJson {
            change_id: self.change_id.map(|id| id.to_string().into()),
            difference: self.difference.as_str().into(),
            found_index: self.found_index,
            image_id: self.key.image.as_str().into(),
            region: self.key.region.as_str().into(),
            resolution: self.resolution.as_str().into(),
            scan_id: self.seen.map(|(scan_id, _)| scan_id.to_string().into()),
            seen_at: self.seen.map(|(_, seen_at)| seen_at.to_string().into()),
            shared_account_id: self.key.shared_account.as_str().into(),
        };
        body.serialize(serializer)
    }
}

impl Serialize for DriftBaselineBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Justification { reason, ticket, .. } = &self.justification;
        let body = BaselineJson {
            is_confirmed: self.is_confirmed,
            principal: self.principal.as_str().into(),
            reason: reason.as_str().into(),
            ticket: ticket.as_ref().map(|ticket| ticket.as_str().into()),
        };
        body.serialize(serializer)
    }
}

/// The members in the order of their names (RFC 8785). Unknown members of a newer build are ignored.
#[derive(Serialize, Deserialize)]
struct BaselineJson<'a> {
    is_confirmed: bool,
    #[serde(borrow)]
    principal: Text<'a>,
    reason: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<Text<'a>>,
}

/// The members in the order of their names (RFC 8785). Unknown members of a newer build are ignored.
#[derive(Serialize, Deserialize)]
struct FoundJson<'a> {
    #[serde(borrow)]
    difference: Text<'a>,
    first_seen_at: Text<'a>,
    image_id: Text<'a>,
    region: Text<'a>,
    scan_id: Text<'a>,
    seen_at: Text<'a>,
    shared_account_id: Text<'a>,
}

/// The members in the order of their names (RFC 8785). Unknown members of a newer build are ignored.
#[derive(Serialize, Deserialize)]
struct ResolvedJson<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    change_id: Option<Text<'a>>,
    difference: Text<'a>,
    found_index: u64,
    image_id: Text<'a>,
    region: Text<'a>,
    resolution: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scan_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_at: Option<Text<'a>>,
    shared_account_id: Text<'a>,
}
