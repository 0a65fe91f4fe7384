//! Exports of ledgers.

use sharewarden::{
    domain::AccountId,
    ledger::{
        Hash,
        export::{ExportWriter, Header},
        verify::Verifier,
    },
    proto::v1::ExportAuditEntriesRequest,
};
use sharewarden_testkit::stack::*;
use tonic::Code;

use crate::audit::*;

fn whole_ledger() -> ExportAuditEntriesRequest {
    ExportAuditEntriesRequest {
        account_id: ACCOUNT.into(),
        ..Default::default()
    }
}

fn hashes(bytes: &[Vec<u8>]) -> Vec<Hash> {
    bytes.iter().map(|hash| hash.as_slice().try_into().unwrap()).collect()
}

/// The export as a file.
fn file(exported: &Exported) -> String {
    let header = &exported.header;
    let account: AccountId = ACCOUNT.parse().unwrap();
    let header = Header {
        account,
        start_index: header.start_index,
        end_index: header.end_index,
        checkpoint: header.checkpoint.as_ref().unwrap().note.clone(),
        left_hashes: hashes(&header.left_hashes),
        consistency_proof: hashes(&header.consistency_proof),
    };
    let mut text = String::new();
    let mut writer = ExportWriter::begin(&header, &mut text).unwrap();
    for (line, hash) in exported.lines.iter().zip(&exported.hashes) {
        writer.entry(line, hash, &mut text).unwrap();
    }
    text
}

#[tokio::test]
async fn an_export_is_the_rows_byte_for_byte_and_verifies() {
    let stack = Stack::start().await;
    stack.grant_many(0, 140).await;
    let checkpoint = stack.checkpoint_of(ACCOUNT, 280).await;
    let exported = export(stack.audit().await, whole_ledger()).await.unwrap();
    assert_eq!(exported.lines, stack.lines(ACCOUNT).await);
    assert_eq!(exported.header.checkpoint.as_ref(), Some(&checkpoint));
    assert_verifies(&exported);

    for (start, end) in [(0, 1), (100, 200), (255, 257), (256, 257), (279, 280)] {
        let part = ExportAuditEntriesRequest {
            start_index: start,
            end_index: end,
            ..whole_ledger()
        };
        let exported = export(stack.audit().await, part).await.unwrap();
        assert_eq!(exported.lines, stack.lines(ACCOUNT).await[start as usize..end as usize]);
        assert_verifies(&exported);
    }
    stack.end().await;
}

fn assert_verifies(exported: &Exported) {
    let mut verifier = Verifier::new(vec![signing_key().verifier_key()], None);
    for line in file(exported).split_inclusive('\n') {
        verifier.line(line.as_bytes()).unwrap();
    }
    let verified = verifier.finish().unwrap();
    let header = &exported.header;
    assert_eq!(
        (verified.start_index, verified.end_index),
        (header.start_index, header.end_index)
    );
}

#[tokio::test]
async fn entries_without_a_checkpoint_are_not_exported() {
    let mut stack = Stack::start().await;
    let status = export(stack.audit().await, whole_ledger()).await.err().unwrap();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::NotFound, "CHECKPOINT_NOT_FOUND")
    );
    stack.grant_many(0, 1).await;
    forget_checkpoints(&mut stack).await;
    let status = export(stack.audit().await, whole_ledger()).await.err().unwrap();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::FailedPrecondition, "NOT_YET_COVERED")
    );
    stack.end().await;
}
