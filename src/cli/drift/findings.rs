//! `drift list` and `drift show`: what was found, and what became of it.

use clap::Args;

use super::differ;
use crate::{
    cli::{
        cell::{Cell, TableRow},
        cloud_trail::event_rows,
        connection::{Client, DriftStub},
        console::Console,
        failure::{Exit, Failure, Stop},
        format::{difference, drift_resolution, rfc3339},
        options::{ClientOptions, Output},
        pages::{self, ListPage, PageArgs},
        printer::ListItem,
        share::PermissionIds,
        table::{self, Cells},
        text::one_line,
        view::View,
    },
    proto::v1::{
        CloudTrailEvent, DriftDifference, DriftFinding, DriftResolution, GetDriftFindingRequest,
        ListDriftFindingsRequest,
    },
};

/// Arguments of `drift list`.
#[derive(Debug, Clone, Args)]
pub struct DriftListArgs {
    /// Only images of this AWS account: 12 digits [default: all]
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Option<String>,
    /// Only this AWS Region, such as eu-central-1 [default: all]
    #[arg(short, long, value_name = "REGION")]
    region: Option<String>,
    /// Only this image
    #[arg(short, long, value_name = "IMAGE_ID")]
    image: Option<String>,
    /// Only shares with this account
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    with: Option<String>,
    /// Also differences that are resolved: the newest of each permission
    #[arg(long)]
    resolved: bool,
    /// Exit with 10 if a listed difference is open, and with 0 if none is
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    pages: PageArgs,
}

pub(super) async fn list(
    options: &ClientOptions,
    client: &Client,
    args: DriftListArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let mut request = ListDriftFindingsRequest {
        account_id: args.account.unwrap_or_default(),
        region: args.region.unwrap_or_default(),
        image_id: args.image.unwrap_or_default(),
        shared_account_id: args.with.unwrap_or_default(),
        include_resolved: args.resolved,
        ..ListDriftFindingsRequest::default()
    };
    let mut has_open = false;
    pages::follow(&args.pages, options.output, console, async |page_size, page_token| {
        (request.page_size, request.page_token) = (page_size, page_token);
        let answer = client
            .call(
                client.deadline(),
                request.clone(),
                async |mut stub: DriftStub, request| stub.list_drift_findings(request).await,
            )
            .await?;
        has_open |= answer.findings.iter().any(is_open);
        Ok(ListPage::of(answer.findings, answer.next_page_token))
    })
    .await?;
    match args.exit_code && has_open {
        true => Err(differ("about these permissions", "`sharewarden drift show` shows one of them").into()),
        false => Ok(()),
    }
}

/// The open findings of shares that AWS has and the ledger does not, of all pages.
pub(in crate::cli) async fn unrecorded(
    client: &Client,
    mut request: ListDriftFindingsRequest,
) -> Result<Vec<DriftFinding>, Stop> {
    let mut found = Vec::new();
    loop {
        let call = async |mut stub: DriftStub, request| stub.list_drift_findings(request).await;
        let answer = client.call(client.deadline(), request.clone(), call).await?;
        let unrecorded = |finding: &DriftFinding| finding.difference() == DriftDifference::UnrecordedShare;
        found.extend(answer.findings.into_iter().filter(unrecorded));
        if answer.next_page_token.is_empty() {
            return Ok(found);
        }
        request.page_token = answer.next_page_token;
    }
}

pub(super) async fn finding(client: &Client, share: &PermissionIds) -> Result<Option<DriftFinding>, Stop> {
    let request = GetDriftFindingRequest {
        account_id: share.account.clone(),
        region: share.region.clone(),
        image_id: share.image.clone(),
        shared_account_id: share.with.clone(),
    };
    let answer = client
        .call(client.deadline(), request, async |mut stub: DriftStub, request| {
            stub.get_drift_finding(request).await
        })
        .await?;
    Ok(answer.finding)
}

pub(super) async fn show(
    options: &ClientOptions,
    client: &Client,
    share: &PermissionIds,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let Some(found) = finding(client, share).await? else {
        let what = "AWS and the ledger were never found to differ about this permission";
        return Err(Failure::new(
            Exit::NotFound,
            what,
            "check the ids; `sharewarden drift list` shows what is open",
        )
        .into());
    };
    match options.output {
        Output::Table => console.print(described(&found, console.view())),
        _ => console.print_json(&found),
    }
}

fn described(found: &DriftFinding, view: &View) -> String {
    let mut rows = vec![
        ("Difference", Cell::State(difference(found.difference))),
        ("Account", one_line(&found.account_id).into()),
        ("Region", one_line(&found.region).into()),
        ("Image", one_line(&found.image_id).into()),
        ("Recipient", one_line(&found.shared_account_id).into()),
        ("First seen at", Cell::Time(found.first_seen_time)),
        ("Found at", Cell::Time(found.find_time)),
        ("Found in entry", found.found_index.to_string().into()),
        ("Scan", one_line(&found.scan_id).into()),
    ];
    rows.extend(found.event.iter().flat_map(event_rows));
    if found.resolve_time.is_some() {
        rows.extend([
            ("Resolution", Cell::State(drift_resolution(found.resolution))),
            ("Resolved at", Cell::Time(found.resolve_time)),
            ("Resolved in entry", found.resolved_index.to_string().into()),
            ("Change", one_line(&found.change_id).into()),
        ]);
    }
    table::pairs(rows, view)
}

/// True while nothing has resolved the finding.
pub(super) fn is_open(found: &DriftFinding) -> bool {
    found.resolution == DriftResolution::Unspecified as i32
}

/// What became of a finding. Empty while it is open.
fn resolution(found: &DriftFinding) -> String {
    match is_open(found) {
        true => String::new(),
        false => drift_resolution(found.resolution),
    }
}

/// The user or role, and the session, without what the ARNs of an account have in common.
pub(in crate::cli) fn caller(event: &CloudTrailEvent) -> String {
    let arn = one_line(&event.principal_arn);
    let name = arn.splitn(6, ':').nth(5).map(str::to_owned);
    name.unwrap_or(arn)
}

impl ListItem for DriftFinding {
    const NAME: &'static str = "findings";
    const DISPENSABLE: &'static [&'static str] = &["FIRST SEEN", "ENTRY", "RESOLUTION", "REGION", "BY"];

    fn row(&self) -> TableRow {
        vec![
            ("ACCOUNT", one_line(&self.account_id).into()),
            ("REGION", one_line(&self.region).into()),
            ("IMAGE", Cell::Id(one_line(&self.image_id))),
            ("RECIPIENT", one_line(&self.shared_account_id).into()),
            ("DIFFERENCE", Cell::State(difference(self.difference))),
            ("FIRST SEEN", Cell::Time(self.first_seen_time)),
            ("FOUND", Cell::Time(self.find_time)),
            ("BY", Cell::Id(self.event.as_ref().map(caller).unwrap_or_default())),
            ("ENTRY", self.found_index.to_string().into()),
            ("RESOLUTION", Cell::State(resolution(self))),
        ]
    }

    fn record(&self) -> Result<Cells, Failure> {
        let event = self.event.clone().unwrap_or_default();
        Ok(vec![
            ("account_id", self.account_id.clone()),
            ("region", self.region.clone()),
            ("image_id", self.image_id.clone()),
            ("shared_account_id", self.shared_account_id.clone()),
            ("difference", difference(self.difference)),
            ("first_seen_time", rfc3339(self.first_seen_time.as_ref())),
            ("find_time", rfc3339(self.find_time.as_ref())),
            ("found_index", self.found_index.to_string()),
            ("scan_id", self.scan_id.clone()),
            ("resolution", resolution(self)),
            ("resolve_time", rfc3339(self.resolve_time.as_ref())),
            ("change_id", self.change_id.clone()),
            ("event_id", event.event_id),
            ("event_time", rfc3339(event.event_time.as_ref())),
            ("principal_arn", event.principal_arn),
            ("source_ip", event.source_ip),
            ("user_agent", event.user_agent),
        ])
    }
}
