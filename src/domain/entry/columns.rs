//! The values of an entry by which entries are filtered, listed and counted.

use std::borrow::Cow;

use serde::Deserialize;
use uuid::Uuid;

use super::{EntryBody, change::Text};
use crate::ledger::envelope::Envelope;

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

    /// The columns of the entry with this text, without decoding the rest of its body. None if the text is not an entry, or if a
    /// member of a column has another type, as it may in an unknown kind.
    pub fn of_text(text: &'a str) -> Option<Self> {
        let Envelope { kind, body, .. } = Envelope::<ColumnsJson<'a>>::decode_typed(text).ok()?;
        let cow = |text: Option<Text<'a>>| text.map(|Text(text)| text);
        Some(Self {
            kind: kind.into(),
            action: cow(body.action),
            cause: cow(body.cause),
            change_id: body.change_id,
            request_id: body.request_id,
            principal: cow(body.principal),
            reason: cow(body.reason),
            ticket: cow(body.ticket),
            region: cow(body.region),
            image_id: cow(body.image_id),
            shared_account_id: cow(body.shared_account_id),
            generation: body.generation,
            aws_request_id: cow(body.aws_request_id),
            error_reason: cow(body.error_reason),
        })
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

/// The members of a body that columns repeat.
#[derive(Deserialize)]
struct ColumnsJson<'a> {
    #[serde(borrow)]
    action: Option<Text<'a>>,
    cause: Option<Text<'a>>,
    change_id: Option<Uuid>,
    request_id: Option<Uuid>,
    principal: Option<Text<'a>>,
    reason: Option<Text<'a>>,
    ticket: Option<Text<'a>>,
    region: Option<Text<'a>>,
    image_id: Option<Text<'a>>,
    shared_account_id: Option<Text<'a>>,
    generation: Option<u64>,
    aws_request_id: Option<Text<'a>>,
    error_reason: Option<Text<'a>>,
}
