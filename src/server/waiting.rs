//! The wait for Postgres at the start.
//!
//! A server that starts while Postgres is away waits, like one that loses Postgres later. If waiting cannot help, the process
//! ends: the role or the database is refused, or the schema does not admit this build. Nothing else has started during the
//! wait, so nothing writes to a database whose schema was not checked.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::Config,
    grpc::Health,
    probe::{Admin, Readiness},
    store::Database,
    telemetry::Metrics,
};

use super::{ServerError, listen_for};

/// How long after a failed check the next one begins.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Waits until Postgres can be used. Until then the admin port says why the server is not ready, and the RPC port is closed.
///
/// # Errors
/// If the configuration or the schema is wrong, or the admin port cannot be bound.
pub async fn wait_for_store(config: &Config, clock: &Clock, metrics: &Metrics) -> Result<(), ServerError> {
    let database = Database::new(&config.database, clock)?;
    let readiness = Readiness::new(metrics.instruments().clone());
    // The tasks of a set end when it is dropped, also if the wait is cancelled.
    let (mut admin_port, end, mut is_waiting) = (JoinSet::new(), CancellationToken::new(), false);
    loop {
        let checked = database.check_by_connecting().await;
        let Err(error) = &checked else { break };
        if !error.is_away() {
            return Ok(checked?);
        }
        readiness.report(&checked);
        if !std::mem::replace(&mut is_waiting, true) {
            let mut address = None;
            if let Some(configured) = config.admin.listen {
                let listener = listen_for("admin.listen", configured).await?;
                address = listener.local_addr().ok().map(tracing::field::display);
                let admin = Admin {
                    readiness: readiness.clone(),
                    metrics: metrics.clone(),
                    clock: clock.clone(),
                    health: Health::new(readiness.clone()).await.router(),
                };
                admin_port.spawn(admin.run(listener, end.clone()));
            }
            tracing::warn!(admin = address, "waiting for the audit store");
        }
        clock.sleep(CHECK_EVERY).await;
    }
    end.cancel();
    database.close().await;
    while admin_port.join_next().await.is_some() {}
    Ok(())
}
