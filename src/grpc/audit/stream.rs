//! The handlers of watches and exports. A stream reads more only when the client is ready, and has reserved the memory for it. A
//! slow client delays no other call and needs the memory of one page.

use std::{pin::Pin, sync::Arc};

use futures_util::stream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use crate::{
    audit::{Export, ExportRange, ExportedEntry, VerifiedCheckpoint, Watch, WatchEvent, WatchFrom},
    clock::Clock,
    domain::{AccountId, Timestamp},
    edge::answers::CallMemory,
    grpc::{
        caller::{Caller, with_timeout},
        fields::FieldReader,
        present::timestamp,
        refusal::Refusal,
        status,
    },
    ledger::export::Header,
    proto::v1::{
        self, export_audit_entries_response::Part, watch_audit_entries_request::Start,
        watch_audit_entries_response::Event,
    },
    store::LedgerSizes,
};

use super::{
    AuditApi, present,
    proofs::{given, in_range, present_checkpoint, present_hashes},
};

/// Maximum accounts in a request.
const MAX_ACCOUNTS: usize = 1000;

/// Maximum violations of positions in a response.
const MAX_VIOLATIONS: usize = 8;

/// Memory for the next page of a stream, in bytes: its texts, and about as much again as a message.
const PAGE_BYTES: usize = 512 * 1024;

/// The response stream of `WatchAuditEntries`.
pub(super) type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchAuditEntriesResponse, Status>> + Send>>;
/// The response stream of `ExportAuditEntries`.
pub(super) type ExportStream = Pin<Box<dyn Stream<Item = Result<v1::ExportAuditEntriesResponse, Status>> + Send>>;

pub(super) async fn watch(
    api: &AuditApi,
    request: Request<v1::WatchAuditEntriesRequest>,
) -> Result<Response<WatchStream>, Status> {
    let Caller {
        timeout, until, memory, ..
    } = api.caller(&request)?;
    let from = parse_watch(request.get_ref())?;
    let watch = with_timeout(timeout, api.audit.watch(from), status::store_unavailable).await?;
    let events = stream::try_unfold(
        (watch, memory),
        async |(mut watch, memory): (Watch, Arc<CallMemory>)| {
            watch.something_to_send().await.map_err(status_of)?;
            let event = memory.read(PAGE_BYTES, watch.next()).await.map_err(status_of)?;
            Ok(Some((present_event(event), (watch, memory))))
        },
    );
    Ok(Response::new(until_expiry(events, until, &api.audit.clock)))
}

/// Ends the stream with UNAUTHENTICATED when the credentials of the caller expire.
fn until_expiry<T: Send + 'static>(
    stream: impl Stream<Item = Result<T, Status>> + Send + 'static,
    until: Option<Timestamp>,
    clock: &Clock,
) -> Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>> {
    let Some(until) = until else {
        return Box::pin(stream);
    };
    let clock = clock.clone();
    let expired = Box::pin(async move { clock.sleep(until.since(clock.now())).await });
    let initial = Some((Box::pin(stream), expired));
    Box::pin(stream::unfold(initial, async |state| {
        let (mut stream, mut expired) = state?;
        tokio::select! {
            biased;
            () = &mut expired => Some((Err(status::unauthenticated().into_status()), None)),
            item = stream.next() => item.map(|item| (item, Some((stream, expired)))),
        }
    }))
}

fn parse_watch(request: &v1::WatchAuditEntriesRequest) -> Result<WatchFrom, Status> {
    let mut fields = FieldReader::default();
    let accounts: Vec<AccountId> = fields.several("account_ids", &request.account_ids, MAX_ACCOUNTS);
    let mut from = WatchFrom {
        accounts: accounts.into_iter().collect(),
        positions: LedgerSizes::new(),
        from_beginning: false,
    };
    for (index, position) in request.positions.iter().enumerate() {
        // A request may have many positions, and the violations must fit into the metadata of a call.
        if fields.violations() >= MAX_VIOLATIONS {
            break;
        }
        let field = format!("positions[{index}].account_id");
        in_range(
            &mut fields,
            &format!("positions[{index}].next_index"),
            position.next_index,
        );
        let Some(account) = fields.required(&field, &position.account_id) else {
            continue;
        };
        if !from.accounts.is_empty() && !from.accounts.contains(&account) {
            fields.violate(&field, "must be one of account_ids if these are set");
        }
        if from.positions.insert(account, position.next_index).is_some() {
            fields.violate(&field, format!("must name each account once; {account} is repeated"));
        }
    }
    from.from_beginning = match Start::try_from(request.start) {
        Ok(Start::Unspecified | Start::Now) => false,
        Ok(Start::Beginning) => true,
        Err(_) => {
            fields.violate("start", format!("must be a value of Start; got {}", request.start));
            false
        }
    };
    fields.finish(|| Some(from))
}

fn present_event(event: WatchEvent) -> v1::WatchAuditEntriesResponse {
    let event = match event {
        WatchEvent::Started(next) => Event::Started(v1::WatchStarted {
            positions: next
                .into_iter()
                .map(|(account, next_index)| v1::WatchPosition {
                    account_id: account.to_string(),
                    next_index,
                })
                .collect(),
        }),
        WatchEvent::Entries(entries) => Event::Entries(v1::WatchEntries {
            entries: entries.iter().cloned().map(present::entry).collect(),
        }),
        WatchEvent::Heartbeat(time) => Event::Heartbeat(v1::WatchHeartbeat {
            time: Some(timestamp(time)),
        }),
    };
    v1::WatchAuditEntriesResponse { event: Some(event) }
}

pub(super) async fn export(
    api: &AuditApi,
    request: Request<v1::ExportAuditEntriesRequest>,
) -> Result<Response<ExportStream>, Status> {
    let Caller {
        timeout, until, memory, ..
    } = api.caller(&request)?;
    let range = parse_export(request.get_ref())?;
    let (checkpoint, header, export) =
        with_timeout(timeout, api.audit.export(range), status::store_unavailable).await?;
    let header = v1::ExportAuditEntriesResponse {
        part: Some(Part::Header(present_header(&checkpoint, &header))),
    };
    let pages = stream::try_unfold(
        (export, memory),
        async |(mut export, memory): (Export, Arc<CallMemory>)| {
            let page = memory.read(PAGE_BYTES, export.next()).await.map_err(status_of)?;
            Ok(page.map(|entries| (present_lines(entries), (export, memory))))
        },
    );
    let parts = stream::iter([Ok(header)]).chain(pages);
    Ok(Response::new(until_expiry(parts, until, &api.audit.clock)))
}

fn parse_export(request: &v1::ExportAuditEntriesRequest) -> Result<ExportRange, Status> {
    let mut fields = FieldReader::default();
    let account: Option<AccountId> = fields.required("account_id", &request.account_id);
    let (start, end, size) = (request.start_index, request.end_index, request.tree_size);
    for (field, number) in [("start_index", start), ("end_index", end), ("tree_size", size)] {
        in_range(&mut fields, field, number);
    }
    if end > 0 && start > end {
        fields.violate(
            "start_index",
            format!("must not be more than end_index, {end}; got {start}"),
        );
    }
    if size > 0 && start.max(end) > size {
        fields.violate("tree_size", format!("must cover start_index and end_index; got {size}"));
    }
    fields.finish(|| {
        Some(ExportRange {
            account: account?,
            start,
            end: given(end),
            tree_size: given(size),
        })
    })
}

fn present_header(checkpoint: &VerifiedCheckpoint, header: &Header) -> v1::ExportHeader {
    v1::ExportHeader {
        checkpoint: Some(present_checkpoint(checkpoint)),
        start_index: header.start_index,
        end_index: header.end_index,
        left_hashes: present_hashes(&header.left_hashes),
        consistency_proof: present_hashes(&header.consistency_proof),
    }
}

fn present_lines(entries: Vec<ExportedEntry>) -> v1::ExportAuditEntriesResponse {
    let mut lines = v1::ExportLines {
        start_index: entries.first().map_or(0, |entry| entry.log_index),
        ..Default::default()
    };
    for entry in entries {
        lines.leaf_hashes.extend_from_slice(&entry.leaf_hash);
        lines.lines.push(entry.text);
    }
    v1::ExportAuditEntriesResponse {
        part: Some(Part::Lines(lines)),
    }
}

fn status_of(error: crate::audit::Error) -> Status {
    Refusal::from(error).into_status()
}
