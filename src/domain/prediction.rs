//! What AWS's own rules say about a change, before AWS is asked: from what AWS reports about the image, and from the Region.
//!
//! A finding never refuses anything. AWS decides; these rules only repeat what its documentation says.

use super::{
    Action, AwsError, PermissionKey, Region,
    change::names,
    image::{Image, ReportedImage},
};

/// The rule that a finding is about. The names are part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingCode {
    /// The account sees no such image in the Region.
    ///
    /// Source: [API reference][update], ResourceNotFoundException.
    ///
    /// [update]: https://docs.aws.amazon.com/workspaces/latest/api/API_UpdateWorkspaceImagePermission.html
    ImageNotFound,
    /// Another account owns the image. Only the owner decides who may copy it.
    ///
    /// Source: [API reference][update], AccessDeniedException, and [WorkspaceImage][image], OwnerAccountId.
    ///
    /// [update]: https://docs.aws.amazon.com/workspaces/latest/api/API_UpdateWorkspaceImagePermission.html
    /// [image]: https://docs.aws.amazon.com/workspaces/latest/api/API_WorkspaceImage.html
    ImageNotOwned,
    /// The image is not AVAILABLE.
    ///
    /// Source: [API reference][update], ResourceUnavailableException, and [WorkspaceImage][image], State.
    ///
    /// [update]: https://docs.aws.amazon.com/workspaces/latest/api/API_UpdateWorkspaceImagePermission.html
    /// [image]: https://docs.aws.amazon.com/workspaces/latest/api/API_WorkspaceImage.html
    ImageNotAvailable,
    /// A BYOL image (dedicated tenancy) is in AWS GovCloud (US), where it cannot be shared.
    ///
    /// Source: [API reference][update], the note; [Administration Guide][share], "Share Bring Your Own License images".
    ///
    /// [update]: https://docs.aws.amazon.com/workspaces/latest/api/API_UpdateWorkspaceImagePermission.html
    /// [share]: https://docs.aws.amazon.com/workspaces/latest/adminguide/share-custom-image.html
    ByolInGovcloud,
    /// A BYOL image can be shared only with accounts that are enabled for BYOL and have the same payer. AWS reports neither about
    /// the recipient.
    ///
    /// Source: [Administration Guide][share], "Share Bring Your Own License images".
    ///
    /// [share]: https://docs.aws.amazon.com/workspaces/latest/adminguide/share-custom-image.html
    ByolRecipient,
    /// In China (Ningxia), the recipient can copy the image within the Region only.
    ///
    /// Source: [Administration Guide][share], the first note.
    ///
    /// [share]: https://docs.aws.amazon.com/workspaces/latest/adminguide/share-custom-image.html
    CopyWithinRegionOnly,
    /// In AWS GovCloud (US), copies to other Regions go through AWS Support.
    ///
    /// Source: [Administration Guide][share], the first note.
    ///
    /// [share]: https://docs.aws.amazon.com/workspaces/latest/adminguide/share-custom-image.html
    CopyThroughSupport,
    /// AWS did not report what the rules need.
    NotChecked,
}
names!(FindingCode {
    ImageNotFound = "IMAGE_NOT_FOUND",
    ImageNotOwned = "IMAGE_NOT_OWNED",
    ImageNotAvailable = "IMAGE_NOT_AVAILABLE",
    ByolInGovcloud = "BYOL_IN_GOVCLOUD",
    ByolRecipient = "BYOL_RECIPIENT",
    CopyWithinRegionOnly = "COPY_WITHIN_REGION_ONLY",
    CopyThroughSupport = "COPY_THROUGH_SUPPORT",
    NotChecked = "NOT_CHECKED",
});

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// AWS is expected to refuse the change.
    Error,
    /// AWS is expected to accept the change, or it is not known.
    Warning,
}

impl FindingCode {
    /// How serious a finding of this rule is.
    pub fn severity(self) -> Severity {
        match self {
            Self::ImageNotFound | Self::ImageNotOwned | Self::ImageNotAvailable | Self::ByolInGovcloud => {
                Severity::Error
            }
            Self::ByolRecipient | Self::CopyWithinRegionOnly | Self::CopyThroughSupport | Self::NotChecked => {
                Severity::Warning
            }
        }
    }
}

/// What a rule of AWS says about a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub code: FindingCode,
    /// A sentence for people.
    pub message: String,
}

/// What is known about the image of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownImage<'a> {
    /// What AWS reports.
    Reported(&'a ReportedImage),
    /// The read failed.
    Failed(&'a AwsError),
    /// There was no answer in the time for it.
    NotInTime,
}

/// What AWS is expected to say to a change: errors first.
pub fn predict(action: Action, key: &PermissionKey, image: KnownImage<'_>) -> Vec<Finding> {
    let mut findings = match image {
        KnownImage::Reported(ReportedImage::Owned(image)) => of_owned(action, key, image),
        KnownImage::Reported(ReportedImage::OfAnother(image)) => vec![not_owned(key, image)],
        KnownImage::Reported(ReportedImage::NotFound) => vec![not_found(key)],
        KnownImage::Failed(error) => vec![not_checked(key, &error.words())],
        KnownImage::NotInTime => vec![not_checked(key, "AWS did not answer in time")],
    };
    if action == Action::Grant {
        findings.extend(copying(&key.region));
    }
    findings
}

/// The warnings about a grant that AWS has accepted. Without a report about the image, they are those of the Region.
pub fn warnings(key: &PermissionKey, image: Option<&ReportedImage>) -> Vec<Finding> {
    let byol = match image {
        Some(ReportedImage::Owned(image)) => byol(key, image),
        _ => None,
    };
    let findings = byol.into_iter().chain(copying(&key.region));
    findings
        .filter(|finding| finding.code.severity() == Severity::Warning)
        .collect()
}

fn of_owned(action: Action, key: &PermissionKey, image: &Image) -> Vec<Finding> {
    let mut findings = Vec::new();
    match image.state.as_str() {
        "AVAILABLE" => {}
        "" => findings.push(not_checked(key, "AWS reports no state of the image")),
        state => findings.push(Finding {
            code: FindingCode::ImageNotAvailable,
            message: format!(
                "image {} is {state}, and AWS changes the sharing of images that are AVAILABLE only",
                key.image
            ),
        }),
    }
    if action == Action::Grant {
        findings.extend(byol(key, image));
    }
    findings
}

fn byol(key: &PermissionKey, image: &Image) -> Option<Finding> {
    let PermissionKey {
        image: id,
        shared_account: recipient,
        ..
    } = key;
    match image.required_tenancy.as_str() {
        "DEFAULT" => None,
        "" => Some(not_checked(key, "AWS reports no tenancy of the image")),
        _ if is_govcloud(&key.region) => Some(Finding {
            code: FindingCode::ByolInGovcloud,
            message: format!(
                "image {id} is a BYOL image (dedicated tenancy), and AWS does not share these in AWS GovCloud (US); \
                 ask AWS Support"
            ),
        }),
        _ => Some(Finding {
            code: FindingCode::ByolRecipient,
            message: format!(
                "image {id} is a BYOL image (dedicated tenancy): account {recipient} can use it only if it is enabled \
                 for BYOL and has the same payer account"
            ),
        }),
    }
}

/// The rule of the Region for copies.
fn copying(region: &Region) -> Option<Finding> {
    if region.as_str() == "cn-northwest-1" {
        return Some(Finding {
            code: FindingCode::CopyWithinRegionOnly,
            message: "in China (Ningxia), the recipient can copy the image within the Region only".into(),
        });
    }
    is_govcloud(region).then(|| Finding {
        code: FindingCode::CopyThroughSupport,
        message: "in AWS GovCloud (US), the recipient needs AWS Support to copy the image to another Region".into(),
    })
}

fn is_govcloud(region: &Region) -> bool {
    region.partition() == "aws-us-gov"
}

fn not_found(key: &PermissionKey) -> Finding {
    Finding {
        code: FindingCode::ImageNotFound,
        message: format!(
            "account {} has no image {} in Region {}",
            key.account, key.image, key.region
        ),
    }
}

fn not_owned(key: &PermissionKey, image: &Image) -> Finding {
    let owner = match image.owner_account.as_str() {
        "" => "another account".to_owned(),
        owner => format!("account {owner}"),
    };
    Finding {
        code: FindingCode::ImageNotOwned,
        message: format!(
            "{owner} owns image {} and shares it with account {}; only its owner decides who may copy it",
            key.image, key.account
        ),
    }
}

fn not_checked(key: &PermissionKey, reason: &str) -> Finding {
    Finding {
        code: FindingCode::NotChecked,
        message: format!("image {} could not be checked: {reason}", key.image),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AwsErrorKind, FailureReason};

    fn key(region: &str) -> PermissionKey {
        PermissionKey {
            account: "111122223333".parse().unwrap(),
            region: region.parse().unwrap(),
            image: "wsi-basewin11".parse().unwrap(),
            shared_account: "000011112222".parse().unwrap(),
        }
    }

    fn image(state: &str, tenancy: &str) -> Image {
        Image {
            id: "wsi-basewin11".into(),
            name: String::new(),
            description: String::new(),
            state: state.into(),
            operating_system: "WINDOWS".into(),
            required_tenancy: tenancy.into(),
            owner_account: "444455556666".into(),
            created_at: None,
            error_code: String::new(),
            error_message: String::new(),
        }
    }

    fn codes(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().map(|finding| finding.code.as_str()).collect()
    }

    /// Every rule, in a Region of each partition, for grants and revokes.
    #[test]
    fn each_rule_of_aws_is_predicted_where_it_holds() {
        use Action::{Grant, Revoke};
        use ReportedImage::{NotFound, OfAnother, Owned};
        let plain = || image("AVAILABLE", "DEFAULT");
        let byol = || image("AVAILABLE", "DEDICATED");
        let (frankfurt, govcloud, ningxia) = ("eu-central-1", "us-gov-west-1", "cn-northwest-1");
        for (action, region, report, expected) in [
            (Grant, frankfurt, Owned(plain()), vec![]),
            (Grant, frankfurt, NotFound, vec!["IMAGE_NOT_FOUND"]),
            (Grant, frankfurt, OfAnother(plain()), vec!["IMAGE_NOT_OWNED"]),
            (
                Grant,
                frankfurt,
                Owned(image("PENDING", "DEFAULT")),
                vec!["IMAGE_NOT_AVAILABLE"],
            ),
            (
                Grant,
                frankfurt,
                Owned(image("ERROR", "DEFAULT")),
                vec!["IMAGE_NOT_AVAILABLE"],
            ),
            (Grant, frankfurt, Owned(byol()), vec!["BYOL_RECIPIENT"]),
            (Grant, ningxia, Owned(plain()), vec!["COPY_WITHIN_REGION_ONLY"]),
            (
                Grant,
                ningxia,
                Owned(byol()),
                vec!["BYOL_RECIPIENT", "COPY_WITHIN_REGION_ONLY"],
            ),
            (Grant, "cn-north-1", Owned(plain()), vec![]),
            (Grant, govcloud, Owned(plain()), vec!["COPY_THROUGH_SUPPORT"]),
            (
                Grant,
                "us-gov-east-1",
                Owned(byol()),
                vec!["BYOL_IN_GOVCLOUD", "COPY_THROUGH_SUPPORT"],
            ),
            (
                Grant,
                frankfurt,
                Owned(image("", "")),
                vec!["NOT_CHECKED", "NOT_CHECKED"],
            ),
            (Revoke, govcloud, Owned(byol()), vec![]),
            (
                Revoke,
                ningxia,
                Owned(image("PENDING", "DEFAULT")),
                vec!["IMAGE_NOT_AVAILABLE"],
            ),
            (Revoke, frankfurt, NotFound, vec!["IMAGE_NOT_FOUND"]),
            (Revoke, frankfurt, OfAnother(byol()), vec!["IMAGE_NOT_OWNED"]),
        ] {
            let findings = predict(action, &key(region), KnownImage::Reported(&report));
            assert_eq!(codes(&findings), expected, "{action:?} in {region} of {report:?}");
        }
    }

    #[test]
    fn an_accepted_grant_has_only_warnings() {
        use ReportedImage::Owned;
        let byol = Owned(image("AVAILABLE", "DEDICATED"));
        for (region, report, expected) in [
            ("eu-central-1", None, vec![]),
            ("eu-central-1", Some(&byol), vec!["BYOL_RECIPIENT"]),
            ("eu-central-1", Some(&ReportedImage::NotFound), vec![]),
            ("us-gov-west-1", None, vec!["COPY_THROUGH_SUPPORT"]),
            ("us-gov-west-1", Some(&byol), vec!["COPY_THROUGH_SUPPORT"]),
            ("cn-northwest-1", None, vec!["COPY_WITHIN_REGION_ONLY"]),
        ] {
            assert_eq!(
                codes(&warnings(&key(region), report)),
                expected,
                "{region} of {report:?}"
            );
        }
    }

    #[test]
    fn what_could_not_be_read_is_said_and_is_a_warning() {
        let refused = AwsError {
            kind: AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied),
            code: Some("AccessDeniedException".into()),
            message: Some("not for this role".into()),
        };
        for (image, text) in [
            (
                KnownImage::Failed(&refused),
                "image wsi-basewin11 could not be checked: AccessDeniedException: not for this role",
            ),
            (
                KnownImage::NotInTime,
                "image wsi-basewin11 could not be checked: AWS did not answer in time",
            ),
        ] {
            let findings = predict(Action::Grant, &key("eu-central-1"), image);
            assert_eq!(findings[0].message, text);
            assert_eq!(findings[0].code.severity(), Severity::Warning);
        }
    }
}
