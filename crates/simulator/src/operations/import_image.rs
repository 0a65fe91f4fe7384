//! ImportWorkspaceImage: creates a BYOL image from an EC2 image, for BYOL-enabled accounts. Every well-formed EC2
//! image id exists.

use serde_json::{Value, json};

use super::{OperationContext, new_image::NewImage, tags};
use crate::{api_error::ApiError, image::OperatingSystem, member_reader::MemberReader, text_rule};

const INGESTION_PROCESSES: &[&str] = &[
    "BYOL_REGULAR",
    "BYOL_GRAPHICS",
    "BYOL_GRAPHICSPRO",
    "BYOL_GRAPHICS_G4DN",
    "BYOL_REGULAR_WSP",
    "BYOL_GRAPHICS_G4DN_WSP",
    "BYOL_REGULAR_BYOP",
    "BYOL_GRAPHICS_G4DN_BYOP",
];
const APPLICATIONS: &[&str] = &["Microsoft_Office_2016", "Microsoft_Office_2019"];

pub(super) fn run(context: &mut OperationContext<'_>, members: MemberReader<'_>) -> Result<Value, ApiError> {
    let new = read(members)?;
    let account = context.inventory.accounts.get(&context.caller.account);
    if !account.is_some_and(|account| account.byol_enabled) {
        return Err(ApiError::not_supported(
            "BYOL_DISABLED",
            "The account is not enabled to bring its own licences.",
        ));
    }
    let image = context.make_image(new)?;
    Ok(json!({"ImageId": image.image_id}))
}

fn read(mut members: MemberReader<'_>) -> Result<NewImage, ApiError> {
    members.required_text("Ec2ImageId", &text_rule::EC2_IMAGE_ID)?;
    members.required_choice("IngestionProcess", INGESTION_PROCESSES)?;
    let name = members.required_text("ImageName", &text_rule::IMAGE_NAME)?;
    let description = members.required_text("ImageDescription", &text_rule::IMAGE_DESCRIPTION)?;
    members.choices("Applications", 1..=5, APPLICATIONS)?;
    let tags = tags::read(&mut members)?;
    members.finish()?;
    Ok(NewImage {
        name,
        description,
        byol: true,
        operating_system: OperatingSystem::Windows,
        tags,
    })
}
