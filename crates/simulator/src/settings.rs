//! Settings of a simulator, and the sample inventory of `dev` and tests.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    account::Account,
    image::{Image, ImageState},
    text_rule,
};

/// Maximum number of tags of an image.
pub(super) const MAX_TAGS: usize = 50;

/// The behaviour and the initial inventory of a simulator. In a settings file every member is optional.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatorSettings {
    /// The initial accounts.
    pub accounts: Vec<Account>,
    /// The initial images.
    pub images: Vec<Image>,
    /// The file that persists accounts and images. If it exists, it replaces `accounts` and `images`.
    pub state_file: Option<PathBuf>,
    /// Maximum number of calls in the call log. The oldest are dropped first.
    pub call_log_limit: usize,
    /// The error code for revoking a permission that does not exist, since AWS does not document it. None: the revoke
    /// succeeds.
    pub revoke_unshared_code: Option<String>,
    /// How long a new image is PENDING, in milliseconds.
    pub image_build_milliseconds: u64,
    /// Maximum number of events that LookupEvents can find, in all accounts and Regions, each about 1 KiB of memory. The
    /// oldest are dropped first. They are in memory only.
    pub trail_limit: usize,
    /// How late CloudTrail is at most, in milliseconds. An event can be found after half of this time to all of it, so that
    /// a newer event may be found before an older one.
    pub trail_delay_milliseconds: u64,
    /// Maximum number of images of an account in a Region that API calls may create.
    pub image_limit: usize,
}

impl Default for SimulatorSettings {
    fn default() -> Self {
        Self {
            accounts: Vec::new(),
            images: Vec::new(),
            state_file: None,
            call_log_limit: 100_000,
            revoke_unshared_code: Some("InvalidParameterValuesException".to_owned()),
            image_build_milliseconds: 2_000,
            trail_limit: 10_000,
            trail_delay_milliseconds: 300_000,
            image_limit: 40,
        }
    }
}

impl SimulatorSettings {
    /// Reads a JSON file.
    ///
    /// # Errors
    /// If the file cannot be read, or has unknown members or invalid values.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read(path)?;
        serde_json::from_slice(&text).map_err(|error| invalid(format!("{}: {error}", path.display())))
    }

    /// Checks for malformed ids, images without an owner and duplicate images.
    pub(super) fn check(&self) -> io::Result<()> {
        self.accounts.iter().try_for_each(check_account)?;
        self.images
            .iter()
            .try_for_each(|image| check_image(image, &self.accounts))?;
        let mut keys: Vec<_> = self
            .images
            .iter()
            .map(|image| (&image.region, &image.image_id))
            .collect();
        keys.sort();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(invalid(format!(
                "image {} is listed twice in Region {}",
                pair[0].1, pair[0].0
            ))),
            None => Ok(()),
        }
    }
}

pub(super) fn check_account(account: &Account) -> io::Result<()> {
    match text_rule::ACCOUNT.accepts(&account.id) {
        true => Ok(()),
        false => Err(invalid(format!("account id {:?} is not twelve digits", account.id))),
    }
}

/// Checks keys, values and their number.
pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> io::Result<()> {
    let odd = tags
        .iter()
        .find(|(key, value)| !text_rule::TAG_KEY.accepts(key) || !text_rule::TAG_VALUE.accepts(value));
    match odd {
        Some((key, _)) => Err(invalid(format!(
            "tag {key:?}: a key has 1 to 127 characters, and a value at most 255"
        ))),
        None if tags.len() > MAX_TAGS => Err(invalid(format!("an image has at most {MAX_TAGS} tags"))),
        None => Ok(()),
    }
}

/// Checks ids, Region, recipients, owner and tags.
pub(super) fn check_image<'a>(image: &Image, accounts: impl IntoIterator<Item = &'a Account>) -> io::Result<()> {
    let odd_recipient = image
        .shared_with
        .iter()
        .find(|account| !text_rule::ACCOUNT.accepts(account));
    check_tags(&image.tags)?;
    let problem = if !text_rule::IMAGE_ID.accepts(&image.image_id) {
        "the image id is not wsi- and 9 to 63 characters of 0-9a-z".to_owned()
    } else if !text_rule::REGION.accepts(&image.region) {
        format!("{:?} is not a Region", image.region)
    } else if let Some(account) = odd_recipient {
        format!("the shared account {account:?} is not twelve digits")
    } else if !accounts.into_iter().any(|account| account.id == image.owner) {
        format!("the owner {:?} is not a listed account", image.owner)
    } else {
        return Ok(());
    };
    Err(invalid(format!("image {:?}: {problem}", image.image_id)))
}

pub(super) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// A small inventory with fixed ids, for `dev`, tests and examples.
///
/// Owners: 111122223333 and 444455556666. Recipients: 210987654321, 000011112222 (leading zeros) and 777788889999,
/// which is BYOL-enabled in the same organization as 444455556666. Images are in eu-central-1 and us-east-1. One of
/// them stays PENDING, one is in ERROR, one has Linux, and one has the customer's licence. Most have tags.
pub fn sample() -> SimulatorSettings {
    let (frankfurt, virginia) = ("eu-central-1", "us-east-1");
    let (first, second) = ("111122223333", "444455556666");
    let mut sample = SimulatorSettings {
        accounts: vec![
            Account::new(first),
            Account::new(second).byol("o-example"),
            Account::new("210987654321"),
            Account::new("000011112222"),
            Account::new("777788889999").byol("o-example"),
        ],
        images: vec![
            Image::new(frankfurt, "wsi-basewin11", first)
                .named("base-windows-11", "Windows 11, hardened")
                .tagged("stage", "released"),
            Image::new(frankfurt, "wsi-devtool01", first)
                .named("developer-tools", "Windows 11 with developer tools")
                .tagged("stage", "test"),
            Image::new(frankfurt, "wsi-pending01", first)
                .named("next-base", "Still being built")
                .in_state(ImageState::Pending),
            Image::new(virginia, "wsi-usbase011", first)
                .named("base-windows-11", "Windows 11, hardened")
                .tagged("stage", "released"),
            Image::new(frankfurt, "wsi-finance01", second)
                .named("finance-desktop", "Desktop of the finance team")
                .tagged("stage", "released")
                .tagged("team", "finance"),
            Image::new(virginia, "wsi-byolwin11", second)
                .named("byol-windows-11", "Windows 11 with our own licence")
                .tagged("stage", "released")
                .with_own_licence(),
            Image::new(virginia, "wsi-failed0001", second)
                .named("broken-build", "Its build failed")
                .in_state(ImageState::Error),
            Image::new(virginia, "wsi-ubuntu2204", second)
                .named("ubuntu-22", "Ubuntu 22.04, hardened")
                .tagged("stage", "test")
                .with_linux(),
        ],
        ..SimulatorSettings::default()
    };
    // Lists show a value once if all images have it.
    let created = sample.images[0].created;
    sample.images.iter_mut().for_each(|image| image.created = created);
    sample
}
