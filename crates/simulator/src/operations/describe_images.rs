//! DescribeWorkspaceImages: the images that the caller owns, or those shared with the caller, in one Region.
//!
//! Without ImageType: OWNED. Ids that the caller cannot see are left out: the model has no "not found" here.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Scene;
use super::page::{Page, with_next_token};
use crate::image::Image;
use crate::members::Members;
use crate::pattern;
use crate::refusal::Refusal;

struct Input {
    image_ids: Option<BTreeSet<String>>,
    shared: bool,
    page: Page,
}

pub(super) fn run(scene: &mut Scene<'_>, members: Members<'_>) -> Result<Value, Refusal> {
    let input = read(members)?;
    let region = &scene.caller.region;
    let ids = scene
        .world
        .images_in(region)
        .filter(|image| input.image_ids.as_ref().is_none_or(|ids| ids.contains(&image.image_id)))
        .filter(|image| is_listed(scene, image, input.shared))
        .map(|image| image.image_id.as_str());
    let list = ("images", &scene.caller.account, region, input.shared, &input.image_ids);
    let (ids, next) = input.page.cut(&list, ids)?;
    let images = ids
        .iter()
        .filter_map(|id| scene.world.image(region, id))
        .map(|image| image.describe(scene.now));
    Ok(with_next_token(json!({"Images": images.collect::<Vec<_>>()}), next))
}

fn read(mut members: Members<'_>) -> Result<Input, Refusal> {
    let image_ids = members.texts("ImageIds", 1..=25, &pattern::IMAGE_ID)?;
    let image_type = members.choice("ImageType", &["OWNED", "SHARED"])?;
    let page = Page::read(&mut members)?;
    members.finish()?;
    let image_ids = image_ids.map(|ids| ids.into_iter().collect());
    Ok(Input {
        image_ids,
        shared: image_type.as_deref() == Some("SHARED"),
        page,
    })
}

fn is_listed(scene: &Scene<'_>, image: &Image, shared: bool) -> bool {
    let account = &scene.caller.account;
    match shared {
        false => image.owner == *account,
        true => scene
            .world
            .shared_with(image, scene.behind, scene.now)
            .contains(account),
    }
}
