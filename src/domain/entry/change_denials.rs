//! The body of `change.denials`: refusals over the budget of their principal, which are counted and not recorded one by one.

use serde::{Deserialize, Serialize, Serializer};

use super::EntryColumns;
use crate::domain::{AccountId, Principal, Timestamp};

/// A number of refusals by the policy, in the account of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenialsBody {
    /// The number of refused requests. 1 to 2^53 - 1.
    pub count: u64,
    /// The rule that refused the last request.
    pub denied_by: String,
    /// When the first request was refused, on the clock of the replica.
    pub first_at: Timestamp,
    /// When the last request was refused, on the same clock.
    pub last_at: Timestamp,
    /// The principal of all these requests. None: several principals, more than a replica counts apart.
    pub principal: Option<Principal>,
}

impl DenialsBody {
    pub(super) fn read(_: AccountId, json: &str) -> Option<Self> {
        let json: DenialsBodyJson = serde_json::from_str(json).ok()?;
        Some(Self {
            count: Some(json.count).filter(|count| *count > 0)?,
            denied_by: json.denied_by,
            first_at: Timestamp::parse_displayed(&json.first_at)?,
            last_at: Timestamp::parse_displayed(&json.last_at)?,
            principal: json.principal.map(|name| name.parse()).transpose().ok()?,
        })
    }

    pub(super) fn fill<'a>(&'a self, columns: &mut EntryColumns<'a>) {
        columns.principal = self.principal.as_ref().map(|principal| principal.as_str().into());
    }
}

/// The members in the order of their names (RFC 8785). Unknown members of a newer build are ignored.
#[derive(Serialize, Deserialize)]
struct DenialsBodyJson {
    count: u64,
    denied_by: String,
    first_at: String,
    last_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<String>,
}

impl Serialize for DenialsBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = DenialsBodyJson {
            count: self.count,
            denied_by: self.denied_by.clone(),
            first_at: self.first_at.to_string(),
            last_at: self.last_at.to_string(),
            principal: self.principal.as_ref().map(Principal::to_string),
        };
        json.serialize(serializer)
    }
}
