//! Rules that a value's type cannot express.

use std::{collections::BTreeSet, fmt::Write, time::Duration};

use super::{Config, telemetry};
use crate::domain::{AccountId, Region, transition::LONGEST_WAIT};

mod access;
mod urls;

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, such as `forwarder.lease`.
    pub key: String,
    /// The rule, and the value that breaks it.
    pub rule: String,
}

/// The problems, one a line.
pub(super) fn list(problems: &[Problem]) -> String {
    problems.iter().fold(String::new(), |mut text, Problem { key, rule }| {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {key} {rule}");
        text
    })
}

pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut check = |holds: bool, key: &str, rule: String| {
        if !holds {
            problems.push(Problem { key: key.into(), rule });
        }
    };
    access::problems(config, &mut check);
    origins(config, &mut check);
    numbers(config, &mut check);
    times(config, &mut check);
    drift(config, &mut check);
    checkpoint(config, &mut check);
    accounts(config, &mut check);
    telemetry::rules(config, &mut check);
    urls::problems(config, &mut check);
    problems
}

fn origins(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    for origin in &config.server.allowed_origins {
        check(
            is_origin(origin),
            "server.allowed_origins",
            format!(
                "must be origins as browsers write them: https://host or https://host:port, in lower case, without a path and \
                 without the port 443; http:// for this machine only; no \"*\"; one is {origin:?}"
            ),
        );
    }
}

/// True for an origin as browsers write it. They compare origins as strings, so another spelling would never match.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return false;
    };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return false;
    };
    let host = authority.host();
    let (is_trusted, usual_port) = match scheme {
        "https" => (true, 443),
        "http" => (["localhost", "127.0.0.1", "[::1]"].contains(&host), 80),
        _ => (false, 0),
    };
    let written = match authority.port_u16() {
        None => format!("{scheme}://{host}"),
        Some(port) => format!("{scheme}://{host}:{port}"),
    };
    is_trusted
        && !host.contains('*')
        && authority.port_u16() != Some(usual_port)
        && text == written
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn numbers(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    let (committer, forwarder) = (&config.committer, &config.forwarder);
    let lanes = committer.lanes;
    let mut bounded = |key: &str, value: usize, most: usize| {
        check(
            (1..=most).contains(&value),
            key,
            format!("must be 1..{most}; it is {value}"),
        );
    };
    let server = &config.server;
    bounded("server.max_connections", server.max_connections, 1_000_000);
    bounded(
        "server.max_calls_per_connection",
        server.max_calls_per_connection as usize,
        1_000_000,
    );
    bounded("server.max_calls", server.max_calls, 1_000_000);
    bounded("server.max_open_streams", server.max_open_streams, 1_000_000);
    bounded(
        "server.max_open_streams_per_principal",
        server.max_open_streams_per_principal,
        server.max_open_streams,
    );
    bounded(
        "server.max_calls_per_principal",
        server.max_calls_per_principal,
        1_000_000,
    );
    bounded(
        "server.calls_per_second_per_principal",
        server.calls_per_second_per_principal as usize,
        1_000_000,
    );
    bounded("denials.burst", config.denials.burst as usize, 1_000_000);
    bounded("committer.lanes", lanes, 64);
    bounded("committer.queue", committer.queue, 1_000_000);
    bounded("committer.max_batch", committer.max_batch, 4096);
    bounded("forwarder.max_in_flight", forwarder.max_in_flight, 10_000);
    bounded("forwarder.max_backlog", forwarder.max_backlog, 10_000_000);
    let calls = forwarder.calls_per_second as usize;
    bounded("forwarder.calls_per_second", calls, 1_000_000);
    let least = forwarder.min_calls_per_second as usize;
    bounded("forwarder.min_calls_per_second", least, calls.max(1));
    bounded("forwarder.burst", forwarder.burst as usize, 1_000_000);
    bounded(
        "forwarder.circuit_failures",
        forwarder.circuit_failures as usize,
        1_000_000,
    );
    let connections = config.database.max_connections;
    check(
        connections as usize >= lanes + 4,
        "database.max_connections",
        format!(
            "must be at least committer.lanes + 4 (one per lane, one for notifications, three to read); it is {connections}"
        ),
    );
}

fn times(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    let (database, forwarder) = (&config.database, &config.forwarder);
    let zero = [
        ("server.max_wait", config.server.max_wait),
        ("log.pending_warning_after", config.log.pending_warning_after),
        ("database.acquire_timeout", database.acquire_timeout),
        ("database.statement_timeout", database.statement_timeout),
        ("committer.commit_timeout", config.committer.commit_timeout),
        ("forwarder.attempt_timeout", forwarder.attempt_timeout),
        ("forwarder.read_timeout", forwarder.read_timeout),
        ("forwarder.late_effect_window", forwarder.late_effect_window),
        ("forwarder.backoff_base", forwarder.backoff_base),
        ("forwarder.recover_every", forwarder.recover_every),
        ("forwarder.circuit_cool_down", forwarder.circuit_cool_down),
    ];
    for (key, value) in zero {
        check(
            value >= Duration::from_millis(1),
            key,
            format!("must be at least 1ms; it is {value:?}"),
        );
    }
    // A lock timeout is half of a statement timeout, and must be reached before the commit's timeout.
    check(
        config.committer.commit_timeout >= database.statement_timeout,
        "committer.commit_timeout",
        format!(
            "must be at least database.statement_timeout ({:?}); it is {:?}",
            database.statement_timeout, config.committer.commit_timeout
        ),
    );
    for (key, value) in [
        ("forwarder.lease", forwarder.lease),
        ("forwarder.late_effect_window", forwarder.late_effect_window),
    ] {
        check(
            value <= LONGEST_WAIT,
            key,
            format!("must be at most {LONGEST_WAIT:?}; it is {value:?}"),
        );
    }
    check(
        forwarder.backoff_cap >= forwarder.backoff_base,
        "forwarder.backoff_cap",
        format!(
            "must be at least forwarder.backoff_base ({:?}); it is {:?}",
            forwarder.backoff_base, forwarder.backoff_cap
        ),
    );
    check(
        forwarder.circuit_cool_down_cap >= forwarder.circuit_cool_down,
        "forwarder.circuit_cool_down_cap",
        format!(
            "must be at least forwarder.circuit_cool_down ({:?}); it is {:?}",
            forwarder.circuit_cool_down, forwarder.circuit_cool_down_cap
        ),
    );
    // A step that starts at once has time for a call, a read-back and the recording of the result. A step that had to wait has
    // time for the call; the next lease can do its read-back.
    let least = forwarder.attempt_timeout + forwarder.read_timeout + forwarder.lease_margin;
    check(
        forwarder.lease >= least,
        "forwarder.lease",
        format!(
            "must be at least forwarder.attempt_timeout + read_timeout + lease_margin ({least:?}); it is {:?}",
            forwarder.lease
        ),
    );
}

fn drift(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    let drift = &config.drift;
    let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
    check(
        (second..=hour * 24 * 7).contains(&drift.interval),
        "drift.interval",
        format!("must be 1s..7d; it is {:?}", drift.interval),
    );
    check(
        (Duration::from_millis(100)..=hour).contains(&drift.confirm_after),
        "drift.confirm_after",
        format!("must be 100ms..1h; it is {:?}", drift.confirm_after),
    );
}

fn checkpoint(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    let checkpoint = &config.checkpoint;
    let name = &checkpoint.name;
    check(
        (1..=200).contains(&name.chars().count())
            && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+'),
        "checkpoint.name",
        format!("must have 1..200 characters without spaces and plus signs; it is {name:?}"),
    );
    check(
        checkpoint.key.is_some() != checkpoint.key_file.is_some(),
        "checkpoint.key",
        "or checkpoint.key_file must be there, and not both; `sharewarden key generate` makes a key".into(),
    );
    let every = checkpoint.every;
    check(
        (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&every),
        "checkpoint.every",
        format!("must be 1s..1h; it is {every:?}"),
    );
}

fn accounts(config: &Config, check: &mut impl FnMut(bool, &str, String)) {
    check(
        !config.accounts.is_empty(),
        "accounts",
        "must name at least one account".into(),
    );
    let mut seen = BTreeSet::new();
    for account in &config.accounts {
        let id = account.id;
        check(
            seen.insert(id),
            "accounts.id",
            format!("must be unique; {id} is there twice"),
        );
        check(
            !account.regions.is_empty(),
            "accounts.regions",
            format!("must name at least one Region for account {id}"),
        );
        let partitions: BTreeSet<_> = account.regions.iter().map(Region::partition).collect();
        check(
            partitions.len() <= 1,
            "accounts.regions",
            format!("must be of one partition for account {id}: an account is in one of {partitions:?}"),
        );
        let role = account.role_arn.as_deref();
        check(
            role.is_none_or(|role| is_role_of(role, id, &partitions)),
            "accounts.role_arn",
            format!(
                "must be a role of account {id} in the partition of its Regions: arn:aws:iam::{id}:role/NAME (aws-cn in China, \
                 aws-us-gov in GovCloud)"
            ),
        );
        check(
            account.external_id.is_none() || account.role_arn.is_some(),
            "accounts.external_id",
            format!("needs accounts.role_arn for account {id}: it is used only to assume a role"),
        );
    }
}

/// True for the ARN of a role (IAM identifiers): a path and a name of at most 64 characters.
fn is_role_of(arn: &str, account: AccountId, partitions: &BTreeSet<&str>) -> bool {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", owner, resource] = parts[..] else {
        return false;
    };
    let Some(path) = resource.strip_prefix("role/") else {
        return false;
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    owner == account.as_str()
        && partitions.iter().all(|known| *known == partition)
        && (1..=64).contains(&name.len())
        && name.chars().all(is_name)
        && path.len() <= 576
        && path.chars().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_belongs_to_the_account_and_to_the_partition_of_its_regions() {
        let account: AccountId = "111122223333".parse().unwrap();
        let aws = BTreeSet::from(["aws"]);
        for right in [
            "arn:aws:iam::111122223333:role/sharewarden",
            "arn:aws:iam::111122223333:role/a/b/Name_+=,.@-1",
        ] {
            assert!(is_role_of(right, account, &aws), "{right}");
        }
        for wrong in [
            "arn:aws:iam::444455556666:role/sharewarden",
            "arn:aws-cn:iam::111122223333:role/sharewarden",
            "arn:aws:iam::111122223333:user/sharewarden",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/with space",
            "arn:aws:sts::111122223333:role/x",
            "arn:aws:iam:eu-central-1:111122223333:role/x",
            "sharewarden",
        ] {
            assert!(!is_role_of(wrong, account, &aws), "{wrong}");
        }
    }

    #[test]
    fn only_origins_as_browsers_write_them_are_accepted() {
        for right in [
            "https://audit.example.com",
            "https://audit.example.com:8443",
            "https://10.0.0.7",
            "https://[2001:db8::1]:8443",
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://[::1]:3000",
        ] {
            assert!(is_origin(right), "{right}");
        }
        for wrong in [
            "",
            "*",
            "null",
            "https://*",
            "https://*.example.com",
            "https://audit.example.com/",
            "https://audit.example.com/path",
            "https://audit.example.com?",
            "https://audit.example.com:443",
            "https://audit.example.com:",
            "https://Audit.example.com",
            "HTTPS://audit.example.com",
            "https://user@audit.example.com",
            "http://audit.example.com",
            "http://localhost:80",
            "ftp://audit.example.com",
            "audit.example.com",
            "https://",
            "https://audit.example.com, https://other.example.com",
            "https://audit.example.com\n",
        ] {
            assert!(!is_origin(wrong), "{wrong:?}");
        }
    }
}
