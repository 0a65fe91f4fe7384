//! Helpers of these tests: checkpoints, exports, and watches that check each entry.

use std::collections::BTreeMap;

use sharewarden::{
    audit::Confirmation,
    clock::Clock,
    domain::{ConfirmationBody, Justification},
    ledger::{Frontier, Hash, VerifierKey, checkpoint, merkle::leaf_hash},
    proto::v1::{
        AuditEntry, Checkpoint, ExportAuditEntriesRequest, ExportHeader, GetCheckpointRequest,
        GrantSharePermissionRequest, WatchAuditEntriesRequest, WatchAuditEntriesResponse, WatchPosition,
        export_audit_entries_response::Part, watch_audit_entries_request::Start, watch_audit_entries_response::Event,
    },
    server,
};
use sharewarden_testkit::stack::*;
use tonic::{Status, Streaming};

/// The next index of each ledger, by account.
pub(crate) type Positions = BTreeMap<String, u64>;

pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, work)
        .await
        .unwrap_or_else(|_| panic!("{what} in time"))
}

pub(crate) fn latest(account: &str) -> GetCheckpointRequest {
    GetCheckpointRequest {
        account_id: account.into(),
        tree_size: 0,
    }
}

/// A grant in the other account. The policy denies it, which makes one entry.
pub(crate) fn denied() -> GrantSharePermissionRequest {
    let mut request = grant();
    request.account_id = OTHER_ACCOUNT.into();
    request
}

/// Deletes the checkpoints of the only ledger, and starts a server that knows none. It does not sign the ledger.
pub(crate) async fn forget_checkpoints(stack: &mut Stack) {
    stack.checkpoint_of(ACCOUNT, 1).await;
    stack.stop_server().await;
    stack.tamper("DELETE FROM ledger_checkpoint").await;
    stack.start_server("", Clock::system()).await;
}

/// Confirms the ledger as it is, as an operator does with `sharewarden audit confirm`. Returns the index of the entry and
/// the size of
/// the checkpoint.
pub(crate) async fn confirm(stack: &Stack) -> (u64, u64) {
    let (config, account) = (stack.config(""), ACCOUNT.parse().unwrap());
    let (tree_size, root) = server::confirmable(&config, account).await.unwrap();
    server::confirm(&config, &confirmation(tree_size, root)).await.unwrap()
}

/// The statement of an operator.
pub(crate) fn confirmation(tree_size: u64, root: Hash) -> Confirmation {
    Confirmation {
        account: ACCOUNT.parse().unwrap(),
        body: ConfirmationBody {
            operator: "ann@example.com".parse().unwrap(),
            justification: Justification::example(),
            root,
            tree_size,
        },
    }
}

/// Changes the reason of the entries from `first` on, and computes their hashes and the head, as a skilled attacker would. These
/// ledgers are too short for tiles.
pub(crate) async fn rewrite(stack: &Stack, first: u64) {
    let lie = "replace(entry, 'a test', 'a lie!')";
    stack
        .tamper(&format!(
            "UPDATE audit_entry SET reason = 'a lie!', entry = {lie},
                 leaf_hash = sha256('\\x00'::bytea || convert_to({lie}, 'UTF8'))
             WHERE account_id = '{ACCOUNT}' AND log_index >= {first}"
        ))
        .await;
    forge_head(stack).await;
}

/// Computes the ledger head from the stored entries.
pub(crate) async fn forge_head(stack: &Stack) {
    let mut frontier = Frontier::default();
    for line in stack.lines(ACCOUNT).await {
        frontier.append(leaf_hash(line.as_bytes()));
    }
    sqlx::query("UPDATE ledger SET size = $2, frontier = $3, root = $4 WHERE account_id = $1")
        .bind(ACCOUNT)
        .bind(i64::try_from(frontier.size()).unwrap())
        .bind(frontier.to_bytes())
        .bind(&frontier.root()[..])
        .execute(&stack.pool)
        .await
        .unwrap();
}

/// Verifies a checkpoint as an auditor does.
pub(crate) fn open(checkpoint: &Checkpoint, keys: &[VerifierKey]) -> checkpoint::SignedCheckpoint {
    let account = checkpoint.account_id.parse().unwrap();
    let open = checkpoint::open(&checkpoint.note, keys, account).unwrap();
    assert_eq!(open.checkpoint.size, checkpoint.tree_size);
    assert_eq!(open.checkpoint.root.to_vec(), checkpoint.root_hash);
    assert_eq!(open.checkpoint.origin, checkpoint.origin);
    open
}

/// A watch that fails the test at a gap, a duplicate or an entry that does not match its hash.
pub(crate) struct Watcher {
    stream: Streaming<WatchAuditEntriesResponse>,
    pub(crate) positions: Positions,
    pub(crate) seen: Vec<AuditEntry>,
}

pub(crate) fn watch_from(positions: &Positions, start: Start) -> WatchAuditEntriesRequest {
    WatchAuditEntriesRequest {
        account_ids: Vec::new(),
        positions: positions
            .iter()
            .map(|(account, next)| WatchPosition {
                account_id: account.clone(),
                next_index: *next,
            })
            .collect(),
        start: start.into(),
    }
}

impl Watcher {
    /// Starts a watch, and reads its first message.
    pub(crate) async fn start(mut audit: AuditClient, request: WatchAuditEntriesRequest) -> Result<Self, Status> {
        let mut stream = within("the watch starts", audit.watch_audit_entries(as_tester(request)))
            .await?
            .into_inner();
        let first = within("the first message comes", stream.message()).await?.unwrap();
        let Some(Event::Started(started)) = first.event else {
            panic!("{first:?}")
        };
        let positions = started
            .positions
            .into_iter()
            .map(|position| (position.account_id, position.next_index));
        Ok(Self {
            stream,
            positions: positions.collect(),
            seen: Vec::new(),
        })
    }

    /// Waits for the next message.
    pub(crate) async fn next(&mut self) -> Result<Event, Status> {
        let message = within("the next message comes", self.stream.message()).await?;
        let event = message.expect("the server ends a watch with a status").event.unwrap();
        if let Event::Entries(entries) = &event {
            assert!(!entries.entries.is_empty());
            entries.entries.iter().for_each(|entry| self.check(entry));
        }
        Ok(event)
    }

    fn check(&mut self, entry: &AuditEntry) {
        let next = self.positions.entry(entry.account_id.clone()).or_default();
        assert_eq!(entry.log_index, *next, "of account {}", entry.account_id);
        assert_eq!(entry.leaf_hash, leaf_hash(entry.canonical.as_bytes()));
        *next += 1;
        self.seen.push(entry.clone());
    }

    /// Reads until the ledger has this size.
    pub(crate) async fn until(&mut self, account: &str, size: u64) {
        while self.positions.get(account).copied().unwrap_or_default() < size {
            self.next().await.unwrap();
        }
    }

    pub(crate) fn canonical(&self, account: &str) -> Vec<String> {
        let of_account = self.seen.iter().filter(|entry| entry.account_id == account);
        of_account.map(|entry| entry.canonical.clone()).collect()
    }
}

/// An export: its header, its lines and their hashes.
pub(crate) struct Exported {
    pub(crate) header: ExportHeader,
    pub(crate) lines: Vec<String>,
    pub(crate) hashes: Vec<[u8; 32]>,
}

pub(crate) async fn export(mut audit: AuditClient, request: ExportAuditEntriesRequest) -> Result<Exported, Status> {
    let mut stream = audit.export_audit_entries(as_tester(request)).await?.into_inner();
    let first = stream.message().await?.unwrap();
    let Some(Part::Header(header)) = first.part else {
        panic!("{first:?}")
    };
    let mut exported = Exported {
        header,
        lines: Vec::new(),
        hashes: Vec::new(),
    };
    while let Some(message) = within("the export continues", stream.message()).await? {
        let Some(Part::Lines(lines)) = message.part else {
            panic!("{message:?}")
        };
        assert_eq!(
            lines.start_index,
            exported.header.start_index + exported.lines.len() as u64
        );
        assert_eq!(lines.leaf_hashes.len(), 32 * lines.lines.len());
        exported.hashes.extend(lines.leaf_hashes.as_chunks().0);
        exported.lines.extend(lines.lines);
    }
    Ok(exported)
}
