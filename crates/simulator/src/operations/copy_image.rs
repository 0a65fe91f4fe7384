//! CopyWorkspaceImage: called in the destination Region, by the owner or by an account that the image is shared with.
//! In China and GovCloud, images cannot be copied across Regions.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{OperationContext, new_image::NewImage, tags};
use crate::{account::Partition, api_error::ApiError, member_reader::MemberReader, text_rule};

struct CopyInput {
    name: String,
    description: Option<String>,
    source_image_id: String,
    source_region: String,
    tags: BTreeMap<String, String>,
}

pub(super) fn run(context: &mut OperationContext<'_>, members: MemberReader<'_>) -> Result<Value, ApiError> {
    let input = read(members)?;
    check_regions(context, &input.source_region)?;
    let source = context.visible_image(&input.source_region, &input.source_image_id)?;
    context.require_available(source)?;
    let description = input.description.unwrap_or_else(|| source.description.clone());
    let new = NewImage {
        name: input.name,
        description,
        byol: source.byol,
        operating_system: source.operating_system,
        tags: input.tags,
    };
    let image = context.make_image(new)?;
    Ok(json!({"ImageId": image.image_id}))
}

fn read(mut members: MemberReader<'_>) -> Result<CopyInput, ApiError> {
    let input = CopyInput {
        name: members.required_text("Name", &text_rule::IMAGE_NAME)?,
        description: members.text("Description", &text_rule::IMAGE_DESCRIPTION)?,
        source_image_id: members.required_text("SourceImageId", &text_rule::IMAGE_ID)?,
        source_region: members.required_text("SourceRegion", &text_rule::REGION)?,
        tags: tags::read(&mut members)?,
    };
    members.finish()?;
    Ok(input)
}

fn check_regions(context: &OperationContext<'_>, source_region: &str) -> Result<(), ApiError> {
    if context.caller.region == source_region {
        return Ok(());
    }
    let partition = context.caller.partition;
    match partition == Partition::of_region(source_region) && partition == Partition::Commercial {
        true => Ok(()),
        false => Err(ApiError::not_supported(
            "CROSS_REGION_COPY",
            format!(
                "Images cannot be copied from {source_region} to {}.",
                context.caller.region
            ),
        )),
    }
}
