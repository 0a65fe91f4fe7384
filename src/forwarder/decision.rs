//! Decides about a change, with the facts of its image that the policies in force speak of.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    domain::{
        AwsError, Intent,
        decision::{Facts, ImageAttributes},
        image::{Image, ReportedImage, Tags},
    },
    policy::{Policy, PolicyQuery, PolicySet, PolicyVerdict},
    workspaces::WorkSpaces,
};

/// Maximum age of what AWS reports about an image. The check before the call mostly finds what the acceptance has read.
const FACT_AGE: Duration = Duration::from_secs(60);

/// Asks the policy in force about a change. Reads what AWS reports about the image only if a policy speaks of it. Without such a
/// fact a grant is refused, with the reason; a revoke is decided without it.
pub async fn decide(policy: &Policy, workspaces: &WorkSpaces, clock: &Clock, intent: &Intent) -> PolicyVerdict {
    let set = policy.in_force();
    let mentions = set.mentions();
    match mentions.image || mentions.tags {
        // Boxed because few sets need it: otherwise it enlarges the future of every change.
        true => Box::pin(decide_with_facts(&set, workspaces, clock, intent)).await,
        false => set.decide(PolicyQuery::of(intent, clock.now())),
    }
}

async fn decide_with_facts(set: &PolicySet, workspaces: &WorkSpaces, clock: &Clock, intent: &Intent) -> PolicyVerdict {
    let (mentions, key) = (set.mentions(), &intent.key);
    let (account, region, image) = (key.account, &key.region, &key.image);
    let image_read = async {
        match mentions.image {
            true => Some(workspaces.image(account, region, image, FACT_AGE).await),
            false => None,
        }
    };
    let tags_read = async {
        match mentions.tags {
            true => Some(workspaces.image_tags(account, region, image, FACT_AGE).await),
            false => None,
        }
    };
    let (image_read, tags_read) = tokio::join!(image_read, tags_read);
    let facts = Facts {
        image: image_read.as_ref().and_then(owned).map(ImageAttributes::from),
        tags: tags_read
            .as_ref()
            .and_then(|read| Some(read.as_deref().ok()?.0.clone())),
        unknown: reason(image_read.as_ref(), tags_read.as_ref()),
    };
    set.decide(PolicyQuery {
        facts: Some(&facts),
        ..PolicyQuery::of(intent, clock.now())
    })
}

type Read<T> = Result<Arc<T>, AwsError>;

fn owned(read: &Read<ReportedImage>) -> Option<&Image> {
    match read.as_deref() {
        Ok(ReportedImage::Owned(image)) => Some(image),
        _ => None,
    }
}

/// Why a fact that was read is not known.
fn reason(image: Option<&Read<ReportedImage>>, tags: Option<&Read<Tags>>) -> Option<String> {
    match image.map(Result::as_deref) {
        Some(Ok(ReportedImage::OfAnother(_))) => return Some("another account owns it".into()),
        Some(Ok(ReportedImage::NotFound)) => return Some("the account has no such image".into()),
        Some(Err(error)) => return Some(error.words()),
        Some(Ok(ReportedImage::Owned(_))) | None => {}
    }
    match tags {
        Some(Err(error)) => Some(error.words()),
        _ => None,
    }
}
