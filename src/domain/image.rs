//! An image as AWS describes it. Read through, never stored.

use super::Timestamp;

/// Whose images are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// Those that the account owns.
    Owned,
    /// Those that others share with the account.
    Shared,
}

/// An image as AWS describes it. The texts are AWS's own; absent ones are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `wsi-...`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// `AVAILABLE`, `PENDING` or `ERROR`.
    pub state: String,
    /// `WINDOWS` or `LINUX`.
    pub operating_system: String,
    /// `DEFAULT` or `DEDICATED`.
    pub required_tenancy: String,
    /// The account that owns it.
    pub owner_account: String,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// AWS's code, for state `ERROR`.
    pub error_code: String,
    /// AWS's message, for state `ERROR`.
    pub error_message: String,
}
