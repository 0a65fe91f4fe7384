//! The arguments of the client commands. The service checks the patterns of values, and reports all violations at once.

use clap::{Args, Subcommand, ValueEnum};

use super::{
    audit::{AuditCommand, CheckpointArgs},
    changes::ChangesArgs,
    failure::{EXIT_CODES, Exit, Failure},
    health::HealthArgs,
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
    #[command(after_long_help = with_example(
        "sharewarden grant 111122223333/eu-central-1/wsi-basewin11 --with 000011112222 --reason 'build 7'"
    ))]
    Grant(GrantRevokeArgs),
    /// Withdraw an account's permission to copy an image
    ///
    /// The recipient keeps copies that it has made: AWS cannot remove them. Returns when AWS has accepted the change and the
    /// ledger has recorded it. If --timeout passes first, the change continues; the error then shows a command that waits for it.
    #[command(after_long_help = with_example(
        "sharewarden revoke 111122223333/eu-central-1/wsi-basewin11 --with 000011112222 --reason 'left us'"
    ))]
    Revoke(GrantRevokeArgs),
    /// Show one permission: whether an account may copy an image
    #[command(after_long_help = with_example(
        "sharewarden get 111122223333/eu-central-1/wsi-basewin11 --with 000011112222"
    ))]
    Get(PermissionName),
    /// List permissions, by account, Region, image and recipient
    #[command(after_long_help = with_example("sharewarden list --account 111122223333 --state shared -o csv"))]
    List(ListArgs),
    /// Show one change (a grant or a revoke) and its calls to AWS
    #[command(after_long_help = with_example(
        "sharewarden change --account 111122223333 01987654-3210-7000-8000-000000000001 --wait"
    ))]
    Change(ChangeArgs),
    /// List changes, with the replica that works on a pending one and the time of its next attempt
    #[command(after_long_help = with_example("sharewarden changes --pending --older-than 5m --oldest-first"))]
    Changes(ChangesArgs),
    /// List the images of an account in a Region, as AWS reports them
    #[command(after_long_help = with_example("sharewarden images --account 111122223333 --region eu-central-1"))]
    Images(ImagesArgs),
    /// Query the audit history. Not parsed here: the program adds `audit archive`, which calls no service.
    #[command(skip)]
    Audit(AuditCommand),
    /// Print the latest signed checkpoint of a ledger: its size and its root hash
    ///
    /// The text is a C2SP tlog-checkpoint. Store it where the service cannot change it: `audit verify --against` compares the
    /// ledger with it later.
    #[command(after_long_help = with_example("sharewarden checkpoint --account 111122223333 > 111122223333.checkpoint"))]
    Checkpoint(CheckpointArgs),
    /// Check that the service is ready for calls, or alive: for the health checks of containers
    ///
    /// Prints the status. Exits with 0 if it is SERVING, with 6 if it is not or the service cannot be reached, and with 3 if the
    /// service does not know the name of --service. Needs no principal. Set --timeout below the timeout
    /// of the container's health check.
    #[command(after_long_help = with_example("sharewarden health --liveness --timeout 2s"))]
    Health(HealthArgs),
}

/// Fails for commands that have no CSV form, because their answer is not a list of rows.
pub(super) fn refuse_csv(command: &ClientCommand) -> Result<(), Failure> {
    use ClientCommand as C;
    let has_csv = match command {
        C::List(_) | C::Changes(_) => true,
        C::Audit(command) => command.has_csv(),
        C::Grant(_) | C::Revoke(_) | C::Get(_) | C::Change(_) | C::Images(_) | C::Checkpoint(_) | C::Health(_) => false,
    };
    if has_csv {
        return Ok(());
    }
    let hint = "use -o json or -o table; lists and summaries have a CSV form, and `audit export --format csv` writes a CSV file";
    Err(Failure::new(Exit::Invalid, "this command has no CSV form", hint))
}

/// The end of a long help: an example and the exit codes.
pub(super) fn with_example(example: &str) -> String {
    format!("Example:\n  {example}\n\n{EXIT_CODES}")
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
    /// Only check the fields, the configuration and the policy; change nothing
    #[arg(long)]
    pub(super) validate_only: bool,
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Only images that this AWS account owns: 12 digits
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    pub(super) account: Option<String>,
    #[command(flatten)]
    pub(super) shares: ShareFilterArgs,
    /// Only permissions in this state
    #[arg(long, value_enum)]
    pub(super) state: Option<StateFilter>,
    #[command(flatten)]
    pub(super) pages: PageArgs,
}

/// The filters by Region, image and recipient that `list`, `changes` and `audit at` share.
#[derive(Debug, Clone, Args)]
pub struct ShareFilterArgs {
    /// Only images in this AWS Region, such as eu-central-1
    #[arg(short, long, value_name = "REGION")]
    pub(super) region: Option<String>,
    /// Only this image: wsi- and 9 to 63 lower-case letters and digits
    #[arg(short, long, value_name = "IMAGE_ID")]
    pub(super) image: Option<String>,
    /// Only this recipient: an AWS account, 12 digits
    #[arg(short, long, value_name = "ACCOUNT_ID", aliases = ["from", "shared-account"])]
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
    /// Every change has failed, so the state at AWS is not known
    Unknown = State::Unknown as i32,
}

/// Arguments of `change`.
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

/// Arguments of `images`.
#[derive(Debug, Clone, Args)]
pub struct ImagesArgs {
    /// The AWS account: 12 digits [default: SHAREWARDEN_ACCOUNT]
    #[arg(short, long, value_name = "ACCOUNT_ID")]
    pub(super) account: Option<String>,
    /// The AWS Region, such as eu-central-1 [default: SHAREWARDEN_REGION, AWS_REGION or AWS_DEFAULT_REGION]
    #[arg(short, long, value_name = "REGION")]
    pub(super) region: Option<String>,
    /// List the images that other accounts share with the account [default: the images that it owns]
    #[arg(long)]
    pub(super) shared: bool,
}
