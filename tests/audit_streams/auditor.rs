//! An auditor with a key and an older checkpoint detects changes that a superuser makes to the database. `audit verify` names the
//! account and the entry, although the server was restarted, and an operator who was deceived had the ledger signed again.

use std::process::Output;

use sharewarden_testkit::stack::*;
use tokio::process::Command;

use crate::audit::*;

/// Two entries for each of three grants.
const ENTRIES: u64 = 6;

/// A service with a ledger, and the key and the checkpoint that the auditor kept.
struct AuditedService {
    stack: Stack,
    folder: tempfile::TempDir,
    key: String,
}

impl AuditedService {
    async fn start() -> Self {
        let stack = Stack::start().await;
        stack.grant_many(0, 3).await;
        let checkpoint = stack.checkpoint_of(ACCOUNT, ENTRIES).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kept"), checkpoint.note).unwrap();
        let answer = stack
            .audit()
            .await
            .get_checkpoint(as_tester(latest(ACCOUNT)))
            .await
            .unwrap();
        let key = answer.into_inner().verifier_keys[0].clone();
        Self { stack, folder, key }
    }

    /// Stops the server, runs the attack on the database, and starts a new server.
    async fn attack_while_stopped(&mut self, attack: impl AsyncFnOnce(&Stack)) {
        self.stack.stop_server().await;
        attack(&self.stack).await;
        self.stack.start_server("", sharewarden::clock::Clock::system()).await;
    }

    /// Fails unless `audit verify` detects the attack and prints these words.
    async fn assert_detected(self, words: &[&str]) {
        let found = within("the attack is detected", async {
            loop {
                let output = self.verify().await;
                // Exit code 6: the server has not signed a checkpoint yet.
                match output.status.code() {
                    Some(6) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                    _ => return output,
                }
            }
        })
        .await;
        let stderr = String::from_utf8(found.stderr).unwrap();
        assert_eq!(found.status.code(), Some(9), "{stderr}");
        for word in [ACCOUNT].iter().chain(words) {
            assert!(stderr.to_lowercase().contains(&word.to_lowercase()), "{word}: {stderr}");
        }
        self.stack.end().await;
    }

    async fn verify(&self) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_sharewarden"));
        program.args([
            "audit",
            "verify",
            "--account",
            ACCOUNT,
            "--key",
            &self.key,
            "--principal",
            "auditor",
        ]);
        program.arg("--server").arg(format!("http://{}", self.stack.address));
        program.arg("--against").arg(self.folder.path().join("kept"));
        program.kill_on_drop(true).output().await.unwrap()
    }
}

#[tokio::test]
async fn an_untouched_ledger_verifies_against_the_kept_checkpoint() {
    let audited = AuditedService::start().await;
    let output = audited.verify().await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    audited.stack.end().await;
}

#[tokio::test]
async fn a_changed_reason_is_detected() {
    let mut audited = AuditedService::start().await;
    let attack = async |stack: &Stack| {
        stack
            .tamper("UPDATE audit_entry SET entry = replace(entry, 'a test', 'a lie!'), reason = 'a lie!' WHERE log_index = 2")
            .await;
    };
    audited.attack_while_stopped(attack).await;
    audited.assert_detected(&["entry 2"]).await;
}

#[tokio::test]
async fn a_deleted_entry_is_detected() {
    let mut audited = AuditedService::start().await;
    audited
        .attack_while_stopped(async |stack| stack.tamper("DELETE FROM audit_entry WHERE log_index = 3").await)
        .await;
    audited.assert_detected(&["entry 3"]).await;
}

#[tokio::test]
async fn two_swapped_entries_are_detected() {
    let mut audited = AuditedService::start().await;
    let attack = async |stack: &Stack| {
        // The index is unique at every moment, so the swap needs a free index.
        for statement in [
            "UPDATE audit_entry SET log_index = 1000 WHERE log_index = 1",
            "UPDATE audit_entry SET log_index = 1 WHERE log_index = 4",
            "UPDATE audit_entry SET log_index = 4 WHERE log_index = 1000",
        ] {
            stack.tamper(statement).await;
        }
    };
    audited.attack_while_stopped(attack).await;
    audited.assert_detected(&["entry 1"]).await;
}

#[tokio::test]
async fn a_truncated_tail_is_detected_although_the_rest_is_signed_again() {
    let mut audited = AuditedService::start().await;
    let attack = async |stack: &Stack| {
        stack.tamper("DELETE FROM audit_entry WHERE log_index >= 4").await;
        forge_head(stack).await;
        stack.tamper("DELETE FROM ledger_checkpoint").await;
    };
    audited.attack_while_stopped(attack).await;
    confirm(&audited.stack).await;
    // The confirmation is entry 4.
    audited.assert_detected(&["truncated", "entry 5"]).await;
}

#[tokio::test]
async fn a_fully_deleted_ledger_is_detected() {
    let mut audited = AuditedService::start().await;
    let attack = async |stack: &Stack| {
        for statement in [
            "DELETE FROM audit_entry",
            "DELETE FROM ledger_checkpoint",
            "DELETE FROM ledger",
        ] {
            stack.tamper(statement).await;
        }
    };
    audited.attack_while_stopped(attack).await;
    audited.assert_detected(&["truncated", "entry 0"]).await;
}

#[tokio::test]
async fn a_ledger_rewritten_with_new_hashes_is_detected_although_it_is_signed_again() {
    let mut audited = AuditedService::start().await;
    let attack = async |stack: &Stack| {
        rewrite(stack, 2).await;
        stack.tamper("DELETE FROM ledger_checkpoint").await;
    };
    audited.attack_while_stopped(attack).await;
    confirm(&audited.stack).await;
    audited.assert_detected(&["entries 0 to 5"]).await;
}
