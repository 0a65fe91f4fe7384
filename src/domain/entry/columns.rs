//! The values of an entry that it is filtered, listed and counted by.

use std::borrow::Cow;

use uuid::Uuid;

use super::EntryBody;

/// What the store keeps of an entry beside its text, so that it can be found. Each repeats the member of its name in the body,
/// or is absent where the body has none. So a reader can compare them with the text of any entry, also of a kind that it does not
/// know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "`ChangeBody` documents the members; `kind` is the top member"
)]
pub struct EntryColumns<'a> {
    pub kind: Cow<'a, str>,
    pub action: Option<Cow<'a, str>>,
    pub cause: Option<Cow<'a, str>>,
    pub change_id: Option<Uuid>,
    pub request_id: Option<Uuid>,
    pub principal: Option<Cow<'a, str>>,
    pub reason: Option<Cow<'a, str>>,
    pub ticket: Option<Cow<'a, str>>,
    pub region: Option<Cow<'a, str>>,
    pub image_id: Option<Cow<'a, str>>,
    pub shared_account_id: Option<Cow<'a, str>>,
    pub generation: Option<u64>,
    pub aws_request_id: Option<Cow<'a, str>>,
    pub error_reason: Option<Cow<'a, str>>,
}

impl<'a> EntryColumns<'a> {
    /// Those of an entry with this body.
    pub fn of(body: &'a EntryBody) -> Self {
        let mut columns = Self {
            kind: body.kind_name().into(),
            ..Self::default()
        };
        body.fill(&mut columns);
        columns
    }

    /// A copy that outlives the body.
    pub fn into_owned(self) -> EntryColumns<'static> {
        let owned = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        EntryColumns {
            kind: Cow::Owned(self.kind.into_owned()),
            action: owned(self.action),
            cause: owned(self.cause),
            change_id: self.change_id,
            request_id: self.request_id,
            principal: owned(self.principal),
            reason: owned(self.reason),
            ticket: owned(self.ticket),
            region: owned(self.region),
            image_id: owned(self.image_id),
            shared_account_id: owned(self.shared_account_id),
            generation: self.generation,
            aws_request_id: owned(self.aws_request_id),
            error_reason: owned(self.error_reason),
        }
    }
}
