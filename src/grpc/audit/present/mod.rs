//! Converts results of the audit use cases to messages.

use crate::{
    audit::{AuditEntry, EntryPage, PastBasis, PastShare, SharePage, Summary},
    domain::{
        Action, ChangeBody, ConfirmationBody, DenialsBody, DriftBaselineBody, DriftFoundBody, DriftObservedBody,
        DriftResolvedBody, EntryBody,
    },
    grpc::{
        page_token,
        present::{
            access, action, attempt, authentication, basis, cause, cloud_trail_event, decision, difference,
            drift_resolution, text, timestamp,
        },
        status::reason,
    },
    proto::v1,
    store::audit::{Archived, Count, Ranking},
};

use super::lists::{EntryList, PermissionHistory, SharesAt};

pub(super) fn entries(list: &EntryList, page: EntryPage<v1::AuditEntry>) -> v1::ListAuditEntriesResponse {
    let next = page.next.map(|last| page_token::encode(list, &last));
    v1::ListAuditEntriesResponse {
        entries: page.entries,
        next_page_token: next.unwrap_or_default(),
        archived: page.archived.into_iter().map(archived).collect(),
    }
}

pub(super) fn history(list: &PermissionHistory, page: EntryPage<v1::AuditEntry>) -> v1::ListPermissionHistoryResponse {
    let next = page.next.map(|last| page_token::encode(list, &last));
    v1::ListPermissionHistoryResponse {
        entries: page.entries,
        next_page_token: next.unwrap_or_default(),
        archived: page.archived.into_iter().map(archived).collect(),
    }
}

pub(super) fn shares(list: &SharesAt, page: SharePage) -> v1::GetSharePermissionsAtResponse {
    let next = page.next.map(|last| page_token::encode(list, &last));
    v1::GetSharePermissionsAtResponse {
        permissions: page.shares.into_iter().map(share).collect(),
        next_page_token: next.unwrap_or_default(),
        time: Some(timestamp(list.time)),
    }
}

pub(super) fn summary(summary: Summary) -> v1::SummarizeAuditEntriesResponse {
    let ranked = |(kind, ranks): (Ranking, Vec<(String, u64)>)| v1::SummaryRanked {
        ranking: ranking(kind).into(),
        ranks: ranks
            .into_iter()
            .map(|(value, count)| v1::SummaryRank { value, count })
            .collect(),
    };
    v1::SummarizeAuditEntriesResponse {
        counts: summary.counts.into_iter().map(count).collect(),
        rankings: summary.rankings.into_iter().map(ranked).collect(),
    }
}

/// An entry as a message. It has the text and the hash too, so that a client can verify the fields. An entry of a kind that this
/// build does not know has no body.
pub(super) fn entry(audited: AuditEntry) -> v1::AuditEntry {
    let entry = &audited.recorded.entry;
    v1::AuditEntry {
        account_id: entry.account.as_str().into(),
        log_index: entry.log_index,
        record_time: Some(timestamp(entry.recorded_at)),
        kind: entry.body.kind_name().into(),
        schema: entry.body.schema(),
        body: body(&entry.body),
        server_version: audited.recorded.server_version.clone(),
        leaf_hash: audited.leaf_hash.to_vec(),
        canonical: audited.text,
    }
}

fn body(body: &EntryBody) -> Option<v1::audit_entry::Body> {
    match body {
        EntryBody::ChangeDenials(body) => Some(v1::audit_entry::Body::Denials(denials(body))),
        EntryBody::Unknown(_) => None,
        EntryBody::CheckpointConfirmed(body) => Some(v1::audit_entry::Body::CheckpointConfirmed(confirmation(body))),
        EntryBody::DriftFound(body) => Some(v1::audit_entry::Body::DriftFound(drift_found(body))),
        EntryBody::DriftResolved(body) => Some(v1::audit_entry::Body::DriftResolved(drift_resolved(body))),
        EntryBody::DriftBaseline(body) => Some(v1::audit_entry::Body::DriftBaseline(drift_baseline(body))),
        EntryBody::DriftObserved(body) => Some(v1::audit_entry::Body::DriftObserved(drift_observed(body))),
        known => known.change().map(|body| v1::audit_entry::Body::Change(change(body))),
    }
}

fn confirmation(body: &ConfirmationBody) -> v1::CheckpointConfirmedBody {
    v1::CheckpointConfirmedBody {
        operator: body.operator.as_str().into(),
        tree_size: body.tree_size,
        root_hash: body.root.to_vec(),
        ..v1::CheckpointConfirmedBody::from(&body.justification)
    }
}

fn drift_found(body: &DriftFoundBody) -> v1::DriftFoundBody {
    v1::DriftFoundBody {
        difference: difference(body.difference).into(),
        region: body.key.region.to_string(),
        image_id: body.key.image.to_string(),
        shared_account_id: body.key.shared_account.to_string(),
        first_seen_time: Some(timestamp(body.first_seen_at)),
        seen_time: Some(timestamp(body.seen_at)),
        scan_id: body.scan_id.to_string(),
    }
}

fn drift_baseline(body: &DriftBaselineBody) -> v1::DriftBaselineBody {
    v1::DriftBaselineBody {
        is_confirmed: body.is_confirmed,
        principal: body.principal.as_str().into(),
        ..v1::DriftBaselineBody::from(&body.justification)
    }
}

fn drift_resolved(body: &DriftResolvedBody) -> v1::DriftResolvedBody {
    v1::DriftResolvedBody {
        difference: difference(body.difference).into(),
        resolution: drift_resolution(body.resolution).into(),
        region: body.key.region.to_string(),
        image_id: body.key.image.to_string(),
        shared_account_id: body.key.shared_account.to_string(),
        found_index: body.found_index,
        change_id: text(body.change_id),
        scan_id: text(body.seen.map(|(scan_id, _)| scan_id)),
        seen_time: body.seen.map(|(_, seen_at)| timestamp(seen_at)),
    }
}

fn drift_observed(DriftObservedBody(event): &DriftObservedBody) -> v1::DriftObservedBody {
    v1::DriftObservedBody {
        access: access(Some(event.access)).into(),
        region: event.key.region.to_string(),
        image_id: event.key.image.to_string(),
        shared_account_id: event.key.shared_account.to_string(),
        event: Some(cloud_trail_event(event)),
    }
}

fn change(body: &ChangeBody) -> v1::ChangeBody {
    let (intent, failure) = (&*body.intent, body.failure.as_ref());
    v1::ChangeBody {
        action: action(intent.action).into(),
        cause: cause(intent.cause).into(),
        change_id: text(body.change_id()),
        request_id: intent.request_id.to_string(),
        principal: intent.principal.as_str().into(),
        region: intent.key.region.as_str().into(),
        image_id: intent.key.image.as_str().into(),
        shared_account_id: intent.key.shared_account.as_str().into(),
        generation: body.generation.unwrap_or_default(),
        previous: access(body.previous).into(),
        attempts: body.attempts.iter().map(attempt).collect(),
        aws_request_id: text(body.aws_request_id()),
        error_reason: failure
            .map_or(v1::ErrorReason::Unspecified, |failure| reason(failure.reason))
            .into(),
        error_code: text(failure.and_then(|failure| failure.code.as_ref())),
        error_message: text(failure.and_then(|failure| failure.message.as_ref())),
        denied_by: text(body.denied_by.as_ref()),
        trace_id: text(intent.trace_id.as_ref()),
        authentication: intent.authentication.as_ref().map(authentication),
        decision: intent.decision.as_ref().map(decision),
        expire_time: body.expire_time().map(timestamp),
        previous_basis: body.previous_basis.as_ref().map(basis),
        ..v1::ChangeBody::from(&intent.justification)
    }
}

fn denials(body: &DenialsBody) -> v1::DenialsBody {
    v1::DenialsBody {
        count: body.count,
        first_time: Some(timestamp(body.first_at)),
        last_time: Some(timestamp(body.last_at)),
        principal: text(body.principal.as_ref()),
        denied_by: body.denied_by.clone(),
    }
}

fn archived(archived: Archived) -> v1::ArchivedRange {
    v1::ArchivedRange {
        account_id: archived.account.to_string(),
        start_index: archived.start_index,
        end_index: archived.end_index,
        start_time: Some(timestamp(archived.start_time)),
        end_time: Some(timestamp(archived.end_time)),
        location: archived.location,
        sha256: crate::ledger::merkle::hex(&archived.sha256),
    }
}

fn share(PastShare { share, basis: past }: PastShare) -> v1::PastSharePermission {
    let known = match past {
        PastBasis::Known(known) => Some(known),
        PastBasis::Archived | PastBasis::NotAsked => None,
    };
    v1::PastSharePermission {
        account_id: share.key.account.to_string(),
        region: share.key.region.to_string(),
        image_id: share.key.image.to_string(),
        shared_account_id: share.key.shared_account.to_string(),
        start_time: Some(timestamp(share.start_time)),
        start_index: share.start_index,
        end_time: share.end.map(|(time, _)| timestamp(time)),
        end_index: share.end.map(|(_, index)| index),
        bases: known.iter().map(basis).collect(),
        basis_archived: past == PastBasis::Archived,
    }
}

fn count(count: Count) -> v1::SummaryCount {
    v1::SummaryCount {
        start_time: Some(timestamp(count.start_time)),
        account_id: text(count.account),
        region: text(count.region),
        action: count
            .action
            .and_then(|name| Action::parse(&name))
            .map_or(v1::Action::Unspecified, action)
            .into(),
        kind: text(count.kind),
        count: count.count,
    }
}

fn ranking(ranking: Ranking) -> v1::SummaryRanking {
    match ranking {
        Ranking::Principal => v1::SummaryRanking::Principal,
        Ranking::Image => v1::SummaryRanking::Image,
        Ranking::SharedAccount => v1::SummaryRanking::SharedAccount,
    }
}

#[cfg(test)]
mod tests;
