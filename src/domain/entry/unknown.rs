//! The body of an entry that a newer build recorded.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::EntryColumns;

/// A body with a kind, a schema or a value that this build does not know. It is passed on unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownBody {
    /// The name of its kind.
    pub kind: String,
    /// The schema of the body.
    pub schema: u32,
    /// The members of the body, in their original order.
    pub members: Map<String, Value>,
}

impl UnknownBody {
    pub(super) fn read(kind: &str, schema: u32, json: &str) -> Option<Self> {
        Some(Self {
            kind: kind.into(),
            schema,
            members: serde_json::from_str(json).ok()?,
        })
    }

    /// Each column repeats the member of the same name, for every kind. A member of another JSON type gives no column.
    pub(super) fn fill<'a>(&'a self, columns: &mut EntryColumns<'a>) {
        let text = |name: &str| Some(self.members.get(name)?.as_str()?.into());
        let uuid = |name: &str| Uuid::parse_str(self.members.get(name)?.as_str()?).ok();
        columns.action = text("action");
        columns.cause = text("cause");
        columns.change_id = uuid("change_id");
        columns.request_id = uuid("request_id");
        columns.principal = text("principal");
        columns.reason = text("reason");
        columns.ticket = text("ticket");
        columns.region = text("region");
        columns.image_id = text("image_id");
        columns.shared_account_id = text("shared_account_id");
        columns.generation = self.members.get("generation").and_then(Value::as_u64);
        columns.aws_request_id = text("aws_request_id");
        columns.error_reason = text("error_reason");
    }
}

impl Serialize for UnknownBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.members.serialize(serializer)
    }
}
