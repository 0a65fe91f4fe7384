//! What is asked, and the request of Cedar that is made of it.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Context, Entities, Entity, EntityAttrEvaluationError, Request, RestrictedExpression};

use crate::domain::{
    AccountId, Action, Authentication, Cause, Claim, Claims, Intent, Justification, PermissionKey, Principal,
    Timestamp,
    decision::{Facts, ImageAttributes},
};

use super::{Mentions, PolicySet, action::PolicyAction, attributes::ReadAttributes, schema::EntityType};

/// The principal that asks, with its claims.
#[derive(Debug, Clone, Copy)]
pub struct PolicyCaller<'a> {
    /// Its name, as authenticated.
    pub principal: &'a Principal,
    /// Its claims. None if they are not known.
    pub claims: Option<&'a Claims>,
}

impl<'a> PolicyCaller<'a> {
    /// What the claim says, if it is known.
    pub(super) fn claim(self, name: &str) -> Option<&'a Claim> {
        self.claims?.get(name)
    }

    /// True if it is known that one of the values of the claim is one of these.
    pub(super) fn has_value(self, name: &str, of: &BTreeSet<String>) -> bool {
        matches!(self.claim(name), Some(Claim::Values(values)) if !values.is_disjoint(of))
    }
}

/// A change to decide on, with the facts of the decision.
#[derive(Debug, Clone, Copy)]
pub struct PolicyQuery<'a> {
    /// The principal that asks for it.
    pub principal: &'a Principal,
    /// Grant or revoke.
    pub action: Action,
    /// Which permission.
    pub key: &'a PermissionKey,
    /// Why the change exists. An adoption is an action of its own.
    pub cause: Cause,
    /// What the principal says about it.
    pub justification: &'a Justification,
    /// When the share ends that the grant makes. None if it has no end.
    pub expire_time: Option<Timestamp>,
    /// The time of the decision.
    pub now: Timestamp,
    /// How the principal was authenticated. None if it is not known.
    pub authentication: Option<&'a Authentication>,
    /// What AWS reports about the image. None if nobody tried to read it.
    pub facts: Option<&'a Facts>,
}

impl<'a> PolicyQuery<'a> {
    /// The change that `intent` asks for, without facts about the image.
    pub fn of(intent: &'a Intent, now: Timestamp) -> Self {
        Self {
            principal: &intent.principal,
            action: intent.action,
            key: &intent.key,
            cause: intent.cause,
            justification: &intent.justification,
            expire_time: intent.end.map(|end| end.from(now)),
            now,
            authentication: intent.authentication.as_ref(),
            facts: None,
        }
    }

    /// The action of the policies that is asked about.
    pub fn asked(&self) -> PolicyAction {
        PolicyAction::of(self.action, self.cause)
    }

    /// The principal of the query, with its claims.
    pub(super) fn caller(&self) -> PolicyCaller<'a> {
        PolicyCaller {
            principal: self.principal,
            claims: self.authentication.map(|known| &known.claims),
        }
    }

    /// True if it is known what the caller proved its name with.
    pub(super) fn has_credentials(&self) -> bool {
        self.authentication.is_some_and(|known| !known.credentials.is_empty())
    }

    /// The first of these claims that is not known, with the reason.
    pub(super) fn unknown_claim<'n>(&self, names: &'n BTreeSet<String>) -> Option<(&'n str, &'a str)> {
        names.iter().find_map(|name| match self.caller().claim(name) {
            Some(Claim::Values(_)) => None,
            Some(Claim::Unusable(reason)) => Some((name.as_str(), reason.as_str())),
            None => Some((name.as_str(), "it was not recorded when the change was accepted")),
        })
    }

    /// What is recorded of the facts. Only those that policies speak of were used.
    pub(super) fn facts(&self, mentions: Mentions) -> Facts {
        Facts {
            // A TTL counts from a later time than that of the decision.
            expire_time: self.expire_time.filter(|_| mentions.end),
            image: self.image().filter(|_| mentions.image).cloned(),
            tags: self.tags().filter(|_| mentions.tags).cloned(),
            unknown: self.facts.and_then(|facts| facts.unknown.clone()),
        }
    }

    fn image(&self) -> Option<&'a ImageAttributes> {
        self.facts?.image.as_ref()
    }

    fn tags(&self) -> Option<&'a BTreeMap<String, String>> {
        self.facts?.tags.as_ref()
    }

    /// The first fact about the image that policies of a set speak of and that is not known, with the reason.
    pub(super) fn unknown_fact(&self, mentions: Mentions) -> Option<(&'static str, &str)> {
        let reason = self.facts.and_then(|facts| facts.unknown.as_deref());
        let reason = reason.unwrap_or("it was not read");
        if mentions.image {
            match self.image() {
                None => return Some(("what AWS reports about the image", reason)),
                Some(image) if !is_described(image) => {
                    return Some(("what AWS reports about the image", "AWS left out a part of it"));
                }
                Some(_) => {}
            }
        }
        (mentions.tags && self.tags().is_none()).then_some(("the tags of the image", reason))
    }
}

/// True if AWS reports all that it reports about every image. A policy must not take an omission for a different value.
fn is_described(image: &ImageAttributes) -> bool {
    let texts = [&image.state, &image.operating_system, &image.required_tenancy];
    texts.iter().all(|text| !text.is_empty()) && image.created_at.is_some()
}

/// A query as Cedar takes it: the request, and the entities that it touches.
#[derive(Debug)]
pub(super) struct CedarQuery {
    pub(super) request: Request,
    pub(super) entities: Entities,
}

impl CedarQuery {
    /// The request for a query. The error is that of Cedar.
    pub(super) fn of(query: PolicyQuery<'_>, set: &PolicySet) -> Result<Self, Box<dyn std::error::Error>> {
        let key = query.key;
        let asking = EntityType::Principal.entity(query.principal.as_str());
        let owner = EntityType::Account.entity(key.account.as_str());
        let recipient = EntityType::Account.entity(key.shared_account.as_str());
        let image = EntityType::Image.entity(key.image.as_str());
        let action = EntityType::Action.entity(query.asked().as_str());

        let tags = query.tags().into_iter().flatten();
        let read = set.attributes(query.asked());
        let entities = [
            principal_entity(query.caller(), set, read)?,
            account(key.account, None, set, read)?,
            account(
                key.shared_account,
                set.recipients_group(key.account, key.shared_account),
                set,
                read,
            )?,
            Entity::new_with_tags(
                image.clone(),
                image_attributes(query, read),
                [owner],
                tags.map(|(name, value)| (name.clone(), text(value))),
            )?,
        ];
        let context = context(query, RestrictedExpression::new_entity_uid(recipient), set)?;
        let known = set.schema.asked[query.asked() as usize].clone();
        Ok(Self {
            request: Request::new(asking, action, image, context, None)?,
            // Cheaper than all at once: Cedar then looks at the groups of these entities only.
            entities: known.add_entities(entities, None)?,
        })
    }
}

/// A principal, with its groups and the claims that the set speaks of.
pub(super) fn principal_entity(
    caller: PolicyCaller<'_>,
    set: &PolicySet,
    read: &ReadAttributes,
) -> Result<Entity, Box<EntityAttrEvaluationError>> {
    let name = read
        .has("name")
        .then(|| ("name".into(), text(caller.principal.as_str())));
    let groups = set.groups_of(caller);
    let groups = groups.map(|name| EntityType::PrincipalGroup.entity(name));
    let entity = EntityType::Principal.entity(caller.principal.as_str());
    let claims = set.claims().filter_map(|name| match caller.claim(name) {
        Some(Claim::Values(values)) if !values.is_empty() => {
            let values = values.iter().map(|value| text(value));
            Some((name.to_owned(), RestrictedExpression::new_set(values)))
        }
        _ => None,
    });
    Ok(Entity::new_with_tags(entity, name, groups, claims)?)
}

fn account(
    id: AccountId,
    more: Option<String>,
    set: &PolicySet,
    read: &ReadAttributes,
) -> Result<Entity, Box<EntityAttrEvaluationError>> {
    let is_configured = || RestrictedExpression::new_bool(set.recipients().contains_key(&id));
    let attributes = [
        read.has("id").then(|| ("id".into(), text(id.as_str()))),
        read.has("configured").then(|| ("configured".into(), is_configured())),
    ];
    let groups = set.groups_with(id).chain(more.as_deref());
    let groups = groups.map(|name| EntityType::AccountGroup.entity(name));
    Ok(Entity::new_with_tags(
        EntityType::Account.entity(id.as_str()),
        attributes.into_iter().flatten(),
        groups,
        [],
    )?)
}

fn image_attributes(query: PolicyQuery<'_>, read: &ReadAttributes) -> Vec<(String, RestrictedExpression)> {
    let key = query.key;
    let mut attributes = Vec::new();
    if read.has("account") {
        let owner = EntityType::Account.entity(key.account.as_str());
        attributes.push(("account".into(), RestrictedExpression::new_entity_uid(owner)));
    }
    if read.has("region") {
        attributes.push(("region".into(), text(key.region.as_str())));
    }
    let Some(image) = query.image() else { return attributes };
    let texts = [
        ("state", &image.state),
        ("operatingSystem", &image.operating_system),
        ("tenancy", &image.required_tenancy),
        ("name", &image.name),
    ];
    // AWS leaves out what it does not know.
    let known = texts
        .into_iter()
        .filter(|(name, value)| !value.is_empty() && read.has(name));
    attributes.extend(known.map(|(name, value)| (name.to_owned(), text(value))));
    let created = image.created_at.filter(|_| read.has("created"));
    attributes.extend(created.map(|created| ("created".into(), datetime(created))));
    attributes
}

fn context(
    query: PolicyQuery<'_>,
    recipient: RestrictedExpression,
    set: &PolicySet,
) -> Result<Context, Box<dyn std::error::Error>> {
    let read = set.attributes(query.asked());
    let mut pairs = vec![("recipient".to_owned(), recipient)];
    if read.has("caller") {
        let credentials = query.authentication.iter().flat_map(|known| &known.credentials);
        let credentials = credentials.map(|kind| text(kind.as_str()));
        let caller = [("credentials".into(), RestrictedExpression::new_set(credentials))];
        pairs.push(("caller".into(), RestrictedExpression::new_record(caller)?));
    }
    if read.has("cause") {
        pairs.push(("cause".into(), text(query.cause.as_str())));
    }
    if read.has("hour") || read.has("weekday") {
        let micros = query.now.to_offset_date_time().unix_timestamp_nanos() / 1000;
        let local = jiff::Timestamp::from_microsecond(micros.try_into()?)?;
        let local = set.zone().to_datetime(local);
        let weekday = local.weekday().to_monday_one_offset();
        pairs.push(("hour".into(), RestrictedExpression::new_long(local.hour().into())));
        pairs.push(("weekday".into(), RestrictedExpression::new_long(weekday.into())));
    }
    let times = [
        ("now", Some(query.now).filter(|_| read.has("now"))),
        // Only what is recorded.
        ("end", query.expire_time.filter(|_| set.mentions(query.asked()).end)),
    ];
    let times = times.into_iter();
    pairs.extend(times.filter_map(|(name, time)| Some((name.to_owned(), datetime(time?)))));
    let texts = query.justification.texts().filter(|(name, _)| read.has(name));
    pairs.extend(texts.map(|(name, value)| (name.to_owned(), text(value))));
    Ok(Context::from_pairs(pairs)?)
}

fn text(text: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(text.to_owned())
}

/// A time of Cedar, which has milliseconds. Cedar parses it from text, which takes longer than all else.
fn datetime(time: Timestamp) -> RestrictedExpression {
    let displayed = time.to_string();
    let milliseconds = displayed.get(..23).unwrap_or(&displayed);
    RestrictedExpression::new_datetime(format!("{milliseconds}Z"))
}
