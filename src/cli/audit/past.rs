//! `audit at`: who could copy which image at a moment.

use clap::Args;

use super::moment::{Moment, now, timestamp};
use crate::cli::connection::{AuditClient, Connection};
use crate::cli::console::Console;
use crate::cli::failure::{Failure, Stop};
use crate::cli::options::ClientOptions;
use crate::cli::pages::{self, Page, PageArgs};
use crate::cli::printer::Listed;
use crate::cli::text::one_line;
use crate::cli::words::{moment, second};
use crate::proto::v1::{GetSharePermissionsAtRequest, PastSharePermission};

/// Arguments of `audit at`.
#[derive(Debug, Clone, Args)]
pub struct AtArgs {
    /// The moment: RFC 3339, a date (midnight, UTC), a span back such as 36h, 7d, or now
    #[arg(value_name = "TIME", value_parser = Moment::parse)]
    time: Moment,
    /// Only images that this AWS account owned: 12 digits
    #[arg(long, value_name = "ACCOUNT_ID")]
    account: Option<String>,
    /// Only images in this AWS Region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Only this image
    #[arg(long, value_name = "IMAGE_ID")]
    image: Option<String>,
    /// Only sharing with this AWS account
    #[arg(long, value_name = "ACCOUNT_ID", aliases = ["from", "shared-account"])]
    with: Option<String>,
    #[command(flatten)]
    pages: PageArgs,
}

pub(super) async fn at(
    options: &ClientOptions,
    connection: &Connection,
    args: AtArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    // The same moment for all pages.
    let request = GetSharePermissionsAtRequest {
        time: Some(timestamp(args.time.resolve(now()))),
        account_id: args.account.unwrap_or_default(),
        region: args.region.unwrap_or_default(),
        image_id: args.image.unwrap_or_default(),
        shared_account_id: args.with.unwrap_or_default(),
        ..GetSharePermissionsAtRequest::default()
    };
    pages::follow(&args.pages, options.output, console, async |place| {
        let request = GetSharePermissionsAtRequest {
            page_size: place.page_size,
            page_token: place.page_token,
            ..request.clone()
        };
        let answer = connection
            .call(
                connection.deadline(),
                request,
                async |mut client: AuditClient, request| client.get_share_permissions_at(request).await,
            )
            .await?;
        Ok(Page {
            things: answer.permissions,
            next_page_token: answer.next_page_token,
            archived: Vec::new(),
        })
    })
    .await
}

impl Listed for PastSharePermission {
    const NAME: &'static str = "permissions";
    const HEAD: &'static [&'static str] = &[
        "ACCOUNT",
        "REGION",
        "IMAGE",
        "RECIPIENT",
        "FROM",
        "FROM ENTRY",
        "UNTIL",
        "UNTIL ENTRY",
    ];
    const COLUMNS: &'static [&'static [&'static str]] = &[&[
        "account_id",
        "region",
        "image_id",
        "shared_account_id",
        "start_time",
        "start_index",
        "end_time",
        "end_index",
    ]];

    fn row(&self) -> Vec<String> {
        vec![
            one_line(&self.account_id),
            one_line(&self.region),
            one_line(&self.image_id),
            one_line(&self.shared_account_id),
            second(self.start_time.as_ref()),
            self.start_index.to_string(),
            second(self.end_time.as_ref()),
            number(self.end_index),
        ]
    }

    fn record(&self) -> Result<Vec<String>, Failure> {
        Ok(vec![
            self.account_id.clone(),
            self.region.clone(),
            self.image_id.clone(),
            self.shared_account_id.clone(),
            moment(self.start_time.as_ref()),
            self.start_index.to_string(),
            moment(self.end_time.as_ref()),
            number(self.end_index),
        ])
    }
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}
