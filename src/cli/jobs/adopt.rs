//! `adopt`: the shares that AWS has and the ledger does not become the service's, all of an account at once.

use std::collections::BTreeMap;

use clap::Args;

use super::{JobArgs, JobKind, open, print, run};
use crate::{
    cli::{
        console::Console,
        drift,
        ends::EndArgs,
        failure::{Failure, Stop},
        justification::JustificationArgs,
        options::ClientOptions,
    },
    client::job::{JobAction, JobChange, ShareName},
    proto::v1::{DriftFinding, GrantSharePermissionRequest, ListDriftFindingsRequest, ScanNowRequest},
};

/// The maximum page size of the service, in findings.
const PAGE_SIZE: i32 = 500;

/// The finding of each share.
pub(super) type FoundShares = BTreeMap<ShareName, DriftFinding>;

/// Arguments of `adopt`.
#[derive(Debug, Clone, Args)]
pub struct AdoptArgs {
    /// The AWS account that owns the images: 12 digits [default: SHAREWARDEN_ACCOUNT]
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    account: Option<String>,
    /// Only this AWS Region, such as eu-central-1 [default: all]. Defaults of the environment do not narrow the command
    #[arg(short, long, value_name = "REGION")]
    region: Option<String>,
    /// Only this image
    #[arg(short, long, value_name = "IMAGE_ID")]
    image: Option<String>,
    #[command(flatten)]
    justification: JustificationArgs,
    #[command(flatten)]
    end: EndArgs,
    /// Only show what would be adopted; change nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do not ask before the first share is adopted
    #[arg(long)]
    yes: bool,
}

/// Compares, lists what AWS has and the ledger does not, and adopts what the policy allows.
pub(in crate::cli) async fn adopt(
    options: &ClientOptions,
    args: AdoptArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let job = JobArgs {
        dry_run: args.dry_run,
        yes: args.yes,
    };
    job.check(console)?;
    let options = &options.with_context()?;
    let account_id = options.account(args.account.clone())?;
    let region = args.region.clone().unwrap_or_default();
    let client = open(options, console).await?;
    let scan = ScanNowRequest {
        account_id: account_id.clone(),
        region: region.clone(),
        image_id: String::new(),
    };
    let scans = drift::compare(&client, scan, console).await?;
    drift::outcome(&scans).map_err(|stuck| {
        let hint = "nothing was sent; give --region to adopt those of another Region; the log of the service has the error of AWS";
        Failure::new(stuck.exit, stuck.what, hint)
    })?;
    let filter = ListDriftFindingsRequest {
        account_id,
        region,
        image_id: args.image.clone().unwrap_or_default(),
        page_size: PAGE_SIZE,
        ..ListDriftFindingsRequest::default()
    };
    let found = drift::unrecorded(&client, filter).await?;
    if found.is_empty() {
        print(options, Vec::new(), console)?;
        console.note("note: there is nothing to adopt: AWS has no share that the ledger does not have");
        return Ok(());
    }
    let (changes, found) = args.changes(found);
    run(options, &client, (JobKind::Adoption(found), changes), &job, console).await
}

impl AdoptArgs {
    fn changes(&self, found: Vec<DriftFinding>) -> (Vec<JobChange>, FoundShares) {
        let GrantSharePermissionRequest { reason, ticket, .. } = (&self.justification).into();
        let mut shares = FoundShares::new();
        let changes = found.into_iter().map(|finding| {
            let share = ShareName {
                account_id: finding.account_id.clone(),
                region: finding.region.clone(),
                image_id: finding.image_id.clone(),
                shared_account_id: finding.shared_account_id.clone(),
            };
            shares.insert(share.clone(), finding);
            JobChange {
                action: JobAction::Adopt,
                share,
                reason: reason.clone(),
                ticket: ticket.clone(),
                end: self.end.end(),
            }
        });
        (changes.collect(), shares)
    }
}
