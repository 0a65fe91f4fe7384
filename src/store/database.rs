//! The pool, and the doors to it.

use std::{
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    ConnectOptions, PgConnection, PgPool, Postgres,
    migrate::MigrateDatabase,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};

use crate::{
    clock::Clock,
    telemetry::{Instruments, Pool},
};

use super::{
    StoreError,
    at_hand::{AtHand, Held, Planning},
    schema,
    trust::Trust,
};

/// How to reach Postgres.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// A `postgres://` URL. Secret: it may hold a password.
    pub url: SecretString,
    /// At most so many connections.
    pub max_connections: u32,
    /// Wait at most so long for a connection.
    pub acquire_timeout: Duration,
    /// A statement takes at most so long; half of it may be spent waiting for locks.
    pub statement_timeout: Duration,
}

/// What a role could do to the history that a server should not be able to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privileges {
    /// It may do everything in the cluster.
    pub superuser: bool,
    /// It owns the history, or may act as who does: a superuser may.
    pub owner: bool,
}

/// A pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    at_hand: AtHand,
    /// This pool, and those apart from it: for who measures them.
    pools: Arc<Mutex<Vec<(PgPool, AtHand)>>>,
    trust: Trust,
    /// How long a statement may take, the way there and back included.
    patience: Duration,
    clock: Clock,
    instruments: Instruments,
}

impl Database {
    /// Makes a pool; connects when first used. The clock tells how long ago connections were in trouble.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn new(settings: &DatabaseSettings, clock: &Clock) -> Result<Self, StoreError> {
        let statement_timeout = settings.statement_timeout.as_millis().to_string();
        let lock_timeout = (settings.statement_timeout / 2).as_millis().to_string();
        let options = PgConnectOptions::from_str(settings.url.expose_secret())?
            .application_name("sharewarden")
            .options([
                ("statement_timeout", statement_timeout.as_str()),
                ("lock_timeout", lock_timeout.as_str()),
                ("idle_in_transaction_session_timeout", statement_timeout.as_str()),
                ("timezone", "UTC"),
                // Statements find rows by their keys, and each has one good plan. Left to itself, Postgres finds the plan for
                // given values a little cheaper, and makes it anew each time: that takes longer than the statement.
                ("plan_cache_mode", "force_generic_plan"),
                // What would be compiled takes less time than the compiler.
                ("jit", "off"),
            ])
            .log_statements(tracing::log::LevelFilter::Trace)
            .log_slow_statements(tracing::log::LevelFilter::Warn, Duration::from_secs(1));
        let trust = Trust::new(clock.clone());
        let asked = trust.clone();
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, last| {
                let trust = asked.clone();
                Box::pin(async move { trust.is_good(connection, last).await })
            })
            .connect_lazy_with(options);
        let patience = settings.statement_timeout + Duration::from_secs(1);
        let at_hand = AtHand::new(pool.clone(), trust.clone(), clock.clone(), patience);
        Ok(Self {
            pools: Arc::new(Mutex::new(vec![(pool.clone(), at_hand.clone())])),
            pool,
            at_hand,
            trust,
            patience,
            clock: clock.clone(),
            instruments: Instruments::default(),
        })
    }

    /// The same database through so many connections more, for who shares none with others. They are made at once, and driven by
    /// the runtime that this is called on.
    pub(super) fn apart(&self, connections: u32) -> Self {
        let options = (*self.pool.connect_options()).clone();
        let of_pool = self.pool.options().clone().min_connections(connections);
        let pool = of_pool.max_connections(connections).connect_lazy_with(options);
        let at_hand = AtHand::new(pool.clone(), self.trust.clone(), self.clock.clone(), self.patience);
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.push((pool.clone(), at_hand.clone()));
        Self {
            pool,
            at_hand,
            ..self.clone()
        }
    }

    /// Is measured from now on: its connections, what is done on them, and what is built on it.
    pub fn measured_by(mut self, instruments: &Instruments) -> Self {
        self.instruments = instruments.clone();
        let pools = self.pools.clone();
        instruments.look_at_pool(move || {
            let pools = pools.lock().unwrap_or_else(PoisonError::into_inner);
            let open = pools.iter().filter(|(pool, _)| !pool.is_closed());
            open.map(|(pool, at_hand)| use_of(pool, at_hand))
                .reduce(|all, pool| Pool {
                    idle: all.idle + pool.idle,
                    used: all.used + pool.used,
                    most: all.most + pool.most,
                })
        });
        self
    }

    /// What measures it, for what is built on it.
    pub fn instruments(&self) -> &Instruments {
        &self.instruments
    }

    /// Creates the database that the URL names, if it does not exist.
    ///
    /// # Errors
    /// When Postgres does not answer or refuses.
    pub async fn create_if_missing(url: &SecretString) -> Result<(), StoreError> {
        let url = url.expose_secret();
        if !Postgres::database_exists(url).await? {
            Postgres::create_database(url).await?;
        }
        Ok(())
    }

    /// Brings the schema up to this version.
    ///
    /// # Errors
    /// When Postgres does not answer, or holds migrations that this version does not know.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        schema::migrate(&self.pool).await
    }

    /// Makes sure that Postgres answers and that its schema is the one that this version works with.
    ///
    /// # Errors
    /// When it does not, or is not.
    pub async fn check(&self) -> Result<(), StoreError> {
        schema::check(self).await
    }

    /// Listens for notifications on channels, on a connection that it takes out of the pool.
    pub(super) async fn listen(&self, channels: &[&str]) -> Result<PgListener, StoreError> {
        let listening = async {
            let mut listener = PgListener::connect_with(&self.pool).await?;
            // Who listens is to know that hints were lost.
            listener.eager_reconnect(false);
            listener.listen_all(channels.iter().copied()).await?;
            Ok(listener)
        };
        // A listener that is dropped half-way closes its connection.
        tokio::time::timeout(self.patience, listening)
            .await
            .unwrap_or(Err(StoreError::Timeout(self.patience)))
    }

    /// Tells what the role that this connects as could do to the history.
    ///
    /// # Errors
    /// When Postgres does not answer, or has no schema.
    pub async fn privileges(&self) -> Result<Privileges, StoreError> {
        let query = sqlx::query!(
            r#"SELECT rolsuper AS "superuser!",
                   pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = 'audit_entry'::regclass), 'MEMBER')
                       AS "owner!"
               FROM pg_roles WHERE rolname = current_user"#
        );
        let row = self.run(async |connection| query.fetch_one(connection).await).await?;
        Ok(Privileges {
            superuser: row.superuser,
            owner: row.owner,
        })
    }

    /// How long a statement may take, the way there and back included.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Runs a statement, within the time that statements have.
    pub(super) async fn run<T>(
        &self,
        statement: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        self.run_planned(Planning::Once, statement).await
    }

    /// Runs statements that no one plan may be good for.
    pub(super) async fn run_planned<T>(
        &self,
        planning: Planning,
        statements: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let work = async |connection: &mut PgConnection| Ok(statements(connection).await?);
        self.planned("statement", self.patience, planning, work).await
    }

    /// Does something on a connection, for at most so long, the wait for the connection included. A connection whose work
    /// did not come to its end, or found Postgres unfit, is closed: neither a peer that vanished without a word nor a server
    /// that takes no writes any more may keep a place in the pool. It is measured under the name of the operation.
    pub(super) async fn within<T>(
        &self,
        operation: &'static str,
        patience: Duration,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.planned(operation, patience, Planning::Once, work).await
    }

    async fn planned<T>(
        &self,
        operation: &'static str,
        patience: Duration,
        planning: Planning,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let begun = self.clock.monotonic_now();
        let working = async {
            let mut used = Used {
                held: Some(self.at_hand.acquire(planning).await?),
                end: End::Broken,
                at_hand: &self.at_hand,
            };
            let held = used.held();
            let result = match held.plan(planning).await {
                Ok(()) => work(&mut held.connection).await,
                Err(error) => Err(error.into()),
            };
            used.end = match &result {
                Ok(_) => End::Well,
                Err(error) if error.is_away() => End::Broken,
                Err(_) => End::Failed,
            };
            result
        };
        let result = tokio::time::timeout(patience, working)
            .await
            .unwrap_or(Err(StoreError::Timeout(patience)));
        let took = self.clock.monotonic_now().since(begun);
        self.instruments.used_postgres(operation, result.is_err(), took);
        // Not in `Used`: a caller who goes away casts no doubt on Postgres.
        if result.as_ref().is_err_and(StoreError::is_away) {
            self.trust.shake();
        }
        result
    }

    /// Closes the connections; those that do not end in a moment are left to the end of the process.
    pub async fn close(&self) {
        let closed = self.pool.close();
        self.at_hand.clear();
        let _ = tokio::time::timeout(self.patience, closed).await;
    }
}

/// How a pool is used.
fn use_of(pool: &PgPool, at_hand: &AtHand) -> Pool {
    let (all, idle) = (u64::from(pool.size()), (pool.num_idle() + at_hand.count()) as u64);
    Pool {
        idle,
        used: all.saturating_sub(idle),
        most: pool.options().get_max_connections().into(),
    }
}

/// A connection that goes on to others only when it is fit for more.
struct Used<'a> {
    /// There until this is dropped.
    held: Option<Held>,
    end: End,
    at_hand: &'a AtHand,
}

/// How it ended with a connection.
enum End {
    /// All was done.
    Well,
    /// A statement was refused. A transaction may still have to be rolled back, which the pool sees to at once.
    Failed,
    /// It was dropped half-way, or Postgres is not fit.
    Broken,
}

impl Used<'_> {
    fn held(&mut self) -> &mut Held {
        self.held.as_mut().expect("it is there until this is dropped")
    }
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        let Some(mut held) = self.held.take() else { return };
        match self.end {
            End::Well => self.at_hand.keep(held),
            End::Failed => self.at_hand.give_back(held),
            End::Broken => held.connection.close_on_drop(),
        }
    }
}
