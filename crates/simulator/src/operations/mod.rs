//! The operations of the WorkSpaces image API, one file each.
//!
//! Each reads its members strictly, then applies AWS's rules to the world and answers with JSON. They are synchronous and
//! run while the world is locked, so each is atomic.
//!
//! Where AWS's documents are silent, the choice here is:
//! - an image that the caller cannot see is not found; one that is shared with the caller but not owned is access denied;
//! - malformed members are ValidationException (as AWS's JSON services answer), wrong values InvalidParameterValuesException;
//! - DeleteWorkspaceImage has no "not found" in its model: what the caller does not own is access denied.

mod copy_image;
mod create_image;
mod delete_image;
mod describe_image_permissions;
mod describe_images;
mod import_image;
mod new_image;
mod page;
mod update_image_permission;

use serde_json::Value;
use time::OffsetDateTime;

use super::caller::Caller;
use super::fault::Behind;
use super::image::{Image, ImageState};
use super::members::Members;
use super::refusal::Refusal;
use super::settings::Settings;
use super::world::World;

/// All that an operation has to do with, besides its input.
pub(super) struct Scene<'a> {
    pub(super) world: &'a mut World,
    pub(super) settings: &'a Settings,
    pub(super) caller: &'a Caller,
    pub(super) now: OffsetDateTime,
    /// How far behind a read is, by a fault.
    pub(super) behind: Option<Behind>,
}

/// An operation: reads its members, does its work, answers.
pub(super) type Operation = fn(&mut Scene<'_>, Members<'_>) -> Result<Value, Refusal>;

/// Finds an operation by AWS's name for it.
pub(super) fn find(name: &str) -> Option<Operation> {
    Some(match name {
        "UpdateWorkspaceImagePermission" => update_image_permission::run,
        "DescribeWorkspaceImagePermissions" => describe_image_permissions::run,
        "DescribeWorkspaceImages" => describe_images::run,
        "CreateWorkspaceImage" => create_image::run,
        "ImportWorkspaceImage" => import_image::run,
        "CopyWorkspaceImage" => copy_image::run,
        "DeleteWorkspaceImage" => delete_image::run,
        _ => return None,
    })
}

impl Scene<'_> {
    /// An image of the caller's, in the caller's Region.
    fn owned_image(&self, image_id: &str) -> Result<&Image, Refusal> {
        let image = self.visible_image(&self.caller.region, image_id)?;
        match image.owner == self.caller.account {
            true => Ok(image),
            false => Err(Refusal::access_denied(format!(
                "The image {image_id} belongs to another account."
            ))),
        }
    }

    /// An image that the caller owns, or that is shared with the caller.
    fn visible_image(&self, region: &str, image_id: &str) -> Result<&Image, Refusal> {
        let caller = &self.caller.account;
        self.world
            .image(region, image_id)
            .filter(|image| image.owner == *caller || image.shared_with.contains(caller))
            .ok_or_else(|| Refusal::not_found(image_id))
    }

    fn require_available(&self, image: &Image) -> Result<(), Refusal> {
        match image.state_at(self.now) {
            ImageState::Available => Ok(()),
            ImageState::Pending | ImageState::Error => Err(Refusal::unavailable(&image.image_id)),
        }
    }
}
