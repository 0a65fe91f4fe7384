//! Explains how the policy in force decides about a change. Nothing is recorded, and no budget of the principal is used.

use std::{sync::Arc, time::Duration};

use crate::{
    domain::decision::Facts,
    forwarder,
    policy::{NearPolicy, PolicyCaller, PolicyQuery, PolicySet, PolicyVerdict, roles::Privilege},
};

use super::{ChangeService, Error, Submission, submit::FACTS_PART};

/// How the policy decides about a change, for a reader.
#[derive(Debug)]
pub struct PolicyExplanation {
    /// The set in force.
    pub set: Arc<PolicySet>,
    /// Its decision. Without the facts about the image if the reader may not read them.
    pub verdict: PolicyVerdict,
    /// If no policy permits the change: those that would, with what was missing.
    pub near: Vec<NearPolicy>,
}

impl ChangeService {
    /// Decides about a change without making it, as a validation does, and explains the decision to `reader`. Facts are read from
    /// AWS in a turn of the reader, for a part of `timeout`.
    ///
    /// # Errors
    /// [`Error::NotConfigured`], or [`Error::Undecided`] if AWS does not give a fact now.
    pub async fn explain(
        &self,
        submission: Submission,
        reader: PolicyCaller<'_>,
        timeout: Duration,
    ) -> Result<PolicyExplanation, Error> {
        let intent = self.intent(submission);
        self.check_configured(intent.key.account, &intent.key.region)?;
        let time = timeout / FACTS_PART;
        let decided = forwarder::decide_for(
            reader.principal,
            &self.policy,
            &self.workspaces,
            &self.clock,
            self.database.instruments(),
            &intent,
            time,
        )
        .await;
        let (set, mut verdict) = decided.map_err(Error::Undecided)?;
        let may_read = set.scope(reader, Privilege::Read).covers(intent.key.account);
        let near = match verdict.is_allowed() {
            true => Vec::new(),
            false => {
                let query = PolicyQuery {
                    facts: Some(&verdict.decision.facts),
                    ..PolicyQuery::of(&intent, verdict.decision.decided_at)
                };
                set.near(query, may_read)
            }
        };
        if !may_read {
            verdict.decision.facts = Facts::default();
        }
        Ok(PolicyExplanation { set, verdict, near })
    }
}
