//! The two operations of AWS STS that a caller of WorkSpaces needs: GetCallerIdentity and AssumeRole.
//!
//! STS speaks the query protocol: a form comes in, XML goes out. Every account trusts every other one; an account with an
//! `external_id` asks for it.

use std::collections::HashMap;

use http::StatusCode;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::caller::Caller;
use super::keys;
use super::pattern::{self, Text};
use super::refusal::Refusal;
use super::world::World;

const VERSION: &str = "2011-06-15";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The members of a form, and what they are called by.
#[derive(Debug)]
pub(super) struct Form(HashMap<String, String>);

impl Form {
    /// Reads a form. There is no body that is not one.
    pub(super) fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// The operation that is asked for.
    pub(super) fn action(&self) -> &str {
        self.get("Action").unwrap_or_default()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn text(&self, name: &str, rule: &Text) -> Result<Option<&str>, Refusal> {
        match self.get(name) {
            Some(text) if !rule.accepts(text) => Err(invalid(format!("The value at '{name}' is malformed."))),
            text => Ok(text),
        }
    }

    fn required(&self, name: &str, rule: &Text) -> Result<&str, Refusal> {
        self.text(name, rule)?
            .ok_or_else(|| invalid(format!("Value null at '{name}': Member must not be null")))
    }
}

/// Carries out an operation; the answer is the inner part of the XML.
pub(super) fn run(form: &Form, caller: &Caller, world: &World, now: OffsetDateTime) -> Result<String, Refusal> {
    if form.get("Version") != Some(VERSION) {
        return Err(unknown_action(form));
    }
    match form.action() {
        "GetCallerIdentity" => Ok(get_caller_identity(caller)),
        "AssumeRole" => assume_role(form, caller, world, now),
        _ => Err(unknown_action(form)),
    }
}

fn get_caller_identity(caller: &Caller) -> String {
    let (arn, user_id) = (arn(caller), user_id(caller));
    format!(
        "<Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account>",
        escape(&arn),
        escape(&user_id),
        escape(&caller.account)
    )
}

fn assume_role(form: &Form, caller: &Caller, world: &World, now: OffsetDateTime) -> Result<String, Refusal> {
    let role_arn = form.required("RoleArn", &pattern::ROLE_ARN)?;
    let session = form.required("RoleSessionName", &pattern::SESSION_NAME)?;
    let external_id = form.text("ExternalId", &pattern::EXTERNAL_ID)?;
    let expires = now + Duration::seconds(duration(form)?);
    let (account, role) = split_role(role_arn).ok_or_else(|| invalid("RoleArn is malformed."))?;
    let trusted = world
        .accounts
        .get(account)
        .filter(|account| account.partition == caller.partition);
    let external_id_fits = trusted.is_some_and(|account| {
        account
            .external_id
            .as_deref()
            .is_none_or(|wanted| external_id == Some(wanted))
    });
    if !external_id_fits {
        let message = format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {role_arn}",
            arn(caller)
        );
        return Err(Refusal::new("AccessDenied", message).status(StatusCode::FORBIDDEN));
    }
    Ok(session_xml(caller, account, role, session, expires))
}

fn session_xml(caller: &Caller, account: &str, role: &str, session: &str, expires: OffsetDateTime) -> String {
    let keys = keys::session_keys(account, role, session, expires);
    let assumed = Caller {
        account: account.to_owned(),
        role: Some((role.to_owned(), session.to_owned())),
        partition: caller.partition,
        region: caller.region.clone(),
    };
    let whole_seconds = expires.replace_nanosecond(0).unwrap_or(expires);
    format!(
        "<AssumedRoleUser><AssumedRoleId>{}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>\
         <Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials>",
        escape(&user_id(&assumed)),
        escape(&arn(&assumed)),
        keys.access_key,
        keys.secret_key,
        keys.session_token,
        whole_seconds.format(&Rfc3339).unwrap_or_default(),
    )
}

/// How long a session lasts: 15 minutes to 12 hours, an hour if not said.
fn duration(form: &Form) -> Result<i64, Refusal> {
    let seconds = form.get("DurationSeconds").unwrap_or("3600").parse().ok();
    seconds
        .filter(|seconds| (900..=43_200).contains(seconds))
        .ok_or_else(|| invalid("DurationSeconds must be from 900 to 43200."))
}

/// The account and the name of a role; a path before the name is dropped, as STS does.
fn split_role(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':').skip(4);
    let account = parts.next()?;
    let role = parts.next()?.strip_prefix("role/")?;
    Some((account, role.rsplit('/').next().unwrap_or(role)))
}

fn arn(caller: &Caller) -> String {
    let (partition, account) = (caller.partition.name(), &caller.account);
    match &caller.role {
        Some((role, session)) => format!("arn:{partition}:sts::{account}:assumed-role/{role}/{session}"),
        None => format!("arn:{partition}:iam::{account}:user/simulator"),
    }
}

fn user_id(caller: &Caller) -> String {
    match &caller.role {
        Some((_, session)) => format!("AROA{}:{session}", caller.account),
        None => format!("AIDA{}", caller.account),
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("ValidationError", message)
}

fn unknown_action(form: &Form) -> Refusal {
    let version = form.get("Version").unwrap_or_default();
    Refusal::new(
        "InvalidAction",
        format!("Could not find operation {} for version {version}", form.action()),
    )
}

/// The whole document around an answer.
pub(super) fn answer_xml(action: &str, inner: &str, request_id: &str) -> String {
    format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{inner}</{action}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    )
}

/// The whole document around a refusal.
pub(super) fn refusal_xml(refusal: &Refusal, request_id: &str) -> String {
    let side = if refusal.status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{side}</Type><Code>{}</Code><Message>{}</Message></Error>\
         <RequestId>{request_id}</RequestId></ErrorResponse>",
        escape(&refusal.code),
        escape(&refusal.message)
    )
}

/// Text for XML. What XML cannot hold at all becomes a replacement character.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(letter),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped
}
