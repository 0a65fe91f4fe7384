//! AWS accounts as the simulator knows them, and the partitions they live in.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// An AWS account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Twelve digits; leading zeros count.
    pub id: String,
    /// Where the account lives: its access keys are unknown everywhere else.
    #[serde(default)]
    pub partition: Partition,
    /// May this account own and receive images with a licence of its own (bring your own licence)?
    #[serde(default)]
    pub byol_enabled: bool,
    /// The organization (payer) it belongs to. Two accounts without one are strangers.
    #[serde(default)]
    pub organization: Option<String>,
    /// When set, AssumeRole into this account must name exactly this external id.
    #[serde(default)]
    pub external_id: Option<String>,
    /// Access keys of the account, besides the made-up `AKIA<twelve digits>` that always works.
    #[serde(default)]
    pub access_keys: BTreeSet<String>,
}

impl Account {
    /// A plain account: commercial partition, no organization, not BYOL-enabled.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }

    /// The same account as a BYOL-enabled member of an organization.
    #[must_use]
    pub fn byol(mut self, organization: impl Into<String>) -> Self {
        self.byol_enabled = true;
        self.organization = Some(organization.into());
        self
    }

    /// The same account in another partition.
    #[must_use]
    pub fn in_partition(mut self, partition: Partition) -> Self {
        self.partition = partition;
        self
    }

    /// The same account, which asks for an external id when a role of it is assumed.
    #[must_use]
    pub fn asking_external_id(mut self, external_id: impl Into<String>) -> Self {
        self.external_id = Some(external_id.into());
        self
    }
}

/// A closed world of AWS: accounts, keys and images never cross from one to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Partition {
    /// The commercial Regions.
    #[default]
    #[serde(rename = "aws")]
    Commercial,
    /// The Regions in China.
    #[serde(rename = "aws-cn")]
    China,
    /// AWS GovCloud (US).
    #[serde(rename = "aws-us-gov")]
    GovCloud,
}

impl Partition {
    /// The partition that a Region belongs to.
    pub fn of_region(region: &str) -> Self {
        if region.starts_with("cn-") {
            Self::China
        } else if region.starts_with("us-gov-") {
            Self::GovCloud
        } else {
            Self::Commercial
        }
    }

    /// The partition's name, as ARNs have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commercial => "aws",
            Self::China => "aws-cn",
            Self::GovCloud => "aws-us-gov",
        }
    }
}
