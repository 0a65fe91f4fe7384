//! Commands that need the rights of the schema's owner: migration and archive. The server runs without these rights.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    archive as months,
    audit::{Audit, Tail},
    clock::Clock,
    config::{Config, DatabaseConfig},
    store::{Database, StoreError},
};

use super::{ServerError, checkpoint_keys};

/// Timeout of a statement; half of it for locks. Changing a table or counting a month takes long.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3600);

/// Creates the database if it is missing, and migrates its schema to this version.
///
/// # Errors
/// If Postgres does not answer, or its schema is newer.
pub async fn migrate(config: &Config) -> Result<(), ServerError> {
    Database::create_if_missing(&config.database).await?;
    let database = connect(config)?;
    database.migrate().await?;
    database.close().await;
    Ok(())
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
    let keys = checkpoint_keys::read(&config.checkpoint)?;
    let database = connect(config)?;
    database.check().await?;
    let audit = Audit {
        database: database.clone(),
        clock: Clock::system(),
        tail: Tail::default(),
        keys,
        stop: CancellationToken::new(),
    };
    let archived = months::run(&audit, options, tell).await;
    database.close().await;
    Ok(archived?)
}

fn connect(config: &Config) -> Result<Database, StoreError> {
    let settings = DatabaseConfig {
        statement_timeout: STATEMENT_TIMEOUT,
        ..config.database.clone()
    };
    Database::new(&settings, &Clock::system())
}
