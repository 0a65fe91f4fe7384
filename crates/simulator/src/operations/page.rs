//! Pagination: at most 25 items a page, and an opaque token that is valid only for the list that it came from.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{api_error::ApiError, member_reader::MemberReader, text_rule};

/// Maximum and default page size of WorkSpaces.
const MOST: i64 = 25;

/// Maximum and default page size of CloudTrail.
const EVENTS: i64 = 50;

/// Maximum and default page size of tagging.
const RESOURCES: (i64, i64) = (100, 50);

pub(super) struct PageRequest {
    size: usize,
    token: Option<String>,
}

impl PageRequest {
    /// Reads MaxResults and NextToken.
    pub(super) fn read(members: &mut MemberReader<'_>) -> Result<Self, ApiError> {
        let size = members.number("MaxResults", 1..=MOST)?.unwrap_or(MOST);
        let token = members.text("NextToken", &text_rule::NEXT_TOKEN)?;
        Ok(Self {
            size: usize::try_from(size).unwrap_or_default(),
            token,
        })
    }

    /// Reads MaxResults and NextToken of CloudTrail, which has an error of its own for each.
    pub(super) fn read_events(members: &mut MemberReader<'_>) -> Result<Self, ApiError> {
        let size = members.number("MaxResults", i64::MIN..=i64::MAX)?.unwrap_or(EVENTS);
        if !(1..=EVENTS).contains(&size) {
            let message = format!("MaxResults must be from 1 to {EVENTS}.");
            return Err(ApiError::new("InvalidMaxResultsException", message));
        }
        Ok(Self {
            size: usize::try_from(size).unwrap_or_default(),
            token: members.text("NextToken", &text_rule::ANY)?,
        })
    }

    /// Reads ResourcesPerPage and PaginationToken. An empty token means the first page.
    pub(super) fn read_resources(members: &mut MemberReader<'_>) -> Result<Self, ApiError> {
        let (most, default) = RESOURCES;
        let size = members.number("ResourcesPerPage", 1..=most)?.unwrap_or(default);
        let token = members.text("PaginationToken", &text_rule::PAGINATION_TOKEN)?;
        Ok(Self {
            size: usize::try_from(size).unwrap_or_default(),
            token: token.filter(|token| !token.is_empty()),
        })
    }

    /// Cuts the page out of the sorted keys. `list` is everything that identifies the list.
    pub(super) fn cut<K: Into<String>>(
        &self,
        list: &impl Hash,
        keys: impl Iterator<Item = K>,
    ) -> Result<(Vec<String>, Option<String>), ApiError> {
        let list = fingerprint(list);
        let start = self.token.as_deref().map(|token| open(&list, token)).transpose()?;
        let mut keys: Vec<String> = keys
            .map(Into::into)
            .filter(|key| start.as_ref().is_none_or(|start| key > start))
            .take(self.size + 1)
            .collect();
        let more = keys.len() > self.size;
        keys.truncate(self.size);
        let next = keys.last().filter(|_| more).map(|last| seal(&list, last));
        Ok((keys, next))
    }
}

/// Adds NextToken to the output if there are more items.
pub(super) fn with_next_token(mut answer: Value, next: Option<String>) -> Value {
    if let Some(next) = next {
        answer["NextToken"] = Value::String(next);
    }
    answer
}

fn fingerprint(list: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    list.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn seal(list: &str, last: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{list}{last}"))
}

fn open(list: &str, token: &str) -> Result<String, ApiError> {
    BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix(list).map(str::to_owned))
        .ok_or_else(|| ApiError::invalid_parameter("The token does not belong to this list."))
}
