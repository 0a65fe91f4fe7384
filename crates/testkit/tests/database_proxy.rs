//! Tests of the fault-injecting proxy (`sharewarden_testkit::proxy`).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use sharewarden_testkit::{
    postgres::{TestDatabase, database},
    proxy::{CommitFault, Proxy, Rule},
};
use sqlx::{Connection, PgConnection, Row};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Maximum time to wait for a condition.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Long enough for immediate effects.
const MOMENT: Duration = Duration::from_millis(300);

async fn proxied() -> (TestDatabase, Proxy) {
    let database = database().await;
    execute(&mut connect(database.url()).await, "CREATE TABLE note (text text)")
        .await
        .unwrap();
    let proxy = Proxy::start(database.url()).await;
    (database, proxy)
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn execute(connection: &mut PgConnection, sql: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(sql).execute(connection).await.map(drop)
}

/// Begins a transaction and writes, without COMMIT.
async fn write(connection: &mut PgConnection) {
    execute(connection, "BEGIN; INSERT INTO note VALUES ('written')")
        .await
        .unwrap();
}

/// The number of notes, read without the proxy.
async fn notes(database: &TestDatabase) -> i64 {
    let mut connection = connect(database.url()).await;
    let row = sqlx::query("SELECT count(*) FROM note").fetch_one(&mut connection);
    row.await.unwrap().get(0)
}

#[tokio::test]
async fn bytes_pass_unchanged() {
    let (database, proxy) = proxied().await;
    let mut connection = connect(&proxy.url(database.url())).await;
    let long = "x".repeat(1_000_000);
    let back: String = sqlx::query_scalar("SELECT $1 || 'y'")
        .bind(&long)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(back, long + "y");
    write(&mut connection).await;
    execute(&mut connection, "COMMIT").await.unwrap();
    assert_eq!(notes(&database).await, 1);
    assert_eq!((proxy.counts().connections, proxy.counts().commits), (1, 1));
}

#[tokio::test]
async fn refuse_resets_new_connections_and_keeps_existing_ones() {
    let (database, proxy) = proxied().await;
    let mut old = connect(&proxy.url(database.url())).await;
    proxy.set(Rule::Refuse);
    assert!(PgConnection::connect(&proxy.url(database.url())).await.is_err());
    old.ping().await.unwrap();
    proxy.set(Rule::Pass);
    connect(&proxy.url(database.url())).await.ping().await.unwrap();
    assert_eq!(proxy.counts().refused, 1);
}

#[tokio::test]
async fn a_cut_ends_all_connections_and_new_ones_pass() {
    let (database, proxy) = proxied().await;
    let mut one = connect(&proxy.url(database.url())).await;
    let mut other = connect(&proxy.url(database.url())).await;
    write(&mut one).await;
    proxy.cut();
    assert!(one.ping().await.is_err());
    assert!(other.ping().await.is_err());
    connect(&proxy.url(database.url())).await.ping().await.unwrap();
    assert_eq!(notes(&database).await, 0);
}

#[tokio::test]
async fn a_black_hole_delays_everything_until_the_rule_changes() {
    let (database, proxy) = proxied().await;
    let mut old = connect(&proxy.url(database.url())).await;
    proxy.set(Rule::BlackHole);
    let url = proxy.url(database.url());
    let new = tokio::spawn(async move { connect(&url).await.ping().await });
    assert!(tokio::time::timeout(MOMENT, old.ping()).await.is_err());
    assert!(!new.is_finished());
    proxy.set(Rule::Pass);
    tokio::time::timeout(TIMEOUT, new).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_delay_applies_to_both_directions() {
    let (database, proxy) = proxied().await;
    let mut connection = connect(&proxy.url(database.url())).await;
    proxy.set(Rule::Delay(MOMENT));
    assert!(tokio::time::timeout(MOMENT, connection.ping()).await.is_err());
    proxy.set(Rule::Pass);
}

#[tokio::test]
async fn cut_before_commit_leaves_nothing_and_cut_after_commit_leaves_it_all() {
    for (fate, left) in [(CommitFault::CutBefore, 0), (CommitFault::CutAfter, 1)] {
        let (database, proxy) = proxied().await;
        let mut connection = connect(&proxy.url(database.url())).await;
        write(&mut connection).await;
        proxy.next_commits(fate, 1);
        assert!(execute(&mut connection, "COMMIT").await.is_err(), "{fate:?}");
        assert_eq!(notes(&database).await, left, "{fate:?}");
        // Only one COMMIT was hit.
        let mut connection = connect(&proxy.url(database.url())).await;
        write(&mut connection).await;
        execute(&mut connection, "COMMIT").await.unwrap();
        assert_eq!(notes(&database).await, left + 1, "{fate:?}");
        assert_eq!(proxy.counts().cut_before + proxy.counts().cut_after, 1);
    }
}

#[tokio::test]
async fn a_transaction_of_sqlx_is_cut_at_its_commit() {
    let (database, proxy) = proxied().await;
    let mut connection = connect(&proxy.url(database.url())).await;
    proxy.next_commits(CommitFault::CutAfter, 1);
    #[expect(
        clippy::disallowed_methods,
        reason = "the very call that `store::commit::batch` makes"
    )]
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("INSERT INTO note VALUES ('written')")
        .execute(&mut *transaction)
        .await
        .unwrap();
    assert!(transaction.commit().await.is_err());
    assert_eq!(notes(&database).await, 1);
}

/// `store::save` writes in this way.
#[tokio::test]
async fn a_statement_that_commits_by_itself_is_cut_before_and_after_its_commit() {
    const WRITE: &str = "WITH written AS (INSERT INTO note VALUES ($1)) SELECT 1";
    for (fate, left) in [(CommitFault::CutBefore, 0), (CommitFault::CutAfter, 1)] {
        let (database, proxy) = proxied().await;
        let mut connection = connect(&proxy.url(database.url())).await;
        proxy.next_commits(fate, 1);
        // In a transaction it does not commit, and a statement that only reads never does.
        execute(&mut connection, "BEGIN").await.unwrap();
        sqlx::query(WRITE)
            .bind("left")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        execute(&mut connection, "ROLLBACK").await.unwrap();
        sqlx::query("WITH one AS (SELECT 1) SELECT $1 FROM one")
            .bind("read")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let cut = sqlx::query(WRITE).bind("written").fetch_one(&mut connection).await;
        assert!(cut.is_err(), "{fate:?}");
        assert_eq!(notes(&database).await, left, "{fate:?}");
        assert_eq!(proxy.counts().commits, 1);
    }
}

#[tokio::test]
async fn a_delayed_commit_takes_effect_after_its_client_is_gone() {
    let (database, proxy) = proxied().await;
    let mut connection = connect(&proxy.url(database.url())).await;
    write(&mut connection).await;
    proxy.next_commits(CommitFault::Delayed(MOMENT), 1);
    assert!(execute(&mut connection, "COMMIT").await.is_err());
    assert_eq!(notes(&database).await, 0, "not yet");
    let landed = async {
        while notes(&database).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, landed).await.unwrap();
    assert_eq!(proxy.counts().late, 1);
}

#[tokio::test]
async fn new_connections_go_to_the_new_target() {
    let (database, proxy) = proxied().await;
    let aside = Proxy::start(database.url()).await;
    proxy.retarget(&aside.url(database.url()));
    connect(&proxy.url(database.url())).await.ping().await.unwrap();
    assert_eq!(aside.counts().connections, 1);
    proxy.retarget(database.url());
    connect(&proxy.url(database.url())).await.ping().await.unwrap();
    assert_eq!(aside.counts().connections, 1);
}

#[tokio::test]
async fn a_plain_proxy_passes_and_refuses_any_protocol() {
    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start_plain(echo.local_addr().unwrap()).await;
    let mut caller = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut called, _) = echo.accept().await.unwrap();
    caller.write_all(b"anything").await.unwrap();
    let mut heard = [0; 8];
    called.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"anything");
    proxy.set(Rule::Refuse);
    let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
    assert!(refused.read_u8().await.is_err());
    assert_eq!(proxy.counts().refused, 1);
}
