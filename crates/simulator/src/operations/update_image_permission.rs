//! UpdateWorkspaceImagePermission: shares an image with an account, or ends that.

use serde_json::{Value, json};

use super::OperationContext;
use crate::{account::Partition, api_error::ApiError, image::Image, member_reader::MemberReader, text_rule};

struct UpdateInput {
    image_id: String,
    allow_copy_image: bool,
    shared_account_id: String,
}

pub(super) fn run(context: &mut OperationContext<'_>, members: MemberReader<'_>) -> Result<Value, ApiError> {
    let input = read(members)?;
    let image = context.owned_image(&input.image_id)?;
    context.require_available(image)?;
    if input.shared_account_id == context.caller.account {
        return Err(ApiError::invalid_parameter(
            "An image cannot be shared with the account that owns it.",
        ));
    }
    match input.allow_copy_image {
        true => check_recipient(context, image, &input.shared_account_id)?,
        false => check_shared(context, image, &input.shared_account_id)?,
    }
    let key = (context.caller.region.as_str(), input.image_id.as_str());
    context
        .inventory
        .set_shared(key, &input.shared_account_id, input.allow_copy_image, context.now);
    Ok(json!({}))
}

fn read(mut members: MemberReader<'_>) -> Result<UpdateInput, ApiError> {
    let input = UpdateInput {
        image_id: members.required_text("ImageId", &text_rule::IMAGE_ID)?,
        allow_copy_image: members.required_flag("AllowCopyImage")?,
        shared_account_id: members.required_text("SharedAccountId", &text_rule::ACCOUNT)?,
    };
    members.finish()?;
    Ok(input)
}

/// An account that does not exist here counts as a commercial account of another organization that is not
/// BYOL-enabled.
fn check_recipient(context: &OperationContext<'_>, image: &Image, recipient: &str) -> Result<(), ApiError> {
    let known = context.inventory.accounts.get(recipient);
    if known.is_some_and(|account| account.partition != context.caller.partition) {
        return Err(ApiError::invalid_parameter(format!(
            "The account {recipient} is in another partition."
        )));
    }
    if !image.byol {
        return Ok(());
    }
    if context.caller.partition == Partition::GovCloud {
        return Err(ApiError::not_supported(
            "BYOL_IN_GOVCLOUD",
            "BYOL images cannot be shared in AWS GovCloud (US).",
        ));
    }
    let organization = context
        .inventory
        .accounts
        .get(&image.owner)
        .and_then(|owner| owner.organization.as_ref());
    let fits = known.is_some_and(|account| {
        account.byol_enabled && organization.is_some() && account.organization.as_ref() == organization
    });
    match fits {
        true => Ok(()),
        false => Err(ApiError::not_supported(
            "BYOL_RECIPIENT",
            format!("The account {recipient} is not BYOL-enabled in the organization of the image's owner."),
        )),
    }
}

fn check_shared(context: &OperationContext<'_>, image: &Image, recipient: &str) -> Result<(), ApiError> {
    match &context.settings.revoke_unshared_code {
        Some(code) if !image.shared_with.contains(recipient) => {
            let message = format!(
                "The image {} is not shared with the account {recipient}.",
                image.image_id
            );
            Err(ApiError::new(code.clone(), message))
        }
        _ => Ok(()),
    }
}
