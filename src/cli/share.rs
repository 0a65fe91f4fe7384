//! How a command line names an image and a share of it: the argument SHARE, the long options, or defaults.

use std::str::FromStr;

use clap::{ArgMatches, Args};

use super::{
    failure::{Exit, Failure},
    options::ClientOptions,
};
use crate::domain::{AccountId, ImageId, Region};

/// The form of a whole SHARE.
const FORM: &str = "ACCOUNT/REGION/IMAGE";

/// An image on the command line. What it leaves out comes from the environment.
#[derive(Debug, Clone, Args)]
pub struct ImageName {
    /// The image: ACCOUNT/REGION/IMAGE, or IMAGE alone with a default account and a default Region
    #[arg(value_name = "SHARE")]
    share: Option<SharePath>,
    /// The AWS account that owns the image: 12 digits, with leading zeros [default: SHAREWARDEN_ACCOUNT]
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Option<String>,
    /// The AWS Region of the image, such as eu-central-1 [default: SHAREWARDEN_REGION, AWS_REGION or AWS_DEFAULT_REGION]
    #[arg(short, long, value_name = "REGION")]
    region: Option<String>,
    /// The image: wsi- and 9 to 63 lower-case letters and digits
    #[arg(short, long, value_name = "IMAGE_ID")]
    image: Option<String>,
}

/// A permission on the command line: an image and a recipient.
#[derive(Debug, Clone, Args)]
pub struct PermissionName {
    #[command(flatten)]
    image: ImageName,
    /// The recipient, the AWS account that may copy the image: 12 digits, not the owner
    #[arg(short, long, value_name = "ACCOUNT_ID", required = true)]
    with: Option<String>,
}

/// The ids of an image. The service checks them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageIds {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) image: String,
}

/// The ids of a permission. The service checks them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PermissionIds {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) image: String,
    pub(super) with: String,
}

/// The parts of a permission that a command line names, without defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct GivenIds {
    pub(super) account: Option<String>,
    pub(super) region: Option<String>,
    pub(super) image: Option<String>,
    pub(super) with: Option<String>,
}

/// The account and the Region of SHARE, from a command line that may not be complete.
pub(super) fn place_in(matches: &ArgMatches) -> Option<(String, String)> {
    let share = matches.try_get_one::<SharePath>("share").ok()??;
    let (account, region) = share.place.as_ref()?;
    Some((account.to_string(), region.to_string()))
}

impl ImageName {
    /// The ids, from SHARE and the options, without defaults.
    fn given(&self) -> Result<GivenIds, Failure> {
        let share = self.share.as_ref();
        let place = share.and_then(|share| share.place.as_ref());
        let account = place.map(|(account, _)| account.to_string());
        let region = place.map(|(_, region)| region.to_string());
        let image = share.map(|share| share.image.to_string());
        let account = same("--account", account, self.account.as_ref())?;
        let region = same("--region", region, self.region.as_ref())?;
        let image = same("--image", image, self.image.as_ref())?;
        Ok(GivenIds {
            account,
            region,
            image,
            with: None,
        })
    }

    /// The ids, from SHARE, the options and the defaults, in this order.
    pub(super) fn resolve(&self, options: &ClientOptions) -> Result<ImageIds, Failure> {
        let GivenIds {
            account, region, image, ..
        } = self.given()?;
        Ok(ImageIds {
            account: options.account(account)?,
            region: options.region(region)?,
            image: image.ok_or_else(missing_image)?,
        })
    }
}

/// The failure of a command without an image.
pub(super) fn missing_image() -> Failure {
    let hint = format!("name it as {FORM}, as IMAGE, or with --image");
    Failure::new(Exit::Invalid, "the image is missing", hint)
}

impl PermissionName {
    /// The ids, from SHARE and the options, without defaults.
    pub(super) fn given(&self) -> Result<GivenIds, Failure> {
        Ok(GivenIds {
            with: self.with.clone(),
            ..self.image.given()?
        })
    }

    /// The ids, from SHARE, the options and the defaults, in this order.
    pub(super) fn resolve(&self, options: &ClientOptions) -> Result<PermissionIds, Failure> {
        let ImageIds { account, region, image } = self.image.resolve(options)?;
        Ok(PermissionIds {
            account,
            region,
            image,
            // Required, except with options that make another command of it.
            with: self.with.clone().unwrap_or_default(),
        })
    }
}

/// The value of SHARE or of the option. Both may be given if they are the same.
fn same(option: &str, part: Option<String>, given: Option<&String>) -> Result<Option<String>, Failure> {
    match (part, given) {
        (Some(part), Some(given)) if part != *given => {
            let what = format!("SHARE has {part}, and {option} has {given}");
            Err(Failure::new(Exit::Invalid, what, "give only one, or the same in both"))
        }
        (part, given) => Ok(part.or_else(|| given.cloned())),
    }
}

/// The value of the argument SHARE.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SharePath {
    place: Option<(AccountId, Region)>,
    image: ImageId,
}

impl FromStr for SharePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split('/').collect();
        let (place, image) = match parts[..] {
            [image] => (None, image),
            [account, region, image] => (Some((part("ACCOUNT", account)?, part("REGION", region)?)), image),
            _ => return Err(format!("must be {FORM}, or IMAGE alone; it has {} parts", parts.len())),
        };
        let image = part("IMAGE", image)?;
        Ok(Self { place, image })
    }
}

fn part<T: FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("its {name} {error}"))
}
