//! `audit list` and `audit history`: entries by filters, and the entries of one permission.

use clap::Args;

use super::filter::FilterArgs;
use crate::{
    cli::{
        connection::{AuditStub, Client},
        console::Console,
        failure::Stop,
        options::ClientOptions,
        pages::{self, ListPage, PageArgs},
        share::PermissionName,
    },
    proto::v1::{AuditEntryOrder, ListAuditEntriesRequest, ListPermissionHistoryRequest},
};

/// Arguments of `audit list`.
#[derive(Debug, Clone, Args)]
pub struct AuditListArgs {
    /// List the oldest entry first [default: the newest]
    #[arg(long)]
    oldest_first: bool,
    #[command(flatten)]
    pages: PageArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Arguments of `audit history`.
#[derive(Debug, Clone, Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    permission: PermissionName,
    /// List the oldest entry first [default: the newest]
    #[arg(long)]
    oldest_first: bool,
    #[command(flatten)]
    pages: PageArgs,
}

pub(super) async fn list(
    options: &ClientOptions,
    client: &Client,
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
        let answer = client
            .call(
                client.deadline(),
                request.clone(),
                async |mut stub: AuditStub, request| stub.list_audit_entries(request).await,
            )
            .await?;
        Ok(ListPage {
            items: answer.entries,
            next_page_token: answer.next_page_token,
            archived: answer.archived,
        })
    })
    .await
}

pub(super) async fn history(
    options: &ClientOptions,
    client: &Client,
    args: HistoryArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let name = args.permission.resolve(options)?;
    let mut request = ListPermissionHistoryRequest {
        account_id: name.account,
        region: name.region,
        image_id: name.image,
        shared_account_id: name.with,
        order: order(args.oldest_first),
        ..ListPermissionHistoryRequest::default()
    };
    pages::follow(&args.pages, options.output, console, async |page_size, page_token| {
        (request.page_size, request.page_token) = (page_size, page_token);
        let answer = client
            .call(
                client.deadline(),
                request.clone(),
                async |mut stub: AuditStub, request| stub.list_permission_history(request).await,
            )
            .await?;
        Ok(ListPage {
            items: answer.entries,
            next_page_token: answer.next_page_token,
            archived: answer.archived,
        })
    })
    .await
}

fn order(oldest_first: bool) -> i32 {
    if oldest_first {
        AuditEntryOrder::OldestFirst
    } else {
        AuditEntryOrder::NewestFirst
    }
    .into()
}
