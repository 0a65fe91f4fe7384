//! `drift scan`: a comparison of AWS with the ledger now, and what came of it.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use pbjson_types::Timestamp;

use super::differ;
use crate::{
    cli::{
        cell::{Cell, TableRow},
        connection::{Client, DriftStub},
        console::Console,
        failure::{Exit, Failure, Stop},
        format::rfc3339,
        list_args::TableArgs,
        options::ClientOptions,
        pages::{self, ListPage, PageArgs},
        printer::ListItem,
        progress::ProgressMeter,
        table::Cells,
        text::one_line,
    },
    proto::v1::{DriftScan, ListDriftScansRequest, RequestedScan, ScanNowRequest},
};

/// The time between two looks at the progress of scans.
const POLL: Duration = Duration::from_millis(500);

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

pub(super) async fn scan(
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
pub(in crate::cli) async fn compare(
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
pub(in crate::cli) fn outcome(scans: &[DriftScan]) -> Result<u64, Failure> {
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
