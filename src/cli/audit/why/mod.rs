//! `why`: why an account may copy an image, or why not, now or at a time. The answer comes from entries of the ledger, each with
//! its proof.
//!
//! [`history`] finds the entries, [`proved`] proves each, and [`answer`] prints what they tell.

mod answer;
mod history;
mod proved;

use clap::Args;
use time::Duration;

use self::{
    answer::{PolicyText, ShareAnswer},
    history::ShareHistory,
    proved::Prover,
};
use super::{
    policy_sets,
    time_arg::{TimeArg, now, timestamp},
    verifier_keys::VerifierKeyArgs,
};
use crate::{
    cli::{
        connection::{Client, ShareStub},
        console::Console,
        failure::{Exit, Failure, Stop},
        options::{ClientOptions, Output},
        share::{PermissionIds, PermissionName},
        text::one_line,
    },
    domain::Decision,
    proto::v1::{
        Change, ErrorReason, GetChangeRequest, GetSharePermissionRequest, LastLook, SharePermission, audit_entry::Body,
        share_permission::State,
    },
};

/// Arguments of `why`.
#[derive(Debug, Clone, Args)]
pub struct WhyArgs {
    #[command(flatten)]
    permission: PermissionName,
    /// The time to tell about: RFC 3339, a date (midnight, UTC), or a time ago such as 36h or 7d [default: now]
    #[arg(long, value_name = "TIME", value_parser = TimeArg::parse)]
    at: Option<TimeArg>,
    #[command(flatten)]
    verifier_keys: VerifierKeyArgs,
}

/// Runs `why`.
pub(in crate::cli) async fn why(
    options: &ClientOptions,
    client: &Client,
    args: WhyArgs,
    console: &mut Console<'_>,
) -> Result<(), Stop> {
    let share = args.permission.resolve(options)?;
    let at = args.at.map(|at| at.resolve(now()));
    // Entries have times in microseconds, and the filter ends before this time.
    let until = at.map(|at| timestamp(at.checked_add(Duration::MICROSECOND).unwrap_or(at)));
    let (history, permission, last_look) = match at {
        Some(_) => (ShareHistory::read(client, &share, until).await?, None, None),
        None => read_now(client, &share).await?,
    };
    let Some(last) = &history.last else {
        return Err(no_entry(&share, &history, at.is_some()).into());
    };
    let pending = match permission.as_ref().filter(|it| it.state() == State::Pending) {
        Some(permission) => Some(change(client, permission).await?),
        None => None,
    };
    let prover = Prover::new(client, &share.account, args.verifier_keys.keys());
    let (policies, note) = policies(client, last.decision.as_ref()).await?;
    let answer = ShareAnswer {
        at: at.map(timestamp),
        proofs: prover.prove(history.shown()).await?,
        share,
        permission,
        last_look,
        pending,
        history,
        policies,
    };
    if options.output == Output::Json {
        console.print_json(&answer.json())?;
    } else {
        console.print(answer.text(console.view()))?;
    }
    note.into_iter()
        .chain(answer.warning())
        .for_each(|note| console.note(note));
    Ok(())
}

/// The history and the permission. Reads both again if they differ, because a change may have ended in between.
async fn read_now(
    client: &Client,
    share: &PermissionIds,
) -> Result<(ShareHistory, Option<SharePermission>, Option<LastLook>), Stop> {
    let (permission, look) = permission(client, share).await?;
    let history = ShareHistory::read(client, share, None).await?;
    if history.is_as(&permission) {
        return Ok((history, Some(permission), look));
    }
    let (permission, look) = self::permission(client, share).await?;
    Ok((ShareHistory::read(client, share, None).await?, Some(permission), look))
}

async fn permission(client: &Client, share: &PermissionIds) -> Result<(SharePermission, Option<LastLook>), Stop> {
    let PermissionIds {
        account,
        region,
        image,
        with,
    } = share.clone();
    let request = GetSharePermissionRequest {
        account_id: account,
        region,
        image_id: image,
        shared_account_id: with,
    };
    let ask = async |mut stub: ShareStub, request| stub.get_share_permission(request).await;
    let answer = client.call(client.deadline(), request, ask).await?;
    Ok((answer.permission.unwrap_or_default(), answer.last_look))
}

/// The newest change that is in progress.
async fn change(client: &Client, permission: &SharePermission) -> Result<Change, Stop> {
    let request = GetChangeRequest {
        account_id: permission.account_id.clone(),
        change_id: permission.pending_change_id.clone(),
    };
    let ask = async |mut stub: ShareStub, request| stub.get_change(request).await;
    let answer = client.call(client.deadline(), request, ask).await?;
    Ok(answer.change.unwrap_or_default())
}

/// The policies that decided, with their texts. Without the texts, and with a note, if the caller may not read them or the
/// service has none.
async fn policies(client: &Client, decision: Option<&Decision>) -> Result<(Vec<PolicyText>, Option<String>), Stop> {
    let Some(decision) = decision.filter(|decision| !decision.policies.is_empty()) else {
        return Ok((Vec::new(), None));
    };
    let set = match policy_sets::text(client, *decision.policy_set.as_bytes()).await {
        Ok(set) => set,
        Err(Stop::Failed(failure)) if failure.is_of(ErrorReason::PolicyDenied) => None,
        Err(failure) => return Err(failure),
    };
    let note = "note: the texts of the policies are not shown: this needs the role of an auditor, and a service that keeps them";
    let note = set.is_none().then(|| note.to_owned());
    // The digest in the entry is that of the text, so the text is one that the service wrote.
    let set = set.and_then(|set| serde_json::from_str::<serde_json::Value>(&set.text).ok());
    let text = |id: &str| set.as_ref()?.get("policies")?.get(id)?.as_str().map(str::to_owned);
    let policies = decision.policies.iter().map(|id| PolicyText {
        id: id.as_str().to_owned(),
        text: text(id.as_str()),
    });
    Ok((policies.collect(), note))
}

fn no_entry(share: &PermissionIds, history: &ShareHistory, is_past: bool) -> Failure {
    let PermissionIds {
        account,
        region,
        image,
        with,
    } = share;
    let when = if is_past { " up to that time" } else { "" };
    let what = format!("no grant of {account}/{region}/{image} with {with} had succeeded{when}");
    match history.archived.first() {
        None => Failure::new(
            Exit::NotFound,
            what,
            "shares that were made past the service are not in its history",
        ),
        Some(range) => {
            let what = format!(
                "{what}, as far as the entries say that are not archived; older ones are in {}",
                one_line(&range.location)
            );
            Failure::new(
                Exit::NotFound,
                what,
                "ask the operators of the service for this file, or look at a later time",
            )
        }
    }
}

/// The change of an entry, if it has one.
fn change_of(entry: &crate::proto::v1::AuditEntry) -> Option<&crate::proto::v1::ChangeBody> {
    match &entry.body {
        Some(Body::Change(change)) => Some(change),
        _ => None,
    }
}
