//! A step of a job as a row: planned, or ended.

use pbjson_types::Timestamp;
use serde::Serialize;

use crate::{
    cli::{
        cell::{Cell, TableRow},
        drift, error_hint,
        failure::{Exit, Failure},
        findings,
        format::rfc3339,
        printer::ListItem,
        render,
        table::Cells,
        text::one_line,
    },
    client::{
        Error,
        job::{JobAction, ShareJob, Step, StepEnd, Verdict},
    },
    proto::v1::CloudTrailEvent,
};

/// What a job will do with a share, or did. In JSON, empty members are left out, as in the messages of the API.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobRow {
    account_id: String,
    region: String,
    image_id: String,
    shared_account_id: String,
    action: &'static str,
    /// The state of the permission before the job; empty if it never had a change.
    #[serde(skip_serializing_if = "String::is_empty")]
    previous_state: String,
    result: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    request_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    change_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    /// Of a plan: what AWS's own rules say about the change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<String>,
    /// Of an adoption: when AWS first showed the share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_seen_time: Option<Timestamp>,
    /// Of an adoption: the call that made the share, if CloudTrail has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<CloudTrailEvent>,
}

const ADOPT: &str = "ADOPT";

/// The results that a row can have.
const PLANNED: &str = "PLANNED";
const UNCHANGED: &str = "UNCHANGED";
const REFUSED: &str = "REFUSED";
const SUCCEEDED: &str = "SUCCEEDED";
const FAILED: &str = "FAILED";
const UNRESOLVED: &str = "UNRESOLVED";
const NOT_SENT: &str = "NOT_SENT";

/// What is left to do or to solve after a run, from the most to the least serious. A repetition helps with the last two only.
const SEVERITY: [Exit; 8] = [
    Exit::General,
    Exit::Refused,
    Exit::NotPossible,
    Exit::Invalid,
    Exit::NotFound,
    Exit::Superseded,
    Exit::TryLater,
    Exit::Pending,
];

impl JobRow {
    /// The rows of a plan.
    pub(super) fn planned(job: &ShareJob) -> Vec<(Self, Option<Exit>)> {
        job.steps().iter().map(Self::of_plan).collect()
    }

    /// The rows of a run.
    pub(super) fn ended(job: &ShareJob, endings: &[StepEnd]) -> Vec<(Self, Option<Exit>)> {
        job.steps()
            .iter()
            .zip(endings)
            .map(|(step, ending)| Self::of_ending(step, ending))
            .collect()
    }

    fn of_plan(step: &Step) -> (Self, Option<Exit>) {
        let findings = findings::sentences(&step.findings);
        let row = Self {
            findings,
            ..Self::of(step)
        };
        match &step.verdict {
            Verdict::Send => (row.with(PLANNED), None),
            Verdict::Unchanged => (row.with(UNCHANGED), None),
            Verdict::Refused(error) => row.with(REFUSED).because(error),
        }
    }

    fn of_ending(step: &Step, ending: &StepEnd) -> (Self, Option<Exit>) {
        let row = Self::of(step);
        match ending {
            StepEnd::Unchanged => (row.with(UNCHANGED), None),
            StepEnd::Succeeded(change) => {
                let change_id = one_line(&change.change_id);
                (
                    Self {
                        change_id,
                        ..row.with(SUCCEEDED)
                    },
                    None,
                )
            }
            StepEnd::Failed(error) => match &step.verdict {
                Verdict::Refused(_) => row.with(REFUSED).because(error),
                Verdict::Send | Verdict::Unchanged => row.with(FAILED).because(error),
            },
            StepEnd::Unresolved(error) => row.with(UNRESOLVED).because(error),
            StepEnd::NotSent => (row.with(NOT_SENT), Some(Exit::TryLater)),
        }
    }

    fn of(step: &Step) -> Self {
        let share = &step.change.share;
        Self {
            account_id: one_line(&share.account_id),
            region: one_line(&share.region),
            image_id: one_line(&share.image_id),
            shared_account_id: one_line(&share.shared_account_id),
            action: match step.change.action {
                JobAction::Grant => "GRANT",
                JobAction::Revoke => "REVOKE",
                JobAction::Adopt => ADOPT,
            },
            previous_state: step
                .before
                .as_ref()
                .map_or_else(String::new, |before| render::permission_state(before.state)),
            request_id: step.request_id.clone(),
            ..Self::default()
        }
    }

    fn with(self, result: &'static str) -> Self {
        Self { result, ..self }
    }

    /// The error; `None` if there is none.
    pub(super) fn error(&self) -> Option<&str> {
        Some(self.error.as_str()).filter(|error| !error.is_empty())
    }

    pub(super) fn findings(&self) -> &[String] {
        &self.findings
    }

    fn because(self, error: &Error) -> (Self, Option<Exit>) {
        let row = Self {
            change_id: one_line(error.change_id.as_deref().unwrap_or_default()),
            error: one_line(&error.to_string()),
            ..self
        };
        (row, Some(error_hint::of(error).exit))
    }
}

/// The most serious exit; `None` if there is none.
pub(super) fn worst(exits: impl Iterator<Item = Exit>) -> Option<Exit> {
    let severity = |exit: &Exit| SEVERITY.iter().position(|it| it == exit).unwrap_or_default();
    exits.min_by_key(severity)
}

impl ListItem for JobRow {
    const NAME: &'static str = "shares";
    const DISPENSABLE: &'static [&'static str] = &["CHANGE", "WAS", "ACTION", "FIRST SEEN", "REGION", "ACCOUNT", "BY"];

    fn row(&self) -> TableRow {
        let mut row = vec![
            ("ACCOUNT", self.account_id.clone().into()),
            ("REGION", self.region.clone().into()),
            ("IMAGE", Cell::Id(self.image_id.clone())),
            ("RECIPIENT", self.shared_account_id.clone().into()),
        ];
        if self.action == ADOPT {
            row.extend([
                ("FIRST SEEN", Cell::Time(self.first_seen_time)),
                (
                    "BY",
                    Cell::Id(self.event.as_ref().map(drift::caller).unwrap_or_default()),
                ),
            ]);
        }
        row.extend([
            ("WAS", Cell::State(self.previous_state.clone())),
            ("ACTION", self.action.to_owned().into()),
            ("RESULT", Cell::State(self.result.to_owned())),
            ("CHANGE", Cell::Id(self.change_id.clone())),
            ("ERROR", Cell::Text(self.error.clone())),
            ("FINDINGS", Cell::Text(self.findings.join("; "))),
        ]);
        row
    }

    fn record(&self) -> Result<Cells, Failure> {
        let event = self.event.clone().unwrap_or_default();
        Ok(vec![
            ("account_id", self.account_id.clone()),
            ("region", self.region.clone()),
            ("image_id", self.image_id.clone()),
            ("shared_account_id", self.shared_account_id.clone()),
            ("action", self.action.to_owned()),
            ("previous_state", self.previous_state.clone()),
            ("result", self.result.to_owned()),
            ("request_id", self.request_id.clone()),
            ("change_id", self.change_id.clone()),
            ("error", self.error.clone()),
            ("findings", self.findings.join("; ")),
            ("first_seen_time", rfc3339(self.first_seen_time.as_ref())),
            ("event_time", rfc3339(event.event_time.as_ref())),
            ("principal_arn", event.principal_arn),
        ])
    }
}
