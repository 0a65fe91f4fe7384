//! The entries that tell why a share exists: the last grant or revoke that succeeded, its request, and the last answer of AWS.

use pbjson_types::Timestamp;

use super::change_of;
use crate::{
    cli::{
        audit::{canonical::CanonicalEntry, proof},
        connection::{AuditStub, Client},
        failure::Stop,
        share::PermissionIds,
    },
    domain::{Decision, EntryKind},
    proto::v1::{
        Action, ArchivedRange, AuditEntry, AuditEntryFilter, AuditEntryOrder, Basis, ChangeBody,
        ListAuditEntriesRequest, ListAuditEntriesResponse, SharePermission,
    },
};

/// The entries of a page. Few entries follow the last change that succeeded.
const PAGE: i32 = 20;

/// An entry whose fields are those of its text, and what only the text is read for.
pub(super) struct Told {
    pub(super) entry: AuditEntry,
    pub(super) change: ChangeBody,
    pub(super) decision: Option<Decision>,
}

/// What the entries of a share tell up to a time.
#[derive(Default)]
pub(super) struct ShareHistory {
    /// The `change.succeeded` entry of the last grant or revoke that had succeeded.
    pub(super) last: Option<Told>,
    /// The `change.requested` entry of that change. None if it is archived.
    pub(super) requested: Option<Told>,
    /// The newest entry with a call to AWS, if it is a later one.
    pub(super) last_call: Option<Told>,
    /// The entries that were not read because they are archived.
    pub(super) archived: Vec<ArchivedRange>,
}

impl ShareHistory {
    /// Reads the entries before `until`, from the newest to the last change that succeeded.
    pub(super) async fn read(client: &Client, share: &PermissionIds, until: Option<Timestamp>) -> Result<Self, Stop> {
        let mut history = Self::default();
        let mut request = ListAuditEntriesRequest {
            filter: Some(AuditEntryFilter {
                account_ids: vec![share.account.clone()],
                regions: vec![share.region.clone()],
                image_id: share.image.clone(),
                shared_account_id: share.with.clone(),
                end_time: until,
                ..AuditEntryFilter::default()
            }),
            order: AuditEntryOrder::NewestFirst.into(),
            page_size: PAGE,
            ..ListAuditEntriesRequest::default()
        };
        while history.last.is_none() {
            let page = list(client, request.clone()).await?;
            history.take(page.entries)?;
            history.archived.extend(page.archived);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        if let Some(last) = &history.last {
            history.requested = requested(client, share, &last.change.change_id).await?;
        }
        Ok(history)
    }

    /// Takes the entries of a page, up to the last change that succeeded.
    fn take(&mut self, entries: Vec<AuditEntry>) -> Result<(), Stop> {
        for entry in entries {
            let Some(told) = Told::of(entry)? else { continue };
            if told.kind() == Some(EntryKind::ChangeSucceeded) {
                self.last = Some(told);
                break;
            }
            if self.last_call.is_none() && !told.change.attempts.is_empty() {
                self.last_call = Some(told);
            }
        }
        Ok(())
    }

    /// The entries, each once.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&'static str, &AuditEntry)> {
        let shown = [
            ("requested", &self.requested),
            ("succeeded", &self.last),
            ("lastCall", &self.last_call),
        ];
        shown
            .into_iter()
            .filter_map(|(role, told)| Some((role, &told.as_ref()?.entry)))
    }

    /// The grant on which the share stands, if the last change that succeeded is a grant.
    pub(super) fn basis(&self) -> Option<Basis> {
        let last = self.last.as_ref().filter(|last| last.is_grant())?;
        Some(Basis {
            change_id: last.change.change_id.clone(),
            expire_time: last.change.expire_time,
        })
    }

    /// True if the permission names the same grant with the same end. An older build recorded none, for a grant without an end. A
    /// permission that AWS was read not to hold names none.
    pub(super) fn is_as(&self, permission: &SharePermission) -> bool {
        match (permission.bases.first(), self.basis()) {
            (Some(named), Some(told)) => *named == told,
            (Some(_), None) => false,
            (None, Some(told)) => {
                told.expire_time.is_none() || permission.applied() == crate::proto::v1::Access::NotShared
            }
            (None, None) => true,
        }
    }
}

impl Told {
    /// The entry of a change. Fails if its fields are not those of its text.
    fn of(entry: AuditEntry) -> Result<Option<Self>, Stop> {
        proof::verified_hash(&entry)?;
        let body = CanonicalEntry::parse(&entry.canonical)?.body;
        let change = change_of(&entry).map(|change| ChangeBody {
            // A service could leave it out.
            expire_time: body.time("expire_time"),
            ..change.clone()
        });
        Ok(change.map(|change| Self {
            decision: body.decision(),
            change,
            entry,
        }))
    }

    fn kind(&self) -> Option<EntryKind> {
        EntryKind::parse(&self.entry.kind)
    }

    pub(super) fn is_grant(&self) -> bool {
        self.change.action() == Action::Grant
    }
}

/// The `change.requested` entry of a change.
async fn requested(client: &Client, share: &PermissionIds, change_id: &str) -> Result<Option<Told>, Stop> {
    let request = ListAuditEntriesRequest {
        filter: Some(AuditEntryFilter {
            account_ids: vec![share.account.clone()],
            change_id: change_id.to_owned(),
            kinds: vec![EntryKind::ChangeRequested.name().to_owned()],
            ..AuditEntryFilter::default()
        }),
        order: AuditEntryOrder::OldestFirst.into(),
        page_size: 1,
        ..ListAuditEntriesRequest::default()
    };
    let page = list(client, request).await?;
    match page.entries.into_iter().next() {
        Some(entry) => Told::of(entry),
        None => Ok(None),
    }
}

async fn list(client: &Client, request: ListAuditEntriesRequest) -> Result<ListAuditEntriesResponse, Stop> {
    let ask = async |mut stub: AuditStub, request| stub.list_audit_entries(request).await;
    Ok(client.call(client.deadline(), request, ask).await?)
}
