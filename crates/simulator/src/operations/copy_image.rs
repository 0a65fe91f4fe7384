//! CopyWorkspaceImage: called in the Region that the copy is to be in, by the owner or by someone the image is shared with.
//! China and GovCloud do not copy across Regions.

use serde_json::{Value, json};

use super::Scene;
use super::new_image::{NewImage, check_tags};
use crate::account::Partition;
use crate::members::Members;
use crate::pattern;
use crate::refusal::Refusal;

struct Input {
    name: String,
    description: Option<String>,
    source_image_id: String,
    source_region: String,
}

pub(super) fn run(scene: &mut Scene<'_>, members: Members<'_>) -> Result<Value, Refusal> {
    let input = read(members)?;
    check_regions(scene, &input.source_region)?;
    let source = scene.visible_image(&input.source_region, &input.source_image_id)?;
    scene.require_available(source)?;
    let description = input.description.unwrap_or_else(|| source.description.clone());
    let new = NewImage {
        name: input.name,
        description,
        byol: source.byol,
    };
    let image = scene.make_image(new)?;
    Ok(json!({"ImageId": image.image_id}))
}

fn read(mut members: Members<'_>) -> Result<Input, Refusal> {
    let input = Input {
        name: members.required_text("Name", &pattern::IMAGE_NAME)?,
        description: members.text("Description", &pattern::IMAGE_DESCRIPTION)?,
        source_image_id: members.required_text("SourceImageId", &pattern::IMAGE_ID)?,
        source_region: members.required_text("SourceRegion", &pattern::REGION)?,
    };
    check_tags(&mut members)?;
    members.finish()?;
    Ok(input)
}

fn check_regions(scene: &Scene<'_>, source_region: &str) -> Result<(), Refusal> {
    if scene.caller.region == source_region {
        return Ok(());
    }
    let partition = scene.caller.partition;
    match partition == Partition::of_region(source_region) && partition == Partition::Commercial {
        true => Ok(()),
        false => Err(Refusal::not_supported(
            "CROSS_REGION_COPY",
            format!(
                "Images cannot be copied from {source_region} to {}.",
                scene.caller.region
            ),
        )),
    }
}
