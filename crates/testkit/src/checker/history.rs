//! The results of a trial: the simulator's call log, the exported ledgers, and the responses to clients. The checker
//! uses nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use sharewarden_simulator::ApiCall;
use time::OffsetDateTime;

#[derive(Clone, Debug, Default)]
pub struct History {
    pub calls: Vec<ApiCall>,
    /// The permissions at AWS at the end.
    pub shared: BTreeSet<ImagePermission>,
    /// The permissions that somebody also changes past the service.
    pub outside: BTreeSet<ImagePermission>,
    /// The ledgers, exported at the end.
    pub ledgers: Vec<ExportedLedger>,
    /// The calls of grants and revokes.
    pub answers: Vec<RpcRecord>,
    /// The calls of GetChange.
    pub readings: Vec<ChangeRead>,
    /// How long a replica waits for one call to AWS.
    pub attempt_timeout: time::Duration,
    /// Maximum duration of a call of a client.
    pub longest_answer: time::Duration,
    /// The times without faults: from healing until every change had ended and no share was due.
    pub healed: Option<HealedTime>,
    /// Failures that need no checker, such as a panic or a change that never ended.
    pub complaints: Vec<String>,
    /// What a trial of an upgrade adds.
    pub upgrade: Option<UpgradeHistory>,
    /// What a trial adds whose policy sets change.
    pub policies: Option<PolicyHistory>,
}

/// A time without faults, on the clock of Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealedTime {
    pub from: OffsetDateTime,
    pub to: OffsetDateTime,
}

/// The policy sets of a trial, and when each replica had them in force.
#[derive(Clone, Debug, Default)]
pub struct PolicyHistory {
    /// The texts that the service kept, by their SHA-256. An export has them too.
    pub texts: BTreeMap<String, String>,
    /// The ids of the policies of files, of each set that may be in force.
    pub valid: BTreeSet<BTreeSet<String>>,
    /// The replicas, by their numbers.
    pub replicas: Vec<PolicyReplica>,
}

/// What the log of a replica says about its policy sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyReplica {
    /// The `Host` header of its calls to AWS.
    pub host: String,
    /// In the order of their times.
    pub events: Vec<PolicyEvent>,
}

/// The start or the end of a process, or another set in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyEvent {
    /// The time of the line in the log. The end of a process has the time at which its log ended.
    pub at: OffsetDateTime,
    pub kind: PolicyEventKind,
}

/// The digest is that of the set that is in force from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyEventKind {
    Started(String),
    Replaced(String),
    Ended,
}

impl PolicyEventKind {
    /// The digest of the set. None: no process runs.
    pub fn set(&self) -> Option<&str> {
        match self {
            Self::Started(digest) | Self::Replaced(digest) => Some(digest),
            Self::Ended => None,
        }
    }
}

/// The program of a replica: of the version before an upgrade, or of the version after it. A trial without an upgrade has new
/// replicas only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Build {
    Old,
    New,
}

/// An upgrade from one build to another.
#[derive(Clone, Debug, Default)]
pub struct UpgradeHistory {
    /// The names of the phases, and when each began.
    pub phases: Vec<(&'static str, OffsetDateTime)>,
    /// The builds of the replicas, by their numbers.
    pub builds: Vec<Build>,
    pub owner: Vec<OwnersRun>,
    pub readiness: PolledReadiness,
    /// The rows that each replica wrote to permissions and entries.
    pub writes: BTreeMap<usize, Writes>,
    /// Maximum time until a request that got an error is resolved by a repetition.
    pub longest_unresolved: time::Duration,
}

/// A run of a command of the database's owner.
#[derive(Clone, Debug)]
pub struct OwnersRun {
    pub what: &'static str,
    pub ended_at: OffsetDateTime,
    /// True if an old replica was ready during the whole run.
    pub old_was_ready: bool,
    /// What the program printed when it failed.
    pub error: Option<String>,
}

/// What the polls of the health of all replicas found.
#[derive(Clone, Debug, Default)]
pub struct PolledReadiness {
    pub polls: u64,
    /// The times without a ready replica, from the first ready one on. The last one may be open.
    pub gaps: Vec<Gap>,
    /// The beginning of the latest poll that a replica of this build answered as ready.
    pub last_ready: BTreeMap<Build, OffsetDateTime>,
    /// The numbers of the builds, as their health services tell them.
    pub numbers: BTreeMap<Build, String>,
    /// The number of answers that a replica is not ready, by build and reason.
    pub not_ready: BTreeMap<(Build, String), u64>,
}

/// A time without a ready replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: OffsetDateTime,
    pub to: Option<OffsetDateTime>,
}

/// The number of rows, and when the last one was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes {
    pub rows: u64,
    pub last_at: OffsetDateTime,
}

impl UpgradeHistory {
    /// When `finalize` was accepted.
    pub fn finalized_at(&self) -> Option<OffsetDateTime> {
        let mut accepted = self
            .owner
            .iter()
            .filter(|run| run.what == "finalize" && run.error.is_none());
        Some(accepted.next()?.ended_at)
    }
}

/// The key of a permission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImagePermission {
    pub account: String,
    pub region: String,
    pub image: String,
    pub shared_account: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ShareAction {
    Grant,
    Revoke,
}

/// The kind of an entry.
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

/// The ledger of one account, read from an export.
#[derive(Clone, Debug)]
pub struct ExportedLedger {
    pub account: String,
    /// The entries about changes and requests.
    pub entries: Vec<LedgerEntry>,
    /// The counts of refusals that have no entry of their own.
    pub denials: Vec<CountedDenials>,
    /// The entries about drift, in the order of the ledger.
    pub drift: Vec<DriftEntry>,
    /// Errors of the verifier, with each checkpoint that was kept.
    pub wrong: Vec<String>,
}

/// An entry about drift.
#[derive(Clone, Debug, Deserialize)]
pub struct DriftEntry {
    pub account_id: String,
    pub body: DriftBodyJson,
    pub kind: String,
    pub log_index: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub recorded_at: OffsetDateTime,
}

/// The members of the bodies of all kinds about drift.
#[derive(Clone, Debug, Deserialize)]
pub struct DriftBodyJson {
    pub difference: Option<String>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub first_seen_at: Option<OffsetDateTime>,
    pub found_index: Option<u64>,
    pub resolution: Option<String>,
    pub region: Option<String>,
    pub image_id: Option<String>,
    pub shared_account_id: Option<String>,
}

impl DriftEntry {
    /// Its kind, with the difference and what became of it.
    pub fn what(&self) -> String {
        let body = [&self.body.difference, &self.body.resolution];
        let body: Vec<_> = body.into_iter().flatten().map(String::as_str).collect();
        format!("{} {}", self.kind, body.join(" "))
    }

    /// The permission of a finding. None for an operator's decision.
    pub fn permission(&self) -> Option<ImagePermission> {
        Some(ImagePermission {
            account: self.account_id.clone(),
            region: self.body.region.clone()?,
            image: self.body.image_id.clone()?,
            shared_account: self.body.shared_account_id.clone()?,
        })
    }
}

/// An entry, with the members that the checker uses.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "EntryJson")]
pub struct LedgerEntry {
    pub account_id: String,
    pub log_index: u64,
    pub recorded_at: OffsetDateTime,
    pub stage: Stage,
    pub action: ShareAction,
    pub change_id: Option<String>,
    pub request_id: String,
    pub reason: String,
    pub ticket: Option<String>,
    pub region: String,
    pub image_id: String,
    pub shared_account_id: String,
    pub generation: Option<u64>,
    pub attempts: Vec<RecordedAttempt>,
    pub error_reason: Option<String>,
    pub principal: Option<String>,
    pub cause: Option<String>,
    /// How the principal proved its name.
    pub credentials: BTreeSet<String>,
    pub decision: Option<EntryDecision>,
    /// When the share ends.
    pub expire_time: Option<OffsetDateTime>,
    pub previous_basis: Option<EntryBasis>,
}

#[derive(Deserialize)]
struct EntryJson {
    account_id: String,
    body: EntryBodyJson,
    kind: Stage,
    log_index: u64,
    #[serde(with = "time::serde::rfc3339")]
    recorded_at: OffsetDateTime,
}

#[derive(Deserialize)]
struct EntryBodyJson {
    action: ShareAction,
    change_id: Option<String>,
    request_id: String,
    reason: String,
    ticket: Option<String>,
    region: String,
    image_id: String,
    shared_account_id: String,
    generation: Option<u64>,
    #[serde(default)]
    attempts: Vec<RecordedAttempt>,
    error_reason: Option<String>,
    principal: Option<String>,
    cause: Option<String>,
    authentication: Option<AuthenticationJson>,
    decision: Option<EntryDecision>,
    #[serde(default, with = "time::serde::rfc3339::option")]
    expire_time: Option<OffsetDateTime>,
    previous_basis: Option<EntryBasis>,
}

/// The grant on which a share stood, in an entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EntryBasis {
    pub change_id: String,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub expire_time: Option<OffsetDateTime>,
}

#[derive(Deserialize)]
struct AuthenticationJson {
    credentials: BTreeSet<String>,
}

/// The decision of the policy in an entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EntryDecision {
    /// On the clock of the replica that decided.
    #[serde(with = "time::serde::rfc3339")]
    pub decided_at: OffsetDateTime,
    pub policies: BTreeSet<String>,
    /// The digest of the set.
    pub policy_set: String,
}

/// The body of a `change.denials` entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct CountedDenials {
    pub principal: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub first_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub last_at: OffsetDateTime,
    pub count: u64,
}

/// A line of an export, by what the checker does with it.
#[derive(Debug)]
pub enum ExportedLine {
    Entry(Box<LedgerEntry>),
    Denials(CountedDenials),
    Drift(DriftEntry),
}

impl ExportedLine {
    /// Panics if the line is of a kind that the checker does not know.
    pub fn parse(line: &str) -> Self {
        #[derive(Deserialize)]
        struct DenialsJson {
            body: CountedDenials,
        }
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        match value["kind"].as_str() {
            Some("change.denials") => Self::Denials(serde_json::from_value::<DenialsJson>(value).unwrap().body),
            Some(kind) if kind.starts_with("drift.") => Self::Drift(serde_json::from_value(value).unwrap()),
            _ => Self::Entry(serde_json::from_value(value).unwrap()),
        }
    }
}

impl From<EntryJson> for LedgerEntry {
    fn from(line: EntryJson) -> Self {
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
            ticket: body.ticket,
            region: body.region,
            image_id: body.image_id,
            shared_account_id: body.shared_account_id,
            generation: body.generation,
            attempts: body.attempts,
            error_reason: body.error_reason,
            principal: body.principal,
            cause: body.cause,
            credentials: body.authentication.map(|known| known.credentials).unwrap_or_default(),
            decision: body.decision,
            expire_time: body.expire_time,
            previous_basis: body.previous_basis,
        }
    }
}

/// An attempt to call AWS, as recorded in an entry.
#[derive(Clone, Debug, Deserialize)]
pub struct RecordedAttempt {
    pub operation: String,
    pub classification: String,
    /// On the clock of the replica that made it.
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    pub aws_request_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareRequest {
    pub request_id: String,
    pub permission: ImagePermission,
    pub action: ShareAction,
    pub reason: String,
    pub ticket: Option<String>,
    /// The end of the share that a grant makes, after its acceptance.
    pub ttl: Option<time::Duration>,
}

#[derive(Clone, Debug)]
pub struct RpcRecord {
    pub request: ShareRequest,
    pub replica: usize,
    pub asked_at: OffsetDateTime,
    pub answered_at: OffsetDateTime,
    pub told: RpcOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RpcOutcome {
    Ok {
        change_id: String,
    },
    /// An error of the service.
    Refused {
        code: String,
        reason: String,
        change_id: Option<String>,
        /// True if the error names an entry of the ledger.
        is_recorded: bool,
        message: String,
    },
    /// No response: the connection broke, the deadline passed, or the client cancelled.
    Nothing {
        code: String,
    },
}

/// A call of GetChange.
#[derive(Clone, Debug)]
pub struct ChangeRead {
    pub account: String,
    pub change_id: String,
    pub asked_at: OffsetDateTime,
    pub read_at: OffsetDateTime,
    /// PENDING, SUCCEEDED, FAILED or SUPERSEDED.
    pub state: String,
}

impl ShareAction {
    /// The name of the action in policies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Revoke => "revoke",
        }
    }

    /// The value of `AllowCopyImage`.
    pub fn allows(self) -> bool {
        self == Self::Grant
    }
}

impl Stage {
    /// True if it ends a change.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Superseded)
    }

    /// The corresponding state of a change.
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

impl LedgerEntry {
    /// The permission that it is about.
    pub fn permission(&self) -> ImagePermission {
        ImagePermission {
            account: self.account_id.clone(),
            region: self.region.clone(),
            image: self.image_id.clone(),
            shared_account: self.shared_account_id.clone(),
        }
    }
}

/// The permission in a call to AWS, if the call names one.
pub fn permission_of(call: &ApiCall) -> Option<ImagePermission> {
    Some(ImagePermission {
        account: call.account.clone()?,
        region: call.region.clone()?,
        image: call.image.clone()?,
        shared_account: call.shared_account.clone()?,
    })
}

impl std::fmt::Display for ImagePermission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}",
            self.account, self.region, self.image, self.shared_account
        )
    }
}
