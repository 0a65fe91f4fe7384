//! Which entries: the filters of `audit list`.

use clap::{Args, ValueEnum};

use super::time_arg::{TimeArg, now, timestamp};
use crate::proto::v1::{Action, AuditEntryFilter, Cause};

/// Filters of entries. All must match; of one that is given more than once any.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters")]
pub struct FilterArgs {
    /// Only ledgers of these AWS accounts, the owners of the images: 12 digits. May be given more than once
    #[arg(long, value_name = "ACCOUNT_ID")]
    account: Vec<String>,
    /// Only images in these AWS Regions. May be given more than once
    #[arg(long, value_name = "REGION")]
    region: Vec<String>,
    /// Only this image
    #[arg(long, value_name = "IMAGE_ID")]
    image: Option<String>,
    /// Only sharing with this AWS account
    #[arg(long, value_name = "ACCOUNT_ID", aliases = ["from", "shared-account"])]
    with: Option<String>,
    /// Only what these asked for, as authenticated (--principal says who asks now). May be given more than once
    #[arg(long, value_name = "PRINCIPAL")]
    asked_by: Vec<String>,
    /// Only these actions. May be given more than once
    #[arg(long, value_enum)]
    action: Vec<ActionFilter>,
    /// Only these kinds of entries, such as change.denied. May be given more than once
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only changes that came to be so. May be given more than once
    #[arg(long, value_enum)]
    cause: Vec<CauseFilter>,
    /// Only this change
    #[arg(long, value_name = "UUID")]
    change: Option<String>,
    /// Only this request
    #[arg(long, value_name = "UUID")]
    request: Option<String>,
    /// Only the entries whose last call to AWS has this request id
    #[arg(long, value_name = "ID")]
    aws_request: Option<String>,
    /// Recorded at this time or later: RFC 3339, a date (UTC), or a span back such as 36h, 7d
    #[arg(long, value_name = "TIME", value_parser = TimeArg::parse)]
    since: Option<TimeArg>,
    /// Recorded before this time: RFC 3339, a date (UTC), or a span back such as 36h, 7d
    #[arg(long, value_name = "TIME", value_parser = TimeArg::parse)]
    until: Option<TimeArg>,
    /// The reason or the ticket contains this, whatever the case of its letters
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

/// What a change does, as a filter: the API's number of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
pub enum ActionFilter {
    /// Let the shared account copy the image
    Grant = Action::Grant as i32,
    /// Stop letting it
    Revoke = Action::Revoke as i32,
}

/// Why a change came to be, as a filter: the API's number of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
pub enum CauseFilter {
    /// A caller asked for it
    Caller = Cause::Caller as i32,
}
