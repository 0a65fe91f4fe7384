//! What `why` prints.

use pbjson_types::Timestamp;
use serde_json::{Value, json};

use super::{
    history::{ShareHistory, Told},
    proved::ProvedEntry,
};
use crate::{
    cli::{
        cell::{Cell, TableRow},
        ends,
        format::{action, cause, name, rfc3339, rfc3339_seconds},
        justification,
        render::{self, permission_state},
        share::PermissionIds,
        table,
        text::{lines, one_line},
        view::View,
    },
    proto::v1::{Access, Attempt, Change, LastLook, SharePermission, attempt::Classification},
};

/// A policy that decided.
pub(super) struct PolicyText {
    pub(super) id: String,
    /// None if it is not known.
    pub(super) text: Option<String>,
}

/// The answer: what the entries and, for the present, the permission tell.
pub(super) struct ShareAnswer {
    pub(super) share: PermissionIds,
    /// The time that was asked for. None for now.
    pub(super) at: Option<Timestamp>,
    /// The permission now. None for a time in the past.
    pub(super) permission: Option<SharePermission>,
    /// What AWS was last seen to hold. None for a time in the past, and without a look.
    pub(super) last_look: Option<LastLook>,
    /// The newest change that is in progress now.
    pub(super) pending: Option<Change>,
    pub(super) history: ShareHistory,
    pub(super) proofs: Vec<ProvedEntry>,
    pub(super) policies: Vec<PolicyText>,
}

impl ShareAnswer {
    /// True if the recipient may copy the image: the last change that succeeded is a grant, and AWS was not read to hold no share
    /// since.
    fn is_in_effect(&self) -> bool {
        let not_shared = self.permission.as_ref().map(SharePermission::applied) == Some(Access::NotShared);
        self.history.basis().is_some() && !not_shared
    }

    /// What the permission says otherwise than the ledger.
    pub(super) fn warning(&self) -> Option<String> {
        let permission = self
            .permission
            .as_ref()
            .filter(|permission| !self.history.is_as(permission))?;
        let named = match ends::basis_text(permission.bases.first()) {
            named if named.is_empty() => "no grant".to_owned(),
            named => named,
        };
        let told = match self.history.basis() {
            Some(told) => ends::basis_text(Some(&told)),
            None => "no grant".to_owned(),
        };
        Some(format!(
            "warning: the permission names {named}, and the ledger {told}; `sharewarden audit verify --state` compares them"
        ))
    }

    /// The answer for people.
    pub(super) fn text(&self, view: &View) -> String {
        let mut text = format!("{}\n\n", self.sentence());
        text.push_str(&table::pairs(self.rows(), view));
        for policy in &self.policies {
            if let Some(policy_text) = &policy.text {
                let id = one_line(&policy.id);
                text.push_str(&format!("\nPolicy {id}\n{}\n", lines(policy_text.trim_end())));
            }
        }
        for proved in &self.proofs {
            let entry = &proved.entry;
            let title = format!(
                "\nProof that entry {} ({}) is in the ledger\n",
                entry.log_index,
                one_line(&entry.kind)
            );
            text.push_str(&title);
            text.push_str(&table::pairs(proved.checks.clone(), view));
        }
        text
    }

    fn sentence(&self) -> String {
        let PermissionIds {
            account,
            region,
            image,
            with,
        } = &self.share;
        let image = one_line(&format!("{account}/{region}/{image}"));
        let with = one_line(with);
        let when = self.at.as_ref().map(|at| rfc3339_seconds(Some(at)));
        match (self.is_in_effect(), when) {
            (true, None) => format!("{image} is shared with {with}: it may copy the image."),
            (false, None) => format!("{image} is not shared with {with}."),
            (true, Some(when)) => format!("{image} was shared with {with} at {when}: it could copy the image."),
            (false, Some(when)) => format!("{image} was not shared with {with} at {when}."),
        }
    }

    fn rows(&self) -> TableRow {
        let mut rows = TableRow::new();
        if let Some(last) = &self.history.last {
            rows.extend(self.cause_rows(last));
        }
        if let Some(called) = self.history.last_call.as_ref().or(self.history.last.as_ref()) {
            rows.push(("Last word of AWS", last_word(called).into()));
        }
        if let Some(permission) = &self.permission {
            rows.push(("State now", Cell::State(permission_state(permission.state))));
        }
        rows.extend(
            self.pending
                .as_ref()
                .map(|change| ("Pending change", pending(change).into())),
        );
        rows.extend(render::look_rows(self.last_look.as_ref()));
        rows
    }

    /// The rows of the grant or the revoke that the share stands on.
    fn cause_rows(&self, last: &Told) -> TableRow {
        let (change, is_grant) = (&last.change, last.is_grant());
        let requested = self.history.requested.as_ref();
        let mut rows = vec![
            (
                if is_grant { "Granted by" } else { "Revoked by" },
                one_line(&change.principal).into(),
            ),
            (
                "Credentials",
                render::credentials(change.authentication.as_ref()).into(),
            ),
        ];
        rows.extend(justification::rows(change));
        rows.extend([
            ("Cause", cause(change.cause).into()),
            (
                "Asked at",
                Cell::Time(requested.and_then(|requested| requested.entry.record_time)),
            ),
            (
                if is_grant { "Shared since" } else { "Not shared since" },
                Cell::Time(last.entry.record_time),
            ),
        ]);
        match (is_grant, change.expire_time) {
            (true, None) => rows.push(("Ends", "never: the grant has no end".to_owned().into())),
            (true, end) => rows.push(("Ends", Cell::Time(end))),
            (false, _) => {}
        }
        rows.extend([
            (
                if is_grant { "Renewed" } else { "Ended" },
                ends::basis_text(change.previous_basis.as_ref()).into(),
            ),
            ("Change", one_line(&change.change_id).into()),
        ]);
        rows.extend(render::decision(change.decision.as_ref()));
        rows
    }

    /// The answer for programs.
    pub(super) fn json(&self) -> Value {
        let last = self.history.last.as_ref();
        let requested = self.history.requested.as_ref();
        let called = self.history.last_call.as_ref().or(last);
        let policies = self
            .policies
            .iter()
            .map(|policy| json!({ "id": policy.id, "text": policy.text }));
        let proofs = self.proofs.iter().map(|proved| {
            json!({ "role": proved.role, "entry": proved.entry, "inclusionProof": proved.proof, "checks": checks(proved) })
        });
        json!({
            "accountId": self.share.account,
            "region": self.share.region,
            "imageId": self.share.image,
            "sharedAccountId": self.share.with,
            "time": self.at,
            "isInEffect": self.is_in_effect(),
            "change": last.map(|last| &last.change),
            "requestTime": requested.and_then(|requested| requested.entry.record_time),
            "sinceTime": last.and_then(|last| last.entry.record_time),
            "expireTime": self.history.basis().and_then(|basis| basis.expire_time),
            "lastCall": called.and_then(|called| called.change.attempts.last()),
            "policies": policies.collect::<Vec<_>>(),
            "permission": self.permission,
            "lastLook": self.last_look,
            "pendingChange": self.pending,
            "entries": proofs.collect::<Vec<_>>(),
        })
    }
}

fn checks(proved: &ProvedEntry) -> Value {
    proved
        .checks
        .iter()
        .map(|(name, verdict)| ((*name).to_owned(), Value::from(verdict.clone())))
        .collect()
}

/// The last call to AWS: its result, its time and its request id.
fn last_word(called: &Told) -> String {
    let Some(attempt) = called.change.attempts.last() else {
        return "none is recorded".to_owned();
    };
    let Attempt {
        operation,
        aws_request_id,
        error_code,
        ..
    } = attempt;
    let result = name(attempt.classification, "CLASSIFICATION_", Classification::as_str_name);
    let mut word = format!(
        "{result} {} to {} at {}",
        one_line(operation),
        action(called.change.action),
        rfc3339(attempt.start_time.as_ref())
    );
    if !error_code.is_empty() {
        word.push_str(&format!(", {}", one_line(error_code)));
    }
    if !aws_request_id.is_empty() {
        word.push_str(&format!(", request id {}", one_line(aws_request_id)));
    }
    word
}

fn pending(change: &Change) -> String {
    let id = one_line(&change.change_id);
    let principal = one_line(&change.principal);
    format!(
        "{} by {principal} ({}), {id}",
        action(change.action),
        cause(change.cause)
    )
}
