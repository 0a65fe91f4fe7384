//! ImportWorkspaceImage: makes a BYOL image of an EC2 image. Only for BYOL-enabled accounts; every well-formed EC2 id is there.

use serde_json::{Value, json};

use super::Scene;
use super::new_image::{NewImage, check_tags};
use crate::members::Members;
use crate::pattern;
use crate::refusal::Refusal;

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

pub(super) fn run(scene: &mut Scene<'_>, members: Members<'_>) -> Result<Value, Refusal> {
    let new = read(members)?;
    let account = scene.world.accounts.get(&scene.caller.account);
    if !account.is_some_and(|account| account.byol_enabled) {
        return Err(Refusal::not_supported(
            "BYOL_DISABLED",
            "The account is not enabled to bring its own licences.",
        ));
    }
    let image = scene.make_image(new)?;
    Ok(json!({"ImageId": image.image_id}))
}

fn read(mut members: Members<'_>) -> Result<NewImage, Refusal> {
    members.required_text("Ec2ImageId", &pattern::EC2_IMAGE_ID)?;
    members.required_choice("IngestionProcess", INGESTION_PROCESSES)?;
    let name = members.required_text("ImageName", &pattern::IMAGE_NAME)?;
    let description = members.required_text("ImageDescription", &pattern::IMAGE_DESCRIPTION)?;
    members.choices("Applications", 1..=5, APPLICATIONS)?;
    check_tags(&mut members)?;
    members.finish()?;
    Ok(NewImage {
        name,
        description,
        byol: true,
    })
}
