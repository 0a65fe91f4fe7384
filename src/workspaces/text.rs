//! Makes text of AWS and the SDK fit to store, to show and to log.

use std::error::Error;

use crate::domain::causes;

/// Maximum length of an error code or request id.
const MAX_CODE_CHARS: usize = 128;

/// Maximum length of a message, in characters.
const MAX_MESSAGE_CHARS: usize = 1024;

/// Maximum length of a chain of causes in the log, in characters.
const MAX_CHAIN_CHARS: usize = 4096;

/// Text with one of these quotes a signed request or credentials. AWS answers a wrong signature with the canonical request, which
/// contains the session token.
const SECRET_MARKERS: [&str; 8] = [
    "security-token",
    "signature=",
    "credential=",
    "aws4-hmac",
    "string-to-sign",
    "canonical string",
    "secretaccesskey",
    "sessiontoken",
];

const WITHHELD: &str = "(withheld: it quotes the signed request)";

/// An error code or request id: visible ASCII, truncated.
pub(super) fn code(text: &str) -> String {
    text.chars()
        .filter(char::is_ascii_graphic)
        .take(MAX_CODE_CHARS)
        .collect()
}

/// Text of a caller of AWS, truncated. It is ASCII by AWS's rules; another character becomes a question mark.
pub(super) fn ascii(text: &str, chars: usize) -> String {
    let ascii = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(chars).map(ascii).collect()
}

/// AWS's message, truncated, without control characters (Postgres allows no NUL). `None` if it is empty or quotes a secret.
pub(super) fn message(text: &str) -> Option<String> {
    let printable = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    Some(text)
        .filter(|text| !text.is_empty() && !quotes_secret(text))
        .map(|text| text.chars().take(MAX_MESSAGE_CHARS).map(printable).collect())
}

/// An error and its causes, for the log. Uses `Display` only: `Debug` of the SDK's errors prints whole answers, and those of STS
/// contain credentials.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = cause.to_string();
        let text = if quotes_secret(&text) {
            WITHHELD.to_owned()
        } else {
            text
        };
        if texts.last() != Some(&text) {
            texts.push(text);
        }
    }
    texts.join(": ").chars().take(MAX_CHAIN_CHARS).collect()
}

/// The first error of type `E` in the chain of causes.
pub(super) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn quotes_secret(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    SECRET_MARKERS.iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_truncated_by_characters_and_have_no_control_characters() {
        assert_eq!(message(&"é".repeat(2000)), Some("é".repeat(1024)));
        assert_eq!(
            message("nul\0, line\nand tab\t"),
            Some("nul\u{fffd}, line\nand tab\t".into())
        );
        assert_eq!(message(""), None);
    }

    #[test]
    fn a_message_that_quotes_the_signed_request_is_withheld() {
        let quoted = "The Canonical String for this request should have been 'POST\n/\n\nx-amz-security-token:FwoG'";
        assert_eq!(message(quoted), None);
    }

    #[test]
    fn codes_are_visible_ascii_and_bounded() {
        assert_eq!(code("A b\n\u{1b}C"), "AbC");
        assert_eq!(code(&"x".repeat(500)).len(), 128);
    }
}
