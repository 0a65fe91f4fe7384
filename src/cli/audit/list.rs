//! `audit list`: entries by any combination of filters.

use clap::Args;

use super::filter::FilterArgs;
use crate::cli::connection::{AuditClient, Connection};
use crate::cli::console::Console;
use crate::cli::failure::Stop;
use crate::cli::options::ClientOptions;
use crate::cli::pages::{self, Page, PageArgs};
use crate::proto::v1::{AuditEntryOrder, ListAuditEntriesRequest};

/// Arguments of `audit list`.
#[derive(Debug, Clone, Args)]
pub struct AuditListArgs {
    /// The earliest entry first
    #[arg(long)]
    oldest_first: bool,
    #[command(flatten)]
    pages: PageArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

pub(super) async fn list(
    options: &ClientOptions,
    connection: &Connection,
    args: &AuditListArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let mut request = ListAuditEntriesRequest {
        filter: Some(args.filter.to_filter()),
        order: order(args.oldest_first),
        ..ListAuditEntriesRequest::default()
    };
    pages::follow(&args.pages, options.output, console, async |page_size, page_token| {
        (request.page_size, request.page_token) = (page_size, page_token);
        let answer = connection
            .call(
                connection.deadline(),
                request.clone(),
                async |mut client: AuditClient, request| client.list_audit_entries(request).await,
            )
            .await?;
        Ok(Page {
            things: answer.entries,
            next_page_token: answer.next_page_token,
            archived: answer.archived,
        })
    })
    .await
}

pub(super) fn order(oldest_first: bool) -> i32 {
    if oldest_first {
        AuditEntryOrder::OldestFirst
    } else {
        AuditEntryOrder::NewestFirst
    }
    .into()
}
