//! AWS accounts and partitions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// An AWS account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Twelve digits. Leading zeros count.
    pub id: String,
    /// The partition of the account. Its access keys are unknown in other partitions.
    #[serde(default)]
    pub partition: Partition,
    /// True if the account may own and receive images with its own licence (bring your own licence).
    #[serde(default)]
    pub byol_enabled: bool,
    /// The organization. Accounts without one have none in common.
    #[serde(default)]
    pub organization: Option<String>,
    /// If set, AssumeRole into this account requires exactly this external id.
    #[serde(default)]
    pub external_id: Option<String>,
    /// Access keys besides `AKIA<account id>`, which always works.
    #[serde(default)]
    pub access_keys: BTreeSet<String>,
}

impl Account {
    /// A commercial account without an organization, not BYOL-enabled.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }

    /// Makes it BYOL-enabled and a member of an organization.
    #[must_use]
    pub fn byol(mut self, organization: impl Into<String>) -> Self {
        self.byol_enabled = true;
        self.organization = Some(organization.into());
        self
    }

    /// Sets the partition.
    #[must_use]
    pub fn in_partition(mut self, partition: Partition) -> Self {
        self.partition = partition;
        self
    }

    /// Requires an external id in AssumeRole.
    #[must_use]
    pub fn asking_external_id(mut self, external_id: impl Into<String>) -> Self {
        self.external_id = Some(external_id.into());
        self
    }
}

/// An AWS partition: accounts, keys and images never cross its border.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Partition {
    /// Commercial Regions.
    #[default]
    #[serde(rename = "aws")]
    Commercial,
    /// Regions in China.
    #[serde(rename = "aws-cn")]
    China,
    /// AWS GovCloud (US).
    #[serde(rename = "aws-us-gov")]
    GovCloud,
}

impl Partition {
    /// The partition of a Region.
    pub fn of_region(region: &str) -> Self {
        if region.starts_with("cn-") {
            Self::China
        } else if region.starts_with("us-gov-") {
            Self::GovCloud
        } else {
            Self::Commercial
        }
    }

    /// The name in ARNs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commercial => "aws",
            Self::China => "aws-cn",
            Self::GovCloud => "aws-us-gov",
        }
    }
}
