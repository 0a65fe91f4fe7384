//! The cause chain of an error.

use std::{error::Error, io, iter};

/// An error and its causes, outermost first. For an `io::Error` the next cause is its payload, which `source` skips.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

/// The messages of an error and its causes, joined as `a: b: c`. A message that the text already contains is left out.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let more = cause.to_string();
        if text.is_empty() {
            text = more;
        } else if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct LayeredError {
        text: &'static str,
        source: Option<io::Error>,
    }

    #[test]
    fn each_message_appears_once_also_from_the_payload_of_an_io_error() {
        let innermost = LayeredError {
            text: "the key is encrypted",
            source: None,
        };
        let error = LayeredError {
            text: "cannot read the key",
            source: Some(io::Error::other(innermost)),
        };
        assert_eq!(with_causes(&error), "cannot read the key: the key is encrypted");
        assert_eq!(causes(&error).count(), 3);
    }
}
