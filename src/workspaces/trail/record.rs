//! One event of CloudTrail: the JSON text of `CloudTrailEvent`.
//!
//! A caller of AWS chooses some of its texts, such as the user agent. They are shortened, and are made ASCII.

use serde::Deserialize;

use super::super::text;
use crate::domain::{Access, AccountId, PermissionKey, ReadEvent, Region, SharingEvent, Timestamp};

/// Maximum length of an ARN. Those of IAM's users and roles are shorter.
const MAX_ARN_CHARS: usize = 1024;

/// Maximum length of an address, or of the name of a service.
const MAX_ADDRESS_CHARS: usize = 256;

/// Maximum length of a user agent. The SDK's have 200 to 400 characters.
const MAX_USER_AGENT_CHARS: usize = 512;

/// The event has another form than this build knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Reads an event of this account and Region. None for a refused call: it changed nothing.
pub(super) fn read(json: &str, account: AccountId, region: &Region) -> Result<Option<ReadEvent>, Unreadable> {
    let record: Record = serde_json::from_str(json).map_err(|_| Unreadable)?;
    if record.error_code.is_some() {
        return Ok(None);
    }
    let is_here = record.recipient_account_id.as_deref() == Some(account.as_str())
        && record.aws_region.as_deref() == Some(region.as_str());
    match is_here {
        true => record.event(account, region).map(Some).ok_or(Unreadable),
        false => Err(Unreadable),
    }
}

/// The members that are read. AWS adds members.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(rename = "eventID")]
    event_id: String,
    event_time: String,
    aws_region: Option<String>,
    recipient_account_id: Option<String>,
    #[serde(rename = "sourceIPAddress")]
    source_ip: Option<String>,
    user_agent: Option<String>,
    #[serde(rename = "requestID")]
    request_id: Option<String>,
    error_code: Option<String>,
    user_identity: Option<UserIdentity>,
    request_parameters: Option<Parameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserIdentity {
    arn: Option<String>,
    /// The AWS service that calls, if there is no ARN.
    invoked_by: Option<String>,
    session_context: Option<Session>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    session_issuer: Option<Issuer>,
}

#[derive(Deserialize)]
struct Issuer {
    arn: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    image_id: Option<String>,
    shared_account_id: Option<String>,
    allow_copy_image: Option<bool>,
}

impl Record {
    fn event(self, account: AccountId, region: &Region) -> Option<ReadEvent> {
        let parameters = self.request_parameters?;
        let shared_account: AccountId = parameters.shared_account_id?.parse().ok()?;
        let key = PermissionKey {
            account,
            region: region.clone(),
            image: parameters.image_id?.parse().ok()?,
            shared_account,
        };
        let access = match parameters.allow_copy_image? {
            true => Access::Shared,
            false => Access::NotShared,
        };
        let (principal, role) = match self.user_identity {
            Some(identity) => {
                let issuer = identity.session_context.and_then(|context| context.session_issuer);
                (
                    identity.arn.or(identity.invoked_by),
                    issuer.and_then(|issuer| issuer.arn),
                )
            }
            None => (None, None),
        };
        let event = SharingEvent {
            id: self.event_id.parse().ok()?,
            at: Timestamp::parse(&self.event_time)?,
            key,
            access,
            principal_arn: bounded(principal, MAX_ARN_CHARS),
            source_ip: bounded(self.source_ip, MAX_ADDRESS_CHARS),
            user_agent: bounded(self.user_agent, MAX_USER_AGENT_CHARS),
        };
        (shared_account != account).then(|| ReadEvent {
            event,
            aws_request_id: self.request_id.as_deref().map(text::code),
            role_arn: bounded(role, MAX_ARN_CHARS),
        })
    }
}

fn bounded(text: Option<String>, chars: usize) -> Option<String> {
    text.map(|text| text::ascii(&text, chars))
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn account() -> AccountId {
        "111122223333".parse().unwrap()
    }

    fn region() -> Region {
        "eu-central-1".parse().unwrap()
    }

    fn record() -> Value {
        json!({
            "eventVersion": "1.11",
            "userIdentity": {
                "type": "AssumedRole",
                "arn": "arn:aws:sts::111122223333:assumed-role/Admin/ann",
                "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/aws-reserved/Admin"}},
            },
            "eventTime": "2026-11-22T07:01:13Z",
            "awsRegion": "eu-central-1",
            "sourceIPAddress": "192.0.2.7",
            "userAgent": "aws-cli/2.31.0",
            "requestParameters": {"imageId": "wsi-123456789", "allowCopyImage": true, "sharedAccountId": "210987654321"},
            "requestID": "a-request",
            "eventID": "0199f0d0-0000-4000-8000-00000000000e",
            "recipientAccountId": "111122223333",
        })
    }

    fn changed(edit: impl FnOnce(&mut Value)) -> Result<Option<ReadEvent>, Unreadable> {
        let mut record = record();
        edit(&mut record);
        read(&record.to_string(), account(), &region())
    }

    #[test]
    fn an_event_says_who_shared_what_when_and_from_where() {
        let read = changed(|_| {}).unwrap().unwrap();
        let event = &read.event;
        assert_eq!(
            event.key.to_string(),
            "111122223333/eu-central-1/wsi-123456789/210987654321"
        );
        assert_eq!(event.at.to_string(), "2026-11-22T07:01:13.000000Z");
        assert_eq!(event.access, Access::Shared);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        assert_eq!(
            text(&event.principal_arn),
            "arn:aws:sts::111122223333:assumed-role/Admin/ann"
        );
        assert_eq!(
            (text(&event.source_ip), text(&event.user_agent)),
            ("192.0.2.7".into(), "aws-cli/2.31.0".into())
        );
        assert_eq!(
            text(&read.role_arn),
            "arn:aws:iam::111122223333:role/aws-reserved/Admin"
        );
        assert_eq!(text(&read.aws_request_id), "a-request");
    }

    #[test]
    fn a_refused_call_is_no_event() {
        let refused = changed(|it| {
            it["errorCode"] = "AccessDeniedException".into();
            it["requestParameters"] = Value::Null;
        });
        assert_eq!(refused, Ok(None));
    }

    #[test]
    fn an_event_of_another_form_is_unreadable_and_never_a_panic() {
        for edit in [
            (|it| it["requestParameters"] = Value::Null) as fn(&mut Value),
            |it| it["requestParameters"]["imageId"] = "image".into(),
            |it| it["requestParameters"]["allowCopyImage"] = "true".into(),
            |it| it["requestParameters"]["sharedAccountId"] = "111122223333".into(),
            |it| it["eventTime"] = "yesterday".into(),
            |it| it["eventID"] = "7".into(),
            |it| it["awsRegion"] = "us-east-1".into(),
            |it| it["recipientAccountId"] = Value::Null,
            |it| it["userIdentity"] = "root".into(),
            |it| *it = json!([1]),
        ] {
            assert_eq!(changed(edit), Err(Unreadable));
        }
        assert_eq!(read("", account(), &region()), Err(Unreadable));
    }

    #[test]
    fn texts_of_callers_are_bounded_and_absent_ones_are_none() {
        let read = changed(|it| {
            it["userAgent"] = format!("{}\u{0}\n", "é".repeat(5000)).into();
            it["userIdentity"] = json!({"type": "AWSService", "invokedBy": "workspaces.amazonaws.com"});
            it["sourceIPAddress"] = "".into();
        });
        let event = read.unwrap().unwrap().event;
        assert_eq!(event.user_agent, Some("?".repeat(512)));
        assert_eq!(event.principal_arn.as_deref(), Some("workspaces.amazonaws.com"));
        assert_eq!(event.source_ip, None);
    }
}
