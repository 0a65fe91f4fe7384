//! What the commands about policies ask the service: an explanation, the text of a policy set, and the recorded requests. The
//! commands print it as they print what they find out from files.

use time::{Duration, OffsetDateTime};

use super::{
    audit::{
        policy_sets,
        time_arg::{now, timestamp},
    },
    connection::{self, AuditStub, Client, ShareStub},
    console::Console,
    diagnosis,
    failure::{Failure, Stop},
    options::ClientOptions,
    progress::ProgressMeter,
};
use crate::{
    domain::{
        AccountId, Action, Cause, CredentialKind, Justification, PermissionKey, PolicyDigest, Principal, Timestamp,
        decision::{Facts, ImageAttributes},
    },
    proto::v1::{
        self, AuditEntryFilter, AuditEntryOrder, ExplainPolicyRequest, ExplainPolicyResponse, ListAuditEntriesRequest,
        SummarizeAuditEntriesRequest,
    },
};

/// The kinds of entries that record a request with its decision. Other entries of a change repeat it.
const REQUESTS: [&str; 3] = ["change.requested", "change.denied", "change.joined"];

/// Entries on a page.
const PAGE_SIZE: i32 = 500;

/// A connection to the service, for a command about policies.
pub struct PolicyService {
    options: ClientOptions,
    client: Client,
}

/// A change that a decision is explained about.
#[derive(Debug, Clone)]
pub struct PolicyRequest {
    /// What it does.
    pub action: Action,
    /// Why it would exist: a caller asks for it, or for an adoption.
    pub cause: Cause,
    /// Which permission.
    pub key: PermissionKey,
    /// The reason and the ticket.
    pub justification: Justification,
    /// When the share would end.
    pub expire_time: Option<Timestamp>,
    /// Who would ask. None: the caller.
    pub principal: Option<Principal>,
    /// What the principal would present. Empty: the default of the service.
    pub credentials: Vec<CredentialKind>,
}

/// A decision with what is told about it.
#[derive(Debug, Clone, Default)]
pub struct ToldDecision {
    /// Why the change is refused. None: it is allowed.
    pub refusal: Option<String>,
    /// The policies that decided.
    pub policies: Vec<ToldPolicy>,
    /// The policies that would permit the change.
    pub near: Vec<NearMiss>,
    /// The facts about the image that the decision used.
    pub facts: Facts,
    /// The digest of the policy set.
    pub policy_set: String,
}

/// What is told about a policy.
#[derive(Debug, Clone, Default)]
pub struct ToldPolicy {
    /// The id, as in decisions.
    pub id: String,
    /// True if it forbids, false if it permits.
    pub forbids: bool,
    /// What it says to people.
    pub says: Option<String>,
    /// The text, in Cedar. None if the caller may not read it.
    pub text: Option<String>,
    /// Where it comes from. None if the caller may not read it.
    pub origin: Option<String>,
}

/// A policy that would permit a change, with what was missing.
#[derive(Debug, Clone)]
pub struct NearMiss {
    /// The policy that came near.
    pub policy: ToldPolicy,
    /// Its conditions that do not hold.
    pub missing: Vec<String>,
    /// True if a condition about the image does not hold and is not told.
    pub hides_conditions: bool,
}

impl PolicyService {
    /// Connects to the service of the options and the context.
    ///
    /// # Errors
    /// If the service cannot be reached, or the options are wrong.
    pub async fn open(options: &ClientOptions) -> Result<Self, Failure> {
        let options = options.with_context()?;
        match connection::open(&options).await {
            Ok(client) => Ok(Self { options, client }),
            Err(failure) => Err(diagnosis::explain(&options, failure).await),
        }
    }

    /// Asks how the policy in force decides about a change.
    ///
    /// # Errors
    /// That of the call.
    pub async fn explain(&self, request: PolicyRequest) -> Result<ToldDecision, Failure> {
        let call = self.client.call(
            self.client.deadline(),
            explain_request(request),
            async |mut stub: ShareStub, request| stub.explain_policy(request).await,
        );
        self.done(call.await.map(told).map_err(Stop::from)).await
    }

    /// The text of a policy set with this digest, which is checked. Without a digest: of the set in force.
    ///
    /// # Errors
    /// That of the call, or a text with another digest.
    pub async fn policy_set(&self, digest: Option<PolicyDigest>) -> Result<(PolicyDigest, String), Failure> {
        let fetched = policy_sets::fetch(&self.client, digest).await;
        self.done(fetched.map_err(Stop::from)).await
    }

    /// Calls `each` with the canonical text of each entry that records a request, oldest first: of these accounts (empty: all),
    /// and since a time. One page is in memory at a time. Returns the number of entries in archives, which are left out.
    ///
    /// # Errors
    /// That of a call, or of `each`.
    pub async fn requests<E: From<Failure>>(
        &self,
        accounts: &[AccountId],
        begin: Option<OffsetDateTime>,
        console: &Console<'_>,
        mut each: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<u64, E> {
        let progress = ProgressMeter::of(console, "reading requests", "requests");
        if console.has_progress()
            && let Some(total) = self.count(accounts, begin).await
        {
            progress.total(total);
        }
        let mut request = ListAuditEntriesRequest {
            filter: Some(AuditEntryFilter {
                account_ids: accounts.iter().map(AccountId::to_string).collect(),
                kinds: REQUESTS.map(str::to_owned).to_vec(),
                start_time: begin.map(timestamp),
                ..AuditEntryFilter::default()
            }),
            order: AuditEntryOrder::OldestFirst.into(),
            page_size: PAGE_SIZE,
            page_token: String::new(),
        };
        let (mut done, mut archived) = (0, 0);
        loop {
            let page = self.client.call(
                self.client.deadline(),
                request.clone(),
                async |mut stub: AuditStub, request| stub.list_audit_entries(request).await,
            );
            let page = self.done(page.await.map_err(Stop::from)).await?;
            let ranges = page.archived.iter();
            archived += ranges
                .map(|range| range.end_index.saturating_sub(range.start_index))
                .sum::<u64>();
            for entry in &page.entries {
                each(&entry.canonical)?;
            }
            done += page.entries.len() as u64;
            progress.done(done);
            if page.next_page_token.is_empty() {
                return Ok(archived);
            }
            request.page_token = page.next_page_token;
        }
    }

    /// About how many entries there are. None if the service does not say it.
    async fn count(&self, accounts: &[AccountId], begin: Option<OffsetDateTime>) -> Option<u64> {
        let hour = |time: OffsetDateTime| {
            time.replace_minute(0)
                .ok()?
                .replace_second(0)
                .ok()?
                .replace_nanosecond(0)
                .ok()
        };
        let first = begin.unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let request = SummarizeAuditEntriesRequest {
            start_time: Some(timestamp(hour(first)?)),
            end_time: Some(timestamp(hour(now())? + Duration::HOUR)),
            account_ids: accounts.iter().map(AccountId::to_string).collect(),
            kinds: REQUESTS.map(str::to_owned).to_vec(),
            ..SummarizeAuditEntriesRequest::default()
        };
        let summary = self
            .client
            .call(self.client.deadline(), request, async |mut stub: AuditStub, request| {
                stub.summarize_audit_entries(request).await
            });
        Some(summary.await.ok()?.counts.iter().map(|count| count.count).sum())
    }

    async fn done<T>(&self, result: Result<T, Stop>) -> Result<T, Failure> {
        match result {
            Ok(done) => Ok(done),
            Err(Stop::Failed(failure)) => Err(diagnosis::explain(&self.options, failure).await),
            // No call writes to the output.
            Err(Stop::OutputClosed) => Err(Failure::local("the output was closed")),
        }
    }
}

fn explain_request(request: PolicyRequest) -> ExplainPolicyRequest {
    let PolicyRequest {
        action,
        cause,
        key,
        justification,
        expire_time,
        principal,
        credentials,
    } = request;
    let action = match action {
        Action::Grant => v1::Action::Grant,
        Action::Revoke => v1::Action::Revoke,
    };
    let credential = |kind: &CredentialKind| match kind {
        CredentialKind::Certificate => v1::CredentialKind::Certificate.into(),
        CredentialKind::Token => v1::CredentialKind::Token.into(),
        CredentialKind::TrustedHeader => v1::CredentialKind::TrustedHeader.into(),
    };
    ExplainPolicyRequest {
        action: action.into(),
        account_id: key.account.to_string(),
        region: key.region.to_string(),
        image_id: key.image.to_string(),
        shared_account_id: key.shared_account.to_string(),
        reason: justification.reason.to_string(),
        ticket: justification
            .ticket
            .map(|ticket| ticket.to_string())
            .unwrap_or_default(),
        principal: principal.map(|principal| principal.to_string()).unwrap_or_default(),
        credentials: credentials.iter().map(credential).collect(),
        expire_time: expire_time.map(|end| timestamp(end.to_offset_date_time())),
        adopt: cause == Cause::Adoption,
    }
}

fn told(answer: ExplainPolicyResponse) -> ToldDecision {
    let decision = answer.decision.unwrap_or_default();
    let image = decision.image.map(|image| ImageAttributes {
        created_at: image.create_time.and_then(time),
        name: image.name,
        operating_system: image.operating_system,
        required_tenancy: image.required_tenancy,
        state: image.state,
    });
    let near = answer.near.into_iter().map(|near| NearMiss {
        policy: told_policy(near.policy.unwrap_or_default()),
        missing: near.missing,
        hides_conditions: near.hides_conditions,
    });
    ToldDecision {
        refusal: (!answer.allowed).then_some(answer.refusal),
        policies: answer.policies.into_iter().map(told_policy).collect(),
        near: near.collect(),
        facts: Facts {
            image,
            tags: (!decision.tags.is_empty()).then(|| decision.tags.into_iter().collect()),
            unknown: given(decision.unknown),
            expire_time: None,
        },
        policy_set: decision.policy_set,
    }
}

fn told_policy(policy: v1::ExplainedPolicy) -> ToldPolicy {
    ToldPolicy {
        forbids: policy.effect == i32::from(v1::PolicyEffect::Forbid),
        id: policy.id,
        says: given(policy.says),
        text: given(policy.text),
        origin: given(policy.origin),
    }
}

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn time(time: pbjson_types::Timestamp) -> Option<Timestamp> {
    let seconds = OffsetDateTime::from_unix_timestamp(time.seconds).ok()?;
    Some(Timestamp::new(seconds + Duration::nanoseconds(time.nanos.into())))
}
