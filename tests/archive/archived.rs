//! Proofs, queries, exports and new entries after months were archived.

use std::collections::BTreeMap;

use sharewarden::{
    archive::Month,
    domain::{PolicyDigest, example::EXAMPLE_SET},
    ledger::{Hash, check::verify_inclusion},
    proto::v1::{self, export_audit_entries_response::Part},
};
use sharewarden_testkit::stack::{ACCOUNT, Stack, as_tester, config_text, detail, grant, reason};

use crate::history::{archive, audit, key, months_ago, plan, service, sizes, verify};

#[tokio::test]
async fn archived_files_verify_and_continue_into_the_remaining_entries() {
    let (stack, folder) = (service().await, tempfile::tempdir().unwrap());
    let before: BTreeMap<_, _> = sizes(&stack).await.into_iter().collect();
    sqlx::query("INSERT INTO policy_set (digest, text) VALUES ($1, $2)")
        .bind(PolicyDigest::of(EXAMPLE_SET).to_string())
        .bind(EXAMPLE_SET)
        .execute(&stack.pool)
        .await
        .unwrap();
    let files = archive(&stack, &plan(months_ago(2), folder.path())).await.unwrap();
    assert!(
        files.len() > 100,
        "expected ten months of a hundred accounts, got {} files",
        files.len()
    );

    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    for file in &files {
        let verified = verify(file, key(&stack));
        assert_eq!(verified.missing_policy_sets, [[0; 32]; 0]);
        let account = verified.account.to_string();
        let end = next.entry(account).or_default();
        assert_eq!(verified.start_index, *end, "no entry is missing between two files");
        *end = verified.end_index;
        let note = file.with_extension("").with_extension("checkpoint");
        assert!(std::fs::read_to_string(note).unwrap().starts_with("sharewarden.test/"));
    }
    let remaining: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_entry")
        .fetch_one(&stack.pool)
        .await
        .unwrap();
    assert_eq!(
        u64::try_from(remaining).unwrap() + next.values().sum::<u64>(),
        before.values().sum::<u64>()
    );

    // An export of the remaining entries belongs to the same tree.
    for (account, end) in next {
        let mut client = audit(&stack).await;
        let request = v1::ExportAuditEntriesRequest {
            account_id: account.clone(),
            start_index: end,
            ..Default::default()
        };
        let mut stream = client
            .export_audit_entries(as_tester(request))
            .await
            .unwrap()
            .into_inner();
        let mut count = 0;
        while let Some(message) = stream.message().await.unwrap() {
            if let Some(Part::Lines(lines)) = message.part {
                count += lines.lines.len() as u64;
            }
        }
        assert_eq!(end + count, before[&account], "{account}");
    }
    stack.end().await;
}

#[tokio::test]
async fn the_command_prints_each_file_and_each_month_as_a_json_line() {
    let (stack, folder) = (service().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("sharewarden.toml");
    let text = config_text(stack.database.url(), &stack.simulator.url(), "log.filter = \"error\"\n");
    std::fs::write(&file, text).unwrap();
    let to = folder.path().join("archive");
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_sharewarden"));
    program.args([
        "audit",
        "archive",
        "-o",
        "json",
        "--before",
        &months_ago(10).to_string(),
        "--config",
    ]);
    program.arg(&file).arg("--to").arg(&to).kill_on_drop(true);
    let output = program.output().await.unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let printed = String::from_utf8(output.stdout).unwrap();
    let (mut files, mut months, mut ends) = (0, 0, 0);
    for line in printed.lines() {
        let result: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(written) = result.get("fileWritten") {
            files += written["entries"].as_str().unwrap().parse::<u64>().unwrap();
            assert!(std::fs::exists(written["file"].as_str().unwrap()).unwrap(), "{line}");
        } else if let Some(archived) = result.get("monthArchived") {
            months += archived["entries"].as_str().unwrap().parse::<u64>().unwrap();
            assert!(archived["month"].as_str().unwrap().parse::<Month>().is_ok(), "{line}");
        } else {
            ends += result["monthsArchived"].as_u64().unwrap();
        }
    }
    assert!(files > 0 && files == months && ends > 0, "{printed}");
    stack.end().await;
}

#[tokio::test]
async fn proofs_of_archived_entries_still_verify_and_queries_name_the_file() {
    let (stack, folder) = (service().await, tempfile::tempdir().unwrap());
    archive(&stack, &plan(months_ago(1), folder.path())).await.unwrap();
    let mut client = audit(&stack).await;

    for log_index in [0, 1, 255, 256, 300] {
        let request = v1::GetInclusionProofRequest {
            account_id: ACCOUNT.into(),
            log_index,
            tree_size: 0,
        };
        let proof = client
            .get_inclusion_proof(as_tester(request))
            .await
            .unwrap()
            .into_inner();
        let hash = |bytes: &[u8]| -> Hash { bytes.try_into().unwrap() };
        let path: Vec<_> = proof.hashes.iter().map(|bytes| hash(bytes)).collect();
        let (leaf, root) = (hash(&proof.leaf_hash), hash(&proof.root_hash));
        assert!(verify_inclusion(&leaf, log_index, proof.tree_size, &path, &root));
        assert_eq!(proof.checkpoint.unwrap().root_hash, proof.root_hash);
    }

    let request = v1::GetAuditEntryRequest {
        account_id: ACCOUNT.into(),
        log_index: 0,
    };
    let refused = client.get_audit_entry(as_tester(request)).await.unwrap_err();
    assert_eq!(reason(&refused), "ENTRY_ARCHIVED");
    let file = detail(&refused, "location");
    assert!(
        file.starts_with(folder.path().to_str().unwrap()) && std::path::Path::new(&file).exists(),
        "{file}"
    );

    let request = v1::ListAuditEntriesRequest {
        filter: Some(v1::AuditEntryFilter {
            account_ids: vec![ACCOUNT.into()],
            ..Default::default()
        }),
        page_size: 1000,
        ..Default::default()
    };
    let page = client
        .list_audit_entries(as_tester(request))
        .await
        .unwrap()
        .into_inner();
    let first_remaining = page.entries.last().unwrap().log_index;
    assert_eq!(
        page.archived[0].end_index, first_remaining,
        "the latest archived range ends at the first entry of the table"
    );
    assert_eq!(page.archived.last().unwrap().start_index, 0);
    stack.end().await;
}

#[tokio::test]
async fn a_ledger_grows_past_a_tile_whose_entries_were_archived() {
    let (stack, folder) = (service().await, tempfile::tempdir().unwrap());
    archive(&stack, &plan(months_ago(1), folder.path())).await.unwrap();
    let (_, size) = sizes(&stack)
        .await
        .into_iter()
        .find(|(account, _)| account == ACCOUNT)
        .unwrap();
    // Each grant has two entries. These grants fill the tile, and begin the next one.
    let needed = (256 - size % 256) / 2 + 2;
    let mut client = stack.client().await;
    for number in 0..needed {
        let request = v1::GrantSharePermissionRequest {
            shared_account_id: format!("{:012}", 800_000_000_000 + number),
            ..grant()
        };
        client.grant_share_permission(as_tester(request)).await.unwrap();
    }
    // The signer signs only a ledger that is consistent with its last checkpoint.
    let covered = stack.checkpoint(ACCOUNT, size + 2 * needed).await.checkpoint.unwrap();
    let request = v1::GetConsistencyProofRequest {
        account_id: ACCOUNT.into(),
        first_tree_size: size,
        second_tree_size: covered.tree_size,
    };
    let proof = audit(&stack)
        .await
        .get_consistency_proof(as_tester(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(proof.second_root_hash, covered.root_hash);

    // A later archive continues where the first one ended.
    let archived_before: i64 = archived_end(&stack).await;
    let again = archive(&stack, &plan(months_ago(0), folder.path())).await.unwrap();
    let file = again.iter().find(|file| file.ends_with(format!("{ACCOUNT}.jsonl.gz")));
    let joined = verify(file.expect("the account has entries in the last month"), key(&stack));
    assert_eq!(joined.start_index, u64::try_from(archived_before).unwrap());
    assert_eq!(joined.end_index, u64::try_from(archived_end(&stack).await).unwrap());
    stack.end().await;
}

#[tokio::test]
async fn rankings_include_archived_entries() {
    let (stack, folder) = (service().await, tempfile::tempdir().unwrap());
    let mut client = stack.client().await;
    for number in 0..40 {
        let request = v1::GrantSharePermissionRequest {
            shared_account_id: format!("{:012}", 800_000_000_000_u64 + number),
            ..grant()
        };
        client.grant_share_permission(as_tester(request)).await.unwrap();
    }
    // The counting worker has counted nothing for a year.
    let reset_counts = "SELECT FROM worker_lease WHERE worker = 'counting' FOR UPDATE;
        TRUNCATE audit_rollup, audit_ranking, audit_ranking_total, audit_summary_progress";
    sqlx::raw_sql(reset_counts).execute(&stack.pool).await.unwrap();
    let before = ranking(&stack).await;
    assert!(
        before.len() > 50
            && before
                .iter()
                .any(|ranked| ranked.value == "tester@example.com" && ranked.count == 40)
    );
    archive(&stack, &plan(months_ago(0), folder.path())).await.unwrap();
    assert_eq!(ranking(&stack).await, before);
    stack.end().await;
}

/// The principals with the most requests in two years.
async fn ranking(stack: &Stack) -> Vec<v1::SummaryRank> {
    let midnight = |month: Month| {
        Some(pbjson_types::Timestamp {
            seconds: month.start().to_offset_date_time().unix_timestamp(),
            nanos: 0,
        })
    };
    let request = v1::SummarizeAuditEntriesRequest {
        start_time: midnight(months_ago(24)),
        end_time: midnight(months_ago(0)).map(|time| pbjson_types::Timestamp {
            seconds: time.seconds + 40 * 24 * 3600,
            ..time
        }),
        rankings: vec![v1::SummaryRanking::Principal.into()],
        top: 100,
        ..Default::default()
    };
    let mut client = audit(stack).await;
    let summary = client.summarize_audit_entries(as_tester(request)).await.unwrap();
    summary.into_inner().rankings.remove(0).ranks
}

/// The index after the account's last archived entry.
async fn archived_end(stack: &Stack) -> i64 {
    sqlx::query_scalar("SELECT max(end_index) FROM audit_archive WHERE account_id = $1")
        .bind(ACCOUNT)
        .fetch_one(&stack.pool)
        .await
        .unwrap()
}
