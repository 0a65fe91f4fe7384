//! Converts domain types to response messages.

use std::time::Duration;

use crate::{
    changes::{ChangePage, CompletedChange, PermissionPage, ValidatedChange},
    domain::{
        self, Access, ChangeState, Claim, Classification, CredentialKind, DriftDifference, DriftResolution,
        PermissionState, PolicyId, SharingEvent, Timestamp,
        decision::ImageAttributes,
        prediction::{Finding, FindingCode, Severity},
    },
    policy::NamedPolicy,
    proto::v1::{self, ErrorReason, attempt, change, finding, share_permission},
    store::{
        changes::{ChangeStatus, Progress},
        drift::images::LastLook,
        reads::PermissionFilter,
    },
};

use super::{
    page_token::{self, ChangeList},
    status,
};

/// The warning of a revoke.
const COPIES_STAY: &str = "The account can no longer copy the image. Copies that it has already made stay with it, because \
                           AWS cannot recall them. Ask the owner of the account to delete them if necessary.";

pub(super) fn granted(changed: CompletedChange) -> v1::GrantSharePermissionResponse {
    v1::GrantSharePermissionResponse {
        permission: Some(permission(&changed.permission)),
        change: Some(change(&changed.change)),
        replayed: changed.replayed,
        joined: changed.joined,
        findings: findings(&changed.findings),
        decision: None,
        expire_time: None,
    }
}

/// The response to a grant with `validate_only`.
pub(super) fn validated(validated: &ValidatedChange) -> v1::GrantSharePermissionResponse {
    v1::GrantSharePermissionResponse {
        permission: validated.permission.as_ref().map(permission),
        findings: findings(&validated.findings),
        decision: validated.decision.as_ref().map(decision),
        expire_time: validated.expire_time.map(timestamp),
        ..Default::default()
    }
}

/// The response to a revoke: that of a grant, with a warning.
pub(super) fn revoked(answer: v1::GrantSharePermissionResponse) -> v1::RevokeSharePermissionResponse {
    v1::RevokeSharePermissionResponse {
        permission: answer.permission,
        change: answer.change,
        replayed: answer.replayed,
        joined: answer.joined,
        findings: answer.findings,
        decision: answer.decision,
        warning: COPIES_STAY.into(),
    }
}

pub(super) fn difference(difference: DriftDifference) -> v1::DriftDifference {
    match difference {
        DriftDifference::UnrecordedShare => v1::DriftDifference::UnrecordedShare,
        DriftDifference::MissingShare => v1::DriftDifference::MissingShare,
    }
}

pub(super) fn cloud_trail_event(event: &SharingEvent) -> v1::CloudTrailEvent {
    v1::CloudTrailEvent {
        event_id: event.id.to_string(),
        event_time: Some(timestamp(event.at)),
        principal_arn: text(event.principal_arn.as_ref()),
        source_ip: text(event.source_ip.as_ref()),
        user_agent: text(event.user_agent.as_ref()),
    }
}

pub(super) fn drift_resolution(resolution: DriftResolution) -> v1::DriftResolution {
    match resolution {
        DriftResolution::Adopted => v1::DriftResolution::Adopted,
        DriftResolution::Revoked => v1::DriftResolution::Revoked,
        DriftResolution::Restored => v1::DriftResolution::Restored,
        DriftResolution::Accepted => v1::DriftResolution::Accepted,
        DriftResolution::Gone => v1::DriftResolution::Gone,
    }
}

fn findings(findings: &[Finding]) -> Vec<v1::Finding> {
    let findings = findings.iter().map(|found| {
        let severity = match found.code.severity() {
            Severity::Error => finding::Severity::Error,
            Severity::Warning => finding::Severity::Warning,
        };
        v1::Finding {
            code: finding_code(found.code).into(),
            severity: severity.into(),
            message: found.message.clone(),
        }
    });
    findings.collect()
}

fn finding_code(code: FindingCode) -> finding::Code {
    match code {
        FindingCode::ImageNotFound => finding::Code::ImageNotFound,
        FindingCode::ImageNotOwned => finding::Code::ImageNotOwned,
        FindingCode::ImageNotAvailable => finding::Code::ImageNotAvailable,
        FindingCode::ByolInGovcloud => finding::Code::ByolInGovcloud,
        FindingCode::ByolRecipient => finding::Code::ByolRecipient,
        FindingCode::CopyWithinRegionOnly => finding::Code::CopyWithinRegionOnly,
        FindingCode::CopyThroughSupport => finding::Code::CopyThroughSupport,
        FindingCode::NotChecked => finding::Code::NotChecked,
    }
}

pub(super) fn page(filter: &PermissionFilter, page: &PermissionPage) -> v1::ListSharePermissionsResponse {
    let next = page.next.as_ref().map(|last| page_token::encode(filter, last));
    v1::ListSharePermissionsResponse {
        permissions: page.permissions.iter().map(permission).collect(),
        next_page_token: next.unwrap_or_default(),
    }
}

pub(super) fn permission(permission: &domain::Permission) -> v1::SharePermission {
    let state = match permission.state() {
        PermissionState::Pending => share_permission::State::Pending,
        PermissionState::Shared => share_permission::State::Shared,
        PermissionState::NotShared => share_permission::State::NotShared,
        PermissionState::Unknown => share_permission::State::Unknown,
    };
    v1::SharePermission {
        account_id: permission.key.account.to_string(),
        region: permission.key.region.to_string(),
        image_id: permission.key.image.to_string(),
        shared_account_id: permission.key.shared_account.to_string(),
        state: state.into(),
        desired: access(permission.desired).into(),
        applied: access(permission.applied).into(),
        generation: permission.generation,
        pending_change_id: text(permission.pending_change()),
        bases: permission.basis_in_effect().iter().map(basis).collect(),
        create_time: Some(timestamp(permission.created_at)),
        update_time: Some(timestamp(permission.updated_at)),
    }
}

/// What AWS was last seen to hold.
pub(super) fn last_look(look: LastLook) -> v1::LastLook {
    v1::LastLook {
        look_time: Some(timestamp(look.at)),
        access: access(look.shown).into(),
    }
}

/// A basis of a share.
pub(super) fn basis(basis: &domain::Basis) -> v1::Basis {
    v1::Basis {
        change_id: basis.change_id.to_string(),
        expire_time: basis.expire_time.map(timestamp),
    }
}

pub(super) fn change(change: &domain::Change) -> v1::Change {
    let intent = &change.intent;
    let failure = change.failure.as_ref();
    v1::Change {
        account_id: intent.key.account.to_string(),
        change_id: change.id().to_string(),
        request_id: intent.request_id.to_string(),
        region: intent.key.region.to_string(),
        image_id: intent.key.image.to_string(),
        shared_account_id: intent.key.shared_account.to_string(),
        action: action(intent.action).into(),
        cause: cause(intent.cause).into(),
        principal: intent.principal.to_string(),
        generation: change.generation,
        previous: access(change.previous).into(),
        previous_basis: change.previous_basis.as_ref().map(basis),
        expire_time: change.expire_time().map(timestamp),
        state: change_state(change.state).into(),
        attempts: change.attempts.iter().map(attempt).collect(),
        aws_request_id: text(change.aws_request_id()),
        error_reason: error_reason(change).into(),
        error_code: text(failure.and_then(|failure| failure.code.as_ref())),
        error_message: text(failure.and_then(|failure| failure.message.as_ref())),
        trace_id: text(intent.trace_id.as_ref()),
        authentication: intent.authentication.as_ref().map(authentication),
        decision: intent.decision.as_ref().map(decision),
        create_time: Some(timestamp(change.created_at)),
        end_time: change.ended_at.map(timestamp),
        ..v1::Change::from(&intent.justification)
    }
}

pub(super) fn authentication(authentication: &domain::Authentication) -> v1::Authentication {
    let credentials = authentication.credentials.iter();
    v1::Authentication {
        credentials: credentials.map(|&kind| credential(kind).into()).collect(),
        claims: authentication.claims.iter().map(claim).collect(),
    }
}

fn claim((name, claim): (&str, &Claim)) -> v1::Claim {
    let (values, unusable) = match claim {
        Claim::Values(values) => (values.iter().cloned().collect(), String::new()),
        Claim::Unusable(reason) => (Vec::new(), reason.clone()),
    };
    v1::Claim {
        name: name.to_owned(),
        values,
        unusable,
    }
}

pub(super) fn decision(decision: &domain::Decision) -> v1::Decision {
    let facts = &decision.facts;
    v1::Decision {
        decide_time: Some(timestamp(decision.decided_at)),
        policy_set: decision.policy_set.to_string(),
        policies: decision.policies.iter().map(PolicyId::to_string).collect(),
        image: facts.image.as_ref().map(image_attributes),
        tags: facts
            .tags
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        unknown: text(facts.unknown.as_ref()),
    }
}

fn image_attributes(image: &ImageAttributes) -> v1::ImageAttributes {
    v1::ImageAttributes {
        create_time: image.created_at.map(timestamp),
        name: image.name.clone(),
        operating_system: image.operating_system.clone(),
        required_tenancy: image.required_tenancy.clone(),
        state: image.state.clone(),
    }
}

pub(super) fn credential(kind: CredentialKind) -> v1::CredentialKind {
    match kind {
        CredentialKind::Certificate => v1::CredentialKind::Certificate,
        CredentialKind::Token => v1::CredentialKind::Token,
        CredentialKind::TrustedHeader => v1::CredentialKind::TrustedHeader,
    }
}

pub(super) fn policy_effect(policy: &NamedPolicy) -> v1::PolicyEffect {
    match policy.forbids() {
        true => v1::PolicyEffect::Forbid,
        false => v1::PolicyEffect::Permit,
    }
}

/// A change with its progress.
pub(super) fn change_status(status: &ChangeStatus) -> v1::Change {
    v1::Change {
        progress: status.progress.as_ref().map(progress),
        ..change(&status.change)
    }
}

fn progress(progress: &Progress) -> v1::ChangeProgress {
    v1::ChangeProgress {
        in_doubt: progress.in_doubt,
        replica_id: text(progress.lease.map(|(replica, _)| replica)),
        lease_expire_time: progress.lease.map(|(_, until)| timestamp(until)),
        next_attempt_time: progress.next_attempt_at.map(timestamp),
        update_time: Some(timestamp(progress.updated_at)),
        behind_change_id: text(progress.behind),
        lease_start_time: progress.leased_since.map(timestamp),
    }
}

pub(super) fn changes(list: &ChangeList, page: &ChangePage) -> v1::ListChangesResponse {
    let next = page.next.as_ref().map(|last| page_token::encode(list, last));
    v1::ListChangesResponse {
        changes: page.changes.iter().map(change_status).collect(),
        next_page_token: next.unwrap_or_default(),
    }
}

pub(super) fn image(image: domain::image::Image) -> v1::Image {
    v1::Image {
        image_id: image.id,
        name: image.name,
        description: image.description,
        state: image.state,
        operating_system: image.operating_system,
        required_tenancy: image.required_tenancy,
        owner_account_id: image.owner_account,
        create_time: image.created_at.map(timestamp),
        error_code: image.error_code,
        error_message: image.error_message,
    }
}

/// The state of a change, as the verb of a sentence.
pub(super) fn change_state_verb(state: ChangeState) -> &'static str {
    match state {
        ChangeState::Pending => "is in progress",
        ChangeState::Succeeded => "succeeded",
        ChangeState::Failed => "failed",
        ChangeState::Superseded => "was superseded",
    }
}

fn error_reason(change: &domain::Change) -> ErrorReason {
    match (change.state, &change.failure) {
        (ChangeState::Superseded, _) => ErrorReason::ChangeSuperseded,
        (_, Some(failure)) => status::reason(failure.reason),
        (_, None) => ErrorReason::Unspecified,
    }
}

pub(super) fn attempt(attempt: &domain::Attempt) -> v1::Attempt {
    let classification = match attempt.classification {
        Classification::Accepted => attempt::Classification::Accepted,
        Classification::Refused => attempt::Classification::Refused,
        Classification::Throttled => attempt::Classification::Throttled,
        Classification::NotSent => attempt::Classification::NotSent,
        Classification::Unknown => attempt::Classification::Unknown,
    };
    v1::Attempt {
        operation: attempt.operation.as_str().into(),
        start_time: Some(timestamp(attempt.started_at)),
        duration: Some(duration(attempt.duration)),
        classification: classification.into(),
        aws_request_id: text(attempt.aws_request_id.as_ref()),
        error_code: text(attempt.error_code.as_ref()),
    }
}

pub(super) fn access(access: Option<Access>) -> v1::Access {
    match access {
        None => v1::Access::Unspecified,
        Some(Access::Shared) => v1::Access::Shared,
        Some(Access::NotShared) => v1::Access::NotShared,
    }
}

pub(super) fn action(action: domain::Action) -> v1::Action {
    match action {
        domain::Action::Grant => v1::Action::Grant,
        domain::Action::Revoke => v1::Action::Revoke,
    }
}

pub(super) fn cause(cause: domain::Cause) -> v1::Cause {
    match cause {
        domain::Cause::Caller => v1::Cause::Caller,
        domain::Cause::Expiry => v1::Cause::Expiry,
        domain::Cause::Drift => v1::Cause::Drift,
        domain::Cause::Adoption => v1::Cause::Adoption,
    }
}

fn change_state(state: ChangeState) -> change::State {
    match state {
        ChangeState::Pending => change::State::Pending,
        ChangeState::Succeeded => change::State::Succeeded,
        ChangeState::Failed => change::State::Failed,
        ChangeState::Superseded => change::State::Superseded,
    }
}

/// The value as text. None is the empty text.
pub(super) fn text(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

pub(super) fn timestamp(time: Timestamp) -> pbjson_types::Timestamp {
    let time = time.to_offset_date_time();
    pbjson_types::Timestamp {
        seconds: time.unix_timestamp(),
        nanos: i32::try_from(time.nanosecond()).unwrap_or_default(),
    }
}

fn duration(duration: Duration) -> pbjson_types::Duration {
    pbjson_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
