//! DeleteWorkspaceImage: refused while the image is shared, or not yet built.

use serde_json::{Value, json};

use super::Scene;
use crate::image::ImageState;
use crate::members::Members;
use crate::pattern;
use crate::refusal::Refusal;

pub(super) fn run(scene: &mut Scene<'_>, mut members: Members<'_>) -> Result<Value, Refusal> {
    let image_id = members.required_text("ImageId", &pattern::IMAGE_ID)?;
    members.finish()?;
    let image = scene
        .owned_image(&image_id)
        .map_err(|_| Refusal::access_denied(format!("You may not delete the image {image_id}.")))?;
    if !image.shared_with.is_empty() {
        let message = format!("The image {image_id} is shared. Stop sharing it before you delete it.");
        return Err(Refusal::new("ResourceAssociatedException", message));
    }
    if image.state_at(scene.now) == ImageState::Pending {
        return Err(Refusal::new(
            "InvalidResourceStateException",
            format!("The image {image_id} is still PENDING."),
        ));
    }
    scene.world.remove_image(&scene.caller.region, &image_id);
    Ok(json!({}))
}
