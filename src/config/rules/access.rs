//! Rules for the ports, authentication, roles, groups and refusals.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use crate::{
    config::{AuthMode, ClientAuth, Config, ShareWithConfig},
    domain::{Principal, PrincipalPattern},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Maximum characters of a value of a claim.
const MAX_VALUE: usize = 256;

/// At least the largest answer.
const UNSENT_BYTES: RangeInclusive<usize> = 4 * 1024 * 1024..=16 * 1024 * 1024 * 1024;

pub(super) fn problems(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    modes(config, check);
    tls(config, check);
    policy(config, check);
    tokens(config, check);
    bounds(config, check);
    roles(config, check);
    groups(config, check);
}

fn modes(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    let (auth, listen) = (&config.auth, config.server.listen);
    let different: BTreeSet<_> = auth.modes.iter().collect();
    check(
        !auth.modes.is_empty() && different.len() == auth.modes.len(),
        "auth.modes",
        "must name at least one of mtls, jwt and trusted-header, each once".into(),
    );
    check(
        listen.ip().is_loopback() || !auth.has(AuthMode::TrustedHeader),
        "server.listen",
        format!(
            "must be a loopback address if auth.modes has trusted-header (its name is not verified); it is {listen}"
        ),
    );
    check(
        listen.ip().is_loopback() || config.server.tls.is_some(),
        "server.listen",
        format!("must be a loopback address without server.tls (the traffic would not be encrypted); it is {listen}"),
    );
    let asks_for_certificates = config
        .server
        .tls
        .as_ref()
        .is_some_and(|tls| tls.client_auth != ClientAuth::None);
    check(
        asks_for_certificates || !auth.has(AuthMode::Mtls),
        "auth.modes",
        "has mtls, so server.tls.client_auth must be optional or required".into(),
    );
    check(
        auth.jwt.is_some() == auth.has(AuthMode::Jwt),
        "auth.jwt",
        "must be set if auth.modes has jwt, and only then".into(),
    );
}

fn tls(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    let Some(tls) = &config.server.tls else { return };
    check(
        tls.client_ca.is_some() == (tls.client_auth != ClientAuth::None),
        "server.tls.client_ca",
        "must be set if server.tls.client_auth is optional or required, and only then".into(),
    );
    within(
        "server.tls.reload_every",
        tls.reload_every,
        Duration::from_millis(50)..=HOUR,
        check,
    );
}

fn policy(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    within(
        "policy.reload_every",
        config.policy.reload_every,
        Duration::from_millis(50)..=HOUR,
        check,
    );
}

fn tokens(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    let Some(jwt) = &config.auth.jwt else { return };
    for (key, text) in [
        ("auth.jwt.issuer", &jwt.issuer),
        ("auth.jwt.audience", &jwt.audience),
        ("auth.jwt.jwks", &jwt.jwks),
        ("auth.jwt.principal_claim", &jwt.principal_claim),
    ] {
        check(!text.trim().is_empty(), key, "must not be empty".into());
    }
    check(
        jwt.jwks_is_url() || jwt.jwks_ca.is_none(),
        "auth.jwt.jwks_ca",
        "must not be set: auth.jwt.jwks is a file".into(),
    );
    within("auth.jwt.jwks_refresh", jwt.jwks_refresh, SECOND..=DAY, check);
    within(
        "auth.jwt.jwks_retry",
        jwt.jwks_retry,
        Duration::from_millis(100)..=HOUR,
        check,
    );
    check(
        jwt.jwks_max_age >= jwt.jwks_refresh,
        "auth.jwt.jwks_max_age",
        format!(
            "must be at least auth.jwt.jwks_refresh ({:?}); it is {:?}",
            jwt.jwks_refresh, jwt.jwks_max_age
        ),
    );
    within("auth.jwt.leeway", jwt.leeway, Duration::ZERO..=5 * MINUTE, check);
}

fn bounds(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    let server = &config.server;
    within(
        "server.handshake_timeout",
        server.handshake_timeout,
        Duration::from_millis(100)..=MINUTE,
        check,
    );
    within(
        "server.keepalive_interval",
        server.keepalive_interval,
        SECOND..=HOUR,
        check,
    );
    within(
        "server.keepalive_timeout",
        server.keepalive_timeout,
        SECOND..=HOUR,
        check,
    );
    let denials = &config.denials;
    within(
        "denials.refill_every",
        denials.refill_every,
        Duration::from_millis(1)..=DAY,
        check,
    );
    within(
        "denials.summary_every",
        denials.summary_every,
        Duration::from_millis(100)..=HOUR,
        check,
    );
    within(
        "server.unread_timeout",
        server.unread_timeout,
        Duration::from_millis(100)..=HOUR,
        check,
    );
    let (all, share) = (server.max_unsent_bytes, server.max_unsent_bytes_per_principal);
    check(
        UNSENT_BYTES.contains(&all),
        "server.max_unsent_bytes",
        format!("must be {}..{}; it is {all}", UNSENT_BYTES.start(), UNSENT_BYTES.end()),
    );
    check(
        (*UNSENT_BYTES.start()..=all).contains(&share),
        "server.max_unsent_bytes_per_principal",
        format!(
            "must be {}..server.max_unsent_bytes ({all}); it is {share}",
            UNSENT_BYTES.start()
        ),
    );
    let message = server.max_message_size;
    check(
        (1024..=4 * 1024 * 1024).contains(&message),
        "server.max_message_size",
        format!("must be 1024..4194304; it is {message}"),
    );
    let header = server.max_header_size;
    check(
        (4096..=1024 * 1024).contains(&header),
        "server.max_header_size",
        format!("must be 4096..1048576; it is {header}"),
    );
}

fn roles(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    let configured: BTreeSet<_> = config.accounts.iter().map(|account| account.id).collect();
    for role in &config.roles {
        let principal = role.principal.as_ref().map(PrincipalPattern::as_str);
        let (principal, group) = (principal.unwrap_or_default(), role.group.as_deref().unwrap_or_default());
        check(
            role.principal.is_some() != role.group.is_some(),
            "roles.principal",
            "or roles.group must be in each entry, and only one of the two".into(),
        );
        check(
            principal != Principal::SERVICE,
            "roles.principal",
            format!("must not be {principal}, the name of the service itself"),
        );
        check(
            role.group.is_none() || is_of_principals(config, group),
            "roles.group",
            format!("must be the name of a group of principals ([[groups]]); it is {group:?}"),
        );
        let principal = format!("{principal}{group}");
        check(
            !role.roles.is_empty(),
            "roles.roles",
            format!("must name at least one role for {principal}"),
        );
        let Some(accounts) = &role.accounts else { continue };
        check(
            !accounts.is_empty(),
            "roles.accounts",
            format!("must name at least one account for {principal}; without the key, all accounts count"),
        );
        for account in accounts.iter().filter(|account| !configured.contains(account)) {
            check(
                false,
                "roles.accounts",
                format!("must be among accounts.id; for {principal} it names {account}"),
            );
        }
    }
}

fn groups(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    let mut seen = BTreeSet::new();
    for group in &config.groups {
        let name = &group.name;
        let is_of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        check(
            (1..=64).contains(&name.len()) && name.bytes().all(is_of_name),
            "groups.name",
            format!("must be 1 to 64 lower-case letters, digits, hyphens and underscores; it is {name:?}"),
        );
        check(
            seen.insert(name),
            "groups.name",
            format!("must be unique; {name:?} is there twice"),
        );
        check(
            group.accounts.is_empty() != (group.principals.is_empty() && group.claim.is_none()),
            "groups.principals",
            format!(
                "or groups.claim, or groups.accounts must be there, and not accounts beside one of the other two; this is about \
                 {name:?}"
            ),
        );
        check(
            group.claim.is_some() != group.values.is_empty(),
            "groups.values",
            format!("must name at least one value of groups.claim, and needs that key; this is about {name:?}"),
        );
        for value in &group.values {
            check(
                (1..=MAX_VALUE).contains(&value.chars().count())
                    && !value.contains(|c: char| c == '*' || c.is_control()),
                "groups.values",
                format!(
                    "must have 1 to {MAX_VALUE} characters each, without * (values are compared exactly) and control characters; \
                     this is about {name:?}"
                ),
            );
        }
    }
    recipients(config, check);
}

/// The groups that recipients name.
fn recipients(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    for account in &config.accounts {
        let ShareWithConfig::Only { groups, .. } = &account.share_with else {
            continue;
        };
        for name in groups {
            let is_known = config
                .groups
                .iter()
                .any(|group| group.name == *name && !group.accounts.is_empty());
            check(
                is_known,
                "accounts.share_with",
                format!(
                    "must have accounts, and names of groups of accounts ([[groups]]); for account {} it names {name:?}",
                    account.id
                ),
            );
        }
    }
}

fn is_of_principals(config: &Config, name: &str) -> bool {
    let named = config.groups.iter().find(|group| group.name == name);
    named.is_some_and(|group| group.accounts.is_empty())
}

fn within(key: &str, value: Duration, range: RangeInclusive<Duration>, check: &mut impl FnMut(bool, &str, String)) {
    check(
        range.contains(&value),
        key,
        format!("must be {:?}..{:?}; it is {value:?}", range.start(), range.end()),
    );
}
