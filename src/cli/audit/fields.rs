//! Compares the fields of an entry with its canonical text. The leaf hash covers only the text, so the service could change a
//! field.

use std::collections::BTreeMap;

use super::{
    canonical::{CanonicalAttempt, CanonicalBody, CanonicalEntry},
    time_arg::timestamp,
};
use crate::{
    cli::justification,
    domain::{self, Claim, Claims, PolicyId, Timestamp, decision::ImageAttributes},
    ledger::merkle::hex,
    proto::v1::{
        self, Access, Action, Attempt, AuditEntry, Authentication, Basis, Cause, ChangeBody, CheckpointConfirmedBody,
        CredentialKind, Decision, DenialsBody, DriftBaselineBody, DriftDifference, DriftFoundBody, DriftObservedBody,
        DriftResolution, DriftResolvedBody, ErrorReason, attempt::Classification, audit_entry::Body,
    },
};

/// The name of the first field that differs from the text.
pub(super) fn first_mismatch(entry: &AuditEntry, line: &CanonicalEntry) -> Option<&'static str> {
    let fields = [
        ("account_id", entry.account_id == line.account_id),
        ("log_index", entry.log_index == line.log_index),
        ("record_time", is_time(entry.record_time.as_ref(), &line.recorded_at)),
        ("kind", entry.kind == line.kind),
        ("schema", u64::from(entry.schema) == line.schema),
        ("server_version", entry.server_version == line.server_version),
    ];
    let wrong = fields.into_iter().find(|(_, holds)| !holds).map(|(name, _)| name);
    wrong.or_else(|| match &entry.body {
        Some(Body::Change(change)) if line.known_kind().is_some() => first_mismatch_of_change(change, &line.body),
        Some(Body::Denials(denials)) if line.known_kind().is_some() => first_mismatch_of_denials(denials, &line.body),
        Some(Body::CheckpointConfirmed(body)) if line.known_kind().is_some() => {
            first_mismatch_of_confirmation(body, &line.body)
        }
        Some(Body::DriftFound(found)) if line.known_kind().is_some() => first_mismatch_of_drift(found, &line.body),
        Some(Body::DriftResolved(resolved)) if line.known_kind().is_some() => {
            first_mismatch_of_resolved_drift(resolved, &line.body)
        }
        Some(Body::DriftBaseline(baseline)) if line.known_kind().is_some() => {
            first_mismatch_of_baseline(baseline, &line.body)
        }
        Some(Body::DriftObserved(observed)) if line.known_kind().is_some() => {
            first_mismatch_of_observed(observed, &line.body)
        }
        // The service or this program does not know the kind with this schema, so there are no fields to compare.
        _ => None,
    })
}

fn first_mismatch_of_change(change: &ChangeBody, body: &CanonicalBody) -> Option<&'static str> {
    let action = is_named(change.action, "ACTION", Action::from_str_name, body.optional("action"));
    let cause = is_named(change.cause, "CAUSE", Cause::from_str_name, body.optional("cause"));
    let previous = is_named(
        change.previous,
        "ACCESS",
        Access::from_str_name,
        body.optional("previous"),
    );
    let reason = is_named(
        change.error_reason,
        "ERROR_REASON",
        ErrorReason::from_str_name,
        body.optional("error_reason"),
    );
    let fields = [
        ("action", action),
        ("cause", cause),
        (
            "generation",
            change.generation == body.number("generation").unwrap_or_default(),
        ),
        ("previous", previous),
        (
            "authentication",
            are_credentials(change.authentication.as_ref(), &body.credentials()),
        ),
        ("claims", are_claims(change.authentication.as_ref(), &body.claims())),
        (
            "decision",
            is_decision(change.decision.as_ref(), body.decision().as_ref()),
        ),
        (
            "expire_time",
            // A service that does not know the member yet leaves out the field.
            change.expire_time.is_none() || change.expire_time == body.time("expire_time"),
        ),
        ("previous_basis", is_basis(change.previous_basis.as_ref(), body)),
        ("attempts", are_attempts(&change.attempts, &body.attempts())),
        ("error_reason", reason),
    ];
    let texts = [
        ("change_id", &*change.change_id),
        ("request_id", &*change.request_id),
        ("principal", &*change.principal),
        ("region", &*change.region),
        ("image_id", &*change.image_id),
        ("shared_account_id", &*change.shared_account_id),
        ("aws_request_id", &*change.aws_request_id),
        ("error_code", &*change.error_code),
        ("error_message", &*change.error_message),
        ("denied_by", &*change.denied_by),
        ("trace_id", &*change.trace_id),
    ];
    let texts = texts.into_iter().chain(justification::texts(change));
    let texts = texts.map(|(name, text)| (name, text == body.text(name)));
    let wrong = fields.into_iter().chain(texts).find(|(_, holds)| !holds);
    wrong.map(|(name, _)| name)
}

fn first_mismatch_of_denials(denials: &DenialsBody, body: &CanonicalBody) -> Option<&'static str> {
    let fields = [
        ("count", Some(denials.count) == body.number("count")),
        (
            "first_time",
            is_time(denials.first_time.as_ref(), body.text("first_at")),
        ),
        ("last_time", is_time(denials.last_time.as_ref(), body.text("last_at"))),
        ("principal", denials.principal == body.text("principal")),
        ("denied_by", denials.denied_by == body.text("denied_by")),
    ];
    let wrong = fields.into_iter().find(|(_, holds)| !holds);
    wrong.map(|(name, _)| name)
}

fn first_mismatch_of_confirmation(confirmed: &CheckpointConfirmedBody, body: &CanonicalBody) -> Option<&'static str> {
    let fields = [
        ("operator", confirmed.operator == body.text("operator")),
        ("root_hash", hex(&confirmed.root_hash) == body.text("root_hash")),
        ("tree_size", Some(confirmed.tree_size) == body.number("tree_size")),
    ];
    let texts = justification::texts(confirmed).map(|(name, text)| (name, text == body.text(name)));
    let wrong = fields.into_iter().chain(texts).find(|(_, holds)| !holds);
    wrong.map(|(name, _)| name)
}

fn first_mismatch_of_baseline(baseline: &DriftBaselineBody, body: &CanonicalBody) -> Option<&'static str> {
    let fields = [
        (
            "is_confirmed",
            body.value("is_confirmed") == Some(baseline.is_confirmed.into()),
        ),
        ("principal", baseline.principal == body.text("principal")),
    ];
    let texts = justification::texts(baseline).map(|(name, text)| (name, text == body.text(name)));
    let wrong = fields.into_iter().chain(texts).find(|(_, holds)| !holds);
    wrong.map(|(name, _)| name)
}

fn first_mismatch_of_drift(found: &DriftFoundBody, body: &CanonicalBody) -> Option<&'static str> {
    let fields = [
        ("difference", is_difference(found.difference, body)),
        (
            "first_seen_time",
            is_time(found.first_seen_time.as_ref(), body.text("first_seen_at")),
        ),
        ("seen_time", is_time(found.seen_time.as_ref(), body.text("seen_at"))),
        ("region", found.region == body.text("region")),
        ("image_id", found.image_id == body.text("image_id")),
        (
            "shared_account_id",
            found.shared_account_id == body.text("shared_account_id"),
        ),
        ("scan_id", found.scan_id == body.text("scan_id")),
    ];
    let wrong = fields.into_iter().find(|(_, holds)| !holds);
    wrong.map(|(name, _)| name)
}

fn first_mismatch_of_resolved_drift(resolved: &DriftResolvedBody, body: &CanonicalBody) -> Option<&'static str> {
    let resolution = is_named(
        resolved.resolution,
        "DRIFT_RESOLUTION",
        DriftResolution::from_str_name,
        body.optional("resolution"),
    );
    let seen_time = match body.optional("seen_at") {
        Some(said) => is_time(resolved.seen_time.as_ref(), said),
        None => resolved.seen_time.is_none(),
    };
    let fields = [
        ("difference", is_difference(resolved.difference, body)),
        ("resolution", resolution),
        ("found_index", Some(resolved.found_index) == body.number("found_index")),
        ("seen_time", seen_time),
        ("region", resolved.region == body.text("region")),
        ("image_id", resolved.image_id == body.text("image_id")),
        (
            "shared_account_id",
            resolved.shared_account_id == body.text("shared_account_id"),
        ),
        ("change_id", resolved.change_id == body.text("change_id")),
        ("scan_id", resolved.scan_id == body.text("scan_id")),
    ];
    let wrong = fields.into_iter().find(|(_, holds)| !holds);
    wrong.map(|(name, _)| name)
}

fn first_mismatch_of_observed(observed: &DriftObservedBody, body: &CanonicalBody) -> Option<&'static str> {
    let Some(event) = &observed.event else {
        return Some("event");
    };
    let access = is_named(
        observed.access,
        "ACCESS",
        Access::from_str_name,
        body.optional("access"),
    );
    let fields = [
        ("access", access),
        ("region", observed.region == body.text("region")),
        ("image_id", observed.image_id == body.text("image_id")),
        (
            "shared_account_id",
            observed.shared_account_id == body.text("shared_account_id"),
        ),
        ("event.event_id", event.event_id == body.text("event_id")),
        (
            "event.event_time",
            is_time(event.event_time.as_ref(), body.text("event_time")),
        ),
        ("event.principal_arn", event.principal_arn == body.text("principal_arn")),
        ("event.source_ip", event.source_ip == body.text("source_ip")),
        ("event.user_agent", event.user_agent == body.text("user_agent")),
    ];
    let wrong = fields.into_iter().find(|(_, holds)| !holds);
    wrong.map(|(name, _)| name)
}

fn is_difference(number: i32, body: &CanonicalBody) -> bool {
    let said = body.optional("difference");
    is_named(number, "DRIFT_DIFFERENCE", DriftDifference::from_str_name, said)
}

/// True if the number is that of the name. A name that the text omits is UNSPECIFIED in the message. If this client does not know
/// the name, it must not know the number either: a known number would be shown under a wrong name.
fn is_named<E: TryFrom<i32> + Into<i32>>(
    number: i32,
    prefix: &str,
    named: fn(&str) -> Option<E>,
    name: Option<&str>,
) -> bool {
    let name = name.unwrap_or("UNSPECIFIED");
    named(&format!("{prefix}_{name}")).map_or_else(|| E::try_from(number).is_err(), |named| named.into() == number)
}

fn is_text(text: &str, said: &Option<String>) -> bool {
    text == said.as_deref().unwrap_or_default()
}

fn is_time(time: Option<&pbjson_types::Timestamp>, said: &str) -> bool {
    let said = Timestamp::parse(said).map(|time| timestamp(time.to_offset_date_time()));
    said.is_some() && said.as_ref() == time
}

/// A service that does not know the member yet leaves out the field.
fn are_credentials(authentication: Option<&Authentication>, names: &[&str]) -> bool {
    let Some(Authentication { credentials, .. }) = authentication else {
        return true;
    };
    credentials.len() == names.len()
        && credentials
            .iter()
            .zip(names)
            .all(|(&number, name)| is_named(number, "CREDENTIAL_KIND", CredentialKind::from_str_name, Some(name)))
}

/// A service that does not know the member yet leaves out the field.
fn are_claims(authentication: Option<&Authentication>, said: &Claims) -> bool {
    let claims = authentication.map_or(&[][..], |known| &known.claims);
    let is_said = |(claim, (name, said)): (&v1::Claim, (&str, &Claim))| {
        let is_claim = match said {
            Claim::Values(values) => claim.unusable.is_empty() && values.iter().eq(&claim.values),
            Claim::Unusable(reason) => claim.values.is_empty() && claim.unusable == *reason,
        };
        claim.name == name && is_claim
    };
    claims.is_empty() || (claims.len() == said.iter().count() && claims.iter().zip(said.iter()).all(is_said))
}

/// A service that does not know the member yet leaves out the field.
fn is_decision(decision: Option<&Decision>, said: Option<&domain::Decision>) -> bool {
    let Some(decision) = decision else { return true };
    let Some(said) = said else { return false };
    let tags = said.facts.tags.iter().flatten();
    is_of(decision.decide_time.as_ref(), Some(said.decided_at))
        && decision.policy_set == said.policy_set.to_string()
        && decision.policies.iter().eq(said.policies.iter().map(PolicyId::as_str))
        && are_attributes(decision.image.as_ref(), said.facts.image.as_ref())
        && decision.tags.iter().collect::<BTreeMap<_, _>>().into_iter().eq(tags)
        && is_text(&decision.unknown, &said.facts.unknown)
}

/// A service that does not know the member yet leaves out the field.
fn is_basis(basis: Option<&Basis>, body: &CanonicalBody) -> bool {
    let Some(basis) = basis else { return true };
    !basis.change_id.is_empty()
        && basis.change_id == body.previous_basis("change_id")
        && match (&basis.expire_time, body.previous_basis("expire_time")) {
            (None, said) => said.is_empty(),
            (time, said) => is_time(time.as_ref(), said),
        }
}

fn are_attributes(image: Option<&v1::ImageAttributes>, said: Option<&ImageAttributes>) -> bool {
    let (Some(image), Some(said)) = (image, said) else {
        return image.is_none() && said.is_none();
    };
    let texts = [
        (&image.name, &said.name),
        (&image.operating_system, &said.operating_system),
        (&image.required_tenancy, &said.required_tenancy),
        (&image.state, &said.state),
    ];
    is_of(image.create_time.as_ref(), said.created_at) && texts.into_iter().all(|(text, said)| text == said)
}

fn is_of(time: Option<&pbjson_types::Timestamp>, said: Option<Timestamp>) -> bool {
    time == said.map(|time| timestamp(time.to_offset_date_time())).as_ref()
}

fn are_attempts(attempts: &[Attempt], lines: &[CanonicalAttempt]) -> bool {
    attempts.len() == lines.len()
        && attempts
            .iter()
            .zip(lines)
            .all(|(attempt, line)| is_attempt(attempt, line))
}

fn is_attempt(attempt: &Attempt, line: &CanonicalAttempt) -> bool {
    let duration = std::time::Duration::from_micros(line.duration_us).into();
    let classified = Classification::from_str_name;
    attempt.operation == line.operation
        && is_time(attempt.start_time.as_ref(), &line.started_at)
        && attempt.duration.as_ref() == Some(&duration)
        && is_named(
            attempt.classification,
            "CLASSIFICATION",
            classified,
            Some(&line.classification),
        )
        && is_text(&attempt.aws_request_id, &line.aws_request_id)
        && is_text(&attempt.error_code, &line.error_code)
}
