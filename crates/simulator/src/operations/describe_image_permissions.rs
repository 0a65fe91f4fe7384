//! DescribeWorkspaceImagePermissions: the accounts that an image is shared with. Only for its owner.

use serde_json::{Value, json};

use super::{
    OperationContext,
    page::{PageRequest, with_next_token},
};
use crate::{api_error::ApiError, member_reader::MemberReader, text_rule};

pub(super) fn run(context: &mut OperationContext<'_>, mut members: MemberReader<'_>) -> Result<Value, ApiError> {
    let image_id = members.required_text("ImageId", &text_rule::IMAGE_ID)?;
    let page = PageRequest::read(&mut members)?;
    members.finish()?;
    let image = context.owned_image(&image_id)?;
    let shared_with = context.inventory.shared_with(image, context.behind, context.now);
    let list = (
        "permissions",
        &context.caller.account,
        &context.caller.region,
        &image_id,
    );
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
