//! What a simulator starts with, and the sample that `dev` uses.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::image::{Image, ImageState};
use super::pattern;

/// How a simulator behaves, and the accounts and images it starts with. Every member may be left out of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The accounts at the start.
    pub accounts: Vec<Account>,
    /// The images at the start.
    pub images: Vec<Image>,
    /// Where accounts and images are kept over a restart. A file that is there wins over `accounts` and `images`.
    pub state_file: Option<PathBuf>,
    /// How many calls the call log keeps; the oldest go first.
    pub call_log_limit: usize,
    /// The error code for revoking what is not shared (AWS does not document it); none: such a revoke succeeds.
    pub revoke_unshared_code: Option<String>,
    /// How long an image made through the API stays PENDING.
    pub image_build_milliseconds: u64,
    /// How many images an account may make in a Region through the API.
    pub image_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            accounts: Vec::new(),
            images: Vec::new(),
            state_file: None,
            call_log_limit: 100_000,
            revoke_unshared_code: Some("InvalidParameterValuesException".to_owned()),
            image_build_milliseconds: 2_000,
            image_limit: 40,
        }
    }
}

impl Settings {
    /// Reads a JSON file. Unknown members are errors.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read(path)?;
        serde_json::from_slice(&text).map_err(|error| invalid(format!("{}: {error}", path.display())))
    }

    /// Refuses settings that AWS could never be in: odd ids, images of nobody, two images with one id.
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
            Some(pair) => Err(invalid(format!("image {} is listed twice in {}", pair[0].1, pair[0].0))),
            None => Ok(()),
        }
    }
}

/// Refuses an account whose id is not twelve digits.
pub(super) fn check_account(account: &Account) -> io::Result<()> {
    match pattern::ACCOUNT.accepts(&account.id) {
        true => Ok(()),
        false => Err(invalid(format!("account id {:?} is not twelve digits", account.id))),
    }
}

/// Refuses an image with a malformed id, Region or recipient, or one whose owner is not among the accounts.
pub(super) fn check_image<'a>(image: &Image, accounts: impl IntoIterator<Item = &'a Account>) -> io::Result<()> {
    if !pattern::IMAGE_ID.accepts(&image.image_id) {
        return Err(invalid(format!(
            "image id {:?} must be wsi- and 9 to 63 of 0-9a-z",
            image.image_id
        )));
    }
    if !pattern::REGION.accepts(&image.region) {
        return Err(invalid(format!(
            "image {}: {:?} is not a Region",
            image.image_id, image.region
        )));
    }
    if let Some(odd) = image
        .shared_with
        .iter()
        .find(|account| !pattern::ACCOUNT.accepts(account))
    {
        return Err(invalid(format!(
            "image {}: shared account {odd:?} is not twelve digits",
            image.image_id
        )));
    }
    match accounts.into_iter().any(|account| account.id == image.owner) {
        true => Ok(()),
        false => Err(invalid(format!(
            "image {}: its owner {:?} is not an account here",
            image.image_id, image.owner
        ))),
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// A small world with fixed ids, for `dev` and for examples.
///
/// Owners: 111122223333 and 444455556666. Recipients: 210987654321, 000011112222 (leading zeros) and 777788889999,
/// which is BYOL-enabled in the same organization as 444455556666. Images in eu-central-1 and us-east-1; one of them is PENDING for ever.
pub fn sample() -> Settings {
    let (frankfurt, virginia) = ("eu-central-1", "us-east-1");
    let (first, second) = ("111122223333", "444455556666");
    Settings {
        accounts: vec![
            Account::new(first),
            Account::new(second).byol("o-example"),
            Account::new("210987654321"),
            Account::new("000011112222"),
            Account::new("777788889999").byol("o-example"),
        ],
        images: vec![
            Image::new(frankfurt, "wsi-basewin11", first).named("base-windows-11", "Windows 11, hardened"),
            Image::new(frankfurt, "wsi-devtool01", first).named("developer-tools", "Windows 11 with developer tools"),
            Image::new(frankfurt, "wsi-pending01", first)
                .named("next-base", "Still being built")
                .in_state(ImageState::Pending),
            Image::new(virginia, "wsi-usbase011", first).named("base-windows-11", "Windows 11, hardened"),
            Image::new(frankfurt, "wsi-finance01", second).named("finance-desktop", "Desktop of the finance team"),
            Image::new(virginia, "wsi-byolwin11", second)
                .named("byol-windows-11", "Windows 11 with our own licence")
                .with_own_licence(),
        ],
        ..Settings::default()
    }
}
