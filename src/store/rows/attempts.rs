//! The JSON of `change.attempts`.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    domain::{Attempt, AwsOperation, Classification, Timestamp},
    store::error::StoreError,
};

use super::named;

/// An attempt.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct AttemptRow<'a> {
    operation: Cow<'a, str>,
    started_at: Cow<'a, str>,
    duration_us: u64,
    classification: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aws_request_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<Cow<'a, str>>,
}

/// Reads attempts.
pub(super) fn read(rows: Vec<AttemptRow<'_>>) -> Result<Vec<Attempt>, StoreError> {
    rows.into_iter()
        .map(|row| {
            Ok(Attempt {
                operation: named("change", AwsOperation::parse, &row.operation)?,
                started_at: Timestamp::parse(&row.started_at)
                    .ok_or_else(|| StoreError::corrupt("change", "a time of an attempt"))?,
                duration: Duration::from_micros(row.duration_us),
                classification: named("change", Classification::parse, &row.classification)?,
                aws_request_id: row.aws_request_id.map(Cow::into_owned),
                error_code: row.error_code.map(Cow::into_owned),
            })
        })
        .collect()
}

/// Writes attempts.
pub(super) fn rows(attempts: &[Attempt]) -> Vec<AttemptRow<'_>> {
    attempts
        .iter()
        .map(|attempt| AttemptRow {
            operation: attempt.operation.as_str().into(),
            started_at: attempt.started_at.to_string().into(),
            duration_us: u64::try_from(attempt.duration.as_micros()).unwrap_or(u64::MAX),
            classification: attempt.classification.as_str().into(),
            aws_request_id: attempt.aws_request_id.as_deref().map(Cow::Borrowed),
            error_code: attempt.error_code.as_deref().map(Cow::Borrowed),
        })
        .collect()
}
