//! The cases of a file: requests with the decisions that are expected. An unknown key, and a value that breaks its rule, is an
//! error with its line.

use std::{collections::BTreeMap, fmt::Display, fs, path::Path, str::FromStr};

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::{Spanned, value::Datetime};

use super::BoxError;
use crate::{
    domain::{
        AccountId, Action, Authentication, Cause, Claim, ClaimName, Claims, CredentialKind, ImageId, Invalid,
        Justification, PermissionKey, PolicyId, Principal, Reason, Region, Ticket, Timestamp,
        decision::{Facts, ImageAttributes},
    },
    policy::{NearPolicy, PolicyQuery, PolicySet, PolicyVerdict},
};

/// Why a fact of a case is not known.
const NOT_GIVEN: &str = "it is not given";

/// A request to decide.
#[derive(Debug)]
pub(super) struct RequestCase {
    pub(super) principal: Principal,
    /// None: not known.
    pub(super) credentials: Option<Vec<CredentialKind>>,
    /// None: not known.
    pub(super) claims: Option<Claims>,
    pub(super) action: AskedAction,
    pub(super) key: PermissionKey,
    pub(super) justification: Justification,
    pub(super) expire_time: Option<Timestamp>,
    pub(super) time: Timestamp,
    pub(super) facts: Facts,
}

impl RequestCase {
    /// The decision of the set.
    pub(super) fn decide(&self, set: &PolicySet) -> PolicyVerdict {
        self.ask(|query| set.decide(query))
    }

    /// The policies that would permit it.
    pub(super) fn near(&self, set: &PolicySet) -> Vec<NearPolicy> {
        self.ask(|query| set.near(query, true))
    }

    fn ask<T>(&self, ask: impl FnOnce(PolicyQuery<'_>) -> T) -> T {
        let is_known = self.credentials.is_some() || self.claims.is_some();
        let authentication = is_known.then(|| Authentication {
            claims: self.claims.clone().unwrap_or_default(),
            credentials: self.credentials.clone().unwrap_or_default(),
        });
        ask(PolicyQuery {
            principal: &self.principal,
            action: self.action.action(),
            key: &self.key,
            cause: self.action.cause(),
            justification: &self.justification,
            expire_time: self.expire_time,
            now: self.time,
            authentication: authentication.as_ref(),
            facts: Some(&self.facts),
        })
    }
}

/// A case of a file.
#[derive(Debug)]
pub(super) struct TestCase {
    pub(super) name: String,
    /// The line at which it begins.
    pub(super) line: usize,
    pub(super) request: RequestCase,
    pub(super) expected: Expected,
}

/// What a case expects.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) is_allowed: bool,
    /// The policies that decide, in the order of their ids. None: any.
    pub(super) policies: Option<Vec<PolicyId>>,
}

impl Expected {
    pub(super) fn is_met_by(&self, verdict: &PolicyVerdict) -> bool {
        let policies = self.policies.as_ref();
        self.is_allowed == verdict.is_allowed()
            && policies.is_none_or(|policies| *policies == verdict.decision.policies)
    }
}

/// Reads the cases of a file.
pub(super) fn read(file: &Path) -> Result<Vec<TestCase>, BoxError> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| format!("{name} cannot be read: {error}"))?;
    parse(&text).map_err(|(line, rule)| format!("{name}:{line}: {rule}").into())
}

/// The cases of a text. An error has its line.
fn parse(text: &str) -> Result<Vec<TestCase>, (usize, String)> {
    let line = |at: usize| text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
    let file: CaseFile = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (line(at), error.message().to_owned())
    })?;
    let mut cases: Vec<TestCase> = Vec::new();
    for case in file.cases {
        let line = line(case.span().start);
        let case = case.into_inner();
        if let Some(first) = cases.iter().find(|first| first.name == case.name) {
            let rule = format!("the case {:?} is also in line {}", case.name, first.line);
            return Err((line, rule));
        }
        let wrong = format!("the case {:?}", case.name);
        cases.push(
            case.over(&file.defaults, line)
                .map_err(|rule| (line, format!("{wrong} {rule}")))?,
        );
    }
    match cases.is_empty() {
        true => Err((1, "the file has no [[cases]]".into())),
        false => Ok(cases),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    #[serde(default)]
    defaults: RequestToml,
    #[serde(default)]
    cases: Vec<Spanned<CaseToml>>,
}

/// A request. What it leaves out is that of `defaults`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestToml {
    principal: Option<RuledText<Principal>>,
    credentials: Option<Vec<RuledText<CredentialName>>>,
    claims: Option<BTreeMap<RuledName, ClaimToml>>,
    action: Option<AskedAction>,
    image: Option<RuledText<ImagePath>>,
    recipient: Option<RuledText<AccountId>>,
    reason: Option<RuledText<Reason>>,
    ticket: Option<RuledText<Ticket>>,
    time: Option<Datetime>,
    end: Option<Datetime>,
    facts: Option<FactsToml>,
    tags: Option<BTreeMap<String, String>>,
}

/// A case. serde cannot flatten a strict structure, so the keys of a request stand here again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseToml {
    name: String,
    decision: DecisionToml,
    policies: Option<Vec<String>>,
    principal: Option<RuledText<Principal>>,
    credentials: Option<Vec<RuledText<CredentialName>>>,
    claims: Option<BTreeMap<RuledName, ClaimToml>>,
    action: Option<AskedAction>,
    image: Option<RuledText<ImagePath>>,
    recipient: Option<RuledText<AccountId>>,
    reason: Option<RuledText<Reason>>,
    ticket: Option<RuledText<Ticket>>,
    time: Option<Datetime>,
    end: Option<Datetime>,
    facts: Option<FactsToml>,
    tags: Option<BTreeMap<String, String>>,
}

/// The name of a claim, as a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct RuledName(ClaimName);

impl TryFrom<String> for RuledName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: Invalid| error.to_string())
    }
}

/// The values of a claim: a text or a list of texts. An empty list is a claim that the caller does not have.
#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "must be a text or a list of texts")]
enum ClaimToml {
    One(String),
    Several(Vec<String>),
}

/// The actions that can be asked for.
#[derive(Debug, Clone, Copy, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum AskedAction {
    Grant,
    Revoke,
    Adopt,
}

impl AskedAction {
    /// What the change would do.
    pub(super) fn action(self) -> Action {
        match self {
            Self::Grant | Self::Adopt => Action::Grant,
            Self::Revoke => Action::Revoke,
        }
    }

    /// Why it would exist.
    pub(super) fn cause(self) -> Cause {
        match self {
            Self::Grant | Self::Revoke => Cause::Caller,
            Self::Adopt => Cause::Adoption,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DecisionToml {
    Allowed,
    Refused,
}

/// What AWS reports, by the names of the schema.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct FactsToml {
    state: String,
    operating_system: String,
    tenancy: String,
    created: Datetime,
    #[serde(default)]
    name: String,
}

impl CaseToml {
    /// The case; what it leaves out is that of `defaults`.
    fn over(self, defaults: &RequestToml, line: usize) -> Result<TestCase, String> {
        let needed = |key: &str| format!("has no {key}, nor have the defaults");
        let facts = match self.facts.as_ref().or(defaults.facts.as_ref()) {
            Some(facts) => Some(facts.attributes()?),
            None => None,
        };
        let path = or(self.image, &defaults.image).ok_or_else(|| needed("image"))?;
        let recipient = or(self.recipient, &defaults.recipient).ok_or_else(|| needed("recipient"))?;
        let time = self.time.or(defaults.time).ok_or_else(|| needed("time"))?;
        let request = RequestCase {
            principal: or(self.principal, &defaults.principal).ok_or_else(|| needed("principal"))?,
            credentials: credentials(self.credentials.as_deref().or(defaults.credentials.as_deref())),
            claims: self.claims.as_ref().or(defaults.claims.as_ref()).map(claims),
            action: self.action.or(defaults.action).ok_or_else(|| needed("action"))?,
            key: path.shared_with(recipient)?,
            justification: Justification::new(
                or(self.reason, &defaults.reason).ok_or_else(|| needed("reason"))?,
                or(self.ticket, &defaults.ticket),
            ),
            expire_time: self.end.or(defaults.end).map(timestamp).transpose()?,
            time: timestamp(time)?,
            facts: facts_of(facts, self.tags.or_else(|| defaults.tags.clone())),
        };
        let policies = self.policies.map(|ids| {
            let mut ids: Vec<_> = ids.into_iter().map(PolicyId::from).collect();
            ids.sort();
            ids
        });
        Ok(TestCase {
            name: self.name,
            line,
            request,
            expected: Expected {
                is_allowed: self.decision == DecisionToml::Allowed,
                policies,
            },
        })
    }
}

fn or<T: Clone>(own: Option<RuledText<T>>, default: &Option<RuledText<T>>) -> Option<T> {
    own.or_else(|| default.clone()).map(|parsed| parsed.0)
}

fn credentials(given: Option<&[RuledText<CredentialName>]>) -> Option<Vec<CredentialKind>> {
    given.map(|kinds| kinds.iter().map(|kind| kind.0.0).collect())
}

/// The claims of a caller that has no others.
fn claims(given: &BTreeMap<RuledName, ClaimToml>) -> Claims {
    Claims::all(given.iter().map(|(RuledName(name), claim)| {
        let values = match claim {
            ClaimToml::One(value) => vec![value.clone()],
            ClaimToml::Several(values) => values.clone(),
        };
        (name.as_str().to_owned(), Claim::of(values))
    }))
}

/// What is known of the image, and why the rest is not.
pub(super) fn facts_of(image: Option<ImageAttributes>, tags: Option<BTreeMap<String, String>>) -> Facts {
    let is_complete = image.is_some() && tags.is_some();
    Facts {
        expire_time: None,
        unknown: (!is_complete).then(|| NOT_GIVEN.to_owned()),
        image,
        tags,
    }
}

fn timestamp(time: Datetime) -> Result<Timestamp, String> {
    let text = time.to_string();
    let parsed = Timestamp::parse(&text);
    parsed.ok_or_else(|| format!("has the time {text}, which is not one such as 2026-11-30T10:00:00+01:00"))
}

impl FactsToml {
    fn attributes(&self) -> Result<ImageAttributes, String> {
        Ok(ImageAttributes {
            created_at: Some(timestamp(self.created)?),
            name: self.name.clone(),
            operating_system: self.operating_system.clone(),
            required_tenancy: self.tenancy.clone(),
            state: self.state.clone(),
        })
    }
}

/// A text that follows the rule of its type.
#[derive(Debug, Clone)]
struct RuledText<T>(T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for RuledText<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

/// The name of a kind of credential.
#[derive(Debug, Clone, Copy)]
pub(super) struct CredentialName(pub(super) CredentialKind);

impl FromStr for CredentialName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kind = CredentialKind::parse(text);
        kind.map(Self)
            .ok_or_else(|| format!("{text:?} must be CERTIFICATE, TOKEN or TRUSTED_HEADER"))
    }
}

/// An image, as ACCOUNT/REGION/IMAGE.
#[derive(Debug, Clone)]
pub(super) struct ImagePath {
    pub(super) account: AccountId,
    pub(super) region: Region,
    pub(super) image: ImageId,
}

impl ImagePath {
    /// The permission for a recipient, which is not the owner.
    pub(super) fn shared_with(self, recipient: AccountId) -> Result<PermissionKey, String> {
        if recipient == self.account {
            return Err(format!("has the owner {recipient} as the recipient"));
        }
        Ok(PermissionKey {
            account: self.account,
            region: self.region,
            image: self.image,
            shared_account: recipient,
        })
    }
}

impl FromStr for ImagePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        let (Some(account), Some(region), Some(image), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(format!("{text:?} must be ACCOUNT/REGION/IMAGE"));
        };
        Ok(Self {
            account: part(account)?,
            region: part(region)?,
            image: part(image)?,
        })
    }
}

fn part<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}
