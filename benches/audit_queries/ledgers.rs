//! Export and verification of a whole ledger, and appending entries.

use std::{
    fs::File,
    time::{Duration, Instant},
};

use sharewarden::ledger::{Hash, export::Header, verify::LedgerVerifier};
use sharewarden_client::proto::v1::{self, export_audit_entries_response::Part};
use sharewarden_testkit::load;

use crate::{
    measure::Latencies,
    stack::{EMPTY_ACCOUNT, Stack, as_bench},
};

/// Exports the longest ledger into memory, and verifies it on this thread.
pub(crate) async fn export_and_verify(stack: &Stack) {
    let mut client = stack.audit().await;
    let request = v1::ExportAuditEntriesRequest {
        account_id: load::account(0).to_string(),
        ..Default::default()
    };
    let begun = Instant::now();
    let mut stream = client
        .export_audit_entries(as_bench(request))
        .await
        .unwrap()
        .into_inner();
    let mut header = None;
    let mut lines: Vec<(String, Hash)> = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        match message.part.unwrap() {
            Part::Header(sent) => header = Some(header_of(sent)),
            Part::Lines(sent) => {
                let (hashes, _) = sent.leaf_hashes.as_chunks::<32>();
                lines.extend(sent.lines.into_iter().zip(hashes.iter().copied()));
            }
        }
    }
    let bytes: usize = lines.iter().map(|(line, _)| line.len()).sum();
    report("export", lines.len(), begun.elapsed());

    let header = header.expect("an export begins with a header");
    let verifier = || LedgerVerifier::new(&header, &[stack.key.verifier_key()], None).unwrap();
    let (mut alone, mut together) = (verifier(), verifier());
    let begun = Instant::now();
    for (line, hash) in &lines {
        alone.entry(line.as_bytes(), hash).unwrap();
    }
    alone.finish().unwrap();
    report("verify, one core", lines.len(), begun.elapsed());
    let begun = Instant::now();
    for page in lines.chunks(1024) {
        together.entries(page).unwrap();
    }
    together.finish().unwrap();
    report("verify, all cores", lines.len(), begun.elapsed());
    println!("  (entries of {} bytes on average)", bytes / lines.len());
}

/// Exports and verifies each time that it gets the lock on the file.
pub(crate) async fn take_turns(stack: &Stack, file: &File, rounds: usize) {
    for _ in 0..rounds {
        file.lock().unwrap();
        export_and_verify(stack).await;
        file.unlock().unwrap();
        // The other process waits for the lock and gets it now.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn header_of(sent: v1::ExportHeader) -> Header {
    let hashes = |hashes: Vec<_>| -> Vec<Hash> {
        hashes
            .into_iter()
            .map(|hash| AsRef::<[u8]>::as_ref(&hash).try_into().unwrap())
            .collect()
    };
    let checkpoint = sent.checkpoint.unwrap();
    Header {
        account: checkpoint.account_id.parse().unwrap(),
        start_index: sent.start_index,
        end_index: sent.end_index,
        checkpoint: checkpoint.note,
        left_hashes: hashes(sent.left_hashes),
        consistency_proof: hashes(sent.consistency_proof),
    }
}

fn report(what: &str, entries: usize, took: Duration) {
    let rate = entries as f64 / took.as_secs_f64();
    println!("{what}: {entries} entries in {took:.2?}, {rate:.0} entries/s");
}

/// Appends `change.denied` entries to the longest ledger and to an empty one, in turns. A denied grant makes no call to
/// AWS, so this is one gRPC call and one commit.
pub(crate) async fn append(stack: &Stack, rounds: usize) {
    let mut client = stack.shares().await;
    let (mut long, mut empty) = (Latencies::default(), Latencies::default());
    for round in 0..rounds {
        for (account, latencies) in [(load::account(0).as_str(), &mut long), (EMPTY_ACCOUNT, &mut empty)] {
            let request = v1::GrantSharePermissionRequest {
                account_id: account.into(),
                region: "eu-central-1".into(),
                image_id: "wsi-000000000".into(),
                shared_account_id: format!("{:012}", 700_000_000_000 + round),
                reason: "a bench".into(),
                ..Default::default()
            };
            let refused = latencies
                .measure(client.grant_share_permission(as_bench(request)))
                .await;
            assert_eq!(refused.unwrap_err().code(), tonic::Code::PermissionDenied);
        }
    }
    for (name, latencies) in [("the longest ledger", &long), ("an empty ledger", &empty)] {
        let (p50, p99) = (latencies.quantile(0.5), latencies.quantile(0.99));
        println!("append one entry to {name}: p50 {p50:.2?}, p99 {p99:.2?}");
    }
}
