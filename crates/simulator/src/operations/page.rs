//! Pages of a list: at most 25 items, and an opaque token that is good only for the list it came from.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::members::Members;
use crate::pattern;
use crate::refusal::Refusal;

/// The most that AWS gives on a page, and what it gives when not asked for less.
const MOST: i64 = 25;

/// Which page is asked for.
pub(super) struct Page {
    size: usize,
    token: Option<String>,
}

impl Page {
    /// Reads MaxResults and NextToken.
    pub(super) fn read(members: &mut Members<'_>) -> Result<Self, Refusal> {
        let size = members.number("MaxResults", 1..=MOST)?.unwrap_or(MOST);
        let token = members.text("NextToken", &pattern::NEXT_TOKEN)?;
        Ok(Self {
            size: usize::try_from(size).unwrap_or_default(),
            token,
        })
    }

    /// Cuts the page out of the sorted keys of `list`, which is named by everything that was asked for.
    pub(super) fn cut<K: Into<String>>(
        &self,
        list: &impl Hash,
        keys: impl Iterator<Item = K>,
    ) -> Result<(Vec<String>, Option<String>), Refusal> {
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

/// Adds NextToken to an answer, if there is more.
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

fn open(list: &str, token: &str) -> Result<String, Refusal> {
    BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix(list).map(str::to_owned))
        .ok_or_else(|| Refusal::invalid_parameter("NextToken does not belong to this list."))
}
