//! What a trial leaves behind: the simulator's call log, the exported ledgers, and what callers were told. The checker reads
//! this and nothing else.

use std::collections::BTreeSet;

use serde::Deserialize;
use sharewarden_simulator::Call;
use time::OffsetDateTime;

/// Everything that the checker may know.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// All calls that AWS saw.
    pub(crate) calls: Vec<Call>,
    /// What AWS shares at the end.
    pub(crate) shared: BTreeSet<Permission>,
    /// The ledgers, as exported at the end.
    pub(crate) ledgers: Vec<Ledger>,
    /// What grants and revokes were answered.
    pub(crate) answers: Vec<Answer>,
    /// What GetChange told.
    pub(crate) readings: Vec<Reading>,
    /// How long a replica waits for one call to AWS.
    pub(crate) attempt_timeout: time::Duration,
    /// No answer takes longer, whatever is away.
    pub(crate) longest_answer: time::Duration,
    /// What went wrong that needs no checker: a replica that panicked, or a change that never ended.
    pub(crate) complaints: Vec<String>,
}

/// One (account, Region, image, shared account).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Permission {
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) image: String,
    pub(crate) shared_account: String,
}

/// Grant or revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Action {
    Grant,
    Revoke,
}

/// What an entry says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Stage {
    #[serde(rename = "change.requested")]
    Requested,
    #[serde(rename = "change.denied")]
    Denied,
    #[serde(rename = "change.succeeded")]
    Succeeded,
    #[serde(rename = "change.failed")]
    Failed,
    #[serde(rename = "change.superseded")]
    Superseded,
}

/// A ledger as an auditor has it.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) account: String,
    pub(crate) entries: Vec<Entry>,
    /// What the verifier found wrong with it, under its own checkpoint and under each that was kept during the trial.
    pub(crate) wrong: Vec<String>,
}

/// One line of a ledger: what the checker needs of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Line")]
pub(crate) struct Entry {
    pub(crate) account_id: String,
    pub(crate) log_index: u64,
    pub(crate) recorded_at: OffsetDateTime,
    pub(crate) stage: Stage,
    pub(crate) action: Action,
    pub(crate) change_id: Option<String>,
    pub(crate) request_id: String,
    pub(crate) reason: String,
    pub(crate) region: String,
    pub(crate) image_id: String,
    pub(crate) shared_account_id: String,
    pub(crate) generation: Option<u64>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) error_reason: Option<String>,
}

/// The line as it stands in the ledger.
#[derive(Deserialize)]
struct Line {
    account_id: String,
    body: Body,
    kind: Stage,
    log_index: u64,
    #[serde(with = "time::serde::rfc3339")]
    recorded_at: OffsetDateTime,
}

#[derive(Deserialize)]
struct Body {
    action: Action,
    change_id: Option<String>,
    request_id: String,
    reason: String,
    region: String,
    image_id: String,
    shared_account_id: String,
    generation: Option<u64>,
    #[serde(default)]
    attempts: Vec<Attempt>,
    error_reason: Option<String>,
}

impl From<Line> for Entry {
    fn from(line: Line) -> Self {
        let body = line.body;
        Self {
            account_id: line.account_id,
            log_index: line.log_index,
            recorded_at: line.recorded_at,
            stage: line.kind,
            action: body.action,
            change_id: body.change_id,
            request_id: body.request_id,
            reason: body.reason,
            region: body.region,
            image_id: body.image_id,
            shared_account_id: body.shared_account_id,
            generation: body.generation,
            attempts: body.attempts,
            error_reason: body.error_reason,
        }
    }
}

/// A call to AWS, as a ledger remembers it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) operation: String,
    pub(crate) classification: String,
}

/// What a caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) request_id: String,
    pub(crate) permission: Permission,
    pub(crate) action: Action,
    pub(crate) reason: String,
}

/// What a caller was told.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) request: Request,
    pub(crate) replica: usize,
    pub(crate) asked_at: OffsetDateTime,
    pub(crate) answered_at: OffsetDateTime,
    pub(crate) told: Told,
}

/// The answer itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Ok {
        change_id: String,
    },
    /// An error of the service's own.
    Refused {
        code: String,
        reason: String,
        change_id: Option<String>,
        message: String,
    },
    /// No answer: the connection broke, the deadline passed on the way, or the caller left.
    Nothing {
        code: String,
    },
}

/// What GetChange told about a change.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) account: String,
    pub(crate) change_id: String,
    pub(crate) asked_at: OffsetDateTime,
    pub(crate) read_at: OffsetDateTime,
    /// PENDING, SUCCEEDED, FAILED or SUPERSEDED.
    pub(crate) state: String,
}

impl Action {
    /// What `AllowCopyImage` is for it.
    pub(crate) fn allows(self) -> bool {
        self == Self::Grant
    }
}

impl Stage {
    /// Does it end a change?
    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Superseded)
    }

    /// The state of a change that it stands for.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Requested => "REQUESTED",
            Self::Denied => "DENIED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Superseded => "SUPERSEDED",
        }
    }
}

impl Entry {
    /// The permission that it is about.
    pub(crate) fn permission(&self) -> Permission {
        Permission {
            account: self.account_id.clone(),
            region: self.region.clone(),
            image: self.image_id.clone(),
            shared_account: self.shared_account_id.clone(),
        }
    }
}

/// The permission that a call to AWS is about, if it names one.
pub(crate) fn permission_of(call: &Call) -> Option<Permission> {
    Some(Permission {
        account: call.account.clone()?,
        region: call.region.clone()?,
        image: call.image.clone()?,
        shared_account: call.shared_account.clone()?,
    })
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}",
            self.account, self.region, self.image, self.shared_account
        )
    }
}
