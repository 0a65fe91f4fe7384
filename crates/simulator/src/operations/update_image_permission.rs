//! UpdateWorkspaceImagePermission: the operation that all of this is about.

use serde_json::{Value, json};

use super::Scene;
use crate::account::Partition;
use crate::image::Image;
use crate::members::Members;
use crate::pattern;
use crate::refusal::Refusal;

struct Input {
    image_id: String,
    allow_copy_image: bool,
    shared_account_id: String,
}

pub(super) fn run(scene: &mut Scene<'_>, members: Members<'_>) -> Result<Value, Refusal> {
    let input = read(members)?;
    let image = scene.owned_image(&input.image_id)?;
    scene.require_available(image)?;
    if input.shared_account_id == scene.caller.account {
        return Err(Refusal::invalid_parameter(
            "An image cannot be shared with the account that owns it.",
        ));
    }
    match input.allow_copy_image {
        true => check_recipient(scene, image, &input.shared_account_id)?,
        false => check_shared(scene, image, &input.shared_account_id)?,
    }
    let key = (scene.caller.region.as_str(), input.image_id.as_str());
    scene
        .world
        .set_shared(key, &input.shared_account_id, input.allow_copy_image, scene.now);
    Ok(json!({}))
}

fn read(mut members: Members<'_>) -> Result<Input, Refusal> {
    let input = Input {
        image_id: members.required_text("ImageId", &pattern::IMAGE_ID)?,
        allow_copy_image: members.required_flag("AllowCopyImage")?,
        shared_account_id: members.required_text("SharedAccountId", &pattern::ACCOUNT)?,
    };
    members.finish()?;
    Ok(input)
}

/// An account that the simulator does not know is a stranger: another organization, not BYOL-enabled, same partition.
fn check_recipient(scene: &Scene<'_>, image: &Image, recipient: &str) -> Result<(), Refusal> {
    let known = scene.world.accounts.get(recipient);
    if known.is_some_and(|account| account.partition != scene.caller.partition) {
        return Err(Refusal::invalid_parameter(format!(
            "The account {recipient} is in another partition."
        )));
    }
    if !image.byol {
        return Ok(());
    }
    if scene.caller.partition == Partition::GovCloud {
        return Err(Refusal::not_supported(
            "BYOL_IN_GOVCLOUD",
            "BYOL images cannot be shared in AWS GovCloud (US).",
        ));
    }
    let organization = scene
        .world
        .accounts
        .get(&image.owner)
        .and_then(|owner| owner.organization.as_ref());
    let fits = known.is_some_and(|account| {
        account.byol_enabled && organization.is_some() && account.organization.as_ref() == organization
    });
    match fits {
        true => Ok(()),
        false => Err(Refusal::not_supported(
            "BYOL_RECIPIENT",
            format!("The account {recipient} is not BYOL-enabled in the organization of the image's owner."),
        )),
    }
}

fn check_shared(scene: &Scene<'_>, image: &Image, recipient: &str) -> Result<(), Refusal> {
    match &scene.settings.revoke_unshared_code {
        Some(code) if !image.shared_with.contains(recipient) => {
            let message = format!(
                "The image {} is not shared with the account {recipient}.",
                image.image_id
            );
            Err(Refusal::new(code.clone(), message))
        }
        _ => Ok(()),
    }
}
