//! Refused archives. A refused archive removes no entries from the table. It may leave files, which the next run
//! overwrites.

use sharewarden::{archive, server::ServerError};
use sharewarden_testkit::stack::{ACCOUNT, Stack};

use crate::history::{archive, months_ago, plan, service};

async fn partitions(stack: &Stack) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM pg_inherits WHERE inhparent = 'audit_entry'::regclass")
        .fetch_one(&stack.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_month_with_a_changed_or_removed_entry_is_not_archived() {
    let (stack, folder) = (service().await, tempfile::tempdir().unwrap());
    let before = partitions(&stack).await;
    for (statement, expected) in [
        (
            // This build does not know the kind of entry 7; the body of such an entry has a list.
            "UPDATE audit_entry SET entry = replace(entry, '[1,2]', '[1,3]') WHERE account_id = '111122223333' AND log_index = 7",
            "entry 7:",
        ),
        (
            "DELETE FROM audit_entry WHERE account_id = '111122223333' AND log_index = 5",
            "some are missing",
        ),
    ] {
        stack.tamper(statement).await;
        let error = archive(&stack, &plan(months_ago(2), folder.path())).await.unwrap_err();
        let text = texts(&error);
        assert!(text.contains(ACCOUNT), "{text}");
        assert!(text.contains(expected), "{text}");
        assert_eq!(partitions(&stack).await, before);
        let recorded: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_archive")
            .fetch_one(&stack.pool)
            .await
            .unwrap();
        assert_eq!(recorded, 0);
    }
    stack.end().await;
}

/// The index after the account's last archived entry, or 0.
async fn archived_to(stack: &Stack) -> i64 {
    sqlx::query_scalar("SELECT coalesce(max(end_index), 0) FROM audit_archive WHERE account_id = $1")
        .bind(ACCOUNT)
        .fetch_one(&stack.pool)
        .await
        .unwrap()
}

/// Checks that an archive is refused while an entry is missing, and restores the entry.
async fn assert_refused_without(stack: &Stack, plan: &archive::ArchivePlan, log_index: i64) {
    let entry = format!("FROM audit_entry WHERE account_id = '{ACCOUNT}' AND log_index = {log_index}");
    stack.tamper(&format!("CREATE TABLE taken AS SELECT * {entry}")).await;
    stack.tamper(&format!("DELETE {entry}")).await;
    let error = archive(stack, plan).await.unwrap_err();
    let text = texts(&error);
    assert!(text.contains(ACCOUNT) && text.contains("some are missing"), "{text}");
    stack.tamper("INSERT INTO audit_entry SELECT * FROM taken").await;
    sqlx::query("DROP TABLE taken").execute(&stack.pool).await.unwrap();
}

#[tokio::test]
async fn an_entry_removed_at_a_month_boundary_is_detected_from_both_sides() {
    let (stack, folder) = (service().await, tempfile::tempdir().unwrap());
    // The account's first entry of the second month of its history.
    let edge: i64 = sqlx::query_scalar(
        "SELECT min(log_index) FROM audit_entry, (
             SELECT date_trunc('month', min(recorded_at) AT TIME ZONE 'UTC') + interval '1 month' AS start
             FROM audit_entry WHERE account_id = $1
         ) AS second WHERE account_id = $1 AND recorded_at AT TIME ZONE 'UTC' >= second.start",
    )
    .bind(ACCOUNT)
    .fetch_one(&stack.pool)
    .await
    .unwrap();
    let all = plan(months_ago(2), folder.path());
    for missing in [0, edge - 1, edge] {
        assert_refused_without(&stack, &all, missing).await;
        assert_eq!(archived_to(&stack).await, 0, "without {missing}");
    }
    // Archives month by month until the edge is between a file and the table.
    for ago in (3..=13).rev() {
        if archived_to(&stack).await == 0 {
            archive(&stack, &plan(months_ago(ago), folder.path())).await.unwrap();
        }
    }
    assert_eq!(archived_to(&stack).await, edge);
    assert_refused_without(&stack, &all, edge).await;
    assert_eq!(archived_to(&stack).await, edge);
    stack.end().await;
}

#[tokio::test]
async fn a_month_that_is_not_over_is_refused() {
    let (stack, folder) = (Stack::start().await, tempfile::tempdir().unwrap());
    let next = (archive::Month::of(sharewarden::clock::Clock::system().now())
        .start()
        .to_offset_date_time()
        + time::Duration::days(31))
    .to_string();
    let next: archive::Month = next[..7].parse().unwrap();
    let error = archive(&stack, &plan(next, folder.path())).await.unwrap_err();
    assert!(
        matches!(&error, ServerError::Archive(archive::Error::NotOver { .. })),
        "{error:?}"
    );
    stack.end().await;
}

#[tokio::test]
async fn an_unwritable_folder_leaves_all_entries_in_the_table() {
    let (stack, folder) = (service().await, tempfile::tempdir().unwrap());
    let before = partitions(&stack).await;
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let error = archive(&stack, &plan(months_ago(2), &file)).await.unwrap_err();
    assert!(texts(&error).contains("a-file"), "{}", texts(&error));
    assert_eq!(partitions(&stack).await, before);
    stack.end().await;
}

#[tokio::test]
async fn a_file_with_other_content_is_not_overwritten_and_one_from_an_interrupted_run_is() {
    let (stack, folder) = (service().await, tempfile::tempdir().unwrap());
    let before = partitions(&stack).await;
    let names: Vec<_> = (10..14)
        .map(|ago| folder.path().join(months_ago(ago).to_string()))
        .map(|month| month.join(format!("{ACCOUNT}.jsonl.gz")))
        .collect();
    for name in &names {
        std::fs::create_dir_all(name.parent().unwrap()).unwrap();
        std::fs::write(name, "the only copy").unwrap();
    }
    let error = archive(&stack, &plan(months_ago(9), folder.path())).await.unwrap_err();
    assert!(texts(&error).contains(ACCOUNT), "{}", texts(&error));
    assert_eq!(partitions(&stack).await, before);
    for name in &names {
        assert_eq!(std::fs::read(name).unwrap(), b"the only copy");
        std::fs::remove_file(name).unwrap();
    }
    // The refused run has left files of accounts with smaller ids. This run overwrites them.
    let files = archive(&stack, &plan(months_ago(9), folder.path())).await.unwrap();
    assert!(files.iter().any(|file| names.contains(file)), "{files:?}");
    stack.end().await;
}

/// The error and its causes.
fn texts(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
