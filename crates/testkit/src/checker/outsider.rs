//! A caller of AWS past the service, and the operator that lets the service revoke what it finds.

use std::time::Duration;

use fastrand::Rng;
use sharewarden_client::proto::v1::{ConfirmDriftBaselineRequest, drift_service_client::DriftServiceClient};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::{
    clients::{Channels, with_deadline},
    setup::{ACCOUNTS, outside_permissions},
};
use crate::outsider::Outsider;

/// Maximum time from the last call past the service until all of them are found, and revoked.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Shares and takes away at random, once the service may revoke. Returns the number of calls that AWS accepted.
pub async fn meddle(simulator: String, channels: Channels, mut rng: Rng, stop: CancellationToken) -> u64 {
    let confirmed = async {
        while !confirm(&channels).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if stop.run_until_cancelled(confirmed).await.is_none() {
        return 0;
    }
    let outsider = Outsider::new(&simulator, ACCOUNTS[0]);
    let mut accepted = 0;
    while !stop.is_cancelled() {
        let permission = rng.choice(outside_permissions()).unwrap();
        let is_shared = rng.u32(..3) > 0;
        let called = outsider.try_set(&permission.image, &permission.shared_account, is_shared);
        accepted += u64::from(called.await);
        let pause = Duration::from_millis(rng.u64(500..4_000));
        let _ = stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
    accepted
}

/// Confirms the baseline by any replica that runs.
async fn confirm(channels: &Channels) -> bool {
    let request = ConfirmDriftBaselineRequest {
        account_id: ACCOUNTS[0].into(),
        reason: "a trial".into(),
        ticket: String::new(),
    };
    for channel in channels {
        let running = channel.borrow().clone();
        if let Some(channel) = running {
            let request = with_deadline(request.clone(), Duration::from_secs(5));
            if DriftServiceClient::new(channel)
                .confirm_drift_baseline(request)
                .await
                .is_ok()
            {
                return true;
            }
        }
    }
    false
}

/// Waits until a scan that began now is complete everywhere, nothing is left to confirm, and no unrecorded share is left whose
/// revoke did not fail.
pub async fn compared(database: &mut PgConnection, complaints: &mut Vec<String>) {
    let now: time::OffsetDateTime = super::trial::time_of(database).await;
    let is_compared = async {
        loop {
            let compared: bool = sqlx::query_scalar(
                "SELECT NOT EXISTS (SELECT FROM drift_scan WHERE completed_started_at IS NULL OR completed_started_at < $1)
                     AND NOT EXISTS (SELECT FROM drift_sighting)
                     AND NOT EXISTS (SELECT FROM drift_finding AS f WHERE resolution IS NULL AND difference = 'UNRECORDED_SHARE'
                         AND NOT EXISTS (SELECT FROM change AS c WHERE c.cause = 'DRIFT' AND c.state = 'FAILED' AND c.created_at
                         > f.found_at
                             AND (c.account_id, c.region, c.image_id, c.shared_account_id)
                                 = (f.account_id, f.region, f.image_id, f.shared_account_id)))",
            )
            .bind(now)
            .fetch_one(&mut *database)
            .await
            .unwrap();
            if compared {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(TIMEOUT, is_compared).await.is_err() {
        complaints.push(format!(
            "what somebody did past the service was not found or revoked within {TIMEOUT:?}"
        ));
    }
}
