//! Auditors that read pages, summaries, past shares and proofs, follow a ledger for a while, or export it.

use std::time::Duration;

use sharewarden_client::proto::v1::{
    AuditEntryFilter, ExportAuditEntriesRequest, GetCheckpointRequest, GetConsistencyProofRequest,
    GetInclusionProofRequest, GetSharePermissionsAtRequest, ListAuditEntriesRequest, ListPermissionHistoryRequest,
    SummarizeAuditEntriesRequest, SummaryInterval, WatchAuditEntriesRequest,
};
use tonic::Code;

use super::{Caller, Clients, asked};
use crate::surroundings::{ACCOUNT, IMAGE, REGION, STRICT_ACCOUNT};

/// The maximum number of entries in an export.
const COPIED: u64 = 3000;
/// One hour, in seconds.
const HOUR: i64 = 60 * 60;
/// The maximum number of pages of one query.
const PAGES: u32 = 5;

pub(super) async fn ask(mut caller: Caller) {
    loop {
        let (mut clients, calls) = caller.connect().await;
        for _ in 0..calls {
            match caller.rng.u32(..6) {
                0 => history(&mut caller, &mut clients).await,
                1 => past(&mut caller, &mut clients).await,
                2 => summary(&mut caller, &mut clients).await,
                3 => prove(&mut caller, &mut clients).await,
                _ => entries(&mut caller, &mut clients).await,
            }
            caller.pause(200).await;
        }
    }
}

async fn entries(caller: &mut Caller, clients: &mut Clients) {
    let mut request = ListAuditEntriesRequest {
        filter: Some(AuditEntryFilter {
            account_ids: caller
                .one_of(&[&[][..], &[ACCOUNT], &[STRICT_ACCOUNT]])
                .iter()
                .map(|id| (*id).into())
                .collect(),
            image_id: caller.one_of(&["", IMAGE]).into(),
            ..Default::default()
        }),
        page_size: 100,
        ..Default::default()
    };
    for _ in 0..PAGES {
        let answer = clients.audit.list_audit_entries(asked(request.clone())).await;
        match caller.note("entries", answer) {
            Some(page) if !page.next_page_token.is_empty() => request.page_token = page.next_page_token,
            _ => return,
        }
    }
}

async fn history(caller: &mut Caller, clients: &mut Clients) {
    let request = ListPermissionHistoryRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: "200000000001".into(),
        page_size: 50,
        ..Default::default()
    };
    let answer = clients.audit.list_permission_history(asked(request)).await;
    caller.note("history", answer);
}

async fn past(caller: &mut Caller, clients: &mut Clients) {
    let now = caller.clock.now().to_offset_date_time().unix_timestamp();
    let before = caller.rng.i64(1..600);
    let request = GetSharePermissionsAtRequest {
        time: Some(pbjson_types::Timestamp {
            seconds: now - before,
            nanos: 0,
        }),
        account_id: ACCOUNT.into(),
        ..Default::default()
    };
    let answer = clients.audit.get_share_permissions_at(asked(request)).await;
    caller.note("past", answer);
}

async fn summary(caller: &mut Caller, clients: &mut Clients) {
    let now = caller.clock.now().to_offset_date_time().unix_timestamp();
    let hour = |hours: i64| {
        let seconds = (now / HOUR + hours) * HOUR;
        Some(pbjson_types::Timestamp { seconds, nanos: 0 })
    };
    let request = SummarizeAuditEntriesRequest {
        start_time: hour(-24),
        end_time: hour(1),
        interval: SummaryInterval::Hour.into(),
        ..Default::default()
    };
    let answer = clients.audit.summarize_audit_entries(asked(request)).await;
    caller.note("summary", answer);
}

/// The number of entries that the latest checkpoint covers.
async fn size(caller: &mut Caller, clients: &mut Clients) -> u64 {
    let request = GetCheckpointRequest {
        account_id: ACCOUNT.into(),
        tree_size: 0,
    };
    let answer = clients.audit.get_checkpoint(asked(request)).await;
    let checkpoint = caller.note("checkpoint", answer).and_then(|answer| answer.checkpoint);
    checkpoint.map_or(0, |checkpoint| checkpoint.tree_size)
}

async fn prove(caller: &mut Caller, clients: &mut Clients) {
    let size = size(caller, clients).await;
    if size == 0 {
        return;
    }
    let request = GetInclusionProofRequest {
        account_id: ACCOUNT.into(),
        log_index: caller.rng.u64(..size),
        tree_size: size,
    };
    let answer = clients.audit.get_inclusion_proof(asked(request)).await;
    caller.note("inclusion", answer);
    let request = GetConsistencyProofRequest {
        account_id: ACCOUNT.into(),
        first_tree_size: caller.rng.u64(1..=size),
        second_tree_size: size,
    };
    let answer = clients.audit.get_consistency_proof(asked(request)).await;
    caller.note("consistency", answer);
}

/// Follows for some seconds, and then drops the stream. Some callers never read from it.
pub(super) async fn follow(mut caller: Caller) {
    loop {
        let (mut clients, _) = caller.connect().await;
        let answer = clients
            .audit
            .watch_audit_entries(asked(WatchAuditEntriesRequest::default()))
            .await;
        let Some(mut events) = caller.note("watch", answer) else {
            continue;
        };
        let reads = caller.rng.u32(..4) > 0;
        let leaving = Duration::from_millis(caller.rng.u64(..8000));
        let clock = caller.clock.clone();
        let following = async {
            if !reads {
                std::future::pending::<()>().await;
            }
            loop {
                match events.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return caller.counts.add("watch ended", Code::Unknown),
                    Err(status) => return caller.counts.add("watch ended", status.code()),
                }
            }
        };
        tokio::select! {
            () = clock.sleep(leaving) => {}
            () = following => {}
        }
    }
}

/// Exports the latest entries. Most exports are read to the end.
pub(super) async fn export(mut caller: Caller) {
    loop {
        let (mut clients, _) = caller.connect().await;
        let size = size(&mut caller, &mut clients).await;
        if size > 0 {
            let request = ExportAuditEntriesRequest {
                account_id: ACCOUNT.into(),
                start_index: size.saturating_sub(COPIED),
                end_index: size,
                tree_size: size,
            };
            let answer = clients.audit.export_audit_entries(asked(request)).await;
            if let Some(mut parts) = caller.note("export", answer) {
                while caller.rng.u32(..10) > 0 {
                    match parts.message().await {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(status) => {
                            caller.counts.add("export ended", status.code());
                            break;
                        }
                    }
                }
            }
        }
        caller.pause(2000).await;
    }
}
