//! What AWS reports about one image: its description and its tags, for predictions and policies.
//!
//! A reader gets only what it asks for, because each is a call of its own, and says how old it may be. `cache` has the facts.
//! At most two reads of facts run for one account and Region at the same time; they do not wait for lists of images. `turns`
//! keeps one principal from taking them all.

mod cache;
mod turns;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_sdk_workspaces::operation::describe_tags::DescribeTagsOutput;

use super::{
    WorkSpaces,
    call::{AccountClient, span, unreadable, within},
    images, not_configured,
};
use crate::{
    clock::{Clock, MonotonicInstant},
    domain::{
        AccountId, AwsError, AwsResponse, ImageId, Principal, Region,
        image::{Image, Ownership, ReportedImage, Tags},
    },
    telemetry::{FactKind, Instruments},
};

use cache::{FactCache, FactSource};
use turns::Turns;

pub use turns::FactTurn;

/// Maximum time for the calls of one read. It is short, because a caller waits, and every fact is one small answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// The facts of a process. Clones of [`WorkSpaces`] share them.
pub(super) struct ImageFacts {
    images: FactCache<ReportedImage>,
    tags: FactCache<Tags>,
    turns: Turns,
    instruments: Instruments,
}

impl ImageFacts {
    pub(super) fn new(clock: &Clock, instruments: &Instruments) -> Self {
        Self {
            images: FactCache::new(clock.clone(), image_size),
            tags: FactCache::new(clock.clone(), tags_size),
            turns: Turns::default(),
            instruments: instruments.clone(),
        }
    }
}

impl WorkSpaces {
    /// What AWS reports about an image, not older than `max_age`. It is read with DescribeWorkspaceImages: one call, or two if
    /// the account does not own the image. Bounded by the read timeout.
    ///
    /// # Errors
    /// The error of the read, which may be of another reader and up to 30 s old if AWS throttled.
    pub async fn image(
        &self,
        account: AccountId,
        region: &Region,
        image: &ImageId,
        max_age: Duration,
    ) -> Result<Arc<ReportedImage>, AwsError> {
        let read = async |client: AccountClient| describe(&client, image).await;
        let cache = &self.facts.images;
        self.read_fact(FactKind::Description, cache, (account, region, image), max_age, read)
            .await
    }

    /// The tags of an image, not older than `max_age`. They are read with DescribeTags, which AWS allows for owned images only.
    /// Bounded by the read timeout.
    ///
    /// # Errors
    /// The same as those of [`image`](Self::image).
    pub async fn image_tags(
        &self,
        account: AccountId,
        region: &Region,
        image: &ImageId,
        max_age: Duration,
    ) -> Result<Arc<Tags>, AwsError> {
        let read = async |client: AccountClient| describe_tags(&client, image).await;
        let cache = &self.facts.tags;
        self.read_fact(FactKind::Tags, cache, (account, region, image), max_age, read)
            .await
    }

    /// What is known about an image without a call and without waiting, not older than `max_age`.
    pub fn known_image(
        &self,
        account: AccountId,
        region: &Region,
        image: &ImageId,
        max_age: Duration,
    ) -> Option<Arc<ReportedImage>> {
        let key = (account, region.clone(), image.clone());
        self.facts.images.known(&key, max_age)
    }

    /// The tags of an image that are known without a call and without waiting, not older than `max_age`.
    pub fn known_tags(
        &self,
        account: AccountId,
        region: &Region,
        image: &ImageId,
        max_age: Duration,
    ) -> Option<Arc<Tags>> {
        let key = (account, region.clone(), image.clone());
        self.facts.tags.known(&key, max_age)
    }

    /// Waits until it is the principal's turn to read facts of one image of the account and Region.
    pub async fn fact_turn(&self, principal: &Principal, account: AccountId, region: &Region) -> FactTurn {
        let key = (principal.clone(), account, region.clone());
        self.facts.turns.take(key).await
    }

    /// Keeps the images of a list of owned images for later readers of facts.
    pub(super) fn keep_listed(
        &self,
        account: AccountId,
        region: &Region,
        asked_at: MonotonicInstant,
        images: &[Image],
    ) {
        for image in images {
            if let Ok(id) = image.id.parse() {
                let report = Arc::new(ReportedImage::Owned(image.clone()));
                self.facts
                    .images
                    .store(&(account, region.clone(), id), asked_at, report);
            }
        }
    }

    async fn read_fact<T>(
        &self,
        kind: FactKind,
        cache: &FactCache<T>,
        (account, region, image): (AccountId, &Region, &ImageId),
        max_age: Duration,
        read: impl AsyncFnOnce(AccountClient) -> Result<T, AwsError>,
    ) -> Result<Arc<T>, AwsError> {
        let Some(client) = self.client(account, region).cloned() else {
            return not_configured().result;
        };
        let key = (account, region.clone(), image.clone());
        let call = async || {
            let _permit = self.fact_limits.acquire(account, region).await;
            let call = async { response(read(client).await) };
            within(CALL_TIMEOUT.min(self.read_timeout), call).await.result
        };
        let found = async {
            let (found, source) = cache.read(&key, max_age, call).await;
            let classification = response(found.as_ref().map_err(AwsError::clone)).classification();
            self.facts
                .instruments
                .fact_read(kind, (source == FactSource::Aws).then_some(classification));
            response(found)
        };
        within(self.read_timeout, found).await.result
    }
}

fn response<T>(result: Result<T, AwsError>) -> AwsResponse<T> {
    AwsResponse {
        aws_request_id: None,
        result,
    }
}

/// Asks for the image as one that the account owns, and then as one that is shared with it.
async fn describe(client: &AccountClient, image: &ImageId) -> Result<ReportedImage, AwsError> {
    if let Some(owned) = images::described(client, Ownership::Owned, image).await? {
        return Ok(ReportedImage::Owned(owned));
    }
    let shared = images::described(client, Ownership::Shared, image).await?;
    Ok(shared.map_or(ReportedImage::NotFound, ReportedImage::OfAnother))
}

async fn describe_tags(client: &AccountClient, image: &ImageId) -> Result<Tags, AwsError> {
    let span = span!("DescribeTags", client);
    let answer = client.call(span, |client, interceptor| {
        let request = client.describe_tags().resource_id(image.as_str());
        request.customize().interceptor(interceptor).send()
    });
    answer.await.result.and_then(tags)
}

/// An answer without a list is not an image without tags: a policy may refuse or permit by the absence of a tag.
fn tags(answer: DescribeTagsOutput) -> Result<Tags, AwsError> {
    let tags = answer.tag_list.ok_or_else(unreadable)?;
    let tags: BTreeMap<_, _> = tags
        .into_iter()
        .map(|tag| (tag.key, tag.value.unwrap_or_default()))
        .collect();
    Ok(Tags(tags))
}

fn image_size(report: &ReportedImage) -> usize {
    let (ReportedImage::Owned(image) | ReportedImage::OfAnother(image)) = report else {
        return 0;
    };
    let texts = [
        &image.id,
        &image.name,
        &image.description,
        &image.state,
        &image.operating_system,
        &image.required_tenancy,
        &image.owner_account,
        &image.error_code,
        &image.error_message,
    ];
    texts.iter().map(|text| text.len()).sum()
}

/// A tag costs about 96 bytes beside its texts.
fn tags_size(tags: &Tags) -> usize {
    let sizes = tags.0.iter().map(|(key, value)| key.len() + value.len() + 96);
    sizes.sum()
}
