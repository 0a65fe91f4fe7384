//! The texts of the policy sets that entries name by digest. They are kept as long as the history.

use std::collections::BTreeMap;

use crate::{
    domain::{PolicyDigest, Timestamp},
    store::{
        connection::Database,
        error::StoreError,
        rows::{count, parse},
    },
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

/// A part of the text of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySetPart {
    /// The part.
    pub text: String,
    /// The number of characters of the whole text.
    pub length: u64,
    /// When a replica first stored the text.
    pub first_used_at: Timestamp,
}

/// Reads at most `characters` of the text of a set, from the character `start` on. None if the text is not kept.
///
/// # Errors
/// When Postgres does not answer.
pub async fn part(
    database: &Database,
    digest: PolicyDigest,
    start: u32,
    characters: u32,
) -> Result<Option<PolicySetPart>, StoreError> {
    let query = sqlx::query!(
        r#"SELECT substr(text, $2::bigint::integer + 1, $3::bigint::integer) AS "part!", length(text) AS "length!", first_used_at
           FROM policy_set WHERE digest = $1"#,
        digest.to_string(),
        i64::from(start),
        i64::from(characters),
    );
    let row = database.run(async |conn| query.fetch_optional(conn).await).await?;
    row.map(|row| {
        Ok(PolicySetPart {
            text: row.part,
            length: count(TABLE, row.length.into())?,
            first_used_at: Timestamp::new(row.first_used_at),
        })
    })
    .transpose()
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
