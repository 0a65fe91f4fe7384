//! `list`: the permissions.

use std::time::Duration;

use time::{OffsetDateTime, macros::datetime};

use super::{
    args::{ListArgs, StateFilter},
    audit::time_arg::{now, timestamp},
    cell::{Cell, TableRow},
    connection::{Client, ShareStub},
    console::Console,
    ends,
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

/// The last time that the service knows.
const LAST_TIME: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);

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

/// The time after a span from now. One that is too far away means the end of all times.
fn after(span: Duration) -> OffsetDateTime {
    let span = time::Duration::try_from(span).ok();
    span.and_then(|span| now().checked_add(span)).unwrap_or(LAST_TIME)
}

fn first_page(args: &ListArgs) -> ListSharePermissionsRequest {
    ListSharePermissionsRequest {
        account_id: args.account.clone().unwrap_or_default(),
        region: args.shares.region.clone().unwrap_or_default(),
        image_id: args.shares.image.clone().unwrap_or_default(),
        shared_account_id: args.shares.with.clone().unwrap_or_default(),
        state: args.state.unwrap_or(StateFilter::Any) as i32,
        // Once, because the time must be the same for all pages.
        expire_before: args.expiring.map(|span| timestamp(after(span))),
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
            ends::column(&self.bases),
        ]
    }

    fn record(&self) -> Result<Cells, Failure> {
        let mut record = vec![
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
        ];
        record.extend(ends::basis_record(&self.bases));
        Ok(record)
    }
}
