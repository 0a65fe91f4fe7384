//! WorkSpaces images as the simulator keeps them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::now::now;

/// A WorkSpaces image in one Region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The Region it is in.
    pub region: String,
    /// `wsi-` and 9 to 63 lower-case letters or digits.
    pub image_id: String,
    /// The account that owns it.
    pub owner: String,
    /// Unique among the owner's images of the Region.
    pub name: String,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Where it is in its life (but see `available_at`).
    #[serde(default)]
    pub state: ImageState,
    /// Does it carry the customer's own Windows licence?
    #[serde(default)]
    pub byol: bool,
    /// When it was made.
    #[serde(default = "now", with = "time::serde::rfc3339")]
    pub created: OffsetDateTime,
    /// When a PENDING image becomes AVAILABLE by itself; without it, it stays PENDING.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub available_at: Option<OffsetDateTime>,
    /// The accounts that may copy it.
    #[serde(default)]
    pub shared_with: BTreeSet<String>,
}

/// Where an image is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ImageState {
    /// Ready: may be shared, copied, deleted.
    #[default]
    Available,
    /// Being built.
    Pending,
    /// Its building failed.
    Error,
}

impl ImageState {
    /// The word AWS uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Available => "AVAILABLE",
            Self::Pending => "PENDING",
            Self::Error => "ERROR",
        }
    }
}

impl Image {
    /// An AVAILABLE image, shared with nobody, named after its id.
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
            created: now(),
            available_at: None,
            shared_with: BTreeSet::new(),
        }
    }

    /// The same image under another name and description.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, description: impl Into<String>) -> Self {
        self.name = name.into();
        self.description = description.into();
        self
    }

    /// The same image in another state.
    #[must_use]
    pub fn in_state(mut self, state: ImageState) -> Self {
        self.state = state;
        self
    }

    /// The same image with the customer's own licence in it.
    #[must_use]
    pub fn with_own_licence(mut self) -> Self {
        self.byol = true;
        self
    }

    /// The same image, PENDING until `available_at` if that is still to come.
    #[must_use]
    pub(super) fn building_until(mut self, available_at: OffsetDateTime) -> Self {
        self.state = ImageState::Pending;
        self.available_at = Some(available_at);
        self
    }

    /// The state at a moment: building ends without anyone doing anything.
    pub fn state_at(&self, moment: OffsetDateTime) -> ImageState {
        match (self.state, self.available_at) {
            (ImageState::Pending, Some(available_at)) if available_at <= moment => ImageState::Available,
            (state, _) => state,
        }
    }

    /// AWS's own structure `WorkspaceImage`.
    pub(super) fn describe(&self, moment: OffsetDateTime) -> Value {
        let state = self.state_at(moment);
        let mut answer = json!({
            "ImageId": self.image_id,
            "Name": self.name,
            "Description": self.description,
            "OperatingSystem": {"Type": "WINDOWS"},
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

/// How AWS JSON 1.1 writes a timestamp: seconds since 1970, with a fraction of milliseconds.
fn epoch_seconds(moment: OffsetDateTime) -> f64 {
    let milliseconds = moment.unix_timestamp() * 1000 + i64::from(moment.millisecond());
    milliseconds as f64 / 1000.0
}
