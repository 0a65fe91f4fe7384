//! `list`: the permissions.

use super::args::ListArgs;
use super::connection::{Client, Connection};
use super::console::Console;
use super::failure::{Failure, Stop};
use super::options::ClientOptions;
use super::pages::{self, Page};
use super::printer::Listed;
use super::render::permission_state;
use super::text::one_line;
use super::words::{access, moment, second};
use crate::proto::v1::share_permission::State;
use crate::proto::v1::{ListSharePermissionsRequest, SharePermission};

pub(super) async fn list(
    options: &ClientOptions,
    connection: &Connection,
    args: ListArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let request = first_page(&args);
    pages::follow(&args.pages, options.output, console, async |place| {
        let request = ListSharePermissionsRequest {
            page_size: place.page_size,
            page_token: place.page_token,
            ..request.clone()
        };
        // Each page has the whole time-out: a list may be long.
        let answer = connection
            .call(connection.deadline(), request, async |mut client: Client, request| {
                client.list_share_permissions(request).await
            })
            .await?;
        Ok(Page {
            things: answer.permissions,
            next_page_token: answer.next_page_token,
            archived: Vec::new(),
        })
    })
    .await
}

fn first_page(args: &ListArgs) -> ListSharePermissionsRequest {
    ListSharePermissionsRequest {
        account_id: args.account.clone().unwrap_or_default(),
        region: args.region.clone().unwrap_or_default(),
        image_id: args.image.clone().unwrap_or_default(),
        shared_account_id: args.with.clone().unwrap_or_default(),
        state: args.state.map_or(State::Unspecified, State::from).into(),
        ..ListSharePermissionsRequest::default()
    }
}

impl Listed for SharePermission {
    const NAME: &'static str = "permissions";
    const HEAD: &'static [&'static str] = &[
        "ACCOUNT",
        "REGION",
        "IMAGE",
        "RECIPIENT",
        "STATE",
        "UPDATED",
        "PENDING CHANGE",
    ];
    const COLUMNS: &'static [&'static [&'static str]] = &[&[
        "account_id",
        "region",
        "image_id",
        "shared_account_id",
        "state",
        "desired",
        "applied",
        "generation",
        "pending_change_id",
        "create_time",
        "update_time",
    ]];

    fn row(&self) -> Vec<String> {
        vec![
            one_line(&self.account_id),
            one_line(&self.region),
            one_line(&self.image_id),
            one_line(&self.shared_account_id),
            permission_state(self.state),
            second(self.update_time.as_ref()),
            one_line(&self.pending_change_id),
        ]
    }

    fn record(&self) -> Result<Vec<String>, Failure> {
        Ok(vec![
            self.account_id.clone(),
            self.region.clone(),
            self.image_id.clone(),
            self.shared_account_id.clone(),
            permission_state(self.state),
            access(self.desired),
            access(self.applied),
            self.generation.to_string(),
            self.pending_change_id.clone(),
            moment(self.create_time.as_ref()),
            moment(self.update_time.as_ref()),
        ])
    }
}
