//! What AWS's own rules say about a change. A validation asks AWS for what they need; a grant uses what is known, and reads it
//! while it waits for its end. [`prediction`] has the rules.

use std::{sync::Arc, time::Duration};

use crate::domain::{
    Action, Intent, PermissionKey,
    image::ReportedImage,
    prediction::{self, Finding, KnownImage},
};

use super::ChangeService;

/// Maximum age of a report about an image. Callers often validate many changes of one image.
const REPORT_AGE: Duration = Duration::from_secs(10);

/// Maximum age of a report about an owned image, for the warnings of a grant. They need the tenancy, which AWS never changes.
const TENANCY_AGE: Duration = Duration::from_secs(3600);

/// The part of the time for a validation in which AWS is read, one in this number, and at most [`MAX_READ_TIME`].
const READ_PART: u32 = 2;
const MAX_READ_TIME: Duration = Duration::from_secs(5);

impl ChangeService {
    /// What AWS is expected to say to a change. Asks AWS about the image in a part of `timeout`. What it does not answer is a
    /// finding too.
    pub(super) async fn predict(&self, action: Action, key: &PermissionKey, timeout: Duration) -> Vec<Finding> {
        let timeout = (timeout / READ_PART).min(MAX_READ_TIME);
        let read = self.workspaces.image(key.account, &key.region, &key.image, REPORT_AGE);
        match tokio::time::timeout(timeout, read).await {
            Ok(Ok(report)) => prediction::predict(action, key, KnownImage::Reported(&report)),
            Ok(Err(error)) => prediction::predict(action, key, KnownImage::Failed(&error)),
            Err(_) => prediction::predict(action, key, KnownImage::NotInTime),
        }
    }

    /// The warnings about a change that AWS has accepted, from what is known now.
    pub(super) fn warnings(&self, intent: &Intent) -> Vec<Finding> {
        match intent.action {
            Action::Grant => prediction::warnings(&intent.key, self.tenancy_of(&intent.key).as_deref()),
            Action::Revoke => Vec::new(),
        }
    }

    /// Waits for the end of a change, and meanwhile reads what the warnings of a grant need. Does not wait for that read.
    pub(super) async fn read_while<T>(&self, intent: &Intent, end: impl Future<Output = T>) -> T {
        tokio::pin!(end);
        let key = &intent.key;
        if intent.action == Action::Grant && self.tenancy_of(key).is_none() {
            // Boxed because it is rare: otherwise it enlarges the future of every change.
            let read = Box::pin(self.workspaces.image(key.account, &key.region, &key.image, REPORT_AGE));
            tokio::select! {
                biased;
                ended = &mut end => return ended,
                _ = read => {}
            }
        }
        end.await
    }

    fn tenancy_of(&self, key: &PermissionKey) -> Option<Arc<ReportedImage>> {
        let known = self
            .workspaces
            .known_image(key.account, &key.region, &key.image, TENANCY_AGE);
        known.filter(|report| matches!(**report, ReportedImage::Owned(_)))
    }
}
