//! Creation of an image, for CreateWorkspaceImage, ImportWorkspaceImage and CopyWorkspaceImage.

use std::collections::BTreeMap;

use time::Duration;

use super::{OperationContext, tags};
use crate::{
    access_keys::random,
    api_error::ApiError,
    image::{Image, OperatingSystem},
};

pub(super) struct NewImage {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) byol: bool,
    pub(super) operating_system: OperatingSystem,
    pub(super) tags: BTreeMap<String, String>,
}

impl OperationContext<'_> {
    /// Creates a PENDING image of the caller in the Region of the call.
    pub(super) fn make_image(&mut self, new: NewImage) -> Result<Image, ApiError> {
        self.check_name_and_limit(&new.name)?;
        tags::check(&new.tags)?;
        let building = i64::try_from(self.settings.image_build_milliseconds).unwrap_or(i64::MAX);
        let ready = self
            .now
            .checked_add(Duration::milliseconds(building))
            .unwrap_or(time::PrimitiveDateTime::MAX.assume_utc());
        let mut image = Image::new(&self.caller.region, self.unused_id(), &self.caller.account)
            .named(new.name, new.description)
            .building_until(ready);
        image.byol = new.byol;
        image.operating_system = new.operating_system;
        image.tags = new.tags;
        self.inventory.put_image(image.clone());
        Ok(image)
    }

    fn check_name_and_limit(&self, name: &str) -> Result<(), ApiError> {
        let owned = || {
            self.inventory
                .images_in(&self.caller.region)
                .filter(|image| image.owner == self.caller.account)
        };
        if owned().any(|image| image.name == name) {
            return Err(ApiError::new(
                "ResourceAlreadyExistsException",
                format!("There is an image named {name} already."),
            ));
        }
        if owned().count() >= self.settings.image_limit {
            return Err(ApiError::new(
                "ResourceLimitExceededException",
                "The limit of images has been reached.",
            ));
        }
        Ok(())
    }

    fn unused_id(&self) -> String {
        loop {
            let image_id = format!("wsi-{}", random(9, b"0123456789abcdefghijklmnopqrstuvwxyz"));
            if self.inventory.image(&self.caller.region, &image_id).is_none() {
                return image_id;
            }
        }
    }
}
