//! The filters of `audit list`.

use clap::{Args, ValueEnum};

use super::time_arg::{TimeArg, now, timestamp};
use crate::proto::v1::{Action, AuditEntryFilter, Cause};

/// Filters of entries. All options must match. If an option is given more than once, one of its values must match.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// Only the ledger of this AWS account, which owns the images: 12 digits. May be given more than once
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Vec<String>,
    /// Only images in this AWS Region. May be given more than once
    #[arg(short, long, value_name = "REGION")]
    region: Vec<String>,
    /// Only entries of this image
    #[arg(short, long, value_name = "IMAGE_ID")]
    image: Option<String>,
    /// Only entries with this recipient: an AWS account, 12 digits
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    with: Option<String>,
    /// Only requests of this authenticated principal (--principal is the caller of this command). May be given more than once
    #[arg(long, value_name = "PRINCIPAL")]
    asked_by: Vec<String>,
    /// Only this action. May be given more than once
    #[arg(long, value_enum)]
    action: Vec<ActionFilter>,
    /// Only entries of this kind: change.requested, .succeeded, .failed, .superseded, .joined, .denied or .denials, or
    /// checkpoint.confirmed. May be given more than once
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only changes with this cause. May be given more than once
    #[arg(long, value_enum)]
    cause: Vec<CauseFilter>,
    /// Only entries of the change with this id
    #[arg(long, value_name = "UUID")]
    change: Option<String>,
    /// Only entries of the request with this id
    #[arg(long, value_name = "UUID")]
    request: Option<String>,
    /// Only entries whose last call to AWS has this AWS request id
    #[arg(long, value_name = "ID")]
    aws_request: Option<String>,
    /// Only entries recorded at this time or later: RFC 3339, a date (UTC), or a time ago such as 36h or 7d
    #[arg(long, value_name = "TIME", value_parser = TimeArg::parse)]
    since: Option<TimeArg>,
    /// Only entries recorded before this time: RFC 3339, a date (UTC), or a time ago such as 36h or 7d
    #[arg(long, value_name = "TIME", value_parser = TimeArg::parse)]
    until: Option<TimeArg>,
    /// Only entries whose reason or ticket contains this text, in upper or lower case
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
}

impl FilterArgs {
    pub(super) fn to_filter(&self) -> AuditEntryFilter {
        let now = now();
        let time = |moment: Option<TimeArg>| moment.map(|moment| timestamp(moment.resolve(now)));
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        AuditEntryFilter {
            account_ids: self.account.clone(),
            regions: self.region.clone(),
            image_id: text(&self.image),
            shared_account_id: text(&self.with),
            principals: self.asked_by.clone(),
            actions: self.action.iter().map(|action| *action as i32).collect(),
            kinds: self.kind.clone(),
            causes: self.cause.iter().map(|cause| *cause as i32).collect(),
            change_id: text(&self.change),
            request_id: text(&self.request),
            aws_request_id: text(&self.aws_request),
            start_time: time(self.since),
            end_time: time(self.until),
            text: text(&self.text),
        }
    }
}

/// The action of a change, as a filter. Each value is the API's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
pub enum ActionFilter {
    /// Permit the recipient to copy the image
    Grant = Action::Grant as i32,
    /// Withdraw the permission
    Revoke = Action::Revoke as i32,
}

/// The cause of a change, as a filter. Each value is the API's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
pub enum CauseFilter {
    /// A caller requested it
    Caller = Cause::Caller as i32,
    /// The end of the share was reached
    Expiry = Cause::Expiry as i32,
    /// An unrecorded share was found, and the service revoked it
    Drift = Cause::Drift as i32,
    /// A caller adopted a share that AWS already had
    Adoption = Cause::Adoption as i32,
}
