//! Whose access key is it?
//!
//! Nothing is secret here and no signature is verified: a key *says* which account it belongs to. Three kinds work:
//!
//! 1. `AKIA` and the twelve digits of an account the simulator knows, such as `AKIA111122223333`; capital letters and
//!    digits may follow. Make one up: any secret goes with it.
//! 2. A key listed in the account's `access_keys`.
//! 3. `ASIA…`, as AssumeRole hands them out, together with the session token that came with it. The token carries what the
//!    session is (account, role, expiry) in plain base64, so sessions outlive a restart and cost no memory.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::pattern;
use super::world::World;

/// Who a key belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyHolder {
    pub(super) account: String,
    /// The role and the session's name, when the key came from AssumeRole.
    pub(super) role: Option<(String, String)>,
}

/// Why a key does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyProblem {
    Unknown,
    Expired,
}

/// What a session token says.
#[derive(Debug, Serialize, Deserialize)]
struct Session {
    access_key: String,
    account: String,
    role: String,
    session: String,
    /// Seconds since 1970.
    expires: i64,
}

/// What AssumeRole hands out.
pub(super) struct SessionKeys {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) session_token: String,
}

/// Finds the account that a key (and session token) stands for.
pub(super) fn holder(
    world: &World,
    access_key: &str,
    session_token: Option<&str>,
    now: OffsetDateTime,
) -> Result<KeyHolder, KeyProblem> {
    let holder = match access_key.strip_prefix("ASIA") {
        Some(_) => session_holder(access_key, session_token.ok_or(KeyProblem::Unknown)?, now)?,
        None => KeyHolder {
            account: lasting_holder(world, access_key).ok_or(KeyProblem::Unknown)?,
            role: None,
        },
    };
    world
        .accounts
        .contains_key(&holder.account)
        .then_some(holder)
        .ok_or(KeyProblem::Unknown)
}

/// Makes the keys of a role's session.
pub(super) fn session_keys(account: &str, role: &str, session: &str, expires: OffsetDateTime) -> SessionKeys {
    let access_key = format!("ASIA{account}{}", random(8, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"));
    let session = Session {
        access_key: access_key.clone(),
        account: account.to_owned(),
        role: role.to_owned(),
        session: session.to_owned(),
        expires: expires.unix_timestamp(),
    };
    let token = serde_json::to_vec(&session).unwrap_or_default();
    SessionKeys {
        access_key,
        secret_key: random(40, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"),
        session_token: BASE64_STANDARD.encode(token),
    }
}

/// So many letters out of an alphabet.
pub(super) fn random(count: usize, alphabet: &[u8]) -> String {
    (0..count)
        .filter_map(|_| fastrand::choice(alphabet))
        .map(|letter| char::from(*letter))
        .collect()
}

fn lasting_holder(world: &World, access_key: &str) -> Option<String> {
    let registered = world.holder_of(access_key).map(str::to_owned);
    registered.or_else(|| made_up_holder(access_key))
}

fn made_up_holder(access_key: &str) -> Option<String> {
    let rest = access_key.strip_prefix("AKIA")?;
    let (account, tail) = rest.split_at_checked(12)?;
    let plain = tail
        .chars()
        .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit());
    (plain && pattern::ACCOUNT.accepts(account)).then(|| account.to_owned())
}

fn session_holder(access_key: &str, token: &str, now: OffsetDateTime) -> Result<KeyHolder, KeyProblem> {
    let token = BASE64_STANDARD.decode(token).map_err(|_| KeyProblem::Unknown)?;
    let session: Session = serde_json::from_slice(&token).map_err(|_| KeyProblem::Unknown)?;
    if session.access_key != access_key {
        return Err(KeyProblem::Unknown);
    }
    if session.expires <= now.unix_timestamp() {
        return Err(KeyProblem::Expired);
    }
    Ok(KeyHolder {
        account: session.account,
        role: Some((session.role, session.session)),
    })
}
