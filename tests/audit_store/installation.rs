//! Which builds may use the schema: what `migrate` and `finalize` do, and refuse.

use sharewarden::{
    domain::{
        Action, ReplicaId,
        transition::{Command, WorkOutcome},
    },
    store::{CommitError, RunningBuild},
};
use sharewarden_testkit::stack::*;
use uuid::Uuid;

use crate::{
    roles::{Login, assert_refused},
    store::{Store, intent, key, settle},
};

/// A replica of build 1, which every schema refuses that is finalized.
const OLDER_REPLICA: &str = "INSERT INTO replica VALUES (gen_random_uuid(), 1, '0.0.1', now())";
/// The same, seen last before it counts as ended.
const ENDED_REPLICA: &str = "INSERT INTO replica VALUES (gen_random_uuid(), 1, '0.0.1', now() - interval '61 s')";
/// A migration of the future, which admits this build.
const NEWER_SCHEMA: &str = "INSERT INTO _sqlx_migrations VALUES (9999, 'of the future', now(), true, '\\x00', 0)";
const NOT_FINALIZED: &str = "UPDATE build_admission SET oldest_build = 1";

#[tokio::test]
async fn a_new_database_admits_only_the_build_that_made_it() {
    let store = Store::open().await;
    let installation = store.database.installation().await.unwrap();
    assert!(installation.oldest_build <= installation.build, "{installation}");
    assert!(
        installation.is_finalized() || installation.schema > installation.build,
        "{installation}"
    );
    assert_eq!(installation.running, []);
    store.close().await;
}

#[tokio::test]
async fn a_newer_schema_is_used_until_it_is_finalized() {
    let store = Store::open().await;
    store.execute(NEWER_SCHEMA).await;
    store.database.check().await.unwrap();
    store.refuse(ACCOUNT, 1).await;
    store.database.migrate().await.unwrap();
    let error = store.database.finalize().await.unwrap_err().to_string();
    assert!(error.contains("run `finalize` of the newer program"), "{error}");
    store.execute("UPDATE build_admission SET oldest_build = 9999").await;
    for refused in [
        store.database.check().await,
        store.database.migrate().await,
        store.database.finalize().await,
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("admits builds from 9999 on"), "{error}");
    }
    store.close().await;
}

#[tokio::test]
async fn finalize_is_refused_while_an_older_replica_runs_and_then_changes_nothing() {
    let store = Store::open().await;
    store.execute(NOT_FINALIZED).await;
    store.execute(OLDER_REPLICA).await;
    let before = store.database.installation().await.unwrap();
    if before.schema > before.build {
        // With the migrations of a newer program, only that one finalizes.
        return store.close().await;
    }
    let error = store.database.finalize().await.unwrap_err().to_string();
    assert!(
        error.contains("1 replica of older builds (the oldest is build 1, version 0.0.1)")
            && error.contains("replace them"),
        "{error}"
    );
    let replica = sqlx::query_scalar::<_, Uuid>("SELECT replica_id FROM replica");
    let replica = replica.fetch_one(&store.pool).await.unwrap();
    assert!(error.contains(&replica.to_string()), "{error}");
    assert_eq!(store.database.installation().await.unwrap(), before);
    assert!(!before.is_finalized());

    store.execute("DELETE FROM replica").await;
    store.execute(ENDED_REPLICA).await;
    store.database.finalize().await.unwrap();
    assert!(store.database.installation().await.unwrap().is_finalized());
    store.database.finalize().await.unwrap();
    store.close().await;
}

/// An upgrade that leaves out a version: the newest migration does not admit the oldest running build.
#[tokio::test]
async fn a_migration_is_refused_that_would_not_admit_a_running_replica() {
    let store = Store::open().await;
    store.execute(OLDER_REPLICA).await;
    store.execute("DELETE FROM _sqlx_migrations WHERE version = 6").await;
    let error = store.database.migrate().await.unwrap_err().to_string();
    assert!(
        error.contains("nothing was migrated, because the new schema would not admit 1 replica"),
        "{error}"
    );
    let migrated = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM _sqlx_migrations WHERE version = 6");
    assert_eq!(migrated.fetch_one(&store.pool).await.unwrap(), 0);
    store.close().await;
}

#[tokio::test]
async fn a_running_replica_is_counted_once_and_old_rows_are_removed() {
    let store = Store::open().await;
    let (one, other) = (ReplicaId(Uuid::new_v4()), ReplicaId(Uuid::new_v4()));
    store
        .execute("INSERT INTO replica VALUES (gen_random_uuid(), 1, '0.0.1', now() - interval '11 minutes')")
        .await;
    store.execute(ENDED_REPLICA).await;
    for replica in [one, other, one] {
        store.database.record_replica(replica).await.unwrap();
    }
    let installation = store.database.installation().await.unwrap();
    let running = |replicas| RunningBuild {
        build: installation.build,
        version: env!("CARGO_PKG_VERSION").into(),
        replicas,
    };
    assert_eq!(installation.running, [running(2)]);
    let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM replica");
    assert_eq!(rows.fetch_one(&store.pool).await.unwrap(), 3, "one of them has ended");
    store.database.forget_replica(other).await.unwrap();
    assert_eq!(store.database.installation().await.unwrap().running, [running(1)]);
    store.close().await;
}

/// P15. What a replica of an older build still holds, or finds due, is left to newer builds.
#[tokio::test]
async fn a_build_that_is_not_admitted_claims_renews_and_settles_nothing() {
    let mut store = Store::open().await;
    let permission = key(ACCOUNT, RECIPIENT);
    for answer in store
        .commit(vec![Command::Open(intent(permission.clone(), Action::Grant, "ann"))])
        .await
    {
        answer.unwrap();
    }
    let [work] = &store.take_work()[..] else {
        panic!("one change, one piece of work")
    };
    let state = "SELECT (SELECT array_agg(p::text) FROM share_permission AS p)::text
        || (SELECT array_agg(c::text) FROM change AS c)::text || (SELECT array_agg(l::text) FROM ledger AS l)::text";
    let state = async |store: &Store| {
        sqlx::query_scalar::<_, String>(state)
            .fetch_one(&store.pool)
            .await
            .unwrap()
    };
    store
        .execute("UPDATE share_permission SET lease_expires_at = now() - interval '1 s'")
        .await;
    store
        .execute("UPDATE build_admission SET oldest_build = oldest_build + 9000")
        .await;
    let before = state(&store).await;
    let claim = || Command::Claim(permission.clone());
    let renewal = Command::Renew {
        key: permission.clone(),
        epoch: work.epoch,
        attempts: Vec::new(),
    };
    for command in [claim(), renewal, settle(work, WorkOutcome::Succeeded)] {
        let answers = store.commit(vec![command]).await;
        assert!(matches!(answers[..], [Err(CommitError::Unavailable)]), "{answers:?}");
    }
    assert_eq!(state(&store).await, before);
    assert!(store.take_work().is_empty());

    store
        .execute("UPDATE build_admission SET oldest_build = oldest_build - 9000")
        .await;
    for answer in store.commit(vec![claim()]).await {
        answer.unwrap();
    }
    assert_eq!(store.take_work().len(), 1, "an admitted build takes it up");
    store.close().await;
}

#[tokio::test]
async fn only_the_owner_can_admit_builds() {
    let store = Store::open().await;
    let login = Login::of("sharewarden_writer", &store.pool, store.test.url()).await;
    let mut writer = login.connect().await;
    for statement in [
        "UPDATE build_admission SET oldest_build = 9999",
        "DELETE FROM build_admission",
        "INSERT INTO build_admission VALUES (1)",
        "TRUNCATE replica",
    ] {
        assert_refused(&mut writer, statement).await;
    }
    drop(writer);
    login.remove(&store.pool).await;
    store.close().await;
}
