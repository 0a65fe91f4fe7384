//! What is done with the rights of the owner of the history, and not by the server: the schema, and the archive.

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

/// How long a statement may take: to change a table or to count a month takes as long as it takes. Half of it may be spent
/// waiting for locks.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3600);

/// Makes the database if it is missing, and brings its schema up to this version.
///
/// # Errors
/// When Postgres does not answer, or holds a newer schema.
pub async fn migrate(config: &Config) -> Result<(), ServerError> {
    Database::create_if_missing(&config.database.url).await?;
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
    options: &months::Options,
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
