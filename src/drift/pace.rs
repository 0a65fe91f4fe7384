//! Reads AWS at a share of the pace that grants and revokes leave.

use std::time::Duration;

use crate::{
    domain::{AccountId, AwsError, AwsErrorKind, AwsResponse, Region},
    forwarder::Forwarder,
};

use super::DriftParts;

/// The longest wait for one call. Then changes take all of the pace, and the image is looked at later.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The code of a read that had no turn.
pub(super) const NO_TURN: &str = "ChangesGoFirst";

impl DriftParts {
    /// Makes one call when the forwarder permits it.
    pub(super) async fn paced<T>(
        &self,
        account: AccountId,
        region: &Region,
        call: impl Future<Output = AwsResponse<T>>,
    ) -> Result<T, AwsError> {
        let forwarder: &Forwarder = &self.forwarder;
        let mut waited = Duration::ZERO;
        let begun = loop {
            match forwarder.begin_spare_call(account, region) {
                Ok(begun) => break begun,
                Err(_) if waited >= MAX_WAIT => return Err(no_turn()),
                Err(delay) => {
                    let delay = delay.min(MAX_WAIT);
                    self.clock.sleep(delay).await;
                    waited += delay;
                }
            }
        };
        let response = call.await;
        forwarder.end_spare_call(account, region, begun, response.classification());
        response.result
    }
}

fn no_turn() -> AwsError {
    AwsError {
        kind: AwsErrorKind::NotSent,
        code: Some(NO_TURN.to_owned()),
        message: None,
    }
}
