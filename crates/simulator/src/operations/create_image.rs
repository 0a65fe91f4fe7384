//! CreateWorkspaceImage: makes an image of a WorkSpace. There are no WorkSpaces here: every well-formed id is one.

use serde_json::Value;

use super::Scene;
use super::new_image::{NewImage, check_tags};
use crate::members::Members;
use crate::pattern;
use crate::refusal::Refusal;

pub(super) fn run(scene: &mut Scene<'_>, mut members: Members<'_>) -> Result<Value, Refusal> {
    let name = members.required_text("Name", &pattern::IMAGE_NAME)?;
    let description = members.required_text("Description", &pattern::IMAGE_DESCRIPTION)?;
    members.required_text("WorkspaceId", &pattern::WORKSPACE_ID)?;
    check_tags(&mut members)?;
    members.finish()?;
    let image = scene.make_image(NewImage {
        name,
        description,
        byol: false,
    })?;
    Ok(image.describe(scene.now))
}
