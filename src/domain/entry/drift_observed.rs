//! The body of `drift.observed`, and its JSON text.

use serde::{Deserialize, Serialize, Serializer};

use super::{EntryColumns, change::Text, drift};
use crate::domain::{Access, AccountId, SharingEvent, Timestamp};

/// A call that somebody made to AWS past the service, as CloudTrail has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftObservedBody(pub SharingEvent);

impl DriftObservedBody {
    pub(super) fn read(account: AccountId, json: &str) -> Option<Self> {
        let read: ObservedJson<'_> = serde_json::from_str(json).ok()?;
        let text = |text: Option<Text<'_>>| text.map(|Text(text)| text.into_owned());
        Some(Self(SharingEvent {
            id: drift::id(&read.event_id)?,
            at: Timestamp::parse_displayed(&read.event_time.0)?,
            key: drift::key(account, &read.region, &read.image_id, &read.shared_account_id)?,
            access: Access::parse(&read.access.0)?,
            principal_arn: text(read.principal_arn),
            source_ip: text(read.source_ip),
            user_agent: text(read.user_agent),
        }))
    }

    pub(super) fn fill<'a>(&'a self, columns: &mut EntryColumns<'a>) {
        drift::fill(&self.0.key, columns);
    }
}

impl Serialize for DriftObservedBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = &self.0;
        let text = |text: &'_ Option<String>| text.as_deref().map(|text| Text(text.to_owned().into()));
        let body = ObservedJson {
            access: event.access.as_str().into(),
            event_id: event.id.to_string().into(),
            event_time: event.at.to_string().into(),
            image_id: event.key.image.as_str().into(),
            principal_arn: text(&event.principal_arn),
            region: event.key.region.as_str().into(),
            shared_account_id: event.key.shared_account.as_str().into(),
            source_ip: text(&event.source_ip),
            user_agent: text(&event.user_agent),
        };
        body.serialize(serializer)
    }
}

/// The members in the order of their names (RFC 8785). Unknown members of a newer build are ignored.
#[derive(Serialize, Deserialize)]
struct ObservedJson<'a> {
    #[serde(borrow)]
    access: Text<'a>,
    event_id: Text<'a>,
    event_time: Text<'a>,
    image_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal_arn: Option<Text<'a>>,
    region: Text<'a>,
    shared_account_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Text<'a>>,
}
