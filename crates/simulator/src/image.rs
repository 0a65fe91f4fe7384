//! WorkSpaces images. `Image` is also a type of the service: the simulator has its own, because it does not depend on
//! the service.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::now::now;

/// A WorkSpaces image in one Region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The Region that has the image, such as `eu-central-1`.
    pub region: String,
    /// `wsi-` and 9 to 63 lower-case letters or digits.
    pub image_id: String,
    /// The owner's account id.
    pub owner: String,
    /// Unique among the owner's images in the Region.
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// The stored state. See [`Image::state_at`].
    #[serde(default)]
    pub state: ImageState,
    /// True for an image with the customer's own Windows licence.
    #[serde(default)]
    pub byol: bool,
    /// Windows or Linux.
    #[serde(default)]
    pub operating_system: OperatingSystem,
    /// Creation time.
    #[serde(default = "now", with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When a PENDING image becomes AVAILABLE. None: never by itself.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub available_at: Option<OffsetDateTime>,
    /// The accounts with copy permission.
    #[serde(default)]
    pub shared_with: BTreeSet<String>,
    /// Tags, by key.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// WorkspaceImageState of the WorkSpaces API. Only an image that is AVAILABLE can be shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ImageState {
    /// Can be shared, copied and deleted.
    #[default]
    Available,
    /// Being built.
    Pending,
    /// The build failed.
    Error,
}

/// OperatingSystemType of the WorkSpaces API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OperatingSystem {
    /// Windows.
    #[default]
    Windows,
    /// Any Linux.
    Linux,
}

impl OperatingSystem {
    /// AWS's name of the operating system.
    pub fn name(self) -> &'static str {
        match self {
            Self::Windows => "WINDOWS",
            Self::Linux => "LINUX",
        }
    }
}

impl ImageState {
    /// AWS's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Available => "AVAILABLE",
            Self::Pending => "PENDING",
            Self::Error => "ERROR",
        }
    }
}

impl Image {
    /// An AVAILABLE image that is not shared. Its name is its id.
    pub fn new(region: impl Into<String>, image_id: impl Into<String>, owner: impl Into<String>) -> Self {
        let image_id = image_id.into();
        Self {
            region: region.into(),
            name: image_id.clone(),
            image_id,
            owner: owner.into(),
            description: String::new(),
            state: ImageState::Available,
            byol: false,
            operating_system: OperatingSystem::Windows,
            created: now(),
            available_at: None,
            shared_with: BTreeSet::new(),
            tags: BTreeMap::new(),
        }
    }

    /// Sets name and description.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, description: impl Into<String>) -> Self {
        self.name = name.into();
        self.description = description.into();
        self
    }

    /// Sets the state.
    #[must_use]
    pub fn in_state(mut self, state: ImageState) -> Self {
        self.state = state;
        self
    }

    /// Makes it a BYOL image.
    #[must_use]
    pub fn with_own_licence(mut self) -> Self {
        self.byol = true;
        self
    }

    /// Makes it a Linux image.
    #[must_use]
    pub fn with_linux(mut self) -> Self {
        self.operating_system = OperatingSystem::Linux;
        self
    }

    /// Adds a tag, or replaces its value.
    #[must_use]
    pub fn tagged(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }

    /// Makes it PENDING until this time.
    #[must_use]
    pub(super) fn building_until(mut self, available_at: OffsetDateTime) -> Self {
        self.state = ImageState::Pending;
        self.available_at = Some(available_at);
        self
    }

    /// The state at this time: a PENDING image becomes AVAILABLE at `available_at`.
    pub fn state_at(&self, moment: OffsetDateTime) -> ImageState {
        match (self.state, self.available_at) {
            (ImageState::Pending, Some(available_at)) if available_at <= moment => ImageState::Available,
            (state, _) => state,
        }
    }

    /// AWS's structure `WorkspaceImage`.
    pub(super) fn describe(&self, moment: OffsetDateTime) -> Value {
        let state = self.state_at(moment);
        let mut answer = json!({
            "ImageId": self.image_id,
            "Name": self.name,
            "Description": self.description,
            "OperatingSystem": {"Type": self.operating_system.name()},
            "State": state.name(),
            "RequiredTenancy": if self.byol { "DEDICATED" } else { "DEFAULT" },
            "Created": epoch_seconds(self.created),
            "OwnerAccountId": self.owner,
        });
        if state == ImageState::Error {
            answer["ErrorCode"] = json!("SimulatedError");
            answer["ErrorMessage"] = json!("The simulator was told that building this image failed.");
        }
        answer
    }
}

/// A timestamp in AWS JSON 1.1: Unix seconds with milliseconds as the fraction.
fn epoch_seconds(moment: OffsetDateTime) -> f64 {
    let milliseconds = moment.unix_timestamp() * 1000 + i64::from(moment.millisecond());
    milliseconds as f64 / 1000.0
}
