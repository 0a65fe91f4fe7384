//! Generates a history of one year in bulk: the same rows and trees as the committer makes, without its commits.
//!
//! Entries are made with the types of `domain`, encoded and hashed by `ledger`, and copied in. SQL then computes
//! rollups, rankings and intervals from them. For a large load, indexes are dropped and rebuilt at the end.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, LazyLock},
    time::Instant,
};

use sharewarden::{
    domain::{
        AccountId, Action, Attempt, AwsOperation, ChangeBody, ChangeFailure, ChangeId, Classification,
        ConfirmationBody, DenialsBody, Entry, EntryBody, EntryColumns, EntryKind, FailureReason, Intent, PermissionKey,
        RequestId, ShareEffect, Timestamp, entry::encode, example,
    },
    ledger::{
        Checkpoint, Frontier, Hash, SigningKey,
        checkpoint::origin,
        merkle::{hex, leaf_hash},
        tile::{TileId, WIDTH, completed, tile_root},
    },
};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, postgres::PgPoolCopyExt};
use uuid::Uuid;

/// The template of all intents.
static EXAMPLE: LazyLock<Intent> = LazyLock::new(example::intent);

const ACCOUNTS: u64 = 100;
const COPY_AT_ONCE: usize = 1 << 20;
/// For fewer entries, the indexes are kept: inserting into them is faster than rebuilding them.
const FEW: u64 = 50_000;

/// The account with this rank by ledger size. 0 has the longest ledger.
pub fn account(rank: u64) -> AccountId {
    format!("{:012}", 111_122_223_333 + rank).parse().unwrap()
}

/// Loads about `entries` entries. The last one was recorded at `now`.
pub async fn load(pool: &PgPool, entries: u64, now: Timestamp, kinds: Kinds) {
    let year = std::time::Duration::from_secs(365 * 86_400);
    let start = Timestamp::new(now.to_offset_date_time() - year);
    let mut connection = pool.acquire().await.unwrap();
    sqlx::query("SELECT create_audit_partitions($1, 17)")
        .bind(start.to_offset_date_time())
        .execute(&mut *connection)
        .await
        .unwrap();
    let indexes = match entries {
        0..FEW => Vec::new(),
        _ => drop_indexes(&mut connection).await,
    };

    let begun = Instant::now();
    let mut history = HistoryGenerator::new(start, year / u32::try_from(entries.max(1)).unwrap(), kinds);
    let mut copy = pool.copy_in_raw(COPY).await.unwrap();
    let mut rows = String::with_capacity(2 * COPY_AT_ONCE);
    while history.made < entries {
        history.next_change(&mut rows);
        if rows.len() >= COPY_AT_ONCE {
            copy.send(rows.as_bytes()).await.unwrap();
            rows.clear();
            insert_tiles(&mut connection, &mut history.tiles).await;
        }
    }
    copy.send(rows.as_bytes()).await.unwrap();
    copy.finish().await.unwrap();
    insert_tiles(&mut connection, &mut history.tiles).await;
    eprintln!("  {} entries copied in {:.0?}", history.made, begun.elapsed());

    let begun = Instant::now();
    execute(
        &mut connection,
        "SET maintenance_work_mem = '1GB'; SET work_mem = '256MB'",
    )
    .await;
    for index in indexes {
        execute(&mut connection, &index).await;
    }
    eprintln!("  indexes built in {:.0?}", begun.elapsed());
    let begun = Instant::now();
    // In one transaction: a server that sees the new heads before the counts would count the entries itself.
    execute(&mut connection, "BEGIN").await;
    insert_heads(&mut connection, &history).await;
    execute(&mut connection, SUMMARISE).await;
    execute(&mut connection, "COMMIT").await;
    execute(&mut connection, "VACUUM ANALYZE").await;
    eprintln!(
        "  rollups, rankings and intervals made, and analysed, in {:.0?}",
        begun.elapsed()
    );
}

const COPY: &str = "COPY audit_entry (account_id, log_index, recorded_at, kind, action, cause, change_id, request_id, principal,
    reason, ticket, region, image_id, shared_account_id, generation, aws_request_id, error_reason, is_ranked, share_effect, once,
    leaf_hash, entry) FROM STDIN";

const SUMMARISE: &str = "
    INSERT INTO audit_rollup
        SELECT account_id, 'HOUR', date_trunc('HOUR', recorded_at, 'UTC'), coalesce(region, ''), coalesce(action, ''), kind, count(*)
        FROM audit_entry GROUP BY 1, 3, 4, 5, 6;
    INSERT INTO audit_rollup
        SELECT account_id, coarse, date_trunc(coarse, start_time, 'UTC'), region, action, kind, sum(count)
        FROM audit_rollup, unnest(ARRAY['DAY', 'MONTH']) AS coarse WHERE bucket = 'HOUR' GROUP BY 1, 2, 3, 4, 5, 6;
    INSERT INTO audit_ranking
        SELECT account_id, 'DAY', date_trunc('DAY', recorded_at, 'UTC'), ranking, value, count(*)
        FROM audit_entry,
            LATERAL (VALUES ('PRINCIPAL', principal), ('IMAGE', image_id), ('SHARED_ACCOUNT', shared_account_id)) AS asked (ranking, value)
        WHERE is_ranked AND value IS NOT NULL GROUP BY 1, 3, 4, 5;
    INSERT INTO audit_ranking
        SELECT account_id, 'MONTH', date_trunc('MONTH', start_time, 'UTC'), ranking, value, sum(count)
        FROM audit_ranking GROUP BY 1, 3, 4, 5;
    INSERT INTO audit_ranking_total
        SELECT bucket, start_time, ranking, value, sum(count) FROM audit_ranking GROUP BY 1, 2, 3, 4;
    INSERT INTO audit_summary_progress SELECT account_id, size, last_recorded_at FROM ledger;
    INSERT INTO share_interval
        SELECT account_id, region, image_id, shared_account_id, log_index, recorded_at, end_index, end_time FROM (
            SELECT *, lead(log_index) OVER share AS end_index, lead(recorded_at) OVER share AS end_time FROM (
                SELECT *, lag(action) OVER (PARTITION BY account_id, region, image_id, shared_account_id ORDER BY log_index) AS before
                FROM audit_entry WHERE share_effect IS NOT NULL
            ) AS succeeded WHERE before IS DISTINCT FROM action
            WINDOW share AS (PARTITION BY account_id, region, image_id, shared_account_id ORDER BY log_index)
        ) AS turns WHERE action = 'GRANT';";

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap();
}

/// Drops the indexes of the entries, and returns the statements that rebuild them.
async fn drop_indexes(connection: &mut PgConnection) -> Vec<String> {
    // Dropping an index of the parent drops those of the partitions. The rest belong to single partitions.
    let of_parent = "SELECT indexrelid::regclass::text, replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')
        FROM pg_index WHERE indrelid = 'audit_entry'::regclass";
    let of_partitions = "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
        WHERE indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit_entry'::regclass)";
    let mut made = Vec::new();
    for query in [of_parent, of_partitions] {
        let indexes: Vec<(String, String)> = sqlx::query_as(query).fetch_all(&mut *connection).await.unwrap();
        for (name, definition) in indexes {
            execute(connection, &format!("DROP INDEX {name}")).await;
            made.push(definition);
        }
    }
    made
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// Only changes.
    Known,
    /// Changes, each followed by an entry of a kind that this build does not know.
    AndUnknown,
}

struct HistoryGenerator {
    kinds: Kinds,
    time: Timestamp,
    step: std::time::Duration,
    made: u64,
    random: fastrand::Rng,
    ledgers: BTreeMap<AccountId, GeneratedLedger>,
    /// Full tiles that are not saved yet, with their hashes and root.
    tiles: Vec<(AccountId, TileId, Vec<Hash>, Hash)>,
}

/// The state of one account's ledger.
#[derive(Default)]
struct GeneratedLedger {
    frontier: Frontier,
    last_recorded_at: Option<Timestamp>,
    /// The hashes of the incomplete tile of each level.
    edge: Vec<Vec<Hash>>,
}

impl HistoryGenerator {
    fn new(start: Timestamp, step: std::time::Duration, kinds: Kinds) -> Self {
        Self {
            kinds,
            time: start,
            step,
            made: 0,
            random: fastrand::Rng::with_seed(20_261_122),
            ledgers: BTreeMap::new(),
            tiles: Vec::new(),
        }
    }

    /// One change: requested, sometimes joined, and ended; or denied. Rarely a count of denials, or a confirmation.
    fn next_change(&mut self, rows: &mut String) {
        let intent = Arc::new(self.intent());
        let number = self.random.u32(0..1000);
        let ending = match number {
            0 => return self.add(rows, &intent, EntryKind::ChangeDenials),
            1..5 => return self.add(rows, &intent, EntryKind::ChangeDenied),
            5 => return self.add(rows, &intent, EntryKind::CheckpointConfirmed),
            6..25 => EntryKind::ChangeFailed,
            25..35 => EntryKind::ChangeSuperseded,
            _ => EntryKind::ChangeSucceeded,
        };
        self.add(rows, &intent, EntryKind::ChangeRequested);
        if number.is_multiple_of(100) {
            let request_id = RequestId(Uuid::from_u128(intent.request_id.0.as_u128() ^ 1));
            let joining = Intent {
                request_id,
                ..(*intent).clone()
            };
            self.add(rows, &Arc::new(joining), EntryKind::ChangeJoined);
        }
        self.add(rows, &intent, ending);
    }

    fn intent(&mut self) -> Intent {
        // A few accounts, principals and images make up most of a history.
        let mut skewed = |count: u64| {
            let at = self.random.f64();
            (at * at * at * count as f64) as u64
        };
        let (account_rank, image, principal) = (skewed(ACCOUNTS), skewed(20), skewed(200));
        let region = match self.random.u32(0..1000) {
            0 => "sa-east-1",
            1..50 => "ap-southeast-2",
            50..200 => "us-east-1",
            _ => "eu-central-1",
        };
        let number = self.random.u32(0..1_000_000);
        let reason = match number % 4 {
            0 => format!("monthly rollout of the base image, wave {}", number % 97),
            1 => format!("vending of account {number:06} for the trading floor"),
            2 => format!("patch day: build {number} replaces the one before"),
            _ => format!("requested by the owner in OPS-{number}"),
        };
        let id = Uuid::from_u128(self.random.u128(..));
        let mut intent = Intent {
            change_id: ChangeId(id),
            request_id: RequestId(id),
            key: PermissionKey {
                account: account(account_rank),
                region: region.parse().unwrap(),
                image: format!("wsi-{account_rank:04}img{image:02}x").parse().unwrap(),
                shared_account: format!("{:012}", 500_000_000_000 + self.random.u64(0..5000))
                    .parse()
                    .unwrap(),
            },
            action: if self.random.u32(0..100) < 12 {
                Action::Revoke
            } else {
                Action::Grant
            },
            principal: format!("pipeline-{principal}@example.com").parse().unwrap(),
            ..EXAMPLE.clone()
        };
        intent.justification.reason = reason.parse().unwrap();
        if number.is_multiple_of(2) {
            intent.justification.ticket = Some(format!("CHG-{number}").parse().unwrap());
        }
        intent
    }

    fn add(&mut self, rows: &mut String, intent: &Arc<Intent>, kind: EntryKind) {
        let attempt = |classification| Attempt {
            operation: AwsOperation::UpdateWorkspaceImagePermission,
            started_at: self.time + self.step,
            duration: std::time::Duration::from_micros(84_000),
            classification,
            aws_request_id: Some(Uuid::from_u128(intent.change_id.0.as_u128() ^ 1).to_string()),
            error_code: None,
        };
        let change = ChangeBody {
            intent: intent.clone(),
            generation: (kind != EntryKind::ChangeDenied).then_some(1),
            previous: None,
            previous_basis: None,
            attempts: match kind {
                EntryKind::ChangeFailed => vec![attempt(Classification::Refused)],
                EntryKind::ChangeSucceeded => vec![attempt(Classification::Accepted)],
                _ => Vec::new(),
            },
            failure: (kind == EntryKind::ChangeFailed).then(|| ChangeFailure {
                reason: FailureReason::ImageNotFound,
                code: Some("ResourceNotFoundException".into()),
                message: Some("The image does not exist.".into()),
            }),
            denied_by: (kind == EntryKind::ChangeDenied).then(|| "accounts.share_with".into()),
        };
        let body = match kind {
            EntryKind::ChangeRequested => EntryBody::ChangeRequested(change),
            EntryKind::ChangeDenied => EntryBody::ChangeDenied(change),
            EntryKind::ChangeDenials => EntryBody::ChangeDenials(DenialsBody {
                count: self.random.u64(1..100_000),
                denied_by: "accounts.share_with".into(),
                first_at: self.time,
                last_at: self.time + self.step,
                principal: Some(intent.principal.clone()),
            }),
            EntryKind::ChangeJoined => EntryBody::ChangeJoined(change),
            EntryKind::ChangeSucceeded => EntryBody::ChangeSucceeded(change),
            EntryKind::ChangeFailed => EntryBody::ChangeFailed(change),
            EntryKind::ChangeSuperseded => EntryBody::ChangeSuperseded(change),
            EntryKind::CheckpointConfirmed => EntryBody::CheckpointConfirmed(confirmation(intent)),
            EntryKind::DriftFound | EntryKind::DriftResolved | EntryKind::DriftObserved | EntryKind::DriftBaseline => {
                unreachable!("a generated history has no drift")
            }
        };
        self.append(rows, intent.key.account, body);
        if self.kinds == Kinds::AndUnknown {
            let text = format!("{{\"change_id\":\"{}\",\"numbers\":[1,2]}}", intent.change_id);
            let body = EntryBody::read("test.invented", 1, intent.key.account, &text).unwrap();
            self.append(rows, intent.key.account, body);
        }
    }

    fn append(&mut self, rows: &mut String, account: AccountId, body: EntryBody) {
        self.time = self.time + self.step;
        self.made += 1;
        let ledger = self.ledgers.entry(account).or_default();
        let entry = Entry {
            account,
            log_index: ledger.frontier.size(),
            recorded_at: self.time,
            body,
        };
        let text = encode(&entry, env!("CARGO_PKG_VERSION")).unwrap();
        let hash = leaf_hash(text.as_bytes());
        row(rows, &entry, &text, &hash);
        ledger.last_recorded_at = Some(self.time);
        ledger.append(account, hash, &mut self.tiles);
    }
}

impl GeneratedLedger {
    fn append(&mut self, account: AccountId, leaf: Hash, tiles: &mut Vec<(AccountId, TileId, Vec<Hash>, Hash)>) {
        let size = self.frontier.size();
        self.frontier.append(leaf);
        let mut hash = leaf;
        let full = completed(size, size + 1);
        for level in 0..=full.len() {
            if self.edge.len() <= level {
                self.edge.push(Vec::with_capacity(WIDTH));
            }
            self.edge[level].push(hash);
            let Some(id) = full.get(level) else { break };
            let hashes = std::mem::take(&mut self.edge[level]);
            hash = tile_root(&hashes);
            tiles.push((account, *id, hashes, hash));
        }
    }
}

fn confirmation(intent: &Intent) -> ConfirmationBody {
    ConfirmationBody {
        operator: intent.principal.clone(),
        justification: intent.justification.clone(),
        root: [7; 32],
        tree_size: 1,
    }
}

/// Signs and stores a checkpoint of each ledger, as the server does with a ledger that it began itself.
pub async fn sign(pool: &PgPool, key: &SigningKey) {
    let heads: Vec<(String, i64, Vec<u8>)> = sqlx::query_as("SELECT account_id, size, root FROM ledger WHERE size > 0")
        .fetch_all(pool)
        .await
        .unwrap();
    for (account, size, root) in heads {
        let checkpoint = Checkpoint {
            origin: origin(key.name(), account.parse().unwrap()),
            size: size.try_into().unwrap(),
            root: root[..].try_into().unwrap(),
        };
        sqlx::query("INSERT INTO ledger_checkpoint VALUES ($1, $2, $3, $4, now())")
            .bind(account)
            .bind(size)
            .bind(root)
            .bind(checkpoint.sign(key).unwrap().to_string())
            .execute(pool)
            .await
            .unwrap();
    }
}

/// One line in the text format of COPY.
fn row(rows: &mut String, entry: &Entry, text: &str, leaf_hash: &Hash) {
    use std::fmt::Write;
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t");
    let or_null = |value: Option<String>| value.unwrap_or_else(|| "\\N".into());
    let hash = hex(leaf_hash);
    let EntryColumns {
        kind,
        action,
        cause,
        change_id,
        request_id,
        principal,
        reason,
        ticket,
        region,
        image_id,
        shared_account_id,
        generation,
        aws_request_id,
        error_reason,
    } = entry.columns();
    let text_of = |text: Option<Cow<'_, str>>| or_null(text.map(|text| escaped(&text)));
    let fields = [
        entry.account.to_string(),
        entry.log_index.to_string(),
        entry.recorded_at.to_string(),
        kind.into_owned(),
        text_of(action),
        text_of(cause),
        or_null(change_id.map(|id| id.to_string())),
        or_null(request_id.map(|id| id.to_string())),
        text_of(principal),
        text_of(reason),
        text_of(ticket),
        text_of(region),
        text_of(image_id),
        text_of(shared_account_id),
        or_null(generation.map(|generation| generation.to_string())),
        text_of(aws_request_id),
        text_of(error_reason),
        entry.body.is_ranked().to_string(),
        or_null(
            entry
                .body
                .share_effect()
                .map(|effect| ShareEffect::as_str(effect).into()),
        ),
        or_null(entry.body.once().map(ToOwned::to_owned)),
        format!("\\\\x{hash}"),
        escaped(text),
    ];
    writeln!(rows, "{}", fields.join("\t")).unwrap();
}

async fn insert_tiles(connection: &mut PgConnection, tiles: &mut Vec<(AccountId, TileId, Vec<Hash>, Hash)>) {
    let accounts: Vec<_> = tiles.iter().map(|(account, ..)| account.to_string()).collect();
    let levels: Vec<_> = tiles.iter().map(|(_, id, ..)| i16::from(id.level)).collect();
    let indexes: Vec<_> = tiles
        .iter()
        .map(|(_, id, ..)| i64::try_from(id.index).unwrap())
        .collect();
    let hashes: Vec<_> = tiles.iter().map(|(_, _, hashes, _)| hashes.concat()).collect();
    let roots: Vec<_> = tiles.iter().map(|(.., root)| root.to_vec()).collect();
    sqlx::query(
        "INSERT INTO ledger_tile (account_id, level, tile_index, hashes, root)
         SELECT * FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::bytea[], $5::bytea[])",
    )
    .bind(accounts)
    .bind(levels)
    .bind(indexes)
    .bind(hashes)
    .bind(roots)
    .execute(connection)
    .await
    .unwrap();
    tiles.clear();
}

async fn insert_heads(connection: &mut PgConnection, history: &HistoryGenerator) {
    for (account, ledger) in &history.ledgers {
        sqlx::query(
            "INSERT INTO ledger (account_id, size, frontier, root, last_recorded_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(account.to_string())
        .bind(i64::try_from(ledger.frontier.size()).unwrap())
        .bind(ledger.frontier.to_bytes())
        .bind(&ledger.frontier.root()[..])
        .bind(ledger.last_recorded_at.unwrap().to_offset_date_time())
        .execute(&mut *connection)
        .await
        .unwrap();
    }
}
