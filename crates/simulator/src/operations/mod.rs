//! The operations of the WorkSpaces image API, of tagging and of CloudTrail, one file each.
//!
//! Each operation reads its members strictly, applies AWS's rules to the inventory and returns JSON. It runs while
//! the inventory is locked, so it is atomic.
//!
//! Choices where AWS's documentation is silent:
//! - An image that the caller cannot see is "not found". An image that is shared with the caller but not owned is
//!   "access denied".
//! - Malformed members are ValidationException, as in AWS's other JSON services. Invalid values are
//!   InvalidParameterValuesException.
//! - DeleteWorkspaceImage has no "not found" in its model: an image that the caller does not own is "access denied".

mod copy_image;
mod create_image;
mod delete_image;
mod describe_image_permissions;
mod describe_images;
mod get_resources;
mod import_image;
mod lookup_events;
mod new_image;
mod page;
mod tags;
mod update_image_permission;

use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    api_error::ApiError,
    caller::CallerIdentity,
    fault::Staleness,
    image::{Image, ImageState},
    inventory::Inventory,
    member_reader::MemberReader,
    settings::SimulatorSettings,
    trail::EventTrail,
};

pub(super) struct OperationContext<'a> {
    pub(super) inventory: &'a mut Inventory,
    pub(super) settings: &'a SimulatorSettings,
    pub(super) trail: &'a EventTrail,
    pub(super) caller: &'a CallerIdentity,
    pub(super) now: OffsetDateTime,
    /// The staleness of reads, from a fault.
    pub(super) behind: Option<Staleness>,
}

/// Reads the members, runs the operation, and returns the output.
pub(super) type OperationFn = fn(&mut OperationContext<'_>, MemberReader<'_>) -> Result<Value, ApiError>;

/// CloudTrail in values of X-Amz-Target. SDKs that are made from its Smithy model leave out the package.
pub(super) const CLOUDTRAIL: &str = "CloudTrail_20131101";
const CLOUDTRAIL_IN_FULL: &str = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101";

/// The service that a call is signed for, and the operation, of a value of X-Amz-Target.
pub(super) fn find(target: &str) -> (&'static str, Option<OperationFn>) {
    match target.rsplit_once('.') {
        Some((CLOUDTRAIL | CLOUDTRAIL_IN_FULL, "LookupEvents")) => ("cloudtrail", Some(lookup_events::run)),
        Some((CLOUDTRAIL | CLOUDTRAIL_IN_FULL, _)) => ("cloudtrail", None),
        Some(("ResourceGroupsTaggingAPI_20170126", "GetResources")) => ("tagging", Some(get_resources::run)),
        Some(("ResourceGroupsTaggingAPI_20170126", _)) => ("tagging", None),
        Some(("WorkspacesService", name)) => ("workspaces", of_workspaces(name)),
        _ => ("workspaces", None),
    }
}

fn of_workspaces(name: &str) -> Option<OperationFn> {
    Some(match name {
        "UpdateWorkspaceImagePermission" => update_image_permission::run,
        "DescribeWorkspaceImagePermissions" => describe_image_permissions::run,
        "DescribeWorkspaceImages" => describe_images::run,
        "CreateWorkspaceImage" => create_image::run,
        "ImportWorkspaceImage" => import_image::run,
        "CopyWorkspaceImage" => copy_image::run,
        "DeleteWorkspaceImage" => delete_image::run,
        "DescribeTags" => tags::describe,
        "CreateTags" => tags::create,
        "DeleteTags" => tags::delete,
        _ => return None,
    })
}

impl OperationContext<'_> {
    /// The caller's image in the Region of the call.
    fn owned_image(&self, image_id: &str) -> Result<&Image, ApiError> {
        let image = self.visible_image(&self.caller.region, image_id)?;
        match image.owner == self.caller.account {
            true => Ok(image),
            false => Err(ApiError::access_denied(format!(
                "The image {image_id} belongs to another account."
            ))),
        }
    }

    /// An image that the caller owns or that is shared with the caller.
    fn visible_image(&self, region: &str, image_id: &str) -> Result<&Image, ApiError> {
        let caller = &self.caller.account;
        self.inventory
            .image(region, image_id)
            .filter(|image| image.owner == *caller || image.shared_with.contains(caller))
            .ok_or_else(|| ApiError::not_found(image_id))
    }

    fn require_available(&self, image: &Image) -> Result<(), ApiError> {
        match image.state_at(self.now) {
            ImageState::Available => Ok(()),
            ImageState::Pending | ImageState::Error => Err(ApiError::unavailable(&image.image_id)),
        }
    }
}
