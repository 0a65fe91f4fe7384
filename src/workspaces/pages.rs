//! Follows `NextToken`: the SDK has no paginator for image permissions. Stops at a repeated token and at a maximum number of
//! pages.

use std::collections::HashSet;

use super::own_error;
use crate::domain::{AwsError, AwsErrorKind};

/// The maximum page size of the API model.
pub(super) const PAGE_SIZE: i32 = 25;

/// Maximum pages of one read: 25,000 permissions or images, far more than AWS allows.
const MAX_PAGES: usize = 1000;

/// The tokens so far.
#[derive(Debug, Default)]
pub(super) struct Pages(HashSet<String>);

/// How far a read over pages is.
#[derive(Debug, Default)]
pub struct PageCursor {
    pages: Pages,
    token: Option<String>,
    is_at_end: bool,
}

impl PageCursor {
    /// True when the last page was read.
    pub fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// The token of the next page. None for the first page.
    pub(super) fn token(&self) -> Option<String> {
        self.token.clone()
    }

    /// Goes on to the page after the one that was just read.
    pub(super) fn advance(&mut self, next: Option<&str>) -> Result<(), AwsError> {
        self.token = self.pages.next(next)?;
        self.is_at_end = self.token.is_none();
        Ok(())
    }
}

impl Pages {
    /// The token of the next page; `None` after the last page.
    pub(super) fn next(&mut self, token: Option<&str>) -> Result<Option<String>, AwsError> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok(None);
        };
        if self.0.len() + 1 >= MAX_PAGES {
            return Err(own_error(AwsErrorKind::Unknown, "TooManyPages"));
        }
        if !self.0.insert(token.to_owned()) {
            return Err(own_error(AwsErrorKind::Unknown, "RepeatedToken"));
        }
        Ok(Some(token.to_owned()))
    }
}
