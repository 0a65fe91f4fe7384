//! Reads the SigV4 `Authorization` header: who calls, and in which Region. The signature's shape is checked, its value is not.

use http::{HeaderMap, StatusCode};
use time::OffsetDateTime;

use super::account::Partition;
use super::keys::{self, KeyHolder, KeyProblem};
use super::pattern;
use super::refusal::Refusal;
use super::world::World;

const ALGORITHM: &str = "AWS4-HMAC-SHA256 ";

/// Whoever makes a call.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) account: String,
    pub(super) role: Option<(String, String)>,
    pub(super) partition: Partition,
    pub(super) region: String,
}

/// Why nobody could be recognized. The two services say it with different codes.
#[derive(Debug)]
pub(super) enum Stranger {
    Missing,
    Incomplete(String),
    WrongScope(String),
    Key(KeyProblem),
}

/// Recognizes the caller of a service, `workspaces` or `sts`.
pub(super) fn recognize(
    headers: &HeaderMap,
    service: &str,
    world: &World,
    now: OffsetDateTime,
) -> Result<Caller, Stranger> {
    let credential = Credential::read(headers)?;
    if credential.service != service {
        return Err(Stranger::WrongScope(format!(
            "Credential should be scoped to correct service: '{service}'."
        )));
    }
    let token = text(headers, "x-amz-security-token");
    let KeyHolder { account, role } = keys::holder(world, credential.access_key, token, now).map_err(Stranger::Key)?;
    let partition = world
        .accounts
        .get(&account)
        .map(|account| account.partition)
        .unwrap_or_default();
    if partition != Partition::of_region(credential.region) {
        return Err(Stranger::Key(KeyProblem::Unknown));
    }
    Ok(Caller {
        account,
        role,
        partition,
        region: credential.region.to_owned(),
    })
}

/// The `Credential=` of an Authorization header, taken apart.
struct Credential<'a> {
    access_key: &'a str,
    region: &'a str,
    service: &'a str,
}

impl<'a> Credential<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, Stranger> {
        if !headers.contains_key("authorization") {
            return Err(Stranger::Missing);
        }
        let header = text(headers, "authorization").ok_or_else(|| incomplete("Authorization is not plain text."))?;
        let parts = header
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| incomplete("Authorization header requires the algorithm AWS4-HMAC-SHA256."))?;
        check_signature(part(parts, "Signature")?)?;
        check_signed_headers(part(parts, "SignedHeaders")?)?;
        let date = text(headers, "x-amz-date")
            .filter(|date| is_amz_date(date))
            .ok_or_else(|| incomplete("Authorization header requires existence of a 'X-Amz-Date' header."))?;
        Self::split(part(parts, "Credential")?, date)
    }

    fn split(credential: &'a str, amz_date: &str) -> Result<Self, Stranger> {
        let parts: Vec<_> = credential.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = parts[..] else {
            return Err(incomplete(
                "Credential must be <access key>/<date>/<region>/<service>/aws4_request.",
            ));
        };
        if !amz_date.starts_with(date) || date.len() != 8 {
            return Err(Stranger::WrongScope(
                "Date in Credential scope does not match X-Amz-Date.".to_owned(),
            ));
        }
        if !pattern::REGION.accepts(region) {
            return Err(incomplete("Credential does not name a Region."));
        }
        if !pattern::ACCESS_KEY.accepts(access_key) {
            return Err(Stranger::Key(KeyProblem::Unknown));
        }
        Ok(Self {
            access_key,
            region,
            service,
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn part<'a>(parts: &'a str, name: &str) -> Result<&'a str, Stranger> {
    parts
        .split(',')
        .filter_map(|part| part.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
        .ok_or_else(|| incomplete(format!("Authorization header requires '{name}' parameter.")))
}

fn check_signature(signature: &str) -> Result<(), Stranger> {
    match signature.len() == 64 && signature.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err(incomplete("Signature must be 64 hexadecimal digits.")),
    }
}

fn check_signed_headers(names: &str) -> Result<(), Stranger> {
    match names.split(';').any(|name| name == "host") {
        true => Ok(()),
        false => Err(incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization.")),
    }
}

/// `20260131T235959Z`
fn is_amz_date(date: &str) -> bool {
    let shape = date.bytes().enumerate().all(|(index, byte)| match index {
        8 => byte == b'T',
        15 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    });
    shape && date.len() == 16
}

fn incomplete(message: impl Into<String>) -> Stranger {
    Stranger::Incomplete(message.into())
}

impl Stranger {
    /// As the JSON services say it.
    pub(super) fn in_json(self) -> Refusal {
        match self {
            Self::Missing => Refusal::new("MissingAuthenticationTokenException", "Missing Authentication Token"),
            Self::Incomplete(message) => Refusal::new("IncompleteSignatureException", message),
            Self::WrongScope(message) => Refusal::new("InvalidSignatureException", message),
            Self::Key(KeyProblem::Unknown) => Refusal::new("UnrecognizedClientException", INVALID_TOKEN),
            Self::Key(KeyProblem::Expired) => Refusal::new("ExpiredTokenException", EXPIRED_TOKEN),
        }
    }

    /// As STS says it.
    pub(super) fn in_query(self) -> Refusal {
        let refusal = match self {
            Self::Missing => Refusal::new("MissingAuthenticationToken", "Request is missing Authentication Token"),
            Self::Incomplete(message) => Refusal::new("IncompleteSignature", message),
            Self::WrongScope(message) => Refusal::new("SignatureDoesNotMatch", message),
            Self::Key(KeyProblem::Unknown) => Refusal::new("InvalidClientTokenId", INVALID_TOKEN),
            Self::Key(KeyProblem::Expired) => Refusal::new("ExpiredToken", EXPIRED_TOKEN),
        };
        refusal.status(StatusCode::FORBIDDEN)
    }
}

const INVALID_TOKEN: &str = "The security token included in the request is invalid.";
const EXPIRED_TOKEN: &str = "The security token included in the request is expired";
