//! The body of `checkpoint.confirmed`, and its JSON text.

use serde::{Deserialize, Serialize, Serializer};

use super::{
    EntryColumns,
    change::{Text, optional},
};
use crate::{
    domain::{AccountId, Justification, Principal},
    ledger::{
        Hash,
        merkle::{hex, parse_hash},
    },
};

/// What an operator confirmed: that the first entries of a ledger, which no known checkpoint covered, are what was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmationBody {
    /// The name that the operator gave. Nothing authenticates it.
    pub operator: Principal,
    /// Why the operator confirmed.
    pub justification: Justification,
    /// The root of the Merkle tree over these entries.
    pub root: Hash,
    /// The number of these entries.
    pub tree_size: u64,
}

impl ConfirmationBody {
    pub(super) fn read(_: AccountId, json: &str) -> Option<Self> {
        let read: ConfirmationJson<'_> = serde_json::from_str(json).ok()?;
        Some(Self {
            operator: read.operator.parse()?,
            justification: Justification::new(read.reason.parse()?, optional(read.ticket, |text| text.parse())?),
            root: parse_hash(&read.root_hash.0)?,
            tree_size: read.tree_size,
        })
    }

    pub(super) fn fill<'a>(&'a self, columns: &mut EntryColumns<'a>) {
        let Justification { reason, ticket, .. } = &self.justification;
        columns.reason = Some(reason.as_str().into());
        columns.ticket = ticket.as_ref().map(|ticket| ticket.as_str().into());
    }
}

impl Serialize for ConfirmationBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Justification { reason, ticket, .. } = &self.justification;
        let body = ConfirmationJson {
            operator: self.operator.as_str().into(),
            reason: reason.as_str().into(),
            root_hash: hex(&self.root).into(),
            ticket: ticket.as_ref().map(|ticket| ticket.as_str().into()),
            tree_size: self.tree_size,
        };
        body.serialize(serializer)
    }
}

/// The members in the order of their names (RFC 8785).
#[derive(Serialize, Deserialize)]
struct ConfirmationJson<'a> {
    #[serde(borrow)]
    operator: Text<'a>,
    reason: Text<'a>,
    root_hash: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<Text<'a>>,
    tree_size: u64,
}
