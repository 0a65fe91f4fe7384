//! `drift baseline`: whether the service revokes unrecorded shares of an account without a caller.

use clap::{Args, Subcommand};

use crate::{
    cli::{
        cell::Cell,
        connection::{Client, DriftStub},
        console::Console,
        failure::Stop,
        help::with_examples,
        justification::JustificationArgs,
        options::{ClientOptions, Output},
        table,
        text::one_line,
        view::View,
    },
    proto::v1::{
        ConfirmDriftBaselineRequest, DriftBaseline, GetDriftBaselineRequest, WithdrawDriftBaselineRequest,
        drift_baseline::State,
    },
};

/// The commands under `drift baseline`.
#[derive(Debug, Clone, Subcommand)]
pub enum BaselineCommand {
    /// Show whether the service revokes unrecorded shares of an account, and if not, why
    #[command(after_long_help = with_examples(&[
        "sharewarden drift baseline show --account 111122223333",
        "sharewarden drift baseline show -a 111122223333 -o json",
    ]))]
    Show(BaselineAccount),
    /// Let the service revoke unrecorded shares of an account that it finds from now on
    ///
    /// It does so only if `on_drift = "revoke"` is set for the account. First decide about what was found before: it is not
    /// revoked. After a restore or a failover of the database, nothing is revoked until the baseline is confirmed again.
    #[command(after_long_help = with_examples(&[
        "sharewarden drift baseline confirm --account 111122223333 --reason 'all findings are decided'",
        "sharewarden drift baseline confirm -a 111122223333 -m 'after the restore' -t CHG-9",
    ]))]
    Confirm(BaselineArgs),
    /// Let the service revoke no unrecorded share of an account any more
    #[command(after_long_help = with_examples(&[
        "sharewarden drift baseline withdraw --account 111122223333 --reason 'the database is restored today'",
        "sharewarden drift baseline withdraw -a 111122223333 -m 'is investigated' -t INC-4",
    ]))]
    Withdraw(BaselineArgs),
}

/// Arguments of `drift baseline show`.
#[derive(Debug, Clone, Args)]
pub struct BaselineAccount {
    /// The AWS account: 12 digits
    #[arg(short, long = "account", value_name = "ACCOUNT_ID")]
    account: String,
}

/// Arguments of `drift baseline confirm` and `withdraw`.
#[derive(Debug, Clone, Args)]
pub struct BaselineArgs {
    #[command(flatten)]
    account: BaselineAccount,
    #[command(flatten)]
    justification: JustificationArgs,
}

pub(super) async fn run(
    options: &ClientOptions,
    client: &Client,
    command: BaselineCommand,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let deadline = client.deadline();
    let baseline = match command {
        BaselineCommand::Show(BaselineAccount { account }) => {
            let request = GetDriftBaselineRequest { account_id: account };
            client
                .call(deadline, request, async |mut stub: DriftStub, request| {
                    stub.get_drift_baseline(request).await
                })
                .await?
                .baseline
        }
        BaselineCommand::Confirm(args) => {
            let request = ConfirmDriftBaselineRequest {
                account_id: args.account.account,
                ..ConfirmDriftBaselineRequest::from(&args.justification)
            };
            client
                .call(deadline, request, async |mut stub: DriftStub, request| {
                    stub.confirm_drift_baseline(request).await
                })
                .await?
                .baseline
        }
        BaselineCommand::Withdraw(args) => {
            let request = WithdrawDriftBaselineRequest {
                account_id: args.account.account,
                ..WithdrawDriftBaselineRequest::from(&args.justification)
            };
            client
                .call(deadline, request, async |mut stub: DriftStub, request| {
                    stub.withdraw_drift_baseline(request).await
                })
                .await?
                .baseline
        }
    };
    let baseline = baseline.unwrap_or_default();
    match options.output {
        Output::Table => console.print(described(&baseline, console.view())),
        _ => console.print_json(&baseline),
    }
}

fn described(baseline: &DriftBaseline, view: &View) -> String {
    let meaning = match baseline.state() {
        State::Unspecified => "this version does not know the state",
        State::Reporting => "unrecorded shares are reported: on_drift is \"report\" for the account",
        State::WithoutBaseline => {
            "unrecorded shares are reported: no baseline is in force (confirm one, also after a restore or a failover)"
        }
        State::Revoking => "unrecorded shares that were found after the baseline are revoked",
        State::Braked => {
            "unrecorded shares are reported: more were found than the limit, so something else may be wrong"
        }
    };
    let state = baseline.state().as_str_name().trim_start_matches("STATE_");
    let mut rows = vec![
        ("Account", one_line(&baseline.account_id).into()),
        ("State", Cell::State(state.to_owned())),
        ("Meaning", Cell::Text(meaning.to_owned())),
    ];
    if baseline.confirm_time.is_some() {
        rows.extend([
            ("Confirmed at", Cell::Time(baseline.confirm_time)),
            ("Confirmed by", one_line(&baseline.principal).into()),
            ("Confirmed in entry", baseline.log_index.to_string().into()),
            ("Found since", baseline.found.to_string().into()),
            ("Limit", baseline.limit.to_string().into()),
        ]);
    }
    table::pairs(rows, view)
}
