//! The body of the `change.*` kinds, and its JSON text.

use std::{borrow::Cow, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::EntryColumns;
use crate::domain::{
    Access, AccountId, Action, Attempt, Authentication, AwsOperation, Basis, Cause, Change, ChangeFailure, ChangeId,
    Classification, Decision, FailureReason, Intent, Justification, PermissionKey, ShareEnd, Timestamp,
};

/// The state at the time of recording: of a change, of a request that joined a change, or of a refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeBody {
    /// The request. If it joined a change, the change id is that of the change. A refusal has no change, and its change id is not
    /// written.
    pub intent: Arc<Intent>,
    /// The generation that the change set. None for a refusal.
    pub generation: Option<u64>,
    /// What AWS was known to hold when the change was accepted.
    pub previous: Option<Access>,
    /// The basis of the share when the change was accepted. With the cause [`Cause::Expiry`]: the basis that ends.
    pub previous_basis: Option<Basis>,
    /// The calls to AWS so far.
    pub attempts: Vec<Attempt>,
    /// Why the change failed, if it did.
    pub failure: Option<ChangeFailure>,
    /// The policy's refusal message, for a refusal.
    pub denied_by: Option<String>,
}

impl ChangeBody {
    /// The present state of `change`.
    pub fn of(change: &Change) -> Self {
        Self {
            intent: change.intent.clone(),
            generation: Some(change.generation),
            previous: change.previous,
            previous_basis: change.previous_basis,
            attempts: change.attempts.clone(),
            failure: change.failure.clone(),
            denied_by: None,
        }
    }

    /// The request `intent`, which joins `change`.
    pub fn joining(change: &Change, intent: &Intent) -> Self {
        Self {
            intent: Arc::new(Intent {
                change_id: change.id(),
                ..intent.clone()
            }),
            generation: Some(change.generation),
            previous: change.previous,
            previous_basis: change.previous_basis,
            attempts: Vec::new(),
            failure: None,
            denied_by: None,
        }
    }

    /// The id of the change. None for a refusal.
    pub fn change_id(&self) -> Option<ChangeId> {
        self.generation.map(|_| self.intent.change_id)
    }

    /// When the share ends that the grant makes. None for a revoke, and for a share without an end.
    pub fn expire_time(&self) -> Option<Timestamp> {
        self.intent.expire_time()
    }

    /// The AWS request id of the last call, if AWS gave one.
    pub fn aws_request_id(&self) -> Option<&str> {
        self.attempts.last()?.aws_request_id.as_deref()
    }

    pub(super) fn read(account: AccountId, json: &str) -> Option<Self> {
        serde_json::from_str::<ChangeBodyJson<'_>>(json)
            .ok()?
            .into_body(account)
    }

    pub(super) fn fill<'a>(&'a self, columns: &mut EntryColumns<'a>) {
        let (intent, key, justification) = (&*self.intent, &self.intent.key, &self.intent.justification);
        columns.action = Some(intent.action.as_str().into());
        columns.cause = Some(intent.cause.as_str().into());
        columns.change_id = self.change_id().map(|id| id.0);
        columns.request_id = Some(intent.request_id.0);
        columns.principal = Some(intent.principal.as_str().into());
        columns.reason = Some(justification.reason.as_str().into());
        columns.ticket = justification.ticket.as_ref().map(|ticket| ticket.as_str().into());
        columns.region = Some(key.region.as_str().into());
        columns.image_id = Some(key.image.as_str().into());
        columns.shared_account_id = Some(key.shared_account.as_str().into());
        columns.generation = self.generation;
        columns.aws_request_id = self.aws_request_id().map(Cow::from);
        columns.error_reason = self.failure.as_ref().map(|failure| failure.reason.as_str().into());
    }
}

impl Serialize for ChangeBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ChangeBodyJson::of(self).serialize(serializer)
    }
}

/// The largest integer that every JSON reader represents exactly: 2^53 - 1.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// A JSON string. It borrows from the input if it contains no escapes.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'a, T: Into<Cow<'a, str>>> From<T> for Text<'a> {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl Text<'_> {
    pub(super) fn parse<T: FromStr>(&self) -> Option<T> {
        self.0.parse().ok()
    }

    fn into_string(self) -> String {
        self.0.into_owned()
    }
}

/// The members in the order of their names (RFC 8785). A member that does not apply is left out. Unknown members of a newer build
/// are ignored.
#[derive(Serialize, Deserialize)]
struct ChangeBodyJson<'a> {
    #[serde(borrow)]
    action: Text<'a>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<AttemptJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication: Option<Cow<'a, Authentication>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_request_id: Option<Text<'a>>,
    cause: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    change_id: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Cow<'a, Decision>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_by: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_reason: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    image_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_basis: Option<Basis>,
    principal: Text<'a>,
    reason: Text<'a>,
    region: Text<'a>,
    request_id: Text<'a>,
    shared_account_id: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<Text<'a>>,
}

#[derive(Serialize, Deserialize)]
struct AttemptJson<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    aws_request_id: Option<Text<'a>>,
    classification: Text<'a>,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<Text<'a>>,
    operation: Text<'a>,
    started_at: Text<'a>,
}

impl<'a> ChangeBodyJson<'a> {
    fn of(body: &'a ChangeBody) -> Self {
        let (intent, failure) = (&*body.intent, body.failure.as_ref());
        let Justification { reason, ticket } = &intent.justification;
        Self {
            action: intent.action.as_str().into(),
            attempts: body.attempts.iter().map(AttemptJson::of).collect(),
            authentication: intent.authentication.as_ref().map(Cow::Borrowed),
            aws_request_id: body.aws_request_id().map(Text::from),
            cause: intent.cause.as_str().into(),
            change_id: body.change_id().map(|id| id.to_string().into()),
            decision: intent.decision.as_ref().map(Cow::Borrowed),
            denied_by: body.denied_by.as_deref().map(Text::from),
            error_code: failure.and_then(|failure| failure.code.as_deref()).map(Text::from),
            error_message: failure.and_then(|failure| failure.message.as_deref()).map(Text::from),
            error_reason: failure.map(|failure| failure.reason.as_str().into()),
            expire_time: intent.expire_time().map(|time| time.to_string().into()),
            generation: body.generation,
            image_id: intent.key.image.as_str().into(),
            previous: body.previous.map(|access| access.as_str().into()),
            previous_basis: body.previous_basis,
            principal: intent.principal.as_str().into(),
            reason: reason.as_str().into(),
            region: intent.key.region.as_str().into(),
            request_id: intent.request_id.to_string().into(),
            shared_account_id: intent.key.shared_account.as_str().into(),
            ticket: ticket.as_ref().map(|ticket| ticket.as_str().into()),
            trace_id: intent.trace_id.as_ref().map(|id| id.as_str().into()),
        }
    }

    /// None if this build never writes such a value, or if two members contradict each other.
    fn into_body(self, account: AccountId) -> Option<ChangeBody> {
        let attempts: Vec<_> = self
            .attempts
            .into_iter()
            .map(AttemptJson::into_attempt)
            .collect::<Option<_>>()?;
        let body = ChangeBody {
            generation: self.generation,
            previous: optional(self.previous, |text| Access::parse(&text.0))?,
            previous_basis: self.previous_basis,
            attempts,
            failure: failure(self.error_reason, self.error_code, self.error_message)?,
            denied_by: self.denied_by.map(Text::into_string),
            intent: Arc::new(Intent {
                change_id: change_id(self.change_id, self.generation)?,
                request_id: id(&self.request_id)?,
                key: PermissionKey {
                    account,
                    region: self.region.parse()?,
                    image: self.image_id.parse()?,
                    shared_account: self.shared_account_id.parse()?,
                },
                action: Action::parse(&self.action.0)?,
                cause: Cause::parse(&self.cause.0)?,
                principal: self.principal.parse()?,
                authentication: self.authentication.map(Cow::into_owned),
                decision: self.decision.map(Cow::into_owned),
                justification: Justification {
                    reason: self.reason.parse()?,
                    ticket: optional(self.ticket, |text| text.parse())?,
                },
                end: optional(self.expire_time, |text| {
                    Timestamp::parse_displayed(&text.0).map(ShareEnd::At)
                })?,
                trace_id: optional(self.trace_id, |text| text.parse())?,
            }),
        };
        (body.aws_request_id() == self.aws_request_id.as_ref().map(|id| &*id.0)).then_some(body)
    }
}

impl<'a> AttemptJson<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        Self {
            aws_request_id: attempt.aws_request_id.as_deref().map(Text::from),
            classification: attempt.classification.as_str().into(),
            duration_us: u64::try_from(attempt.duration.as_micros())
                .map_or(MAX_NUMBER, |micros| micros.min(MAX_NUMBER)),
            error_code: attempt.error_code.as_deref().map(Text::from),
            operation: attempt.operation.as_str().into(),
            started_at: attempt.started_at.to_string().into(),
        }
    }

    fn into_attempt(self) -> Option<Attempt> {
        Some(Attempt {
            operation: AwsOperation::parse(&self.operation.0)?,
            started_at: Timestamp::parse_displayed(&self.started_at.0)?,
            duration: Duration::from_micros(self.duration_us),
            classification: Classification::parse(&self.classification.0)?,
            aws_request_id: self.aws_request_id.map(Text::into_string),
            error_code: self.error_code.map(Text::into_string),
        })
    }
}

/// A failure always has a reason. Code and message are optional.
fn failure(
    reason: Option<Text<'_>>,
    code: Option<Text<'_>>,
    message: Option<Text<'_>>,
) -> Option<Option<ChangeFailure>> {
    let Some(reason) = reason else {
        return (code.is_none() && message.is_none()).then_some(None);
    };
    Some(Some(ChangeFailure {
        reason: FailureReason::parse(&reason.0)?,
        code: code.map(Text::into_string),
        message: message.map(Text::into_string),
    }))
}

/// A change has an id and a generation. A refusal has neither.
fn change_id(text: Option<Text<'_>>, generation: Option<u64>) -> Option<ChangeId> {
    match (text, generation) {
        (Some(text), Some(_)) => id(&text),
        (None, None) => Some(ChangeId(Uuid::nil())),
        _ => None,
    }
}

/// An absent member gives `Some(None)`. A member that cannot be read gives None.
pub(super) fn optional<'a, T>(text: Option<Text<'a>>, read: impl FnOnce(Text<'a>) -> Option<T>) -> Option<Option<T>> {
    match text {
        None => Some(None),
        Some(text) => read(text).map(Some),
    }
}

/// Reads an id. Upper-case letters are refused, because ids are written in lower case.
fn id<T: FromStr>(text: &Text<'_>) -> Option<T> {
    let is_lower = !text.0.bytes().any(|letter| letter.is_ascii_uppercase());
    text.parse().filter(|_| is_lower)
}
