//! CloudTrail's events about sharing: who changed at AWS with whom an image is shared, and whether it was the service. Pure.
//!
//! An event is the service's own if its request id is that of a call of ours. If the answer to a call was lost, its request id is
//! not known. Then an event is ours if the service's identity made it, with the parameters of the change, while the change was
//! in progress or shortly afterwards. The times of a change are those of the database. The times of attempts are not used: they
//! are from the clock of a replica, which may be wrong.

use std::time::Duration;

use super::{
    Access, Attempt, AwsOperation, Change, Classification, EventId, PermissionKey, Timestamp, change::MAX_ATTEMPTS,
    transition::LONGEST_WAIT,
};

/// How far the clocks of AWS and of the database may differ.
const CLOCKS: Duration = Duration::from_mins(5);

/// How long after the end of a change one of its calls may still take effect, by the clocks of AWS and of the database.
const LATE: Duration = LONGEST_WAIT.saturating_add(CLOCKS);

/// How long before an event a change can have been accepted whose call it is. Calls start until `forwarder.give_up_after` (10 m)
/// after the acceptance.
const LONGEST_CHANGE: Duration = Duration::from_hours(48);

/// A successful call of UpdateWorkspaceImagePermission, as CloudTrail has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharingEvent {
    /// CloudTrail's id of the event.
    pub id: EventId,
    /// The time of the call at AWS, in whole seconds.
    pub at: Timestamp,
    /// Which permission was changed.
    pub key: PermissionKey,
    /// What the call asked for.
    pub access: Access,
    /// The ARN of the caller. None if CloudTrail names none.
    pub principal_arn: Option<String>,
    /// The address of the caller, or the name of an AWS service.
    pub source_ip: Option<String>,
    /// The program of the caller, as it names itself.
    pub user_agent: Option<String>,
}

/// An event with what tells whether the service made the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadEvent {
    /// What happened.
    pub event: SharingEvent,
    /// The AWS request id of the call.
    pub aws_request_id: Option<String>,
    /// The ARN of the role that the caller has assumed. None if it has assumed none.
    pub role_arn: Option<String>,
}

/// As whom the service calls AWS for an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum OwnIdentity {
    /// By this role, which the configuration names.
    Role(String),
    /// As the caller with this ARN, according to GetCallerIdentity.
    Caller(String),
    /// Nobody has asked.
    #[default]
    Unknown,
}

impl OwnIdentity {
    /// True if it cannot have made the call of an event.
    fn is_excluded(&self, read: &ReadEvent) -> bool {
        let principal = read.event.principal_arn.as_deref();
        match self {
            Self::Role(role) => read.role_arn.as_deref() != Some(role),
            Self::Caller(arn) => principal.is_none_or(|principal| without_session(principal) != without_session(arn)),
            Self::Unknown => false,
        }
    }
}

/// The ARN without the name of a role's session: each replica can have another one.
fn without_session(arn: &str) -> &str {
    match arn.rsplit_once('/') {
        Some((role, _)) if arn.contains(":assumed-role/") => role,
        _ => arn,
    }
}

/// Whose call an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventOrigin {
    /// The service made it.
    Service,
    /// Somebody made it past the service.
    PastTheService,
    /// A change in progress may have made it. Its calls are recorded when it ends.
    NotKnownYet,
}

/// The times of the changes that can have made a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandidateTimes {
    /// They were accepted at this time or later.
    pub accepted_from: Timestamp,
    /// They were accepted at this time or earlier.
    pub accepted_until: Timestamp,
    /// They ended at this time or later, or have not ended.
    pub ended_from: Timestamp,
}

impl CandidateTimes {
    /// The times for a call at this time.
    pub fn of(event: &SharingEvent) -> Self {
        Self {
            accepted_from: event.at - LONGEST_CHANGE,
            accepted_until: event.at + CLOCKS,
            ended_from: event.at - LATE,
        }
    }

    fn include(&self, change: &Change) -> bool {
        change.created_at <= self.accepted_until && change.ended_at.is_none_or(|ended_at| ended_at >= self.ended_from)
    }
}

/// Whose call an event is. `changes` are those of its permission in its [`CandidateTimes`]; others do no harm.
pub fn origin<'a>(
    read: &ReadEvent,
    changes: impl IntoIterator<Item = &'a Change> + Clone,
    own: &OwnIdentity,
) -> EventOrigin {
    let event = &read.event;
    let is_call = |attempt: &Attempt| {
        attempt.operation == AwsOperation::UpdateWorkspaceImagePermission
            && attempt.aws_request_id.is_some()
            && attempt.aws_request_id == read.aws_request_id
    };
    if changes
        .clone()
        .into_iter()
        .any(|change| change.attempts.iter().any(is_call))
    {
        return EventOrigin::Service;
    }
    if own.is_excluded(read) {
        return EventOrigin::PastTheService;
    }
    let times = CandidateTimes::of(event);
    let asks_for_it = |change: &&Change| {
        change.intent.key == event.key && Access::from(change.intent.action) == event.access && times.include(change)
    };
    let mut origin = EventOrigin::PastTheService;
    for change in changes.into_iter().filter(asks_for_it) {
        if has_lost_answer(change) {
            return EventOrigin::Service;
        }
        if !change.has_ended() {
            origin = EventOrigin::NotKnownYet;
        }
    }
    origin
}

/// True if the request id of a call of the change is not known, or not on record: of very many attempts, some are not kept.
fn has_lost_answer(change: &Change) -> bool {
    let is_lost = |attempt: &Attempt| match attempt.classification {
        Classification::Unknown => true,
        Classification::Accepted => attempt.aws_request_id.is_none(),
        Classification::Refused | Classification::Throttled | Classification::NotSent => false,
    };
    let mut calls = change.attempts.iter();
    change.attempts.len() >= MAX_ATTEMPTS
        || calls.any(|attempt| attempt.operation == AwsOperation::UpdateWorkspaceImagePermission && is_lost(attempt))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Action, ChangeState, example};

    const OUR_ROLE: &str = "arn:aws:iam::111122223333:role/team/sharewarden";

    fn at(second: u64) -> Timestamp {
        Timestamp::parse("2026-11-22T00:00:00Z").unwrap() + Duration::from_secs(second)
    }

    fn own() -> OwnIdentity {
        OwnIdentity::Role(OUR_ROLE.into())
    }

    /// A call of our role, an hour after the first second, with the parameters of [`change`].
    fn read(aws_request_id: &str) -> ReadEvent {
        ReadEvent {
            event: SharingEvent {
                id: "0199f0d0-0000-4000-8000-00000000000e".parse().unwrap(),
                at: at(3600),
                key: example::intent().key,
                access: Access::Shared,
                principal_arn: Some("arn:aws:sts::111122223333:assumed-role/sharewarden/sharewarden".into()),
                source_ip: None,
                user_agent: None,
            },
            aws_request_id: Some(aws_request_id.into()),
            role_arn: Some(OUR_ROLE.into()),
        }
    }

    fn attempt(classification: Classification, aws_request_id: Option<&str>) -> Attempt {
        Attempt {
            operation: AwsOperation::UpdateWorkspaceImagePermission,
            started_at: at(0),
            duration: Duration::ZERO,
            classification,
            aws_request_id: aws_request_id.map(str::to_owned),
            error_code: None,
        }
    }

    /// A grant from second 3590 to second 3610.
    fn change(attempts: Vec<Attempt>) -> Change {
        let mut intent = example::intent();
        intent.action = Action::Grant;
        Change {
            intent: Arc::new(intent),
            generation: 1,
            previous: None,
            previous_basis: None,
            state: ChangeState::Succeeded,
            attempts,
            failure: None,
            created_at: at(3590),
            ended_at: Some(at(3610)),
        }
    }

    fn pending() -> Change {
        Change {
            state: ChangeState::Pending,
            ended_at: None,
            ..change(Vec::new())
        }
    }

    fn lost() -> Vec<Attempt> {
        vec![attempt(Classification::Unknown, None)]
    }

    #[test]
    fn an_event_with_the_request_id_of_an_attempt_is_ours_whoever_is_said_to_have_made_it() {
        let answered = change(vec![attempt(Classification::Accepted, Some("ours"))]);
        let mut by_another = read("ours");
        by_another.role_arn = None;
        assert_eq!(origin(&by_another, [&answered], &own()), EventOrigin::Service);
        assert_eq!(origin(&read("other"), [&answered], &own()), EventOrigin::PastTheService);
        let mut without = read("ours");
        without.aws_request_id = None;
        let unknown = change(vec![attempt(Classification::Refused, None)]);
        assert_eq!(origin(&without, [&unknown], &own()), EventOrigin::PastTheService);
    }

    #[test]
    fn an_event_by_our_role_for_a_change_whose_answer_was_lost_is_ours() {
        let lost = change(lost());
        assert_eq!(origin(&read("?"), [&lost], &own()), EventOrigin::Service);
        let no_id = change(vec![attempt(Classification::Accepted, None)]);
        assert_eq!(origin(&read("?"), [&no_id], &own()), EventOrigin::Service);
        let refused = change(vec![attempt(Classification::Refused, Some("r"))]);
        assert_eq!(origin(&read("?"), [&refused], &own()), EventOrigin::PastTheService);
        let too_many = change(vec![attempt(Classification::Throttled, Some("t")); MAX_ATTEMPTS]);
        assert_eq!(origin(&read("?"), [&too_many], &own()), EventOrigin::Service);
    }

    #[test]
    fn a_lost_answer_explains_no_other_parameters_no_other_role_and_no_other_time() {
        let lost = change(lost());
        let changed = |edit: fn(&mut ReadEvent)| {
            let mut read = read("?");
            edit(&mut read);
            origin(&read, [&lost], &own())
        };
        for edit in [
            (|it| it.event.access = Access::NotShared) as fn(&mut ReadEvent),
            |it| it.event.key.shared_account = "999988887777".parse().unwrap(),
            |it| it.event.key.image = "wsi-another01".parse().unwrap(),
            |it| it.role_arn = Some("arn:aws:iam::111122223333:role/sharewarden".into()),
            |it| it.role_arn = None,
            |it| it.event.at = at(3610) + LATE + Duration::from_secs(1),
            |it| it.event.at = at(3000),
        ] {
            assert_eq!(changed(edit), EventOrigin::PastTheService);
        }
        assert_eq!(changed(|it| it.event.at = at(3610) + LATE), EventOrigin::Service);
    }

    #[test]
    fn while_a_change_that_may_have_made_the_call_is_in_progress_nothing_is_decided() {
        assert_eq!(origin(&read("?"), [&pending()], &own()), EventOrigin::NotKnownYet);
        let mut by_another = read("?");
        by_another.role_arn = Some("arn:aws:iam::111122223333:role/somebody".into());
        assert_eq!(origin(&by_another, [&pending()], &own()), EventOrigin::PastTheService);
        let lost = change(lost());
        assert_eq!(
            origin(&read("?"), [&pending(), &lost], &own()),
            EventOrigin::Service,
            "the other one explains it"
        );
    }

    #[test]
    fn a_caller_is_known_by_its_arn_and_a_role_without_its_session() {
        let lost = change(lost());
        let by = |own: &str, arn: &str| {
            let mut read = read("?");
            read.event.principal_arn = Some(arn.into());
            origin(&read, [&lost], &OwnIdentity::Caller(own.into()))
        };
        let role = "arn:aws:sts::111122223333:assumed-role/Node/i-1";
        assert_eq!(
            by(role, "arn:aws:sts::111122223333:assumed-role/Node/i-2"),
            EventOrigin::Service
        );
        assert_eq!(
            by(role, "arn:aws:sts::111122223333:assumed-role/Nod/i-1"),
            EventOrigin::PastTheService
        );
        let user = "arn:aws:iam::111122223333:user/team/one";
        assert_eq!(by(user, user), EventOrigin::Service);
        assert_eq!(
            by(user, "arn:aws:iam::111122223333:user/team/two"),
            EventOrigin::PastTheService
        );
        assert_eq!(
            origin(&read("?"), [&lost], &OwnIdentity::Unknown),
            EventOrigin::Service,
            "it can be ours"
        );
    }
}
