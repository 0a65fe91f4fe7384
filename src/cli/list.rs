//! `list`: the permissions.

use super::{
    args::{ListArgs, StateFilter},
    cell::{Cell, TableRow},
    connection::{Client, ShareStub},
    console::Console,
    failure::{Failure, Stop},
    format::{access, rfc3339},
    options::ClientOptions,
    pages::{self, ListPage},
    printer::ListItem,
    render::permission_state,
    table::Cells,
    text::one_line,
};
use crate::proto::v1::{ListSharePermissionsRequest, SharePermission, share_permission::State};

pub(super) async fn list(
    options: &ClientOptions,
    client: &Client,
    args: ListArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let mut request = first_page(&args);
    let mut unconfirmed = 0;
    pages::follow(&args.pages, options.output, console, async |page_size, page_token| {
        (request.page_size, request.page_token) = (page_size, page_token);
        // Each page has the full timeout, because a list may be long.
        let answer = client
            .call(
                client.deadline(),
                request.clone(),
                async |mut stub: ShareStub, request| stub.list_share_permissions(request).await,
            )
            .await?;
        let mut permissions = answer.permissions;
        if args.state.is_none() {
            let arrived = permissions.len();
            permissions.retain(|permission| permission.state != State::Unknown as i32);
            unconfirmed += arrived - permissions.len();
        }
        Ok(ListPage::of(permissions, answer.next_page_token))
    })
    .await?;
    if unconfirmed > 0 {
        console.note(format_args!(
            "note: {unconfirmed} in the state UNKNOWN are not listed, because no answer of AWS confirmed them \
             (--state unknown lists them, --state any all)"
        ));
    }
    Ok(())
}

fn first_page(args: &ListArgs) -> ListSharePermissionsRequest {
    ListSharePermissionsRequest {
        account_id: args.account.clone().unwrap_or_default(),
        region: args.shares.region.clone().unwrap_or_default(),
        image_id: args.shares.image.clone().unwrap_or_default(),
        shared_account_id: args.shares.with.clone().unwrap_or_default(),
        state: args.state.unwrap_or(StateFilter::Any) as i32,
        ..ListSharePermissionsRequest::default()
    }
}

impl ListItem for SharePermission {
    const NAME: &'static str = "permissions";

    const DISPENSABLE: &'static [&'static str] = &["PENDING CHANGE", "UPDATED", "REGION", "ACCOUNT"];

    fn row(&self) -> TableRow {
        vec![
            ("ACCOUNT", one_line(&self.account_id).into()),
            ("REGION", one_line(&self.region).into()),
            ("IMAGE", Cell::Id(one_line(&self.image_id))),
            ("RECIPIENT", one_line(&self.shared_account_id).into()),
            ("STATE", Cell::State(permission_state(self.state))),
            ("UPDATED", Cell::Time(self.update_time)),
            ("PENDING CHANGE", Cell::Id(one_line(&self.pending_change_id))),
        ]
    }

    fn record(&self) -> Result<Cells, Failure> {
        Ok(vec![
            ("account_id", self.account_id.clone()),
            ("region", self.region.clone()),
            ("image_id", self.image_id.clone()),
            ("shared_account_id", self.shared_account_id.clone()),
            ("state", permission_state(self.state)),
            ("desired", access(self.desired)),
            ("applied", access(self.applied)),
            ("generation", self.generation.to_string()),
            ("pending_change_id", self.pending_change_id.clone()),
            ("create_time", rfc3339(self.create_time.as_ref())),
            ("update_time", rfc3339(self.update_time.as_ref())),
        ])
    }
}
