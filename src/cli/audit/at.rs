//! `audit at`: the permissions at a given time.

use clap::Args;

use super::time_arg::{TimeArg, now, timestamp};
use crate::{
    cli::{
        args::ShareFilterArgs,
        cell::{Cell, TableRow},
        connection::{AuditStub, Client},
        console::Console,
        ends,
        failure::{Failure, Stop},
        format::rfc3339,
        options::ClientOptions,
        pages::{self, ListPage, PageArgs},
        printer::ListItem,
        table::Cells,
        text::one_line,
    },
    proto::v1::{GetSharePermissionsAtRequest, PastSharePermission},
};

/// Arguments of `audit at`.
#[derive(Debug, Clone, Args)]
pub struct AtArgs {
    /// The time: RFC 3339, a date (midnight, UTC), a time ago such as 36h or 7d, or now
    #[arg(value_name = "TIME", value_parser = TimeArg::parse)]
    time: TimeArg,
    /// Only images that this AWS account owned: 12 digits
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Option<String>,
    #[command(flatten)]
    shares: ShareFilterArgs,
    #[command(flatten)]
    pages: PageArgs,
}

pub(super) async fn at(
    options: &ClientOptions,
    client: &Client,
    args: AtArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let mut request = GetSharePermissionsAtRequest {
        // The service knows the present time of the history.
        time: (args.time != TimeArg::NOW).then(|| timestamp(args.time.resolve(now()))),
        account_id: args.account.unwrap_or_default(),
        region: args.shares.region.unwrap_or_default(),
        image_id: args.shares.image.unwrap_or_default(),
        shared_account_id: args.shares.with.unwrap_or_default(),
        ..GetSharePermissionsAtRequest::default()
    };
    let mut archived = 0;
    pages::follow(&args.pages, options.output, console, async |page_size, page_token| {
        (request.page_size, request.page_token) = (page_size, page_token);
        let answer = client
            .call(
                client.deadline(),
                request.clone(),
                async |mut stub: AuditStub, request| stub.get_share_permissions_at(request).await,
            )
            .await?;
        // The time must be the same for all pages.
        request.time = request.time.or(answer.time);
        archived += answer.permissions.iter().filter(|share| share.basis_archived).count();
        Ok(ListPage::of(answer.permissions, answer.next_page_token))
    })
    .await?;
    if archived > 0 {
        console.note(format_args!(
            "note: of {archived} shares the grant is archived, so their basis and their end are not shown; the archived months \
             have them"
        ));
    }
    Ok(())
}

impl ListItem for PastSharePermission {
    const NAME: &'static str = "permissions";

    const DISPENSABLE: &'static [&'static str] = &["UNTIL ENTRY", "FROM ENTRY", "UNTIL", "FROM", "REGION", "ACCOUNT"];

    fn row(&self) -> TableRow {
        vec![
            ("ACCOUNT", one_line(&self.account_id).into()),
            ("REGION", one_line(&self.region).into()),
            ("IMAGE", Cell::Id(one_line(&self.image_id))),
            ("RECIPIENT", one_line(&self.shared_account_id).into()),
            ("FROM", Cell::Time(self.start_time)),
            ("FROM ENTRY", self.start_index.to_string().into()),
            ("UNTIL", Cell::Time(self.end_time)),
            ("UNTIL ENTRY", number(self.end_index).into()),
            ends::column(&self.bases),
        ]
    }

    fn record(&self) -> Result<Cells, Failure> {
        let mut record = vec![
            ("account_id", self.account_id.clone()),
            ("region", self.region.clone()),
            ("image_id", self.image_id.clone()),
            ("shared_account_id", self.shared_account_id.clone()),
            ("start_time", rfc3339(self.start_time.as_ref())),
            ("start_index", self.start_index.to_string()),
            ("end_time", rfc3339(self.end_time.as_ref())),
            ("end_index", number(self.end_index)),
        ];
        record.extend(ends::basis_record(&self.bases));
        record.push(("basis_archived", self.basis_archived.to_string()));
        Ok(record)
    }
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}
