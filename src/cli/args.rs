//! The arguments of the client commands. The service checks the patterns of values, and reports all violations at once.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::{
    audit::{AuditCommand, CheckpointArgs, WhyArgs},
    changes::ChangesArgs,
    context::ContextCommand,
    drift::{self, DriftCommand},
    ends::EndArgs,
    failure::{Exit, Failure},
    health::HealthArgs,
    help::with_examples,
    images::ImagesArgs,
    jobs::{AdoptArgs, JobArgs},
    justification::JustificationArgs,
    pages::PageArgs,
    share::PermissionName,
};
use crate::proto::v1::share_permission::State;

/// The commands that call the service.
#[derive(Debug, Clone, Subcommand)]
pub enum ClientCommand {
    /// Permit an account to copy an image
    ///
    /// Returns when AWS has accepted the change and the ledger has recorded it. If --timeout passes first, the change continues;
    /// the error then shows a command that waits for it.
    #[command(after_long_help = with_examples(&[
        "sharewarden grant 111122223333/eu-central-1/wsi-basewin11 --with 000011112222 --reason 'build 7'",
        "sharewarden grant wsi-basewin11 -w 000011112222 -m 'build 7' -t CHG-1 -o json",
        "sharewarden grant wsi-basewin11 -w 000011112222 -m 'trial' --for 30d",
        "sharewarden grant --from-file shares.csv --dry-run",
    ]), override_usage = "sharewarden grant [OPTIONS] --with <ACCOUNT_ID> --reason <TEXT> [SHARE]
       sharewarden grant [OPTIONS] --from-file <FILE>")]
    Grant(GrantArgs),
    /// Withdraw an account's permission to copy an image
    ///
    /// The recipient keeps copies that it has made: AWS cannot remove them. Returns when AWS has accepted the change and the
    /// ledger has recorded it. If --timeout passes first, the change continues; the error then shows a command that waits for it.
    #[command(after_long_help = with_examples(&[
        "sharewarden revoke 111122223333/eu-central-1/wsi-basewin11 --with 000011112222 --reason 'left us'",
        "sharewarden revoke wsi-basewin11 -w 000011112222 -m 'left us' --validate-only",
        "sharewarden revoke 111122223333/eu-central-1/wsi-basewin11 --all-recipients -m 'image is retired'",
        "sharewarden revoke --all-images --with 000011112222 -m 'partner left' --dry-run",
    ]), override_usage = "sharewarden revoke [OPTIONS] --with <ACCOUNT_ID> --reason <TEXT> [SHARE]
       sharewarden revoke [OPTIONS] --all-recipients --reason <TEXT> [SHARE]
       sharewarden revoke [OPTIONS] --all-images --with <ACCOUNT_ID> --reason <TEXT>")]
    Revoke(RevokeArgs),
    /// Show one permission: whether an account may copy an image
    #[command(after_long_help = with_examples(&[
        "sharewarden get 111122223333/eu-central-1/wsi-basewin11 --with 000011112222",
        "sharewarden get wsi-basewin11 -w 000011112222 -o json",
    ]))]
    Get(PermissionName),
    /// Explain why an account may copy an image, or why not: who granted or revoked it, until when, and by which policy
    ///
    /// Every fact comes from an entry of the ledger. This program verifies the proof of each entry; with --key also the signature
    /// of the checkpoint. Needs the role of a viewer in the account; proofs and the texts of policies need that of an auditor.
    #[command(after_long_help = with_examples(&[
        "sharewarden why 111122223333/eu-central-1/wsi-basewin11 --with 000011112222",
        "sharewarden why wsi-basewin11 -w 000011112222 --at 7d --key \"$VKEY\" -o json",
    ]))]
    Why(WhyArgs),
    /// List permissions, by account, Region, image and recipient
    #[command(after_long_help = with_examples(&[
        "sharewarden list --account 111122223333 --state shared -o csv",
        "sharewarden list --image wsi-basewin11 --columns recipient,state --sort recipient",
        "sharewarden list --expiring 14d --sort ends",
    ]))]
    List(ListArgs),
    /// List and show changes: accepted grants and revokes
    #[command(subcommand)]
    Change(ChangeCommand),
    /// List the images of an account in a Region, as AWS reports them
    #[command(after_long_help = with_examples(&[
        "sharewarden images --account 111122223333 --region eu-central-1",
        "sharewarden images -a 111122223333 -r eu-central-1 --shared --sort name",
    ]))]
    Images(ImagesArgs),
    /// Show where AWS and the ledger differ, compare them now, and decide about a difference
    #[command(subcommand)]
    Drift(DriftCommand),
    /// Adopt the shares of an account that AWS has and the ledger does not: for the first day
    ///
    /// Compares AWS with the ledger, shows what AWS has and the ledger does not, and what the policy says about each share. Asks,
    /// and adopts what the policy allows: each with a grant, and with your reason. The others stay differences; the command then
    /// exits with 10. Run again after an interruption, it does what is left.
    #[command(after_long_help = with_examples(&[
        "sharewarden adopt --account 111122223333 --reason 'shared before the service' --dry-run",
        "sharewarden adopt -a 111122223333 -m 'shared before the service' -t CHG-1 --for 90d --yes",
    ]))]
    Adopt(AdoptArgs),
    /// Tell how the service knows me: the principal, the credentials, the roles, what I may do where, and which
    /// policies speak of me
    #[command(after_long_help = with_examples(&["sharewarden whoami", "sharewarden whoami -o json"]))]
    Whoami,
    /// List the accounts in which I have a role, with their Regions, what I may do, and the accounts that I may share with
    #[command(after_long_help = with_examples(&["sharewarden accounts", "sharewarden accounts -o csv"]))]
    Accounts(PageArgs),
    /// Query the audit history. Not parsed here: the program adds `audit archive`, which calls no service.
    #[command(skip)]
    Audit(AuditCommand),
    /// Print the latest signed checkpoint of a ledger: its size and its root hash
    ///
    /// The text is a C2SP tlog-checkpoint. Store it where the service cannot change it: `audit verify --against` compares the
    /// ledger with it later.
    #[command(after_long_help = with_examples(&[
        "sharewarden checkpoint --account 111122223333 > 111122223333.checkpoint",
        "sharewarden checkpoint --account 111122223333 --tree-size 17 -o json",
    ]))]
    Checkpoint(CheckpointArgs),
    /// Check that the service is ready for calls, or alive: for the health checks of containers
    ///
    /// Prints the status. Exits with 0 if it is SERVING, with 6 if it is not or the service cannot be reached, and with 3 if the
    /// service does not know the name of --service. Needs no principal. Set --timeout below the timeout
    /// of the container's health check.
    #[command(after_long_help = with_examples(&[
        "sharewarden health --liveness --timeout 2s",
        "sharewarden health --service sharewarden.v1.AuditService -o json",
    ]))]
    Health(HealthArgs),
    /// Name services, with the options of a connection and a default account and Region
    ///
    /// The contexts are in ~/.config/sharewarden/config.toml, or in the file that SHAREWARDEN_CONFIG_FILE names. Options win over
    /// environment variables, and these over the context.
    #[command(subcommand)]
    Context(ContextCommand),
}

/// The commands under `change`.
#[derive(Debug, Clone, Subcommand)]
pub enum ChangeCommand {
    /// List changes, with the replica that works on a pending one and the time of its next attempt
    #[command(after_long_help = with_examples(&[
        "sharewarden change list --pending --older-than 5m --oldest-first",
        "sharewarden change list --in-doubt --account 111122223333 -o json",
    ]))]
    List(ChangesArgs),
    /// Show one change and its calls to AWS
    #[command(after_long_help = with_examples(&[
        "sharewarden change show --account 111122223333 01987654-3210-7000-8000-000000000001 --wait",
        "sharewarden change show 01987654-3210-7000-8000-000000000001 -a 111122223333 -o json",
    ]))]
    Show(ChangeArgs),
}

/// Fails for commands that have no CSV form, because their answer is not a list of rows.
pub(super) fn refuse_csv(command: &ClientCommand) -> Result<(), Failure> {
    use ClientCommand as C;
    let has_csv = match command {
        C::Grant(args) => args.from_file.is_some(),
        C::Revoke(args) => args.all_recipients || args.all_images,
        C::Adopt(_) => true,
        C::List(_) | C::Change(ChangeCommand::List(_)) | C::Images(_) | C::Accounts(_) => true,
        C::Audit(command) => command.has_csv(),
        C::Drift(command) => drift::has_csv(command),
        C::Get(_)
        | C::Why(_)
        | C::Change(ChangeCommand::Show(_))
        | C::Checkpoint(_)
        | C::Health(_)
        | C::Context(_)
        | C::Whoami => false,
    };
    if has_csv {
        return Ok(());
    }
    Err(no_csv_form())
}

/// The failure of a command without a CSV form.
pub fn no_csv_form() -> Failure {
    let hint = "use -o json or -o table; lists and summaries have a CSV form, and `audit export --format csv` writes a CSV file";
    Failure::new(Exit::Invalid, "this command has no CSV form", hint)
}

/// Arguments of `grant` and `revoke`.
#[derive(Debug, Clone, Args)]
pub struct GrantRevokeArgs {
    #[command(flatten)]
    pub(super) permission: PermissionName,
    #[command(flatten)]
    pub(super) justification: JustificationArgs,
    /// The id of this request. A request that is repeated with the same id takes effect only once [default: a random UUID]
    #[arg(long, value_name = "UUID")]
    pub(super) request_id: Option<String>,
    /// Only check the fields, the configuration, the policy and what AWS reports about the image; change nothing
    #[arg(long)]
    pub(super) validate_only: bool,
}

/// Arguments of `grant`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("job").args(["from_file"]))]
pub struct GrantArgs {
    #[command(flatten)]
    pub(super) one: GrantRevokeArgs,
    #[command(flatten)]
    pub(super) end: EndArgs,
    /// Grant every share of this CSV file, with the columns account, region, image, recipient, reason, ticket and until. A
    /// missing account, region or until is that of the option, or the default one. Run again after an interruption, it does what
    /// is left
    #[arg(long, value_name = "FILE",
          conflicts_with_all = ["share", "image", "with", "reason", "ticket", "request_id", "validate_only", "for"])]
    pub(super) from_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) job: JobArgs,
}

/// Arguments of `revoke`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("job").args(["all_recipients", "all_images"]))]
pub struct RevokeArgs {
    #[command(flatten)]
    pub(super) one: GrantRevokeArgs,
    /// Revoke every share of the image, such as before it is deleted: AWS deletes no shared image. Knows the shares that
    /// were made through the service
    #[arg(long, conflicts_with_all = ["with", "request_id", "validate_only"])]
    pub(super) all_recipients: bool,
    /// Revoke every share with the recipient, such as when a partner leaves: in all accounts and Regions, or in those of
    /// --account and --region. Defaults of the environment do not narrow it
    #[arg(long, conflicts_with_all = ["share", "image", "request_id", "validate_only"])]
    pub(super) all_images: bool,
    #[command(flatten)]
    pub(super) job: JobArgs,
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Only images that this AWS account owns: 12 digits
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    pub(super) account: Option<String>,
    #[command(flatten)]
    pub(super) shares: ShareFilterArgs,
    /// Only permissions in this state [default: all but unknown]
    #[arg(long, value_enum)]
    pub(super) state: Option<StateFilter>,
    /// Only shares that end within this time, with a unit, such as 14d. Those that are still shared after their end are included
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    pub(super) expiring: Option<Duration>,
    #[command(flatten)]
    pub(super) pages: PageArgs,
}

/// The filters by Region, image and recipient that `list`, `change list` and `audit at` share.
#[derive(Debug, Clone, Args)]
pub struct ShareFilterArgs {
    /// Only images in this AWS Region, such as eu-central-1
    #[arg(short, long, value_name = "REGION")]
    pub(super) region: Option<String>,
    /// Only this image: wsi- and 9 to 63 lower-case letters and digits
    #[arg(short, long, value_name = "IMAGE_ID")]
    pub(super) image: Option<String>,
    /// Only this recipient: an AWS account, 12 digits
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    pub(super) with: Option<String>,
}

/// The state of a permission, as a filter of `list`. Each value is the API's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
pub enum StateFilter {
    /// AWS accepted a grant
    Shared = State::Shared as i32,
    /// AWS accepted a revoke, or reported the image as not shared
    NotShared = State::NotShared as i32,
    /// A change is pending
    Pending = State::Pending as i32,
    /// Every change has failed, and no answer of AWS says whether the image is shared: it may not even exist
    Unknown = State::Unknown as i32,
    /// All states
    Any = State::Unspecified as i32,
}

/// Arguments of `change show`.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// The AWS account that owns the image: 12 digits [default: SHAREWARDEN_ACCOUNT]
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    pub(super) account: Option<String>,
    /// The id of the change, a UUID, which `grant` and `revoke` print
    pub(super) change_id: String,
    /// Wait until the change has ended, at most --timeout. Exits with the code of the grant or revoke
    #[arg(long)]
    pub(super) wait: bool,
}
