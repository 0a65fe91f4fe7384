//! A service with a history of one year, and helpers for its months.

use std::path::{Path, PathBuf};

use sharewarden::{
    archive::{ArchivePlan, Event, Month},
    clock::Clock,
    config::Config,
    ledger::{SigningKey, VerifierKey, verify::VerifiedRange, verify::Verifier},
    server,
    store::archive::Detached,
};
use sharewarden_client::proto::v1::audit_service_client::AuditServiceClient;
use sharewarden_testkit::{
    load,
    stack::{Stack, config, signing_key},
};
use tonic::transport::Channel;

/// The longest ledger gets full tiles, and others have only a few entries.
const ENTRIES: u64 = 8000;

/// A service with a year of entries in its ledgers and a checkpoint for each. This build does not know the kinds of half of the
/// entries.
pub(crate) async fn service() -> Stack {
    let stack = Stack::start().await;
    load::load(&stack.pool, ENTRIES, Clock::system().now(), load::Kinds::AndUnknown).await;
    load::sign(&stack.pool, &signing_key()).await;
    for (account, size) in sizes(&stack).await {
        stack.checkpoint(&account, size).await;
    }
    stack
}

pub(crate) async fn sizes(stack: &Stack) -> Vec<(String, u64)> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT account_id, size FROM ledger WHERE size > 0 ORDER BY size DESC")
            .fetch_all(&stack.pool)
            .await
            .unwrap();
    rows.into_iter()
        .map(|(account, size)| (account, u64::try_from(size).unwrap()))
        .collect()
}

pub(crate) async fn audit(stack: &Stack) -> AuditServiceClient<Channel> {
    AuditServiceClient::connect(format!("http://{}", stack.address))
        .await
        .unwrap()
}

/// The month that is `months` before the current one.
pub(crate) fn months_ago(months: u32) -> Month {
    let mut month = Month::of(Clock::system().now());
    for _ in 0..months {
        let day_before = month.start().to_offset_date_time() - time::Duration::days(1);
        month = Month::of(sharewarden::domain::Timestamp::new(day_before));
    }
    month
}

/// A plan to archive the months before this one into a folder. Their partitions are detached, and stay as tables.
pub(crate) fn plan(before: Month, to: &Path) -> ArchivePlan {
    ArchivePlan {
        before,
        to: to.into(),
        location: None,
        then: Detached::Kept,
    }
}

/// Archives, and returns the written files.
pub(crate) async fn archive(stack: &Stack, plan: &ArchivePlan) -> Result<Vec<PathBuf>, server::ServerError> {
    let mut files = Vec::new();
    // The steps of the account and month that were begun last, and those that are done.
    let (mut all, mut done) = (0, 0);
    let on_event = |event| match event {
        Event::Begun { steps, .. } => (all, done) = (steps, 0),
        Event::Advanced { done: now } => {
            assert!(done <= now && now <= all, "{done} {now} {all}");
            done = now;
        }
        Event::Written { file, entries } => {
            assert_eq!((done, all), (2 * entries, 2 * entries), "a progress bar ends at 100 %");
            files.push(file);
        }
        Event::Archived { .. } => (),
    };
    server::archive(&configuration(stack), plan, on_event).await?;
    Ok(files)
}

pub(crate) fn configuration(stack: &Stack) -> Config {
    config(stack.database.url(), &stack.simulator.url(), "")
}

pub(crate) fn key(stack: &Stack) -> VerifierKey {
    use secrecy::ExposeSecret;
    let checkpoint = configuration(stack).checkpoint;
    let pem = checkpoint.key.unwrap();
    SigningKey::from_pem(checkpoint.name.parse().unwrap(), pem.expose_secret())
        .unwrap()
        .verifier_key()
}

/// Verifies a file with nothing but the key, as an auditor does.
pub(crate) fn verify(file: &Path, key: VerifierKey) -> VerifiedRange {
    let packed = flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap());
    let text = std::io::read_to_string(packed).unwrap();
    let mut verifier = Verifier::new(vec![key], None);
    for line in text.split_inclusive('\n') {
        verifier.line(line.as_bytes()).unwrap();
    }
    verifier.finish().unwrap()
}
