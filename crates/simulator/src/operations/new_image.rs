//! What CreateWorkspaceImage, ImportWorkspaceImage and CopyWorkspaceImage have in common: a new image comes to be.

use time::Duration;

use super::Scene;
use crate::image::Image;
use crate::keys::random;
use crate::members::Members;
use crate::pattern;
use crate::refusal::Refusal;

/// What a new image is to be.
pub(super) struct NewImage {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) byol: bool,
}

impl Scene<'_> {
    /// Makes an image of the caller's, in the caller's Region. It is PENDING for a while.
    pub(super) fn make_image(&mut self, new: NewImage) -> Result<Image, Refusal> {
        self.check_name_and_limit(&new.name)?;
        let building = i64::try_from(self.settings.image_build_milliseconds).unwrap_or(i64::MAX);
        let ready = self
            .now
            .checked_add(Duration::milliseconds(building))
            .unwrap_or(time::PrimitiveDateTime::MAX.assume_utc());
        let mut image = Image::new(&self.caller.region, self.unused_id(), &self.caller.account)
            .named(new.name, new.description)
            .building_until(ready);
        image.byol = new.byol;
        self.world.put_image(image.clone());
        Ok(image)
    }

    fn check_name_and_limit(&self, name: &str) -> Result<(), Refusal> {
        let owned = || {
            self.world
                .images_in(&self.caller.region)
                .filter(|image| image.owner == self.caller.account)
        };
        if owned().any(|image| image.name == name) {
            return Err(Refusal::new(
                "ResourceAlreadyExistsException",
                format!("There is an image named {name} already."),
            ));
        }
        if owned().count() >= self.settings.image_limit {
            return Err(Refusal::new(
                "ResourceLimitExceededException",
                "The limit of images has been reached.",
            ));
        }
        Ok(())
    }

    fn unused_id(&self) -> String {
        loop {
            let image_id = format!("wsi-{}", random(9, b"0123456789abcdefghijklmnopqrstuvwxyz"));
            if self.world.image(&self.caller.region, &image_id).is_none() {
                return image_id;
            }
        }
    }
}

/// Checks Tags, which are not kept.
pub(super) fn check_tags(members: &mut Members<'_>) -> Result<(), Refusal> {
    members.structures("Tags", |tag| {
        tag.required_text("Key", &pattern::TAG_KEY)?;
        tag.required_text("Value", &pattern::TAG_VALUE)?;
        Ok(())
    })
}
