//! Commands that use the database without a server: migration and archive, which need the rights of the schema's owner, and the
//! confirmation of a ledger, which needs the rights of the server and the signing key.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    archive as months,
    audit::{Audit, Confirmation, KnownCheckpoints, Tail},
    clock::Clock,
    config::{Config, DatabaseConfig},
    domain::{AccountId, ReplicaId},
    ledger::Hash,
    store::{Committer, Database, Installation, MigrationStep, Notifications, StoreError},
};

use super::{ServerError, checkpoint_keys};

/// Timeout of a statement; half of it for locks. Changing a table or counting a month takes long.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3600);

/// Creates the database if it is missing, and migrates its schema to this build. Tells each migration, before and after it.
/// Returns whether the database was created, and where the installation stands.
///
/// # Errors
/// If Postgres does not answer, or the schema does not admit this build, or would not admit a running replica.
pub async fn migrate(
    config: &Config,
    tell: &mut (dyn FnMut(MigrationStep<'_>) + Send),
) -> Result<(bool, Installation), ServerError> {
    let created = Database::create_if_missing(&config.database).await?;
    let database = connect(config)?;
    let migrated = async {
        database.migrate_telling(tell).await?;
        database.installation().await
    };
    let migrated = migrated.await;
    database.close().await;
    Ok((created, migrated?))
}

/// Admits only builds with all migrations of the database. Returns where the installation stood before, and stands now.
///
/// # Errors
/// If Postgres does not answer, the schema is not the one of this build, or a replica of an older build runs.
pub async fn finalize(config: &Config) -> Result<(Installation, Installation), ServerError> {
    let database = connect(config)?;
    let finalized = async {
        database.check().await?;
        let before = database.installation().await?;
        database.finalize().await?;
        Ok::<_, StoreError>((before, database.installation().await?))
    };
    let finalized = finalized.await;
    database.close().await;
    Ok(finalized?)
}

/// Archives old months of the history.
///
/// # Errors
/// [`ServerError`].
pub async fn archive(
    config: &Config,
    options: &months::ArchivePlan,
    tell: impl FnMut(months::Event),
) -> Result<(), ServerError> {
    let audit = audit(config).await?;
    let archived = months::run(&audit, options, tell).await;
    audit.database.close().await;
    Ok(archived?)
}

/// The size and the root of a ledger that has entries and no checkpoint, for an operator to compare. Its entries were verified.
///
/// # Errors
/// [`ServerError`].
pub async fn confirmable(config: &Config, account: AccountId) -> Result<(u64, Hash), ServerError> {
    let audit = audit(config).await?;
    let seen = audit.confirmable(account).await;
    audit.database.close().await;
    Ok(seen?)
}

/// Records that an operator confirmed a ledger, and signs it. Returns the index of the entry and the size of the checkpoint.
///
/// # Errors
/// [`ServerError`].
pub async fn confirm(config: &Config, confirmation: &Confirmation) -> Result<(u64, u64), ServerError> {
    let audit = audit(config).await?;
    // A confirmation makes no work.
    let (work, _no_work) = mpsc::unbounded_channel();
    let committer = Committer::start(
        &audit.database,
        config.committer,
        &config.forwarder,
        ReplicaId(audit.clock.uuid()),
        &audit.clock,
        &Notifications::default(),
        &work,
    )
    .map_err(ServerError::Thread)?;
    let confirmed = audit.confirm(confirmation, &committer).await;
    committer.close().await;
    audit.database.close().await;
    Ok(confirmed?)
}

async fn audit(config: &Config) -> Result<Audit, ServerError> {
    let keys = checkpoint_keys::read(&config.checkpoint)?;
    let database = connect(config)?;
    database.check().await?;
    Ok(Audit {
        database,
        clock: Clock::system(),
        tail: Tail::default(),
        keys,
        known: KnownCheckpoints::default(),
        stop: CancellationToken::new(),
    })
}

fn connect(config: &Config) -> Result<Database, StoreError> {
    let settings = DatabaseConfig {
        statement_timeout: STATEMENT_TIMEOUT,
        ..config.database.clone()
    };
    Database::new(&settings, &Clock::system())
}
