//! The texts of the policy sets that entries name by digest. They are kept as long as the history.

use std::collections::BTreeMap;

use crate::{
    domain::PolicyDigest,
    store::{connection::Database, error::StoreError, rows::parse},
};

const TABLE: &str = "policy_set";

/// Keeps the text of a set. Call it before the set decides.
///
/// # Errors
/// When Postgres does not answer.
pub async fn keep(database: &Database, digest: PolicyDigest, text: &str) -> Result<(), StoreError> {
    let digest = digest.to_string();
    let query = sqlx::query!(
        "INSERT INTO policy_set (digest, text) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING",
        digest,
        text
    );
    database.run(async |conn| query.execute(conn).await).await?;
    Ok(())
}

/// The texts of these sets, without those that are not kept.
///
/// # Errors
/// When Postgres does not answer.
pub async fn texts(
    database: &Database,
    digests: &[PolicyDigest],
) -> Result<BTreeMap<PolicyDigest, String>, StoreError> {
    let digests: Vec<_> = digests.iter().map(PolicyDigest::to_string).collect();
    let query = sqlx::query!("SELECT digest, text FROM policy_set WHERE digest = ANY($1)", &digests);
    let rows = database.run(async |conn| query.fetch_all(conn).await).await?;
    rows.into_iter()
        .map(|row| Ok((parse(TABLE, &row.digest)?, row.text)))
        .collect()
}
