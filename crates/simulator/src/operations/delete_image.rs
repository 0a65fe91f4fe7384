//! DeleteWorkspaceImage: refused while the image is shared or PENDING.

use serde_json::{Value, json};

use super::OperationContext;
use crate::{api_error::ApiError, image::ImageState, member_reader::MemberReader, text_rule};

pub(super) fn run(context: &mut OperationContext<'_>, mut members: MemberReader<'_>) -> Result<Value, ApiError> {
    let image_id = members.required_text("ImageId", &text_rule::IMAGE_ID)?;
    members.finish()?;
    let image = context
        .owned_image(&image_id)
        .map_err(|_| ApiError::access_denied(format!("You may not delete the image {image_id}.")))?;
    if !image.shared_with.is_empty() {
        let message = format!("The image {image_id} is shared. Stop sharing it before you delete it.");
        return Err(ApiError::new("ResourceAssociatedException", message));
    }
    if image.state_at(context.now) == ImageState::Pending {
        return Err(ApiError::new(
            "InvalidResourceStateException",
            format!("The image {image_id} is still PENDING."),
        ));
    }
    context.inventory.remove_image(&context.caller.region, &image_id);
    Ok(json!({}))
}
