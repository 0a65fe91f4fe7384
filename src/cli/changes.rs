//! `change list`: pending and ended changes.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{
    args::ShareFilterArgs,
    audit::time_arg::{TimeArg, now, timestamp},
    cell::{Cell, TableRow},
    connection::{Client, ShareStub},
    console::Console,
    ends,
    failure::{Failure, Stop},
    format::{action, cause, rfc3339},
    justification,
    options::ClientOptions,
    pages::{self, ListPage, PageArgs},
    printer::ListItem,
    render::{change_state, error, progress_text},
    table::Cells,
    text::one_line,
};
use crate::proto::v1::{Change, ChangeOrder, ListChangesRequest, change::State};

/// Arguments of `change list`.
#[derive(Debug, Clone, Args)]
pub struct ChangesArgs {
    /// Only changes that have not ended
    #[arg(long, conflicts_with = "state")]
    pending: bool,
    /// Only pending changes in doubt: a call to AWS may have had an effect that was not read back yet
    #[arg(long, conflicts_with = "state")]
    in_doubt: bool,
    /// Only changes in this state. May be given more than once
    #[arg(long, value_enum)]
    state: Vec<ChangeStateFilter>,
    /// Only changes that were accepted longer ago than this, with a unit, such as 5m or 36h
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    older_than: Option<Duration>,
    /// Only images that these AWS accounts own: 12 digits. May be given more than once
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Vec<String>,
    #[command(flatten)]
    shares: ShareFilterArgs,
    /// Only changes that this authenticated principal requested (--principal is the caller of this command)
    #[arg(long, value_name = "PRINCIPAL")]
    asked_by: Option<String>,
    /// List the oldest change first [default: the newest]
    #[arg(long)]
    oldest_first: bool,
    #[command(flatten)]
    pages: PageArgs,
}

/// The state of a change, as a filter. Each value is the API's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
pub enum ChangeStateFilter {
    /// Accepted and not ended
    Pending = State::Pending as i32,
    /// In effect at AWS
    Succeeded = State::Succeeded as i32,
    /// Known not to be in effect
    Failed = State::Failed as i32,
    /// A newer change replaced it
    Superseded = State::Superseded as i32,
}

pub(super) async fn changes(
    options: &ClientOptions,
    client: &Client,
    args: ChangesArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let mut request = first_page(&args);
    pages::follow(&args.pages, options.output, console, async |page_size, page_token| {
        (request.page_size, request.page_token) = (page_size, page_token);
        let answer = client
            .call(
                client.deadline(),
                request.clone(),
                async |mut stub: ShareStub, request| stub.list_changes(request).await,
            )
            .await?;
        Ok(ListPage::of(answer.changes, answer.next_page_token))
    })
    .await
}

fn first_page(args: &ChangesArgs) -> ListChangesRequest {
    let states = args.state.iter().map(|state| *state as i32);
    let order = if args.oldest_first {
        ChangeOrder::OldestFirst
    } else {
        ChangeOrder::NewestFirst
    };
    ListChangesRequest {
        account_ids: args.account.clone(),
        states: states.chain(args.pending.then_some(State::Pending as i32)).collect(),
        in_doubt: args.in_doubt,
        // Resolved once, because the time must be the same for all pages.
        created_before: args.older_than.map(|span| timestamp(TimeArg::Ago(span).resolve(now()))),
        region: args.shares.region.clone().unwrap_or_default(),
        image_id: args.shares.image.clone().unwrap_or_default(),
        shared_account_id: args.shares.with.clone().unwrap_or_default(),
        principal: args.asked_by.clone().unwrap_or_default(),
        order: order.into(),
        ..ListChangesRequest::default()
    }
}

impl ListItem for Change {
    const NAME: &'static str = "changes";

    const DISPENSABLE: &'static [&'static str] =
        &["ENDS", "CALLS", "REGION", "RECIPIENT", "CREATED", "IMAGE", "ACTION"];

    fn row(&self) -> TableRow {
        let now = match &self.progress {
            Some(progress) => progress_text(progress),
            None => error(self.error_reason, &self.error_code, ""),
        };
        vec![
            ("CHANGE", Cell::Id(one_line(&self.change_id))),
            ("ACCOUNT", one_line(&self.account_id).into()),
            ("REGION", one_line(&self.region).into()),
            ("IMAGE", Cell::Id(one_line(&self.image_id))),
            ("RECIPIENT", one_line(&self.shared_account_id).into()),
            ("ACTION", action(self.action).into()),
            ("STATE", Cell::State(change_state(self.state))),
            ("CREATED", Cell::Time(self.create_time)),
            ("ENDS", Cell::Time(self.expire_time)),
            ("CALLS", self.attempts.len().to_string().into()),
            ("NOW", Cell::Text(now)),
        ]
    }

    fn record(&self) -> Result<Cells, Failure> {
        let progress = self.progress.as_ref();
        let text = |text: Option<&String>| text.cloned().unwrap_or_default();
        let mut record = vec![
            ("change_id", self.change_id.clone()),
            ("account_id", self.account_id.clone()),
            ("region", self.region.clone()),
            ("image_id", self.image_id.clone()),
            ("shared_account_id", self.shared_account_id.clone()),
            ("action", action(self.action)),
            ("state", change_state(self.state)),
            ("principal", self.principal.clone()),
        ];
        record.extend(justification::texts(self).map(|(name, text)| (name, text.to_owned())));
        record.extend([
            ("create_time", rfc3339(self.create_time.as_ref())),
            ("end_time", rfc3339(self.end_time.as_ref())),
            ("attempts", self.attempts.len().to_string()),
            ("error", error(self.error_reason, &self.error_code, &self.error_message)),
            (
                "in_doubt",
                progress.map_or_else(String::new, |progress| progress.in_doubt.to_string()),
            ),
            ("replica_id", text(progress.map(|progress| &progress.replica_id))),
            (
                "lease_expire_time",
                rfc3339(progress.and_then(|progress| progress.lease_expire_time.as_ref())),
            ),
            (
                "next_attempt_time",
                rfc3339(progress.and_then(|progress| progress.next_attempt_time.as_ref())),
            ),
            (
                "behind_change_id",
                text(progress.map(|progress| &progress.behind_change_id)),
            ),
            ("cause", cause(self.cause)),
            ("expire_time", rfc3339(self.expire_time.as_ref())),
            (
                "previous_basis_change_id",
                text(self.previous_basis.as_ref().map(|basis| &basis.change_id)),
            ),
            (
                "previous_basis_expire_time",
                rfc3339(ends::end_of(self.previous_basis.as_ref()).as_ref()),
            ),
        ]);
        Ok(record)
    }
}
