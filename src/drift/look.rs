//! One look at an image: what is known of it, all pages of AWS, and what follows.
//!
//! The permissions are read before AWS is asked. So the committer can tell whether one has changed since.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    domain::{
        AccountId, AwsError, AwsErrorKind, FailureReason,
        image::ReportedImage,
        transition::{Command, CommandReply},
    },
    store::{
        StoreError,
        drift::{
            images::{self, DriftImage, Look},
            scans::NextLook,
        },
    },
    workspaces::PageCursor,
};

use super::{DriftParts, compare::compare};

/// When a look is repeated whose news could not be recorded.
const AGAIN_AFTER_COMMIT: Duration = Duration::from_secs(5);

impl DriftParts {
    /// Looks at an image. The error is that of AWS, if not all pages could be read; then nothing was concluded.
    pub(super) async fn look(&self, key: &DriftImage, next: &NextLook) -> Result<Result<(), AwsError>, StoreError> {
        let known = images::known(&self.database, key).await?;
        let shown = match self.recipients(key).await {
            Ok(shown) => shown,
            Err(error) => return Ok(Err(error)),
        };
        let compared = compare(key, &known, &shown, next.scan_id, self.settings.confirm_after);
        let mut look = Look {
            seen: compared.seen,
            over: compared.over,
            recipients: u32::try_from(shown.len()).unwrap_or(u32::MAX),
            again_after: None,
        };
        if compared.waiting > 0 || !look.seen.is_empty() {
            look.again_after = Some(self.settings.confirm_after);
        }
        for observation in compared.confirmed {
            let (account, recipient) = (observation.key.account, observation.key.shared_account);
            let command = Command::Observe(observation.clone());
            match self.commits.commit(command).await {
                Ok(reply) => {
                    report(&reply, &observation.key.to_string(), observation.shown.as_str());
                    look.over.push(recipient);
                    if reply == CommandReply::ObservationOutdated {
                        look.again_after = Some(self.settings.confirm_after);
                    }
                }
                Err(error) => {
                    tracing::info!(account_id = %account, %error, "a difference is not recorded yet; the image is looked at again");
                    look.again_after = Some(AGAIN_AFTER_COMMIT);
                }
            }
        }
        images::save(&self.database, key, next.scan_id, next.due_at, known.read_at, &look).await?;
        Ok(Ok(()))
    }

    /// All accounts that AWS shares the image with. None for an image that does not exist: two operations must say so.
    async fn recipients(&self, key: &DriftImage) -> Result<BTreeSet<AccountId>, AwsError> {
        let (mut cursor, mut shown) = (PageCursor::default(), BTreeSet::new());
        while !cursor.is_at_end() {
            let page = self
                .workspaces
                .next_recipients(key.account, &key.region, &key.image, &mut cursor);
            match self.paced(key.account, &key.region, page).await {
                Ok(recipients) => shown.extend(recipients),
                Err(error) if error.kind == AwsErrorKind::Refused(FailureReason::ImageNotFound) => {
                    return match self.exists(key).await? {
                        true => Err(error),
                        false => Ok(BTreeSet::new()),
                    };
                }
                Err(error) => return Err(error),
            }
        }
        Ok(shown)
    }

    async fn exists(&self, key: &DriftImage) -> Result<bool, AwsError> {
        let read = self
            .workspaces
            .image(key.account, &key.region, &key.image, Duration::ZERO);
        Ok(*read.await? != ReportedImage::NotFound)
    }
}

fn report(reply: &CommandReply, permission: &str, shown: &str) {
    match reply {
        CommandReply::DriftFound(index) => {
            tracing::warn!(permission, shown, log_index = index, "AWS and the ledger differ");
        }
        CommandReply::DriftResolved(index) => {
            tracing::info!(
                permission,
                shown,
                log_index = index,
                "AWS and the ledger do not differ any more"
            );
        }
        _ => tracing::debug!(permission, shown, ?reply, "an observation was not recorded"),
    }
}
