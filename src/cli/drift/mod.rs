//! `drift`: where AWS and the ledger differ, a comparison now, and what to make of a difference.

mod baseline;
mod findings;
mod scan;

use clap::{Args, Subcommand};

use super::{
    args::GrantRevokeArgs,
    connection::Client,
    console::Console,
    ends::EndArgs,
    failure::{Exit, Failure, Stop},
    grant_revoke::{self, GrantVerb},
    help::with_examples,
    options::ClientOptions,
    share::PermissionName,
};
use crate::proto::v1::DriftDifference;
use findings::is_open;

pub use baseline::{BaselineAccount, BaselineArgs, BaselineCommand};
pub use findings::DriftListArgs;
pub(super) use findings::{caller, unrecorded};
pub use scan::DriftScanArgs;
pub(super) use scan::{compare, outcome};

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

/// Arguments of `drift adopt`.
#[derive(Debug, Clone, Args)]
pub struct DriftAdoptArgs {
    #[command(flatten)]
    one: GrantRevokeArgs,
    #[command(flatten)]
    end: EndArgs,
}

pub(super) async fn run(
    options: &ClientOptions,
    client: &Client,
    command: DriftCommand,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    match command {
        DriftCommand::Scan(args) => scan::scan(options, client, args, console).await,
        DriftCommand::List(args) => findings::list(options, client, args, console).await,
        DriftCommand::Show(name) => findings::show(options, client, &name.resolve(options)?, console).await,
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
        DriftCommand::Baseline(command) => baseline::run(options, client, command, console).await,
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

/// Fails unless a finding of this difference is open.
async fn expect(
    options: &ClientOptions,
    client: &Client,
    args: &GrantRevokeArgs,
    expected: DriftDifference,
) -> Result<(), Stop> {
    let found = findings::finding(client, &args.permission.resolve(options)?).await?;
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

fn differ(about: &str, hint: &str) -> Failure {
    Failure::new(Exit::Drift, format!("AWS and the ledger differ {about}"), hint)
}
