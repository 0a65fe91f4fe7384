//! The steps of one account and Region. Every step is in the database when it ends, so another replica can go on at any point.

use std::time::Duration;

use crate::{
    domain::{AwsError, AwsErrorKind, ImageId, ScanId},
    store::{
        StoreError,
        drift::{
            images::{self, DriftImage},
            scans::{self, ClaimedScan, NewScan, NextLook, ScanStep},
        },
    },
    workspaces::PageCursor,
};

use super::{DriftParts, pace::NO_TURN};

/// How long a replica keeps an account and Region without a sign of life.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// How long a replica goes on with an account and Region before it claims again.
const TURN: Duration = Duration::from_secs(20);

/// The looks of a scan that nobody asked for are spread over this part of the interval. The rest is for repeated looks.
const SPREAD: f64 = 0.8;

/// The first delay after an image could not be read; it doubles.
const FIRST_DELAY: Duration = Duration::from_secs(5);
/// The longest such delay.
const LONGEST_DELAY: Duration = Duration::from_mins(5);
/// The delay after AWS did not answer about an account and Region.
const NO_ANSWER_DELAY: Duration = Duration::from_secs(10);

/// The turn of a replica with one account and Region.
pub(super) struct Steps {
    parts: DriftParts,
    scan: ClaimedScan,
}

impl Steps {
    pub(super) fn new(parts: DriftParts, scan: ClaimedScan) -> Self {
        Self { parts, scan }
    }

    /// Takes steps until nothing is due, or the turn is over.
    pub(super) async fn take(self) -> Result<(), StoreError> {
        let since = self.parts.clock.monotonic_now();
        loop {
            let Some(step) = scans::step(&self.parts.database, &self.scan, LEASE).await? else {
                return Ok(());
            };
            if self.parts.clock.monotonic_now().since(since) >= TURN {
                return self.release(Duration::ZERO, None).await;
            }
            if self.is_due(&step) {
                if let Err(error) = self.begin(&step).await? {
                    return self.cannot_go_on(&error).await;
                }
                continue;
            }
            match &step.next {
                Some(next) if next.due_at <= step.now => {
                    if let Err(error) = self.look(next).await? {
                        return self.cannot_go_on(&error).await;
                    }
                }
                Some(next) => return self.release(next.due_at.since(step.now), None).await,
                None if step.scan_id.is_some() => return self.complete().await,
                None => {
                    let begun = step.completed_started_at.unwrap_or(step.now);
                    let passed = step.now.since(begun);
                    return self
                        .release(self.parts.settings.interval.saturating_sub(passed), None)
                        .await;
                }
            }
        }
    }

    /// True if a scan is to begin: somebody asked for it, or none is in progress and the interval has passed.
    fn is_due(&self, step: &ScanStep) -> bool {
        let has_passed = |begun| step.now.since(begun) >= self.parts.settings.interval;
        step.requested_at.is_some() || (step.scan_id.is_none() && step.completed_started_at.is_none_or(has_passed))
    }

    async fn begin(&self, step: &ScanStep) -> Result<Result<(), AwsError>, StoreError> {
        let images = match self.owned_images().await {
            Ok(images) => images,
            Err(error) => return Ok(Err(error)),
        };
        // The first scan is not spread: somebody waits for it.
        let is_spread = step.requested_at.is_none() && step.completed_started_at.is_some();
        let new = NewScan {
            id: ScanId(self.parts.clock.uuid()),
            started_at: step.now,
            images: &images,
            is_requested: step.requested_at.is_some(),
            spread: match is_spread {
                true => self.parts.settings.interval.mul_f64(SPREAD),
                false => Duration::ZERO,
            },
        };
        scans::begin(&self.parts.database, &self.scan, &new).await?;
        tracing::debug!(
            account_id = %self.scan.account, region = %self.scan.region, scan_id = %new.id, images = images.len(),
            "a comparison of AWS with the ledger has begun"
        );
        Ok(Ok(()))
    }

    async fn owned_images(&self) -> Result<Vec<ImageId>, AwsError> {
        let (account, region) = (self.scan.account, &self.scan.region);
        let (mut cursor, mut images) = (PageCursor::default(), Vec::new());
        while !cursor.is_at_end() {
            let page = self.parts.workspaces.next_owned_images(account, region, &mut cursor);
            images.extend(self.parts.paced(account, region, page).await?);
        }
        Ok(images)
    }

    /// Looks at an image. The error says why it could not be read, if other images cannot be read either.
    async fn look(&self, next: &NextLook) -> Result<Result<(), AwsError>, StoreError> {
        let key = DriftImage {
            account: self.scan.account,
            region: self.scan.region.clone(),
            image: next.image.clone(),
        };
        let Err(error) = self.parts.look(&key, next).await? else {
            return Ok(Ok(()));
        };
        if !matches!(error.kind, AwsErrorKind::Refused(_)) {
            return Ok(Err(error));
        }
        let delay = FIRST_DELAY * 2_u32.saturating_pow(next.failures.min(10));
        images::failed(&self.parts.database, &key, code(&error), delay.min(LONGEST_DELAY)).await?;
        if next.failures == 0 {
            tracing::warn!(
                account_id = %key.account, region = %key.region, image_id = %key.image, error = error.words(),
                "AWS did not list the permissions of an image; the scan reads it again later"
            );
        }
        Ok(Ok(()))
    }

    async fn complete(&self) -> Result<(), StoreError> {
        let interval = self.parts.settings.interval;
        match scans::complete(&self.parts.database, &self.scan, interval).await? {
            Some(completed) => tracing::info!(
                account_id = %self.scan.account, region = %self.scan.region, scan_id = %completed.id, took = ?completed.took,
                "AWS was compared with the ledger completely"
            ),
            // Somebody asked for another look at an image.
            None => self.release(Duration::ZERO, None).await?,
        }
        Ok(())
    }

    /// Gives the account and Region back after an error of AWS. The row says so.
    async fn cannot_go_on(&self, error: &AwsError) -> Result<(), StoreError> {
        let code = code(error);
        if code == NO_TURN {
            return self.release(Duration::ZERO, None).await;
        }
        if self.scan.error_code.as_deref() != Some(code) {
            tracing::warn!(
                account_id = %self.scan.account, region = %self.scan.region, error = error.words(),
                "AWS cannot be compared with the ledger; it is tried again"
            );
        }
        self.release(NO_ANSWER_DELAY, Some(code)).await
    }

    async fn release(&self, delay: Duration, error_code: Option<&str>) -> Result<(), StoreError> {
        scans::release(&self.parts.database, &self.scan, delay, error_code).await
    }
}

/// The code of AWS, or one of ours. At most as long as its column.
pub(super) fn code(error: &AwsError) -> &str {
    let code = error.code.as_deref().unwrap_or("NoCode");
    code.get(..128).unwrap_or(code)
}
