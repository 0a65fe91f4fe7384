//! Access keys: which account a key belongs to.
//!
//! Nothing is secret and no signature is verified. Three kinds of keys work:
//!
//! 1. `AKIA` and the twelve digits of an existing account, such as `AKIA111122223333`. Capital letters and digits may
//!    follow. Any secret works.
//! 2. A key that is listed in the account's `access_keys`.
//! 3. `ASIA…` keys from AssumeRole, together with their session token. The token has the session (account, role,
//!    expiry) in plain base64, so that sessions survive a restart and need no memory.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{inventory::Inventory, text_rule};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyOwner {
    pub(super) account: String,
    /// For a key from AssumeRole.
    pub(super) role: Option<AssumedSession>,
}

/// The session of an assumed role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AssumedSession {
    /// The role's path and name, such as `team/ImageSharing`.
    pub(super) role: String,
    pub(super) session: String,
    pub(super) created: OffsetDateTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccessKeyError {
    Unknown,
    Expired,
}

#[derive(Debug, Serialize, Deserialize)]
struct RoleSession {
    access_key: String,
    account: String,
    role: String,
    session: String,
    /// Unix seconds.
    created: i64,
    /// Unix seconds.
    expires: i64,
}

pub(super) struct SessionCredentials {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) session_token: String,
}

/// Finds the owner of a key, with its session token if it has one.
pub(super) fn key_owner(
    inventory: &Inventory,
    access_key: &str,
    session_token: Option<&str>,
    now: OffsetDateTime,
) -> Result<KeyOwner, AccessKeyError> {
    let key_owner = match access_key.strip_prefix("ASIA") {
        Some(_) => session_holder(access_key, session_token.ok_or(AccessKeyError::Unknown)?, now)?,
        None => KeyOwner {
            account: lasting_holder(inventory, access_key).ok_or(AccessKeyError::Unknown)?,
            role: None,
        },
    };
    inventory
        .accounts
        .contains_key(&key_owner.account)
        .then_some(key_owner)
        .ok_or(AccessKeyError::Unknown)
}

/// Creates the credentials of a role session.
pub(super) fn session_keys(account: &str, assumed: &AssumedSession, expires: OffsetDateTime) -> SessionCredentials {
    let access_key = format!("ASIA{account}{}", random(8, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"));
    let session = RoleSession {
        access_key: access_key.clone(),
        account: account.to_owned(),
        role: assumed.role.clone(),
        session: assumed.session.clone(),
        created: assumed.created.unix_timestamp(),
        expires: expires.unix_timestamp(),
    };
    let token = serde_json::to_vec(&session).unwrap_or_default();
    SessionCredentials {
        access_key,
        secret_key: random(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
        session_token: BASE64_STANDARD.encode(token),
    }
}

/// `count` random characters of an alphabet.
pub(super) fn random(count: usize, alphabet: &[u8]) -> String {
    (0..count)
        .filter_map(|_| fastrand::choice(alphabet))
        .map(|letter| char::from(*letter))
        .collect()
}

fn lasting_holder(inventory: &Inventory, access_key: &str) -> Option<String> {
    let registered = inventory.holder_of(access_key).map(str::to_owned);
    registered.or_else(|| made_up_holder(access_key))
}

fn made_up_holder(access_key: &str) -> Option<String> {
    let rest = access_key.strip_prefix("AKIA")?;
    let (account, tail) = rest.split_at_checked(12)?;
    let plain = tail
        .chars()
        .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
    (plain && text_rule::ACCOUNT.accepts(account)).then(|| account.to_owned())
}

fn session_holder(access_key: &str, token: &str, now: OffsetDateTime) -> Result<KeyOwner, AccessKeyError> {
    let token = BASE64_STANDARD.decode(token).map_err(|_| AccessKeyError::Unknown)?;
    let session: RoleSession = serde_json::from_slice(&token).map_err(|_| AccessKeyError::Unknown)?;
    if session.access_key != access_key {
        return Err(AccessKeyError::Unknown);
    }
    if session.expires <= now.unix_timestamp() {
        return Err(AccessKeyError::Expired);
    }
    let created = OffsetDateTime::from_unix_timestamp(session.created).map_err(|_| AccessKeyError::Unknown)?;
    Ok(KeyOwner {
        account: session.account,
        role: Some(AssumedSession {
            role: session.role,
            session: session.session,
            created,
        }),
    })
}

impl AssumedSession {
    /// The role's name without its path, as in the ARN of a session.
    pub(super) fn role_name(&self) -> &str {
        self.role.rsplit('/').next().unwrap_or(&self.role)
    }
}
