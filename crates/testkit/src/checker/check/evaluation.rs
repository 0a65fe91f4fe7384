//! Decides about a change from the text of a policy set, with Cedar alone and without the code of the service.
//!
//! The text and the entry have all that a decision depends on, except what AWS reports about images. The policies of a trial
//! do not speak of it. They ask whether a share ends, and not when.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    str::FromStr,
};

use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, Policy, PolicyId, PolicySet, Request, Schema};
use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::super::history::LedgerEntry;

/// A policy set, made of its text.
pub(super) struct EvaluatedSet {
    text: SetText,
    schema: Schema,
    policies: PolicySet,
    /// The answers so far. Most requests of a trial are alike.
    answers: RefCell<HashMap<String, SetAnswer>>,
}

/// The text of a set, as the service keeps it.
#[derive(Deserialize)]
struct SetText {
    accounts: BTreeSet<String>,
    groups: BTreeMap<String, GroupText>,
    policies: BTreeMap<String, String>,
    schema: String,
    zone: String,
}

#[derive(Deserialize)]
struct GroupText {
    accounts: BTreeSet<String>,
}

/// What a set decides: whether it allows the change, and which of its policies say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetAnswer {
    pub(super) is_allowed: bool,
    pub(super) policies: BTreeSet<String>,
}

impl EvaluatedSet {
    /// Panics on a text that is not that of a set.
    pub(super) fn of(text: &str) -> Self {
        let text: SetText = serde_json::from_str(text).unwrap();
        assert_eq!(text.zone, "UTC", "the hour and the weekday are those of UTC");
        let (schema, _) = Schema::from_cedarschema_str(&text.schema).unwrap();
        let policies = text.policies.iter();
        let policies = policies.map(|(id, policy)| Policy::parse(Some(PolicyId::new(id)), policy).unwrap());
        Self {
            policies: PolicySet::from_policies(policies).unwrap(),
            schema,
            text,
            answers: RefCell::default(),
        }
    }

    /// The ids of the policies that are not made of the configuration.
    pub(super) fn written_ids(&self) -> BTreeSet<String> {
        let ids = self.text.policies.keys();
        let written = ids.filter(|id| !id.starts_with("roles.") && !id.starts_with("accounts."));
        written.cloned().collect()
    }

    /// Decides about the change that an entry is about, at a time.
    pub(super) fn decide(&self, entry: &LedgerEntry, at: OffsetDateTime) -> SetAnswer {
        // No policy of a trial speaks of a time that is more exact than the hour.
        let at = at.replace_time(time::Time::from_hms(at.hour(), 0, 0).unwrap());
        let asked = json!([
            entry.principal,
            entry.action.name(),
            self.entities(entry),
            context(entry, at)
        ]);
        let mut answers = self.answers.borrow_mut();
        let answer = answers.entry(asked.to_string());
        answer.or_insert_with(|| self.evaluate(entry, &asked)).clone()
    }

    fn evaluate(&self, entry: &LedgerEntry, asked: &Value) -> SetAnswer {
        let uid = |kind: &str, id: &str| EntityUid::from_str(&format!("Sharewarden::{kind}::{id:?}")).unwrap();
        let action = uid("Action", entry.action.name());
        let entities = Entities::from_json_value(asked[2].clone(), Some(&self.schema)).unwrap();
        let context = Context::from_json_value(asked[3].clone(), Some((&self.schema, &action))).unwrap();
        let principal = uid("Principal", entry.principal.as_deref().unwrap_or_default());
        let request = Request::new(
            principal,
            action,
            uid("Image", &entry.image_id),
            context,
            Some(&self.schema),
        );
        let response = Authorizer::new().is_authorized(&request.unwrap(), &self.policies, &entities);
        let failed: BTreeSet<_> = response
            .diagnostics()
            .errors()
            .map(|cedar_policy::AuthorizationError::PolicyEvaluationError(error)| error.policy_id().to_string())
            .collect();
        // Cedar leaves out a policy that fails, and a forbid that fails would allow.
        match failed.is_empty() {
            true => SetAnswer {
                is_allowed: response.decision() == Decision::Allow,
                policies: response.diagnostics().reason().map(PolicyId::to_string).collect(),
            },
            false => SetAnswer {
                is_allowed: false,
                policies: failed,
            },
        }
    }

    fn entities(&self, entry: &LedgerEntry) -> Value {
        let recipients = format!("accounts.{}.share_with", entry.account_id);
        let account = |id: &str| {
            let of_account = |(name, group): &(&String, &GroupText)| {
                group.accounts.contains(id)
                    && (!name.starts_with("accounts.") || (id == entry.shared_account_id && **name == recipients))
            };
            let groups = self.text.groups.iter().filter(of_account);
            json!({
                "uid": named("Account", id),
                "attrs": { "id": id, "configured": self.text.accounts.contains(id) },
                "parents": groups.map(|(name, _)| named("AccountGroup", name)).collect::<Vec<_>>(),
            })
        };
        let principal = entry.principal.as_deref().unwrap_or_default();
        json!([
            { "uid": named("Principal", principal), "attrs": { "name": principal }, "parents": [] },
            account(&entry.account_id),
            account(&entry.shared_account_id),
            {
                "uid": named("Image", &entry.image_id),
                "attrs": { "account": { "__entity": named("Account", &entry.account_id) }, "region": entry.region },
                "parents": [named("Account", &entry.account_id)],
            },
        ])
    }
}

fn named(kind: &str, id: &str) -> Value {
    json!({ "type": format!("Sharewarden::{kind}"), "id": id })
}

fn context(entry: &LedgerEntry, at: OffsetDateTime) -> Value {
    let mut context = json!({
        "caller": { "credentials": entry.credentials },
        "recipient": { "__entity": named("Account", &entry.shared_account_id) },
        "cause": entry.cause,
        "reason": entry.reason,
        "now": at.format(&Rfc3339).unwrap(),
        "hour": at.hour(),
        "weekday": at.weekday().number_from_monday(),
    });
    if let Some(ticket) = &entry.ticket {
        context["ticket"] = ticket.as_str().into();
    }
    if entry.expire_time.is_some() {
        context["end"] = context["now"].clone();
    }
    context
}
