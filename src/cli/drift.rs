//! `drift`: where AWS and the ledger differ, a comparison now, and what to make of a difference.

use std::{collections::BTreeMap, time::Duration};

use clap::{Args, Subcommand};
use pbjson_types::Timestamp;

use super::{
    args::GrantRevokeArgs,
    cell::{Cell, TableRow},
    cloud_trail::event_rows,
    connection::{Client, DriftStub},
    console::Console,
    drift_baseline::{self, BaselineCommand},
    ends::EndArgs,
    failure::{Exit, Failure, Stop},
    format::{difference, drift_resolution, rfc3339},
    grant_revoke::{self, GrantVerb},
    help::with_examples,
    list_args::TableArgs,
    options::{ClientOptions, Output},
    pages::{self, ListPage, PageArgs},
    printer::ListItem,
    progress::ProgressMeter,
    share::{PermissionIds, PermissionName},
    table::{self, Cells},
    text::one_line,
    view::View,
};
use crate::proto::v1::{
    CloudTrailEvent, DriftDifference, DriftFinding, DriftResolution, DriftScan, GetDriftFindingRequest,
    ListDriftFindingsRequest, ListDriftScansRequest, RequestedScan, ScanNowRequest,
};

/// The time between two looks at the progress of scans.
const POLL: Duration = Duration::from_millis(500);

/// The commands under `drift`.
#[derive(Debug, Clone, Subcommand)]
pub enum DriftCommand {
    /// Compare AWS with the ledger now, and wait for the end
    ///
    /// Without it, the service compares each account and Region within `drift.interval`. A difference counts when AWS shows it
    /// twice, `drift.confirm_after` apart. Exits with 10 if a difference is open afterwards.
    #[command(after_long_help = with_examples(&[
        "sharewarden drift scan",
        "sharewarden drift scan --account 111122223333 --region eu-central-1 -o json",
        "sharewarden drift scan --account 111122223333 --region eu-central-1 --image wsi-basewin11",
    ]))]
    Scan(DriftScanArgs),
    /// List the differences between AWS and the ledger that are open
    #[command(after_long_help = with_examples(&[
        "sharewarden drift list --account 111122223333",
        "sharewarden drift list --exit-code -o csv",
        "sharewarden drift list --resolved -o csv",
    ]))]
    List(DriftListArgs),
    /// Show the newest difference of one permission, and what became of it
    #[command(after_long_help = with_examples(&[
        "sharewarden drift show 111122223333/eu-central-1/wsi-basewin11 --with 000011112222",
        "sharewarden drift show wsi-basewin11 -w 000011112222 -o json",
    ]))]
    Show(PermissionName),
    /// Make a share that AWS has and the ledger does not one of the service's: a grant, with your reason
    ///
    /// The policy is asked for the action `adopt`. `sharewarden adopt` does it for all such shares of an account.
    #[command(after_long_help = with_examples(&[
        "sharewarden drift adopt wsi-basewin11 -w 000011112222 -m 'shared by hand in 2025' -t CHG-1",
        "sharewarden drift adopt wsi-basewin11 -w 000011112222 -m 'to be cleared up' --for 30d",
        "sharewarden drift adopt 111122223333/eu-central-1/wsi-basewin11 -w 000011112222 -m 'is known' --validate-only",
    ]))]
    Adopt(DriftAdoptArgs),
    /// Take away a share that AWS has and the ledger does not: a revoke, with your reason
    #[command(after_long_help = with_examples(&[
        "sharewarden drift revoke wsi-basewin11 -w 000011112222 -m 'nobody knows it'",
        "sharewarden drift revoke 111122223333/eu-central-1/wsi-basewin11 -w 000011112222 -m 'found in the audit' -t CHG-2",
    ]))]
    Revoke(GrantRevokeArgs),
    /// Make a share again that the ledger has and AWS does not: a grant, with your reason
    #[command(after_long_help = with_examples(&[
        "sharewarden drift restore wsi-basewin11 -w 000011112222 -m 'was removed by mistake'",
        "sharewarden drift restore 111122223333/eu-central-1/wsi-basewin11 -w 000011112222 -m 'is in use' -o json",
    ]))]
    Restore(GrantRevokeArgs),
    /// Record that a share has ended that the ledger has and AWS does not: a revoke, with your reason
    #[command(after_long_help = with_examples(&[
        "sharewarden drift accept wsi-basewin11 -w 000011112222 -m 'was to be removed'",
        "sharewarden drift accept 111122223333/eu-central-1/wsi-basewin11 -w 000011112222 -m 'image was deleted' -t CHG-3",
    ]))]
    Accept(GrantRevokeArgs),
    /// Let the service revoke unrecorded shares of an account without a caller, or not
    #[command(subcommand)]
    Baseline(BaselineCommand),
}

/// Arguments of `drift scan`.
#[derive(Debug, Clone, Args)]
pub struct DriftScanArgs {
    /// Only this AWS account: 12 digits [default: all]
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Option<String>,
    /// Only this AWS Region, such as eu-central-1 [default: all]
    #[arg(short, long, value_name = "REGION")]
    region: Option<String>,
    /// Only this image, now, without a scan of the others. Its account and Region are those of the options, or the default ones
    #[arg(short, long, value_name = "IMAGE_ID")]
    image: Option<String>,
    #[command(flatten)]
    table: TableArgs,
}

/// Arguments of `drift adopt`.
#[derive(Debug, Clone, Args)]
pub struct DriftAdoptArgs {
    #[command(flatten)]
    one: GrantRevokeArgs,
    #[command(flatten)]
    end: EndArgs,
}

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

pub(super) async fn run(
    options: &ClientOptions,
    client: &Client,
    command: DriftCommand,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    match command {
        DriftCommand::Scan(args) => scan(options, client, args, console).await,
        DriftCommand::List(args) => list(options, client, args, console).await,
        DriftCommand::Show(name) => show(options, client, &name.resolve(options)?, console).await,
        DriftCommand::Adopt(DriftAdoptArgs { one, end }) => {
            // A repeated request gets its first answer, also when the difference is resolved.
            if one.request_id.is_none() {
                expect(options, client, &one, DriftDifference::UnrecordedShare).await?;
            }
            grant_revoke::grant(options, client, GrantVerb::Adopt, one, end, console).await
        }
        DriftCommand::Revoke(args) => {
            expect(options, client, &args, DriftDifference::UnrecordedShare).await?;
            grant_revoke::revoke(options, client, args, console).await
        }
        DriftCommand::Restore(args) => {
            expect(options, client, &args, DriftDifference::MissingShare).await?;
            grant_revoke::grant(options, client, GrantVerb::Grant, args, EndArgs::default(), console).await
        }
        DriftCommand::Baseline(command) => drift_baseline::run(options, client, command, console).await,
        DriftCommand::Accept(args) => {
            expect(options, client, &args, DriftDifference::MissingShare).await?;
            grant_revoke::revoke(options, client, args, console).await
        }
    }
}

/// True if the answer of the command is a list.
pub(super) fn has_csv(command: &DriftCommand) -> bool {
    matches!(command, DriftCommand::Scan(_) | DriftCommand::List(_))
}

async fn scan(
    options: &ClientOptions,
    client: &Client,
    args: DriftScanArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let request = match args.image {
        None => ScanNowRequest {
            account_id: args.account.unwrap_or_default(),
            region: args.region.unwrap_or_default(),
            image_id: String::new(),
        },
        Some(image_id) => ScanNowRequest {
            account_id: options.account(args.account)?,
            region: options.region(args.region)?,
            image_id,
        },
    };
    let scans = compare(client, request, console).await?;
    let outcome = outcome(&scans);
    let mut items = Some(scans);
    pages::follow(&PageArgs::of(args.table), options.output, console, async |_, _| {
        Ok(ListPage::of(items.take().unwrap_or_default(), String::new()))
    })
    .await?;
    match outcome? {
        0 => Ok(()),
        1 => Err(differ("about 1 permission", "`sharewarden drift list` shows it").into()),
        open => Err(differ(
            &format!("about {open} permissions"),
            "`sharewarden drift list` shows them",
        )
        .into()),
    }
}

/// Asks for scans, and waits until each is complete or does not get on.
pub(super) async fn compare(
    client: &Client,
    request: ScanNowRequest,
    console: &mut Console<'_>,
) -> Result<Vec<DriftScan>, Stop> {
    let progress = ListDriftScansRequest {
        account_id: request.account_id.clone(),
        region: request.region.clone(),
        image_id: request.image_id.clone(),
    };
    let is_look = !request.image_id.is_empty();
    let answer = client
        .call(client.deadline(), request, async |mut stub: DriftStub, request| {
            stub.scan_now(request).await
        })
        .await?;
    let meter = ProgressMeter::of(console, "comparing", "images");
    loop {
        let listed = client
            .call(
                client.deadline(),
                progress.clone(),
                async |mut stub: DriftStub, request| stub.list_drift_scans(request).await,
            )
            .await?;
        let scans = of_request(&answer.scans, listed.scans);
        meter.total(scans.iter().map(|(_, scan)| scan.images).sum());
        meter.done(
            scans
                .iter()
                .map(|(_, scan)| scan.images - scan.images_left.min(scan.images))
                .sum(),
        );
        if scans.iter().all(|(start, scan)| has_ended(*start, scan, is_look)) {
            console.has_waited();
            return Ok(scans.into_iter().map(|(_, scan)| scan).collect());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The scans that were asked for, each with the time at which it begins at the earliest.
fn of_request(requested: &[RequestedScan], listed: Vec<DriftScan>) -> Vec<(Option<Timestamp>, DriftScan)> {
    let starts: BTreeMap<_, _> = requested
        .iter()
        .map(|scan| ((scan.account_id.clone(), scan.region.clone()), scan.start_time))
        .collect();
    let scans = listed.into_iter().filter_map(|scan| {
        let start = starts.get(&(scan.account_id.clone(), scan.region.clone()))?;
        Some((*start, scan))
    });
    scans.collect()
}

/// True if a scan that began at this time or later is complete, or does not get on. Or a look at one image, with what it saw
/// confirmed.
fn has_ended(start: Option<Timestamp>, scan: &DriftScan, is_look: bool) -> bool {
    let nanos = |time: Timestamp| (time.seconds, time.nanos);
    let (begun, is_complete) = match is_look {
        true => (scan.look_time, scan.unconfirmed == 0),
        false => (scan.complete_start_time, true),
    };
    let is_new = begun
        .map(nanos)
        .zip(start.map(nanos))
        .is_some_and(|(begun, start)| begun >= start);
    !scan.error_code.is_empty() || (is_new && is_complete)
}

/// The number of permissions about which AWS and the ledger differ. Fails if a scan does not get on.
pub(super) fn outcome(scans: &[DriftScan]) -> Result<u64, Failure> {
    let Some(stuck) = scans.iter().find(|scan| !scan.error_code.is_empty()) else {
        return Ok(scans.iter().map(|scan| scan.findings).sum());
    };
    let what = format!(
        "account {} in Region {} cannot be compared with AWS: {}",
        one_line(&stuck.account_id),
        one_line(&stuck.region),
        one_line(&stuck.error_code)
    );
    let hint = "the log of the service has the error of AWS";
    Err(Failure::new(Exit::TryLater, what, hint))
}

fn differ(about: &str, hint: &str) -> Failure {
    Failure::new(Exit::Drift, format!("AWS and the ledger differ {about}"), hint)
}

async fn list(
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
    let is_open = |found: &DriftFinding| found.resolution == DriftResolution::Unspecified as i32;
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
pub(super) async fn unrecorded(
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

async fn finding(client: &Client, share: &PermissionIds) -> Result<Option<DriftFinding>, Stop> {
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

async fn show(
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

/// Fails unless a finding of this difference is open.
async fn expect(
    options: &ClientOptions,
    client: &Client,
    args: &GrantRevokeArgs,
    expected: DriftDifference,
) -> Result<(), Stop> {
    let found = finding(client, &args.permission.resolve(options)?).await?;
    let is_open = |found: &DriftFinding| found.resolution == DriftResolution::Unspecified as i32;
    let Some(found) = found.filter(is_open) else {
        let what = "no difference between AWS and the ledger is open for this permission";
        let hint = "`sharewarden drift list` shows what is open; `sharewarden drift scan` compares now";
        return Err(Failure::new(Exit::NotFound, what, hint).into());
    };
    if found.difference == expected as i32 {
        return Ok(());
    }
    let (what, hint) = match expected {
        DriftDifference::UnrecordedShare => (
            "the ledger has this share, and AWS does not",
            "make it again with `sharewarden drift restore`, or record its end with `sharewarden drift accept`",
        ),
        _ => (
            "AWS has this share, and the ledger does not",
            "keep it with `sharewarden drift adopt`, or take it away with `sharewarden drift revoke`",
        ),
    };
    Err(Failure::new(Exit::NotPossible, what, hint).into())
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

/// What became of a finding. Empty while it is open.
fn resolution(found: &DriftFinding) -> String {
    match found.resolution == DriftResolution::Unspecified as i32 {
        true => String::new(),
        false => drift_resolution(found.resolution),
    }
}

/// The user or role, and the session, without what the ARNs of an account have in common.
pub(super) fn caller(event: &CloudTrailEvent) -> String {
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

impl ListItem for DriftScan {
    const NAME: &'static str = "scans";
    const DISPENSABLE: &'static [&'static str] = &["TRAIL ERROR", "ERROR", "BEGUN", "TRAIL UNTIL"];

    fn row(&self) -> TableRow {
        vec![
            ("ACCOUNT", one_line(&self.account_id).into()),
            ("REGION", one_line(&self.region).into()),
            ("IMAGES", self.images.to_string().into()),
            ("BEGUN", Cell::Time(self.complete_start_time)),
            ("COMPLETE", Cell::Time(self.complete_time)),
            ("DIFFERENCES", self.findings.to_string().into()),
            ("ERROR", Cell::Text(one_line(&self.error_code))),
            ("TRAIL UNTIL", Cell::Time(self.trail_complete_time)),
            ("TRAIL ERROR", Cell::Text(one_line(&self.trail_error_code))),
        ]
    }

    fn record(&self) -> Result<Cells, Failure> {
        Ok(vec![
            ("account_id", self.account_id.clone()),
            ("region", self.region.clone()),
            ("images", self.images.to_string()),
            ("complete_start_time", rfc3339(self.complete_start_time.as_ref())),
            ("complete_time", rfc3339(self.complete_time.as_ref())),
            ("findings", self.findings.to_string()),
            ("error_code", self.error_code.clone()),
            ("trail_complete_time", rfc3339(self.trail_complete_time.as_ref())),
            ("trail_error_code", self.trail_error_code.clone()),
        ])
    }
}
