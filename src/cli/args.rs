//! What can be typed after each client command. Patterns are checked by the service, which reports every violation at once.

use clap::{Args, Subcommand, ValueEnum};

use super::{
    audit::{AuditCommand, CheckpointArgs},
    changes::ChangesArgs,
    failure::{EXIT_CODES, Exit, Failure},
    health::HealthArgs,
    justification::JustificationArgs,
    pages::PageArgs,
};
use crate::proto::v1::share_permission::State;

/// The commands that call the service.
#[derive(Debug, Clone, Subcommand)]
pub enum ClientCommand {
    /// Let an account copy an image
    ///
    /// Returns when AWS has accepted the change and its outcome is on record. Past --timeout the change goes on; the
    /// error then tells how to follow it.
    #[command(after_long_help = with_example("sharewarden grant --account 111122223333 --region eu-central-1 --image wsi-basewin11 --with 000011112222 --reason 'build 7'"))]
    Grant(GrantRevokeArgs),
    /// Stop letting an account copy an image
    ///
    /// Copies that the recipient has made stay with it: AWS cannot recall them. Returns when AWS has accepted the change
    /// and its outcome is on record. Past --timeout the change goes on; the error then tells how to follow it.
    #[command(after_long_help = with_example("sharewarden revoke --account 111122223333 --region eu-central-1 --image wsi-basewin11 --from 000011112222 --reason 'left us'"))]
    Revoke(GrantRevokeArgs),
    /// Show one permission: may this account copy this image?
    #[command(after_long_help = with_example("sharewarden get --account 111122223333 --region eu-central-1 --image wsi-basewin11 --with 000011112222"))]
    Get(PermissionName),
    /// List permissions, by account, Region, image and recipient
    #[command(after_long_help = with_example("sharewarden list --account 111122223333 --state shared -o csv"))]
    List(ListArgs),
    /// Show one change (a grant or a revoke) and its calls to AWS
    #[command(after_long_help = with_example("sharewarden change --account 111122223333 01987654-3210-7000-8000-000000000001 --wait"))]
    Change(ChangeArgs),
    /// List changes: what is under way, what is in doubt, who works on it and when it is tried again
    #[command(after_long_help = with_example("sharewarden changes --pending --older-than 5m --oldest-first"))]
    Changes(ChangesArgs),
    /// List the images of an account in a Region, as AWS reports them now
    #[command(after_long_help = with_example("sharewarden images --account 111122223333 --region eu-central-1"))]
    Images(ImagesArgs),
    /// Ask the audit history. The program parses these, for it has more of them: `audit archive` calls no service.
    #[command(skip)]
    Audit(AuditCommand),
    /// Print the latest checkpoint of a ledger: its size and root, signed
    ///
    /// The text is a C2SP tlog-checkpoint. Keep it in a place of your own: `audit verify --against` compares with it later.
    #[command(after_long_help = with_example("sharewarden checkpoint --account 111122223333 > 111122223333.checkpoint"))]
    Checkpoint(CheckpointArgs),
    /// Ask whether the service takes calls, or lives at all: for the health checks of containers
    ///
    /// Prints what it says, and exits with 0 if it is SERVING, with 6 if it is not or cannot be reached, and with 3 if it does
    /// not know what it is asked for. Needs no principal. Give a --timeout below that of the check.
    #[command(after_long_help = with_example("sharewarden health --liveness --timeout 2s"))]
    Health(HealthArgs),
}

/// Fails for commands whose answers are not rows.
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
    let hint =
        "take -o json or -o table; lists and summaries have a CSV form, and `audit export --format csv` writes one";
    Err(Failure::new(Exit::Invalid, "this command has no CSV form", hint))
}

/// An example to paste, over the exit codes.
pub(super) fn with_example(example: &str) -> String {
    format!("Example:\n  {example}\n\n{EXIT_CODES}")
}

/// Names one permission.
#[derive(Debug, Clone, Args)]
pub struct PermissionName {
    /// The AWS account that owns the image: 12 digits, leading zeros count
    #[arg(long, value_name = "ACCOUNT_ID")]
    pub(super) account: String,
    /// The AWS Region of the image, such as eu-central-1
    #[arg(long, value_name = "REGION")]
    pub(super) region: String,
    /// The image: wsi- and 9 to 63 lower-case letters and digits
    #[arg(long, value_name = "IMAGE_ID")]
    pub(super) image: String,
    /// The recipient, the AWS account that may or may not copy the image: 12 digits, not the owner
    #[arg(long, value_name = "ACCOUNT_ID", aliases = ["from", "shared-account"])]
    pub(super) with: String,
}

/// Arguments of `grant` and `revoke`.
#[derive(Debug, Clone, Args)]
pub struct GrantRevokeArgs {
    #[command(flatten)]
    pub(super) permission: PermissionName,
    #[command(flatten)]
    pub(super) justification: JustificationArgs,
    /// Names this request, so that repeating it never acts twice [default: a new random UUID]
    #[arg(long, value_name = "UUID")]
    pub(super) request_id: Option<String>,
    /// Check the fields, the configuration and the policy, and change nothing
    #[arg(long)]
    pub(super) validate_only: bool,
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Only images that this AWS account owns: 12 digits
    #[arg(long, value_name = "ACCOUNT_ID")]
    pub(super) account: Option<String>,
    #[command(flatten)]
    pub(super) shares: ShareFilterArgs,
    /// Only permissions that stand so
    #[arg(long, value_enum)]
    pub(super) state: Option<StateFilter>,
    #[command(flatten)]
    pub(super) pages: PageArgs,
}

/// Filters of what is shared with whom: of `list`, `changes` and `audit at`.
#[derive(Debug, Clone, Args)]
pub struct ShareFilterArgs {
    /// Only images in this AWS Region, such as eu-central-1
    #[arg(long, value_name = "REGION")]
    pub(super) region: Option<String>,
    /// Only this image: wsi- and 9 to 63 lower-case letters and digits
    #[arg(long, value_name = "IMAGE_ID")]
    pub(super) image: Option<String>,
    /// Only this recipient: an AWS account, 12 digits
    #[arg(long, value_name = "ACCOUNT_ID", aliases = ["from", "shared-account"])]
    pub(super) with: Option<String>,
}

/// Where a permission stands, as a filter of `list`: the API's number of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[repr(i32)]
pub enum StateFilter {
    /// AWS accepted a grant
    Shared = State::Shared as i32,
    /// AWS accepted a revoke, or reported the image as not shared
    NotShared = State::NotShared as i32,
    /// A change is under way
    Pending = State::Pending as i32,
    /// Every change so far has failed
    Unknown = State::Unknown as i32,
}

/// Arguments of `change`.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// The AWS account whose image it changes: 12 digits
    #[arg(long, value_name = "ACCOUNT_ID")]
    pub(super) account: String,
    /// The change, a UUID: printed by `grant` and `revoke`
    pub(super) change_id: String,
    /// Wait until the change has ended, at most for --timeout; exit as the grant or revoke itself would have
    #[arg(long)]
    pub(super) wait: bool,
}

/// Arguments of `images`.
#[derive(Debug, Clone, Args)]
pub struct ImagesArgs {
    /// The AWS account: 12 digits
    #[arg(long, value_name = "ACCOUNT_ID")]
    pub(super) account: String,
    /// The AWS Region, such as eu-central-1
    #[arg(long, value_name = "REGION")]
    pub(super) region: String,
    /// List the images that others share with the account, in place of those that it owns
    #[arg(long)]
    pub(super) shared: bool,
}
