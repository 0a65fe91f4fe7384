//! The two STS operations that a caller of WorkSpaces needs: GetCallerIdentity and AssumeRole.
//!
//! STS uses the AWS Query protocol: a form as the request, XML as the response. Every account trusts every other
//! account. An account with an `external_id` requires it.

use std::collections::HashMap;

use http::StatusCode;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    access_keys::{self, AssumedSession},
    api_error::ApiError,
    caller::CallerIdentity,
    inventory::Inventory,
    text_rule::{self, TextRule},
};

const VERSION: &str = "2011-06-15";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The members of a form by name.
#[derive(Debug)]
pub(super) struct QueryForm(HashMap<String, String>);

impl QueryForm {
    pub(super) fn read(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    pub(super) fn action(&self) -> &str {
        self.get("Action").unwrap_or_default()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn text(&self, name: &str, rule: &TextRule) -> Result<Option<&str>, ApiError> {
        match self.get(name) {
            Some(text) if !rule.accepts(text) => Err(invalid(format!("The value at '{name}' is malformed."))),
            text => Ok(text),
        }
    }

    fn required(&self, name: &str, rule: &TextRule) -> Result<&str, ApiError> {
        self.text(name, rule)?
            .ok_or_else(|| invalid(format!("Value null at '{name}': Member must not be null")))
    }
}

/// Runs an operation. Returns the inner part of the XML.
pub(super) fn run(
    form: &QueryForm,
    caller: &CallerIdentity,
    inventory: &Inventory,
    now: OffsetDateTime,
) -> Result<String, ApiError> {
    if form.get("Version") != Some(VERSION) {
        return Err(unknown_action(form));
    }
    match form.action() {
        "GetCallerIdentity" => Ok(get_caller_identity(caller)),
        "AssumeRole" => assume_role(form, caller, inventory, now),
        _ => Err(unknown_action(form)),
    }
}

fn get_caller_identity(caller: &CallerIdentity) -> String {
    let (arn, user_id) = (caller.arn(), caller.user_id());
    format!(
        "<Arn>{}</Arn><UserId>{}</UserId><Account>{}</Account>",
        escape(&arn),
        escape(&user_id),
        escape(&caller.account)
    )
}

fn assume_role(
    form: &QueryForm,
    caller: &CallerIdentity,
    inventory: &Inventory,
    now: OffsetDateTime,
) -> Result<String, ApiError> {
    let role_arn = form.required("RoleArn", &text_rule::ROLE_ARN)?;
    let session = form.required("RoleSessionName", &text_rule::SESSION_NAME)?;
    let external_id = form.text("ExternalId", &text_rule::EXTERNAL_ID)?;
    let expires = now + Duration::seconds(duration(form)?);
    let (account, role) = split_role(role_arn).ok_or_else(|| invalid("RoleArn is malformed."))?;
    let trusted = inventory
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
            caller.arn()
        );
        return Err(ApiError::new("AccessDenied", message).status(StatusCode::FORBIDDEN));
    }
    let assumed = AssumedSession {
        role: role.to_owned(),
        session: session.to_owned(),
        created: now,
    };
    Ok(session_xml(caller, account, assumed, expires))
}

fn session_xml(caller: &CallerIdentity, account: &str, assumed: AssumedSession, expires: OffsetDateTime) -> String {
    let keys = access_keys::session_keys(account, &assumed, expires);
    let assumed = CallerIdentity {
        account: account.to_owned(),
        access_key: keys.access_key.clone(),
        role: Some(assumed),
        partition: caller.partition,
        region: caller.region.clone(),
    };
    let whole_seconds = expires.replace_nanosecond(0).unwrap_or(expires);
    format!(
        "<AssumedRoleUser><AssumedRoleId>{}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>\
         <Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials>",
        escape(&assumed.user_id()),
        escape(&assumed.arn()),
        keys.access_key,
        keys.secret_key,
        keys.session_token,
        whole_seconds.format(&Rfc3339).unwrap_or_default(),
    )
}

/// The duration of a session in seconds: 900 to 43200, by default 3600.
fn duration(form: &QueryForm) -> Result<i64, ApiError> {
    let seconds = form.get("DurationSeconds").unwrap_or("3600").parse().ok();
    seconds
        .filter(|seconds| (900..=43_200).contains(seconds))
        .ok_or_else(|| invalid("DurationSeconds must be from 900 to 43200."))
}

/// The account, and the path and name of the role, of an ARN.
fn split_role(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':').skip(4);
    let account = parts.next()?;
    let role = parts.next()?.strip_prefix("role/")?;
    Some((account, role))
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationError", message)
}

fn unknown_action(form: &QueryForm) -> ApiError {
    let version = form.get("Version").unwrap_or_default();
    ApiError::new(
        "InvalidAction",
        format!("Could not find operation {} for version {version}", form.action()),
    )
}

pub(super) fn answer_xml(action: &str, inner: &str, request_id: &str) -> String {
    format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{inner}</{action}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    )
}

pub(super) fn error_xml(error: &ApiError, request_id: &str) -> String {
    let side = if error.status.is_server_error() {
        "Receiver"
    } else {
        "Sender"
    };
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{side}</Type><Code>{}</Code><Message>{}</Message></Error>\
         <RequestId>{request_id}</RequestId></ErrorResponse>",
        escape(&error.code),
        escape(&error.message)
    )
}

/// Escapes XML. Characters that XML does not allow become U+FFFD.
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
