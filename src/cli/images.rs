//! `images`: the images of an account in a Region, in one answer of the service.

use clap::Args;

use super::{
    cell::{Cell, TableRow},
    connection::{Client, ShareStub},
    console::Console,
    failure::{Failure, Stop},
    format::rfc3339,
    list_args::TableArgs,
    options::ClientOptions,
    pages::{self, ListPage, PageArgs},
    printer::ListItem,
    table::Cells,
    text::one_line,
};
use crate::proto::v1::{Image, ImageOwnership, ListImagesRequest};

/// Arguments of `images`.
#[derive(Debug, Clone, Args)]
pub struct ImagesArgs {
    /// The AWS account: 12 digits [default: SHAREWARDEN_ACCOUNT]
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Option<String>,
    /// The AWS Region, such as eu-central-1 [default: SHAREWARDEN_REGION, AWS_REGION or AWS_DEFAULT_REGION]
    #[arg(short, long, value_name = "REGION")]
    region: Option<String>,
    /// List the images that other accounts share with the account [default: the images that it owns]
    #[arg(long)]
    shared: bool,
    #[command(flatten)]
    table: TableArgs,
}

pub(super) async fn images(
    options: &ClientOptions,
    client: &Client,
    args: ImagesArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let ownership = if args.shared {
        ImageOwnership::Shared
    } else {
        ImageOwnership::Owned
    };
    let request = ListImagesRequest {
        account_id: options.account(args.account)?,
        region: options.region(args.region)?,
        ownership: ownership.into(),
    };
    pages::follow(&PageArgs::of(args.table), options.output, console, async |_, _| {
        let answer = client
            .call(
                client.deadline(),
                request.clone(),
                async |mut stub: ShareStub, request| stub.list_images(request).await,
            )
            .await?;
        Ok(ListPage::of(answer.images, String::new()))
    })
    .await
}

impl ListItem for Image {
    const NAME: &'static str = "images";
    const DISPENSABLE: &'static [&'static str] = &["TENANCY", "SYSTEM", "OWNER", "CREATED", "DESCRIPTION", "STATE"];

    fn row(&self) -> TableRow {
        let error = [&self.error_code, &self.error_message].map(|text| one_line(text));
        let error: Vec<_> = error.into_iter().filter(|text| !text.is_empty()).collect();
        vec![
            ("IMAGE", Cell::Id(one_line(&self.image_id))),
            ("NAME", Cell::Text(one_line(&self.name))),
            ("STATE", Cell::State(one_line(&self.state))),
            ("SYSTEM", one_line(&self.operating_system).into()),
            ("TENANCY", one_line(&self.required_tenancy).into()),
            ("OWNER", one_line(&self.owner_account_id).into()),
            ("CREATED", Cell::Time(self.create_time)),
            ("DESCRIPTION", Cell::Text(one_line(&self.description))),
            ("ERROR", Cell::Text(error.join(": "))),
        ]
    }

    fn record(&self) -> Result<Cells, Failure> {
        Ok(vec![
            ("image_id", self.image_id.clone()),
            ("name", self.name.clone()),
            ("state", self.state.clone()),
            ("operating_system", self.operating_system.clone()),
            ("required_tenancy", self.required_tenancy.clone()),
            ("owner_account_id", self.owner_account_id.clone()),
            ("create_time", rfc3339(self.create_time.as_ref())),
            ("description", self.description.clone()),
            ("error_code", self.error_code.clone()),
            ("error_message", self.error_message.clone()),
        ])
    }
}
