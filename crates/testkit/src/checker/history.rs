//! What a trial leaves behind: the simulator's call log, the exported ledgers, and what callers were told. The checker reads
//! this and nothing else.

use std::collections::BTreeSet;

use serde::Deserialize;
use sharewarden_simulator::Call;
use time::OffsetDateTime;

/// Everything that the checker may know.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// All calls that AWS saw.
    pub calls: Vec<Call>,
    /// What AWS shares at the end.
    pub shared: BTreeSet<Permission>,
    /// The ledgers, as exported at the end.
    pub ledgers: Vec<Ledger>,
    /// What grants and revokes were answered.
    pub answers: Vec<Answer>,
    /// What GetChange told.
    pub readings: Vec<Reading>,
    /// How long a replica waits for one call to AWS.
    pub attempt_timeout: time::Duration,
    /// No answer takes longer, whatever is away.
    pub longest_answer: time::Duration,
    /// What went wrong that needs no checker: a replica that panicked, or a change that never ended.
    pub complaints: Vec<String>,
}

/// One (account, Region, image, shared account).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    pub account: String,
    pub region: String,
    pub image: String,
    pub shared_account: String,
}

/// Grant or revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    Grant,
    Revoke,
}

/// What an entry says happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Stage {
    #[serde(rename = "change.requested")]
    Requested,
    #[serde(rename = "change.denied")]
    Denied,
    #[serde(rename = "change.joined")]
    Joined,
    #[serde(rename = "change.succeeded")]
    Succeeded,
    #[serde(rename = "change.failed")]
    Failed,
    #[serde(rename = "change.superseded")]
    Superseded,
}

/// A ledger as an auditor has it.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub account: String,
    pub entries: Vec<Entry>,
    /// What the verifier found wrong with it, under its own checkpoint and under each that was kept during the trial.
    pub wrong: Vec<String>,
}

/// One line of a ledger: what the checker needs of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Line")]
pub struct Entry {
    pub account_id: String,
    pub log_index: u64,
    pub recorded_at: OffsetDateTime,
    pub stage: Stage,
    pub action: Action,
    pub change_id: Option<String>,
    pub request_id: String,
    pub reason: String,
    pub region: String,
    pub image_id: String,
    pub shared_account_id: String,
    pub generation: Option<u64>,
    pub attempts: Vec<Attempt>,
    pub error_reason: Option<String>,
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
pub struct Attempt {
    pub operation: String,
    pub classification: String,
}

/// What a caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub request_id: String,
    pub permission: Permission,
    pub action: Action,
    pub reason: String,
}

/// What a caller was told.
#[derive(Clone, Debug)]
pub struct Answer {
    pub request: Request,
    pub replica: usize,
    pub asked_at: OffsetDateTime,
    pub answered_at: OffsetDateTime,
    pub told: Told,
}

/// The answer itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
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
pub struct Reading {
    pub account: String,
    pub change_id: String,
    pub asked_at: OffsetDateTime,
    pub read_at: OffsetDateTime,
    /// PENDING, SUCCEEDED, FAILED or SUPERSEDED.
    pub state: String,
}

impl Action {
    /// What `AllowCopyImage` is for it.
    pub fn allows(self) -> bool {
        self == Self::Grant
    }
}

impl Stage {
    /// Does it end a change?
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Superseded)
    }

    /// The state of a change that it stands for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "REQUESTED",
            Self::Denied => "DENIED",
            Self::Joined => "JOINED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Superseded => "SUPERSEDED",
        }
    }
}

impl Entry {
    /// The permission that it is about.
    pub fn permission(&self) -> Permission {
        Permission {
            account: self.account_id.clone(),
            region: self.region.clone(),
            image: self.image_id.clone(),
            shared_account: self.shared_account_id.clone(),
        }
    }
}

/// The permission that a call to AWS is about, if it names one.
pub fn permission_of(call: &Call) -> Option<Permission> {
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
