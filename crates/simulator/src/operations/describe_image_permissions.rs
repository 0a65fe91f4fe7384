//! DescribeWorkspaceImagePermissions: whom the caller's image is shared with. Only its owner may ask.

use serde_json::{Value, json};

use super::Scene;
use super::page::{Page, with_next_token};
use crate::members::Members;
use crate::pattern;
use crate::refusal::Refusal;

pub(super) fn run(scene: &mut Scene<'_>, mut members: Members<'_>) -> Result<Value, Refusal> {
    let image_id = members.required_text("ImageId", &pattern::IMAGE_ID)?;
    let page = Page::read(&mut members)?;
    members.finish()?;
    let image = scene.owned_image(&image_id)?;
    let shared_with = scene.world.shared_with(image, scene.behind, scene.now);
    let list = ("permissions", &scene.caller.account, &scene.caller.region, &image_id);
    let (accounts, next) = page.cut(&list, shared_with.into_iter())?;
    let permissions: Vec<_> = accounts
        .into_iter()
        .map(|account| json!({"SharedAccountId": account}))
        .collect();
    Ok(with_next_token(
        json!({"ImageId": image_id, "ImagePermissions": permissions}),
        next,
    ))
}
