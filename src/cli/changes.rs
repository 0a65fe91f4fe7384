//! `changes`: what is under way, and what has ended.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::audit::moment::{Moment, now, timestamp};
use super::connection::{Client, Connection};
use super::console::Console;
use super::failure::{Failure, Stop};
use super::justification;
use super::options::ClientOptions;
use super::pages::{self, Page, PageArgs};
use super::printer::Listed;
use super::render::{change_state, error, standing};
use super::text::one_line;
use super::words::{action, moment, second};
use crate::proto::v1::change::State;
use crate::proto::v1::{Change, ChangeOrder, ListChangesRequest};

/// Arguments of `changes`.
#[derive(Debug, Clone, Args)]
pub struct ChangesArgs {
    /// Only changes that have not ended
    #[arg(long, conflicts_with = "state")]
    pending: bool,
    /// Only pending changes of which a call to AWS may have had an effect that was not read back yet
    #[arg(long, conflicts_with = "state")]
    in_doubt: bool,
    /// Only changes that stand so. May be given more than once
    #[arg(long, value_enum)]
    state: Vec<ChangeStateFilter>,
    /// Only changes accepted longer ago than this, such as 5m or 36h
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
    /// Only images that these AWS accounts own: 12 digits. May be given more than once
    #[arg(long, value_name = "ACCOUNT_ID")]
    account: Vec<String>,
    /// Only images in this AWS Region, such as eu-central-1
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Only this image: wsi- and 9 to 63 lower-case letters and digits
    #[arg(long, value_name = "IMAGE_ID")]
    image: Option<String>,
    /// Only this recipient: an AWS account, 12 digits
    #[arg(long, value_name = "ACCOUNT_ID", aliases = ["from", "shared-account"])]
    with: Option<String>,
    /// Only what this one asked for, as authenticated (--principal says who asks now)
    #[arg(long, value_name = "PRINCIPAL")]
    asked_by: Option<String>,
    /// What has waited longest first
    #[arg(long)]
    oldest_first: bool,
    #[command(flatten)]
    pages: PageArgs,
}

/// Where a change stands, as a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ChangeStateFilter {
    /// Accepted, not ended
    Pending,
    /// In effect at AWS
    Succeeded,
    /// Known not to be in effect
    Failed,
    /// A newer change took its place
    Superseded,
}

impl From<ChangeStateFilter> for State {
    fn from(filter: ChangeStateFilter) -> Self {
        match filter {
            ChangeStateFilter::Pending => Self::Pending,
            ChangeStateFilter::Succeeded => Self::Succeeded,
            ChangeStateFilter::Failed => Self::Failed,
            ChangeStateFilter::Superseded => Self::Superseded,
        }
    }
}

pub(super) async fn changes(
    options: &ClientOptions,
    connection: &Connection,
    args: ChangesArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let request = first_page(&args);
    pages::follow(&args.pages, options.output, console, async |place| {
        let request = ListChangesRequest {
            page_size: place.page_size,
            page_token: place.page_token,
            ..request.clone()
        };
        let answer = connection
            .call(connection.deadline(), request, async |mut client: Client, request| {
                client.list_changes(request).await
            })
            .await?;
        Ok(Page {
            things: answer.changes,
            next_page_token: answer.next_page_token,
            archived: Vec::new(),
        })
    })
    .await
}

fn first_page(args: &ChangesArgs) -> ListChangesRequest {
    let states = args.state.iter().map(|&state| State::from(state));
    let order = if args.oldest_first {
        ChangeOrder::OldestFirst
    } else {
        ChangeOrder::NewestFirst
    };
    ListChangesRequest {
        account_ids: args.account.clone(),
        states: states
            .chain(args.pending.then_some(State::Pending))
            .map(i32::from)
            .collect(),
        in_doubt: args.in_doubt,
        // The same moment for all pages.
        created_before: args.older_than.map(|span| timestamp(Moment::Back(span).resolve(now()))),
        region: args.region.clone().unwrap_or_default(),
        image_id: args.image.clone().unwrap_or_default(),
        shared_account_id: args.with.clone().unwrap_or_default(),
        principal: args.asked_by.clone().unwrap_or_default(),
        order: order.into(),
        ..ListChangesRequest::default()
    }
}

impl Listed for Change {
    const NAME: &'static str = "changes";
    const HEAD: &'static [&'static str] = &[
        "CHANGE",
        "ACCOUNT",
        "REGION",
        "IMAGE",
        "RECIPIENT",
        "ACTION",
        "STATE",
        "CREATED",
        "CALLS",
        "NOW",
    ];
    const COLUMNS: &'static [&'static [&'static str]] = &[
        &[
            "change_id",
            "account_id",
            "region",
            "image_id",
            "shared_account_id",
            "action",
            "state",
            "principal",
        ],
        justification::NAMES,
        &[
            "create_time",
            "end_time",
            "attempts",
            "error",
            "in_doubt",
            "replica_id",
            "lease_expire_time",
            "next_attempt_time",
            "behind_change_id",
        ],
    ];

    fn row(&self) -> Vec<String> {
        let now = match &self.progress {
            Some(progress) => standing(progress),
            None => error(self.error_reason, &self.error_code, ""),
        };
        vec![
            one_line(&self.change_id),
            one_line(&self.account_id),
            one_line(&self.region),
            one_line(&self.image_id),
            one_line(&self.shared_account_id),
            action(self.action),
            change_state(self.state),
            second(self.create_time.as_ref()),
            self.attempts.len().to_string(),
            now,
        ]
    }

    fn record(&self) -> Result<Vec<String>, Failure> {
        let progress = self.progress.as_ref();
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        let mut record = vec![
            self.change_id.clone(),
            self.account_id.clone(),
            self.region.clone(),
            self.image_id.clone(),
            self.shared_account_id.clone(),
            action(self.action),
            change_state(self.state),
            self.principal.clone(),
        ];
        record.extend(justification::texts(self).map(|(_, text)| text.to_owned()));
        record.extend([
            moment(self.create_time.as_ref()),
            moment(self.end_time.as_ref()),
            self.attempts.len().to_string(),
            error(self.error_reason, &self.error_code, &self.error_message),
            progress.map_or_else(String::new, |progress| progress.in_doubt.to_string()),
            text(progress.map(|progress| &progress.replica_id)),
            moment(progress.and_then(|progress| progress.lease_expire_time.as_ref())),
            moment(progress.and_then(|progress| progress.next_attempt_time.as_ref())),
            text(progress.map(|progress| &progress.behind_change_id)),
        ]);
        Ok(record)
    }
}
