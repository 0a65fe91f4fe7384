//! The values of an entry by which entries are filtered, listed and counted.

use std::borrow::Cow;

use uuid::Uuid;

use super::EntryBody;

/// The columns that the store keeps beside the text of an entry. Each repeats the body's member of the same name, or is absent.
/// So a reader can compare them with the text of any entry, also of an unknown kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "`ChangeBody` documents the members; `kind` is a top member")]
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
    /// The columns of an entry with this body.
    pub fn of(body: &'a EntryBody) -> Self {
        let mut columns = Self {
            kind: body.kind_name().into(),
            ..Self::default()
        };
        body.fill(&mut columns);
        columns
    }

    /// An owned copy, independent of the body.
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
