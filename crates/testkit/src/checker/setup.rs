//! Accounts, images and recipients of a trial, few enough that clients collide, and the configuration of a replica,
//! with times short enough that every wait ends within seconds.

use std::{path::Path, time::Duration};

use sharewarden_simulator::{SimulatorSettings, sample};

use super::history::ImagePermission;
use crate::stack::CHECKPOINT_KEY;

/// Owners of images.
pub const ACCOUNTS: [&str; 2] = ["111122223333", "444455556666"];

/// How long a replica waits for one call to AWS.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(700);

/// `server.max_wait`, and 5 s for a busy machine.
pub const LONGEST_ANSWER: Duration = Duration::from_secs(10 + 5);

/// Maximum time until an unresolved call takes effect, counted from the end of the wait for its answer.
pub const LATE_EFFECT_WINDOW: Duration = Duration::from_secs(2);

/// Maximum staleness of a read. Below the minimum delay after which a replica trusts a read.
pub const STALE_FOR: Duration = Duration::from_millis(20);

const REGION: &str = "eu-central-1";
/// Images, each with its owner.
pub const IMAGES: [(&str, &str); 3] = [
    (ACCOUNTS[0], "wsi-basewin11"),
    (ACCOUNTS[0], "wsi-devtool01"),
    (ACCOUNTS[1], "wsi-finance01"),
];
pub const RECIPIENTS: [&str; 2] = ["000011112222", "210987654321"];

/// The policy does not let this account share with this recipient.
const DENIED: (&str, &str) = (ACCOUNTS[1], RECIPIENTS[0]);

/// Recipients of images of the first account, with whom clients seldom share.
const QUIET_RECIPIENTS: [&str; 4] = ["500000000001", "500000000002", "500000000003", "500000000004"];

/// Recipients of images of the first account, with whom somebody shares past the service, and clients seldom. The number of these
/// permissions is below that at which nothing is revoked without a caller.
const OUTSIDE_RECIPIENTS: [&str; 2] = ["600000000001", "600000000002"];

/// Permissions that somebody changes past the service.
pub fn outside_permissions() -> Vec<ImagePermission> {
    let of_image = |(account, image)| OUTSIDE_RECIPIENTS.map(|recipient| permission(account, image, recipient));
    IMAGES[..2].iter().copied().flat_map(of_image).collect()
}

/// Permissions that clients change all the time. The policy denies to grant one of them.
pub fn permissions() -> Vec<ImagePermission> {
    let of_image = |(account, image)| RECIPIENTS.map(|recipient| permission(account, image, recipient));
    IMAGES.into_iter().flat_map(of_image).collect()
}

/// Permissions that clients change seldom.
pub fn quiet_permissions() -> Vec<ImagePermission> {
    let of_image = |(account, image)| QUIET_RECIPIENTS.map(|recipient| permission(account, image, recipient));
    IMAGES[..2].iter().copied().flat_map(of_image).collect()
}

fn permission(account: &str, image: &str, recipient: &str) -> ImagePermission {
    ImagePermission {
        account: account.into(),
        region: REGION.into(),
        image: image.into(),
        shared_account: recipient.into(),
    }
}

/// The simulator's settings, with an unlimited call log.
pub fn settings() -> SimulatorSettings {
    SimulatorSettings {
        call_log_limit: 50_000_000,
        // CloudTrail is read meanwhile.
        trail_limit: 1_000_000,
        trail_delay_milliseconds: 500,
        ..sample()
    }
}

/// The configuration of a replica, with its directory of policies. Without one, an older build must know each key too.
pub fn config(database: &str, simulator: &str, policies: Option<&Path>) -> String {
    let (timeout, window) = (ATTEMPT_TIMEOUT.as_millis(), LATE_EFFECT_WINDOW.as_millis());
    let (first, second, allowed) = (ACCOUNTS[0], ACCOUNTS[1], RECIPIENTS[1]);
    assert_eq!(DENIED.0, second);
    let newer = match policies {
        Some(directory) => format!(
            "policy.directory = {directory:?}\npolicy.reload_every = \"100ms\"\n\
             drift.interval = \"1s\"\ndrift.confirm_after = \"100ms\""
        ),
        None => String::new(),
    };
    let on_drift = policies.map_or("", |_| "on_drift = \"revoke\"");
    format!(
        r#"
server.listen = "127.0.0.1:0"
server.max_wait = "10s"
server.calls_per_second_per_principal = 5000
server.shutdown_grace = "3s"
denials.burst = 5
denials.refill_every = "1s"
denials.summary_every = "500ms"
auth.modes = ["trusted-header"]
roles = [{{ principal = "*", roles = ["viewer", "operator", "auditor"] }}]
database.url = "{database}"
database.max_connections = 10
database.acquire_timeout = "700ms"
database.statement_timeout = "1500ms"
committer.commit_timeout = "2s"
forwarder.attempt_timeout = "{timeout}ms"
forwarder.read_timeout = "{timeout}ms"
forwarder.lease_margin = "200ms"
forwarder.lease = "1800ms"
forwarder.backoff_base = "50ms"
forwarder.min_calls_per_second = 500
forwarder.circuit_cool_down = "20ms"
forwarder.circuit_cool_down_cap = "200ms"
forwarder.backoff_cap = "400ms"
forwarder.late_effect_window = "{window}ms"
forwarder.give_up_after = "6s"
forwarder.recover_every = "150ms"
log.filter = "info"
checkpoint.name = "sharewarden.test"
checkpoint.every = "1s"
checkpoint.key = {CHECKPOINT_KEY}
aws.endpoint_url = "{simulator}"
aws.sts_endpoint_url = "{simulator}"
{newer}

[[accounts]]
id = "{first}"
regions = ["{REGION}"]
share_with = "anyone"
role_arn = "arn:aws:iam::{first}:role/sharewarden"
{on_drift}

[[accounts]]
id = "{second}"
regions = ["{REGION}"]
share_with = ["{allowed}"]
role_arn = "arn:aws:iam::{second}:role/sharewarden"
"#
    )
}
