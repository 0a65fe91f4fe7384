//! A request: the content that a caller sent under a request id. A replay is recognised by it.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use sha2::{Digest, Sha256};

use super::{ChangeId, Intent, Principal, RequestId, ShareEnd};

/// An accepted request, and the change that answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The idempotency key, unique in the account.
    pub id: RequestId,
    /// The change that answers it.
    pub change_id: ChangeId,
    /// The authenticated principal.
    pub principal: Principal,
    /// The hash of the request's content.
    pub content: RequestContent,
}

impl Request {
    /// The request of `intent`, answered by its own change.
    pub fn of(intent: &Intent) -> Self {
        Self {
            id: intent.request_id,
            change_id: intent.change_id,
            principal: intent.principal.clone(),
            content: RequestContent::of(intent),
        }
    }

    /// The request of `intent`, answered by the change in progress that it joins.
    pub fn joining(change_id: ChangeId, intent: &Intent) -> Self {
        Self {
            change_id,
            ..Self::of(intent)
        }
    }

    /// True if `intent` is a replay: the same content by the same principal. The trace id may differ.
    pub fn is_repeated_by(&self, intent: &Intent) -> bool {
        self.principal == intent.principal && self.content == RequestContent::of(intent)
    }
}

/// The SHA-256 of a request's content. Requests are compared by it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestContent(pub [u8; 32]);

impl RequestContent {
    /// The hash of the content of `intent`, as a JSON object with sorted names. An absent text has no member, so that a
    /// text that is added later leaves the hashes of older requests valid.
    pub fn of(intent: &Intent) -> Self {
        let mut members: BTreeMap<_, Cow<'_, str>> = BTreeMap::from([
            ("action", intent.action.as_str().into()),
            ("cause", intent.cause.as_str().into()),
            ("image_id", intent.key.image.as_str().into()),
            ("region", intent.key.region.as_str().into()),
            ("shared_account_id", intent.key.shared_account.as_str().into()),
        ]);
        let texts = intent.justification.texts();
        members.extend(texts.map(|(name, text)| (name, text.into())));
        members.extend(intent.end.map(ShareEnd::text));
        let text = serde_json::to_vec(&members).expect("texts can be written as JSON");
        Self(Sha256::digest(text).into())
    }
}

impl fmt::Debug for RequestContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::domain::{Action, Timestamp, example};

    fn intent() -> Intent {
        let mut intent = example::intent();
        intent.justification.reason = "a reason".parse().unwrap();
        intent
    }

    #[test]
    fn a_request_is_repeated_by_the_same_content_of_the_same_principal_only() {
        let first = Request::of(&intent());
        let changed = |change: fn(&mut Intent)| {
            let mut intent = intent();
            change(&mut intent);
            intent
        };
        assert!(first.is_repeated_by(&changed(|it| it.change_id = ChangeId(Uuid::from_u128(9)))));
        assert!(first.is_repeated_by(&changed(
            |it| it.trace_id = "0af7651916cd43dd8448eb211c80319c".parse().ok()
        )));
        for other in [
            changed(|it| it.action = Action::Revoke),
            changed(|it| it.key.region = "us-east-1".parse().unwrap()),
            changed(|it| it.key.image = "wsi-987654321".parse().unwrap()),
            changed(|it| it.key.shared_account = "000000000001".parse().unwrap()),
            changed(|it| it.principal = "other".parse().unwrap()),
            changed(|it| it.justification.reason = "another reason".parse().unwrap()),
            changed(|it| it.justification.ticket = Some("T-1".parse().unwrap())),
            changed(|it| it.end = Some(ShareEnd::After(Duration::from_hours(1)))),
            changed(|it| it.end = Timestamp::parse("2027-01-01T00:00:00Z").map(ShareEnd::At)),
        ] {
            assert!(!first.is_repeated_by(&other), "{other:?}");
        }
    }

    #[test]
    fn the_hash_of_a_content_never_changes() {
        let mut intent = intent();
        assert_eq!(
            format!("{:?}", RequestContent::of(&intent)),
            "9215b44d423eb06ec7e300ec10e08ebfb2b739389cb77aa7c8e4b0178c18ec83"
        );
        intent.justification.ticket = Some("T-1".parse().unwrap());
        assert_eq!(
            format!("{:?}", RequestContent::of(&intent)),
            "202518597e4e3e9cf7e6a36cac7730e93592c6c6fb79136719438e85b9698cb4"
        );
        intent.end = Timestamp::parse("2027-01-01T00:00:00Z").map(ShareEnd::At);
        assert_eq!(
            format!("{:?}", RequestContent::of(&intent)),
            "7a97a33c71305950b3d2a080231729494a1980be42e782b19479704fc29fc7bf"
        );
        intent.end = Some(ShareEnd::After(Duration::from_hours(720)));
        assert_eq!(
            format!("{:?}", RequestContent::of(&intent)),
            "442802cc6a85aa99e2d256208dd2c9f70fe38b877e5873b0a89373ea4229ac35"
        );
    }
}
