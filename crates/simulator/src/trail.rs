//! CloudTrail's events: a record of each call that changes who an image is shared with, for LookupEvents.
//!
//! Every client's call is recorded, also a refused one, if the caller was authenticated. Other operations are not
//! recorded. Events are in memory only, bounded by number: the oldest are dropped first. They can be found some time
//! after the call, as in AWS. A call that changed something has its event before its caller has the answer.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{
    caller::{CallerIdentity, USER_NAME},
    calls::ApiCall,
    request::RequestSender,
    response::ApiResponse,
    settings::SimulatorSettings,
};

/// The operation that is recorded.
const RECORDED: &str = "UpdateWorkspaceImagePermission";

/// How long events can be looked up.
const KEPT: Duration = Duration::days(90);

/// Maximum number of lookups per second, by account and Region.
const LOOKUPS_PER_SECOND: usize = 2;

pub(super) struct EventTrail {
    inner: Mutex<TrailState>,
    limit: usize,
    delay_milliseconds: u64,
}

#[derive(Default)]
struct TrailState {
    /// The oldest first.
    events: VecDeque<Arc<TrailEvent>>,
    numbered: u64,
    /// The lookups of the last second: account, Region and time.
    lookups: Vec<(String, String, OffsetDateTime)>,
}

/// The record of one call.
#[derive(Clone, Debug)]
pub(super) struct TrailEvent {
    pub(super) id: Uuid,
    /// When the call was completed, in whole seconds as in AWS.
    pub(super) at: OffsetDateTime,
    pub(super) caller: CallerIdentity,
    /// From 1, in the order of `at`.
    number: u64,
    found_from: OffsetDateTime,
    sender: RequestSender,
    request_id: String,
    parameters: Value,
    /// Code and message.
    error: Option<(String, Option<String>)>,
}

impl EventTrail {
    pub(super) fn new(settings: &SimulatorSettings) -> Self {
        Self {
            inner: Mutex::default(),
            limit: settings.trail_limit,
            delay_milliseconds: settings.trail_delay_milliseconds,
        }
    }

    /// Records a call, if its operation is recorded.
    pub(super) fn record(
        &self,
        call: &ApiCall,
        caller: &CallerIdentity,
        sender: &RequestSender,
        response: &ApiResponse,
        now: OffsetDateTime,
    ) {
        if call.operation != RECORDED || self.limit == 0 {
            return;
        }
        let error = response.error_code.clone();
        let mut inner = self.lock();
        inner.numbered += 1;
        let event = TrailEvent {
            id: Uuid::new_v4(),
            at: now.replace_nanosecond(0).unwrap_or(now),
            caller: caller.clone(),
            number: inner.numbered,
            found_from: now.checked_add(self.delay()).unwrap_or(now),
            sender: sender.clone(),
            request_id: call.request_id.clone(),
            parameters: parameters(call),
            error: error.map(|code| (code, response.error_message.clone())),
        };
        if inner.events.len() >= self.limit {
            inner.events.pop_front();
        }
        inner.events.push_back(Arc::new(event));
    }

    /// The events of the caller's account and Region that can be found now. The newest first.
    pub(super) fn events(&self, caller: &CallerIdentity, now: OffsetDateTime) -> Vec<Arc<TrailEvent>> {
        let is_found = |event: &&Arc<TrailEvent>| {
            event.caller.account == caller.account
                && event.caller.region == caller.region
                && event.found_from <= now
                && now - event.at <= KEPT
        };
        self.lock().events.iter().rev().filter(is_found).cloned().collect()
    }

    /// Counts a lookup. False if the caller's account has had its lookups of this second in the Region.
    pub(super) fn admits(&self, caller: &CallerIdentity, now: OffsetDateTime) -> bool {
        let mut inner = self.lock();
        inner.lookups.retain(|(.., at)| (now - *at).abs() < Duration::SECOND);
        let recent = inner
            .lookups
            .iter()
            .filter(|(account, region, _)| *account == caller.account && *region == caller.region)
            .count();
        let is_admitted = recent < LOOKUPS_PER_SECOND;
        if is_admitted {
            inner.lookups.push((caller.account.clone(), caller.region.clone(), now));
        }
        is_admitted
    }

    /// Removes the events about this recipient, as if CloudTrail had lost them. Returns their number.
    pub(super) fn lose(&self, shared_account: &str) -> usize {
        let mut inner = self.lock();
        let before = inner.events.len();
        let is_lost = |event: &Arc<TrailEvent>| event.parameters["sharedAccountId"] == shared_account;
        inner.events.retain(|event| !is_lost(event));
        before - inner.events.len()
    }

    /// Moves all events into the past.
    pub(super) fn age(&self, by: Duration) {
        for event in &mut self.lock().events {
            let event = Arc::make_mut(event);
            event.at -= by;
            event.found_from -= by;
        }
    }

    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        inner.events.clear();
        inner.lookups.clear();
    }

    /// How long the next event is not found: half of the setting to all of it.
    fn delay(&self) -> Duration {
        let longest = self.delay_milliseconds;
        let milliseconds = fastrand::u64(longest / 2..=longest);
        Duration::milliseconds(i64::try_from(milliseconds).unwrap_or(i64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, TrailState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The members of the request as CloudTrail spells them. Null if there are none.
fn parameters(call: &ApiCall) -> Value {
    let mut members = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        value.map(|value| members.insert(name.to_owned(), value));
    };
    put("imageId", call.image.clone().map(Value::from));
    put("allowCopyImage", call.allow.map(Value::from));
    put("sharedAccountId", call.shared_account.clone().map(Value::from));
    match members.is_empty() {
        true => Value::Null,
        false => members.into(),
    }
}

impl TrailEvent {
    /// A key that sorts the newest event first.
    pub(super) fn position(&self) -> String {
        format!("{:020}", u64::MAX - self.number)
    }

    /// The name of the user, or of the role's session.
    pub(super) fn user_name(&self) -> &str {
        self.caller
            .role
            .as_ref()
            .map_or(USER_NAME, |assumed| assumed.session.as_str())
    }

    /// The value of an attribute of LookupEvents. None for attributes of resources: these events have none.
    pub(super) fn attribute(&self, key: &str) -> Option<String> {
        match key {
            "EventId" => Some(self.id.to_string()),
            "EventName" => Some(RECORDED.to_owned()),
            "EventSource" => Some("workspaces.amazonaws.com".to_owned()),
            "ReadOnly" => Some("false".to_owned()),
            "Username" => Some(self.user_name().to_owned()),
            "AccessKeyId" => Some(self.caller.access_key.clone()),
            _ => None,
        }
    }

    /// The structure `Event` of LookupEvents.
    pub(super) fn describe(&self) -> Value {
        json!({
            "EventId": self.id.to_string(),
            "EventName": RECORDED,
            "ReadOnly": "false",
            "AccessKeyId": self.caller.access_key,
            "EventTime": self.at.unix_timestamp(),
            "EventSource": "workspaces.amazonaws.com",
            "Username": self.user_name(),
            "Resources": [],
            "CloudTrailEvent": self.record().to_string(),
        })
    }

    /// The whole record.
    fn record(&self) -> Value {
        let mut record = json!({
            "eventVersion": "1.11",
            "userIdentity": identity(&self.caller),
            "eventTime": rfc3339(self.at),
            "eventSource": "workspaces.amazonaws.com",
            "eventName": RECORDED,
            "awsRegion": self.caller.region,
            "sourceIPAddress": self.sender.address.to_string(),
            "userAgent": self.sender.user_agent,
        });
        if let Some((code, message)) = &self.error {
            record["errorCode"] = code.as_str().into();
            record["errorMessage"] = message.as_deref().into();
        }
        record["requestParameters"] = self.parameters.clone();
        record["responseElements"] = Value::Null;
        record["requestID"] = self.request_id.as_str().into();
        record["eventID"] = self.id.to_string().into();
        record["readOnly"] = false.into();
        record["eventType"] = "AwsApiCall".into();
        record["managementEvent"] = true.into();
        record["recipientAccountId"] = self.caller.account.as_str().into();
        record["eventCategory"] = "Management".into();
        record
    }
}

/// The element `userIdentity`.
fn identity(caller: &CallerIdentity) -> Value {
    let mut identity = json!({
        "type": if caller.role.is_some() { "AssumedRole" } else { "IAMUser" },
        "principalId": caller.user_id(),
        "arn": caller.arn(),
        "accountId": caller.account,
        "accessKeyId": caller.access_key,
    });
    let Some(assumed) = &caller.role else {
        identity["userName"] = USER_NAME.into();
        return identity;
    };
    let (partition, account, role) = (caller.partition.name(), &caller.account, &assumed.role);
    identity["sessionContext"] = json!({
        "sessionIssuer": {
            "type": "Role",
            "principalId": caller.role_id(),
            "arn": format!("arn:{partition}:iam::{account}:role/{role}"),
            "accountId": account,
            "userName": assumed.role_name(),
        },
        "attributes": {"creationDate": rfc3339(assumed.created), "mfaAuthenticated": "false"},
    });
    identity
}

fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::{account::Partition, calls::CallLog, calls::CallSummary, response::AwsProtocol};

    fn trail(delay_milliseconds: u64) -> (EventTrail, CallerIdentity) {
        let caller = CallerIdentity {
            account: "111122223333".into(),
            access_key: "AKIA111122223333".into(),
            role: None,
            partition: Partition::Commercial,
            region: "eu-central-1".into(),
        };
        let settings = SimulatorSettings {
            trail_limit: 2,
            trail_delay_milliseconds: delay_milliseconds,
            ..SimulatorSettings::default()
        };
        (EventTrail::new(&settings), caller)
    }

    fn record(trail: &EventTrail, caller: &CallerIdentity, request_id: &str, at: OffsetDateTime) {
        let summary = CallSummary {
            operation: RECORDED.into(),
            request_id: request_id.into(),
            ..CallSummary::default()
        };
        let sender = RequestSender {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            user_agent: None,
        };
        let response = ApiResponse::ok(AwsProtocol::Json, request_id, "");
        trail.record(&CallLog::new(0).start(summary), caller, &sender, &response, at);
    }

    fn found(trail: &EventTrail, caller: &CallerIdentity, now: OffsetDateTime) -> Vec<String> {
        let events = trail.events(caller, now);
        events.iter().map(|event| event.request_id.clone()).collect()
    }

    const START: OffsetDateTime = datetime!(2026-01-31 00:00:00.5 UTC);

    #[test]
    fn an_event_is_found_after_half_of_the_delay_to_all_of_it_and_for_90_days() {
        let (trail, caller) = trail(60_000);
        record(&trail, &caller, "first", START);
        assert!(found(&trail, &caller, START + Duration::milliseconds(29_999)).is_empty());
        assert_eq!(found(&trail, &caller, START + Duration::minutes(1)), ["first"]);
        assert_eq!(found(&trail, &caller, START + Duration::days(89)), ["first"]);
        assert!(found(&trail, &caller, START + Duration::days(90)).is_empty());
    }

    #[test]
    fn the_oldest_event_is_dropped_beyond_the_limit() {
        let (trail, caller) = trail(0);
        for request_id in ["first", "second", "third"] {
            record(&trail, &caller, request_id, START);
        }
        assert_eq!(found(&trail, &caller, START), ["third", "second"]);
    }

    #[test]
    fn an_event_can_be_lost_and_all_can_be_made_older() {
        let (trail, caller) = trail(60_000);
        record(&trail, &caller, "first", START);
        assert_eq!(trail.lose("210987654321"), 0, "it has no recipient");
        trail.age(Duration::days(1));
        assert_eq!(found(&trail, &caller, START), ["first"]);
        assert!(found(&trail, &caller, START + Duration::days(89)).is_empty());
    }

    #[test]
    fn two_lookups_a_second_are_admitted_in_each_account_and_region() {
        let (trail, caller) = trail(0);
        let elsewhere = CallerIdentity {
            region: "us-east-1".into(),
            ..caller.clone()
        };
        let admits = |caller, milliseconds| trail.admits(caller, START + Duration::milliseconds(milliseconds));
        assert!(admits(&caller, 0) && admits(&caller, 400));
        assert!(!admits(&caller, 999) && admits(&elsewhere, 999));
        assert!(admits(&caller, 1_000) && !admits(&caller, 1_399) && admits(&caller, 1_400));
        assert!(admits(&caller, -60_000), "the clock was set back");
    }
}
