//! Decides about changes. A decision follows from the query, its facts and the set alone, so that it can be made again.

use cedar_policy::Effect;

use crate::domain::{Action, Authentication, Decision, PolicyId};

use super::{
    Mentions,
    decision::PolicyVerdict,
    near::NearPolicy,
    parts::{Parts, Satisfied},
    query::{CedarQuery, PolicyQuery},
    roles::Privilege,
    set::PolicySet,
    source::{NamedPolicy, PolicyOrigin},
};

/// Maximum characters of a refusal. It is in an answer, in an entry and in the log.
const MAX_REFUSAL: usize = 1000;

/// The policies of both effects that match.
struct Matches {
    permits: Satisfied,
    forbids: Satisfied,
}

impl PolicySet {
    /// Decides whether the change may be made.
    pub fn decide(&self, query: PolicyQuery<'_>) -> PolicyVerdict {
        // By what is recorded, so that the decision can be made again.
        let recorded = query.authentication.map(|known| Authentication {
            claims: known.claims.only(self.claims_for(query.asked())),
            credentials: known.credentials.clone(),
        });
        let may_read = self.may_read(query);
        let query = PolicyQuery {
            authentication: recorded.as_ref(),
            ..query
        };
        self.decide_by_record(query, may_read)
    }

    /// `may_read`: the caller may be told what AWS reports.
    fn decide_by_record(&self, query: PolicyQuery<'_>, may_read: bool) -> PolicyVerdict {
        let cedar = match self.asked(query) {
            Ok(cedar) => cedar,
            Err(message) => return self.verdict(query, Vec::new(), Some(message)),
        };
        if let Some(message) = self.unknown_claim(query) {
            return self.verdict(query, Vec::new(), Some(message));
        }
        let mentions = self.mentions(query.asked());
        // An absent fact could keep a forbid from matching. Without it, only a revoke may go on.
        if query.action == Action::Grant && mentions.caller && !query.has_credentials() {
            let fact = "how the caller was authenticated, which is not known: an older version accepted the change";
            return self.verdict(query, Vec::new(), Some(format!("the policy needs to know {fact}")));
        }
        if query.action == Action::Grant
            && let Some((fact, reason)) = query.unknown_fact(mentions)
        {
            return match self.refusal_without_facts(query, &cedar, may_read) {
                Some((policies, message)) => self.verdict(query, policies, Some(message)),
                None => {
                    let reason = match may_read {
                        true => reason,
                        false => "AWS does not tell it",
                    };
                    let message = format!("the policy needs to know {fact}, which is not known: {reason}");
                    self.verdict(query, Vec::new(), Some(message))
                }
            };
        }
        let matches = self.matches(&self.parts, query, &cedar);
        match self.refusal(&matches, query, &cedar, may_read) {
            Some((policies, message)) => self.verdict(query, policies, Some(message)),
            None => self.verdict(query, matches.permits.ids, None),
        }
    }

    /// The facts about the image that the decision needs. None if the change is refused whatever they are: no permit can match,
    /// or a forbid that does not speak of them matches.
    pub fn needs(&self, query: PolicyQuery<'_>) -> Mentions {
        let mentions = self.mentions(query.asked());
        if !mentions.is_about_image() {
            return mentions;
        }
        let is_decided = self.unknown_claim(query).is_some()
            || self
                .asked(query)
                .map_or(true, |cedar| self.refusal_without_facts(query, &cedar, false).is_some());
        match is_decided {
            true => Mentions {
                image: false,
                tags: false,
                ..mentions
            },
            false => mentions,
        }
    }

    /// The first claim of the caller that the policies for the action speak of, and about which nothing is known.
    pub fn lacks_claim(&self, query: PolicyQuery<'_>) -> Option<&str> {
        let mut names = self.claims_for(query.asked()).iter().map(String::as_str);
        names.find(|name| query.caller().claim(name).is_none())
    }

    /// Why a change is refused if a claim is not known. Without it, a forbid could not match.
    fn unknown_claim(&self, query: PolicyQuery<'_>) -> Option<String> {
        let (name, reason) = query.unknown_claim(self.claims_for(query.asked()))?;
        Some(format!(
            "the policy needs to know the claim {name:?} of the caller, which is not known: {reason}"
        ))
    }

    /// If no policy permits the change: the policies of files that would permit it, with what was missing, the nearest first.
    /// `may_read` tells whether the reader may see conditions about the image.
    pub fn near(&self, query: PolicyQuery<'_>, may_read: bool) -> Vec<NearPolicy> {
        let Ok(cedar) = self.asked(query) else {
            return Vec::new();
        };
        if !self.matches(&self.parts, query, &cedar).permits.ids.is_empty() {
            return Vec::new();
        }
        let groups = self.groups_with(query.key.account);
        self.near.policies(query, groups, may_read, &cedar)
    }

    /// The request of Cedar, or why there is none.
    fn asked(&self, query: PolicyQuery<'_>) -> Result<CedarQuery, String> {
        let account = query.key.account;
        if !self.recipients().contains_key(&account) {
            let privilege = Privilege::from(query.asked());
            return Err(match self.scope(query.caller(), privilege).covers(account) {
                true => format!("account {account} is not configured"),
                false => privilege.refusal(query.principal, Some(account)),
            });
        }
        CedarQuery::of(query, self).map_err(|error| format!("the policy cannot be asked: {error}"))
    }

    /// Why the change is refused whatever the facts about the image are, if it is.
    fn refusal_without_facts(
        &self,
        query: PolicyQuery<'_>,
        cedar: &CedarQuery,
        may_read: bool,
    ) -> Option<(Vec<PolicyId>, String)> {
        let mut matches = self.matches(&self.without_facts, query, cedar);
        // A condition can depend on one that was left out, so a permit that fails here may match with the facts.
        matches.permits.ids.append(&mut matches.permits.failed);
        self.refusal(&matches, query, cedar, may_read)
    }

    fn matches(&self, parts: &Parts, query: PolicyQuery<'_>, cedar: &CedarQuery) -> Matches {
        let satisfied = |effect| {
            let account = query.key.account;
            parts.satisfied(effect, query.asked(), account, self.groups_with(account), cedar)
        };
        Matches {
            permits: satisfied(Effect::Permit),
            forbids: satisfied(Effect::Forbid),
        }
    }

    /// Why these policies refuse, if they do, and which of them.
    fn refusal(
        &self,
        matches: &Matches,
        query: PolicyQuery<'_>,
        cedar: &CedarQuery,
        may_read: bool,
    ) -> Option<(Vec<PolicyId>, String)> {
        let Matches { permits, forbids } = matches;
        let mut failed: Vec<_> = permits.failed.iter().chain(&forbids.failed).cloned().collect();
        failed.sort();
        // Cedar leaves out a policy that fails, so a forbid that fails would allow.
        if !failed.is_empty() {
            let ids: Vec<_> = failed.iter().map(|id| format!("{:?}", id.as_str())).collect();
            let message = format!("the policy {} cannot be evaluated for this request", ids.join(" and "));
            return Some((failed, message));
        }
        if permits.ids.is_empty() {
            let account = query.key.account;
            let mut message = Privilege::from(query.asked()).refusal(query.principal, Some(account));
            let near = self.near.missing(query, self.groups_with(account), may_read, cedar);
            message.push_str(&near);
            return Some((forbids.ids.clone(), message));
        }
        if forbids.ids.is_empty() {
            return None;
        }
        let words: Vec<_> = forbids.ids.iter().map(|id| self.words(id, query)).collect();
        Some((forbids.ids.clone(), words.join("; ")))
    }

    /// True if the principal may read what AWS reports in the account.
    fn may_read(&self, query: PolicyQuery<'_>) -> bool {
        self.scope(query.caller(), Privilege::Read).covers(query.key.account)
    }

    fn verdict(&self, query: PolicyQuery<'_>, policies: Vec<PolicyId>, refusal: Option<String>) -> PolicyVerdict {
        let decision = Decision {
            decided_at: query.now,
            facts: query.facts(self.mentions(query.asked())),
            policies,
            policy_set: self.digest(),
        };
        PolicyVerdict {
            decision,
            claims: query
                .authentication
                .map(|known| known.claims.clone())
                .unwrap_or_default(),
            refusal: refusal.map(bounded),
        }
    }

    /// Why a policy that forbids refuses, for the caller.
    fn words(&self, id: &PolicyId, query: PolicyQuery<'_>) -> String {
        let (owner, recipient) = (query.key.account, query.key.shared_account);
        match self.policy(id) {
            Some(NamedPolicy {
                origin: PolicyOrigin::Recipients(_),
                ..
            }) => format!("images of account {owner} may not be shared with account {recipient}"),
            Some(NamedPolicy { says: Some(says), .. }) => format!("the policy {:?} refuses: {says}", id.as_str()),
            _ => format!("the policy {:?} refuses", id.as_str()),
        }
    }
}

fn bounded(message: String) -> String {
    match message.char_indices().nth(MAX_REFUSAL) {
        Some((end, _)) => format!("{} …", &message[..end]),
        None => message,
    }
}
