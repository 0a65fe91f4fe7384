//! An image as AWS describes it. It is read on request and never stored.
//!
//! The simulator has an `Image` of its own, because it does not depend on this package.

use std::collections::BTreeMap;

use super::Timestamp;

/// Which images of an account to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Images that the account owns.
    Owned,
    /// Images that other accounts share with the account.
    Shared,
}

/// An image as AWS describes it. A text that AWS leaves out is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The image id, `wsi-...`.
    pub id: String,
    /// The name that its owner gave.
    pub name: String,
    /// The description that its owner gave.
    pub description: String,
    /// `AVAILABLE`, `PENDING` or `ERROR`.
    pub state: String,
    /// `WINDOWS` or `LINUX`.
    pub operating_system: String,
    /// `DEFAULT` or `DEDICATED`.
    pub required_tenancy: String,
    /// The account that owns it.
    pub owner_account: String,
    /// The creation time.
    pub created_at: Option<Timestamp>,
    /// AWS's error code, in state `ERROR`.
    pub error_code: String,
    /// AWS's error message, in state `ERROR`.
    pub error_message: String,
}

/// What AWS reports about an image id, when an account asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportedImage {
    /// The account owns the image.
    Owned(Image),
    /// Another account owns the image and shares it with this one.
    OfAnother(Image),
    /// The account sees no such image.
    NotFound,
}

/// The tags of an image, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(pub BTreeMap<String, String>);
