//! The rows as the service lists them.

use std::collections::BTreeSet;

use super::{
    recorded_rows::{self, RowName, attempt_text, decision_text},
    report::Difference,
};
use crate::{
    cli::{
        audit::{show::invalid_response, time_arg::timestamp},
        connection::{AuditStub, Client, ShareStub},
        ends,
        failure::Stop,
        format::{access, action, cause, name, rfc3339},
        justification,
        printer::ListItem,
        render::{change_state, claims},
        table::Cells,
    },
    client::Error,
    domain::{AccountId, PermissionKey, RecordedState, Timestamp},
    proto::v1::{
        Access, Attempt, Change, ChangeOrder, CredentialKind, Decision, ErrorReason, GetSharePermissionsAtRequest,
        ListChangesRequest, ListSharePermissionsRequest, PastSharePermission, SharePermission, attempt::Classification,
    },
};

const PAGE: i32 = 1000;
const CREDENTIALS: &str = "credentials";
const CLAIMS: &str = "claims";
const DECISION: &str = "decision";
const BASIS: &str = "basis_change_id";
const END: &str = "expire_time";

/// A row with its fields.
pub(super) struct Row {
    pub(super) name: RowName,
    fields: Cells,
}

impl Row {
    /// True if it has what the entries tell, and nothing else is known about it.
    pub(super) fn is_as(&self, recorded: &RecordedState) -> bool {
        let told = self.told(recorded);
        told.is_some_and(|told| told.iter().all(|(field, text)| self.has(field, text)))
    }

    /// What differs. Nothing if the row is as the entries tell.
    pub(super) fn differences(&self, recorded: &RecordedState) -> Vec<Difference> {
        let Some(told) = self.told(recorded) else {
            return vec![Difference::of_row(&self.name, false)];
        };
        let wrong = told.into_iter().filter(|(field, text)| !self.has(field, text));
        let difference = |(field, ledger)| Difference {
            row: self.name.to_string(),
            field,
            ledger,
            table: self.text(field).to_owned(),
        };
        wrong.map(difference).collect()
    }

    /// The fields to compare, as the entries tell them.
    fn told(&self, recorded: &RecordedState) -> Option<Cells> {
        let mut told = recorded_rows::fields(recorded, &self.name)?;
        if matches!(self.name, RowName::Permission(_)) && self.may_have_no_basis(&told) {
            told.retain(|(field, _)| ![BASIS, END].contains(field));
        }
        Some(told)
    }

    /// True if the permission is right without its basis: an older build records no basis, for a grant without an end. And if AWS
    /// was read to hold no share after a failure, which no entry tells, the service shows none.
    fn may_have_no_basis(&self, told: &Cells) -> bool {
        let told = |field| told.iter().find(|(name, _)| *name == field).map(|(_, text)| &**text);
        let is_read_as_not_shared =
            told("applied").is_none() && self.text("applied") == access(Access::NotShared.into());
        self.text(BASIS).is_empty() && (told(END) == Some("") || is_read_as_not_shared)
    }

    /// True if the field has this text. A service of an older build does not show the credentials, the claims and the decision:
    /// then they are not compared.
    fn has(&self, field: &str, text: &str) -> bool {
        let found = self.text(field);
        found == text || ([CREDENTIALS, CLAIMS, DECISION].contains(&field) && found.is_empty())
    }

    fn text(&self, field: &str) -> &str {
        let found = self.fields.iter().find(|(name, _)| *name == field);
        found.map(|(_, text)| &**text).unwrap_or_default()
    }
}

/// The rows that the service listed.
pub(super) struct Listed {
    pub(super) names: BTreeSet<RowName>,
    /// The rows that are not as the entries tell. The others are not kept: there may be millions.
    pub(super) different: Vec<Row>,
}

/// Lists all permissions, changes and shares of the account.
pub(super) async fn list(client: &Client, account: AccountId, recorded: &RecordedState) -> Result<Listed, Stop> {
    let mut listed = Listed {
        names: BTreeSet::new(),
        different: Vec::new(),
    };
    let mut add = |row: Row| {
        listed.names.insert(row.name.clone());
        if !row.is_as(recorded) {
            listed.different.push(row);
        }
    };
    permissions(client, account, &mut add).await?;
    changes(client, account, &mut add).await?;
    if let Some(at) = recorded.last_recorded_at() {
        shares(client, account, at, &mut add).await?;
    }
    Ok(listed)
}

async fn permissions(client: &Client, account: AccountId, add: &mut impl FnMut(Row)) -> Result<(), Stop> {
    all(
        async |page_token| {
            let request = ListSharePermissionsRequest {
                account_id: account.to_string(),
                page_size: PAGE,
                page_token,
                ..ListSharePermissionsRequest::default()
            };
            let ask = async |mut stub: ShareStub, request| stub.list_share_permissions(request).await;
            let page = client.call(client.deadline(), request, ask).await?;
            Ok((page.permissions, page.next_page_token))
        },
        |item| add_to(add, of_permission(item)),
    )
    .await
}

async fn changes(client: &Client, account: AccountId, add: &mut impl FnMut(Row)) -> Result<(), Stop> {
    all(
        async |page_token| {
            let request = ListChangesRequest {
                account_ids: vec![account.to_string()],
                // Changes that are accepted meanwhile come last.
                order: ChangeOrder::OldestFirst.into(),
                page_size: PAGE,
                page_token,
                ..ListChangesRequest::default()
            };
            let ask = async |mut stub: ShareStub, request| stub.list_changes(request).await;
            let page = client.call(client.deadline(), request, ask).await?;
            Ok((page.changes, page.next_page_token))
        },
        |item| add_to(add, of_change(item)),
    )
    .await
}

/// All shares that began until the time of the last verified entry.
async fn shares(client: &Client, account: AccountId, until: Timestamp, add: &mut impl FnMut(Row)) -> Result<(), Stop> {
    all(
        async |page_token| {
            let request = GetSharePermissionsAtRequest {
                account_id: account.to_string(),
                time: Some(timestamp(until.to_offset_date_time())),
                since: Some(pbjson_types::Timestamp::default()),
                page_size: PAGE,
                page_token,
                ..GetSharePermissionsAtRequest::default()
            };
            let ask = async |mut stub: AuditStub, request| stub.get_share_permissions_at(request).await;
            let page = client.call(client.deadline(), request, ask).await?;
            Ok((page.permissions, page.next_page_token))
        },
        |item| add_to(add, of_share(item)),
    )
    .await
}

/// Calls `take` with each item of all pages.
async fn all<T>(
    mut page: impl AsyncFnMut(String) -> Result<(Vec<T>, String), Error>,
    mut take: impl FnMut(&T) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut page_token = String::new();
    loop {
        let (items, next) = page(page_token).await?;
        items.iter().try_for_each(&mut take)?;
        if next.is_empty() {
            return Ok(());
        }
        page_token = next;
    }
}

fn add_to(add: &mut impl FnMut(Row), row: Option<Row>) -> Result<(), Stop> {
    add(row.ok_or_else(|| invalid_response("the service listed a row with an invalid id"))?);
    Ok(())
}

fn of_permission(row: &SharePermission) -> Option<Row> {
    let key = key(&row.account_id, &row.region, &row.image_id, &row.shared_account_id)?;
    Some(Row {
        name: RowName::Permission(key),
        fields: row.record().ok()?,
    })
}

fn of_share(row: &PastSharePermission) -> Option<Row> {
    let key = key(&row.account_id, &row.region, &row.image_id, &row.shared_account_id)?;
    Some(Row {
        name: RowName::Share(key, row.start_index),
        fields: row.record().ok()?,
    })
}

fn of_change(row: &Change) -> Option<Row> {
    let attempts: Vec<_> = row.attempts.iter().map(attempt).collect();
    let credentials = row.authentication.iter().flat_map(|it| &it.credentials);
    let credentials: Vec<_> = credentials
        .map(|&kind| name(kind, "CREDENTIAL_KIND_", CredentialKind::as_str_name))
        .collect();
    let previous = row.previous_basis.as_ref();
    let mut fields = vec![
        ("request_id", row.request_id.clone()),
        ("region", row.region.clone()),
        ("image_id", row.image_id.clone()),
        ("shared_account_id", row.shared_account_id.clone()),
        ("action", action(row.action)),
        ("cause", cause(row.cause)),
        ("principal", row.principal.clone()),
        ("generation", row.generation.to_string()),
        ("previous", name(row.previous, "ACCESS_", Access::as_str_name)),
        ("expire_time", rfc3339(row.expire_time.as_ref())),
        (
            "previous_basis_change_id",
            previous.map_or_else(String::new, |basis| basis.change_id.clone()),
        ),
        ("previous_basis_expire_time", rfc3339(ends::end_of(previous).as_ref())),
        ("state", change_state(row.state)),
        (
            "error_reason",
            name(row.error_reason, "ERROR_REASON_", ErrorReason::as_str_name),
        ),
        ("error_code", row.error_code.clone()),
        ("error_message", row.error_message.clone()),
        ("trace_id", row.trace_id.clone()),
        (CREDENTIALS, credentials.join(" ")),
        (CLAIMS, claims(row.authentication.as_ref())),
        (DECISION, row.decision.as_ref().map_or_else(String::new, decision)),
        ("create_time", rfc3339(row.create_time.as_ref())),
        ("end_time", rfc3339(row.end_time.as_ref())),
        ("attempts", attempts.join("; ")),
    ];
    fields.extend(justification::texts(row).map(|(name, text)| (name, text.to_owned())));
    Some(Row {
        name: RowName::Change(row.account_id.parse().ok()?, row.change_id.parse().ok()?),
        fields,
    })
}

fn decision(row: &Decision) -> String {
    let ids = row.policies.join(" ");
    decision_text([&ids, &row.policy_set, &rfc3339(row.decide_time.as_ref())])
}

fn attempt(row: &Attempt) -> String {
    let started_at = rfc3339(row.start_time.as_ref());
    let classification = name(row.classification, "CLASSIFICATION_", Classification::as_str_name);
    let duration = row
        .duration
        .and_then(|duration| std::time::Duration::try_from(duration).ok());
    let texts = [
        &*row.operation,
        &started_at,
        &classification,
        &row.aws_request_id,
        &row.error_code,
    ];
    attempt_text(texts, duration.unwrap_or_default().as_micros())
}

fn key(account: &str, region: &str, image: &str, shared_account: &str) -> Option<PermissionKey> {
    Some(PermissionKey {
        account: account.parse().ok()?,
        region: region.parse().ok()?,
        image: image.parse().ok()?,
        shared_account: shared_account.parse().ok()?,
    })
}
