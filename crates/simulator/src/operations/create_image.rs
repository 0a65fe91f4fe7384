//! CreateWorkspaceImage: creates an image from a WorkSpace. WorkSpaces are not simulated: every well-formed id
//! exists.

use serde_json::Value;

use super::{OperationContext, new_image::NewImage, tags};
use crate::{api_error::ApiError, image::OperatingSystem, member_reader::MemberReader, text_rule};

pub(super) fn run(context: &mut OperationContext<'_>, mut members: MemberReader<'_>) -> Result<Value, ApiError> {
    let name = members.required_text("Name", &text_rule::IMAGE_NAME)?;
    let description = members.required_text("Description", &text_rule::IMAGE_DESCRIPTION)?;
    members.required_text("WorkspaceId", &text_rule::WORKSPACE_ID)?;
    let tags = tags::read(&mut members)?;
    members.finish()?;
    let image = context.make_image(NewImage {
        name,
        description,
        byol: false,
        operating_system: OperatingSystem::Windows,
        tags,
    })?;
    Ok(image.describe(context.now))
}
