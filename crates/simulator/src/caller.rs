//! Authentication by the SigV4 `Authorization` header: account and Region. A signature is checked for its format, not its value.

use http::{HeaderMap, StatusCode};
use time::OffsetDateTime;

use crate::{
    access_keys::{self, AccessKeyError, AssumedSession, KeyOwner},
    account::Partition,
    api_error::ApiError,
    inventory::Inventory,
    request::header,
    text_rule,
};

const ALGORITHM: &str = "AWS4-HMAC-SHA256 ";

#[derive(Clone, Debug)]
pub(super) struct CallerIdentity {
    pub(super) account: String,
    pub(super) access_key: String,
    pub(super) role: Option<AssumedSession>,
    pub(super) partition: Partition,
    pub(super) region: String,
}

/// The name of every IAM user.
pub(super) const USER_NAME: &str = "simulator";

impl CallerIdentity {
    /// The ARN of the user, or of the role's session.
    pub(super) fn arn(&self) -> String {
        let (partition, account) = (self.partition.name(), &self.account);
        match &self.role {
            Some(assumed) => {
                let (role, session) = (assumed.role_name(), &assumed.session);
                format!("arn:{partition}:sts::{account}:assumed-role/{role}/{session}")
            }
            None => format!("arn:{partition}:iam::{account}:user/{USER_NAME}"),
        }
    }

    /// The unique id of the user, or of the role's session.
    pub(super) fn user_id(&self) -> String {
        match &self.role {
            Some(assumed) => format!("{}:{}", self.role_id(), assumed.session),
            None => format!("AIDA{}", self.account),
        }
    }

    /// The unique id of the role.
    pub(super) fn role_id(&self) -> String {
        format!("AROA{}", self.account)
    }
}

/// Why authentication failed. STS and the other services use different codes for it.
#[derive(Debug)]
pub(super) enum AuthError {
    Missing,
    Incomplete(String),
    WrongScope(String),
    Key(AccessKeyError),
}

/// Authenticates a call to a service, such as `workspaces`.
pub(super) fn authenticate(
    headers: &HeaderMap,
    service: &str,
    inventory: &Inventory,
    now: OffsetDateTime,
) -> Result<CallerIdentity, AuthError> {
    let credential = Credential::read(headers)?;
    if credential.service != service {
        return Err(AuthError::WrongScope(format!(
            "Credential should be scoped to correct service: '{service}'."
        )));
    }
    let token = header(headers, "x-amz-security-token");
    let KeyOwner { account, role } =
        access_keys::key_owner(inventory, credential.access_key, token, now).map_err(AuthError::Key)?;
    let partition = inventory
        .accounts
        .get(&account)
        .map(|account| account.partition)
        .unwrap_or_default();
    if partition != Partition::of_region(credential.region) {
        return Err(AuthError::Key(AccessKeyError::Unknown));
    }
    Ok(CallerIdentity {
        account,
        access_key: credential.access_key.to_owned(),
        role,
        partition,
        region: credential.region.to_owned(),
    })
}

/// The parsed Authorization header.
struct Credential<'a> {
    access_key: &'a str,
    region: &'a str,
    service: &'a str,
}

impl<'a> Credential<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, AuthError> {
        if !headers.contains_key("authorization") {
            return Err(AuthError::Missing);
        }
        let authorization =
            header(headers, "authorization").ok_or_else(|| incomplete("Authorization is not plain text."))?;
        let parts = authorization
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| incomplete("Authorization header requires the algorithm AWS4-HMAC-SHA256."))?;
        check_signature(part(parts, "Signature")?)?;
        check_signed_headers(part(parts, "SignedHeaders")?)?;
        let date = header(headers, "x-amz-date")
            .filter(|date| is_amz_date(date))
            .ok_or_else(|| incomplete("Authorization header requires existence of a 'X-Amz-Date' header."))?;
        Self::split(part(parts, "Credential")?, date)
    }

    fn split(credential: &'a str, amz_date: &str) -> Result<Self, AuthError> {
        let parts: Vec<_> = credential.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = parts[..] else {
            return Err(incomplete(
                "Credential must be <access key>/<date>/<region>/<service>/aws4_request.",
            ));
        };
        if !amz_date.starts_with(date) || date.len() != 8 {
            return Err(AuthError::WrongScope(
                "Date in Credential scope does not match X-Amz-Date.".to_owned(),
            ));
        }
        if !text_rule::REGION.accepts(region) {
            return Err(incomplete("Credential does not name a Region."));
        }
        if !text_rule::ACCESS_KEY.accepts(access_key) {
            return Err(AuthError::Key(AccessKeyError::Unknown));
        }
        Ok(Self {
            access_key,
            region,
            service,
        })
    }
}

fn part<'a>(parts: &'a str, name: &str) -> Result<&'a str, AuthError> {
    parts
        .split(',')
        .filter_map(|part| part.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
        .ok_or_else(|| incomplete(format!("Authorization header requires '{name}' parameter.")))
}

fn check_signature(signature: &str) -> Result<(), AuthError> {
    match signature.len() == 64 && signature.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(incomplete("Signature must be 64 hexadecimal digits.")),
    }
}

fn check_signed_headers(names: &str) -> Result<(), AuthError> {
    match names.split(';').any(|name| name == "host") {
        true => Ok(()),
        false => Err(incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization.")),
    }
}

/// True for `20260131T235959Z` and the like.
fn is_amz_date(date: &str) -> bool {
    let shape = date.bytes().enumerate().all(|(index, byte)| match index {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    });
    shape && date.len() == 16
}

fn incomplete(message: impl Into<String>) -> AuthError {
    AuthError::Incomplete(message.into())
}

impl AuthError {
    /// The error of AWS JSON 1.1 services.
    pub(super) fn in_json(self) -> ApiError {
        match self {
            Self::Missing => ApiError::new("MissingAuthenticationTokenException", "Missing Authentication Token"),
            Self::Incomplete(message) => ApiError::new("IncompleteSignatureException", message),
            Self::WrongScope(message) => ApiError::new("InvalidSignatureException", message),
            Self::Key(AccessKeyError::Unknown) => ApiError::new("UnrecognizedClientException", INVALID_TOKEN),
            Self::Key(AccessKeyError::Expired) => ApiError::new("ExpiredTokenException", EXPIRED_TOKEN),
        }
    }

    /// The error of STS.
    pub(super) fn in_query(self) -> ApiError {
        let error = match self {
            Self::Missing => ApiError::new("MissingAuthenticationToken", "Request is missing Authentication Token"),
            Self::Incomplete(message) => ApiError::new("IncompleteSignature", message),
            Self::WrongScope(message) => ApiError::new("SignatureDoesNotMatch", message),
            Self::Key(AccessKeyError::Unknown) => ApiError::new("InvalidClientTokenId", INVALID_TOKEN),
            Self::Key(AccessKeyError::Expired) => ApiError::new("ExpiredToken", EXPIRED_TOKEN),
        };
        error.status(StatusCode::FORBIDDEN)
    }
}

const INVALID_TOKEN: &str = "The security token included in the request is invalid.";
const EXPIRED_TOKEN: &str = "The security token included in the request is expired";
