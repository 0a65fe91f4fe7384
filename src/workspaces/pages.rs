//! Following `NextToken` by hand: the SDK has no paginator for image permissions. A server that leads in circles is not
//! followed for ever.

use std::collections::HashSet;

use super::own_error;
use crate::domain::{AwsError, AwsErrorKind};

/// The largest page that the API model allows.
pub(super) const PAGE_SIZE: i32 = 25;

/// Far more than an image has permissions, or an account images: 25,000.
const MAX_PAGES: usize = 1000;

/// The tokens followed so far.
#[derive(Debug, Default)]
pub(super) struct Pages(HashSet<String>);

impl Pages {
    /// The token to go on with; none at the end.
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
