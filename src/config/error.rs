//! Why a configuration cannot be used. The message may end up in a log, so it repeats no text of the configuration. Mistakes are
//! often beside secrets: a password with a quotation mark, or a key in the place of its section.

use std::path::Path;

use super::rules::{self, Problem};

/// The configuration cannot be used. Each problem names its key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration cannot be parsed.
    #[error("the configuration cannot be read: {0}")]
    Unreadable(String),
    /// An override is not `KEY=VALUE`. Holds its number.
    #[error("argument {0} of --set is not KEY=VALUE, such as server.listen=127.0.0.1:0")]
    Override(usize),
    /// A value breaks a rule.
    #[error("the configuration breaks {} rule(s):{}", .0.len(), rules::list(.0))]
    Broken(Vec<Problem>),
}

impl From<config::ConfigError> for ConfigError {
    fn from(error: config::ConfigError) -> Self {
        Self::of(&error, None)
    }
}

impl ConfigError {
    /// The error for a configuration of this file, if there is one.
    pub(super) fn of(error: &config::ConfigError, file: Option<&Path>) -> Self {
        let message = message(error, None);
        Self::Unreadable(match (error, file) {
            (config::ConfigError::FileParse { .. }, Some(file)) => format!("{message} in {}", file.display()),
            _ => message,
        })
    }
}

/// The message for an error, without text of the configuration. `outer` is the key of the enclosing error.
fn message(error: &config::ConfigError, outer: Option<&str>) -> String {
    match error {
        config::ConfigError::FileParse { cause, .. } => {
            // The lines after the first quote the configuration.
            cause.to_string().lines().next().unwrap_or_default().to_owned()
        }
        config::ConfigError::Type {
            unexpected,
            expected,
            key,
            ..
        } => {
            let key = key.as_deref().or(outer).map_or_else(|| "a value".to_owned(), dotted);
            let found = format!("not {unexpected}");
            let found = if found.starts_with("not string") {
                "not a text"
            } else {
                &found
            };
            format!("{key}: must be {expected}, {found}")
        }
        config::ConfigError::At { error, key, .. } => message(error, key.as_deref().or(outer)),
        config::ConfigError::Message(text) => {
            let key = outer.map(|key| format!("{}: ", dotted(key))).unwrap_or_default();
            format!("{key}{}", without_texts(text))
        }
        error => without_texts(&error.to_string()),
    }
}

/// `config` writes `accounts[1]share_with` for `accounts[1].share_with`.
fn dotted(key: &str) -> String {
    key.replace(']', "].")
        .replace("].[", "][")
        .replace("]..", "].")
        .trim_end_matches('.')
        .to_owned()
}

/// Removes the text that serde quotes: `invalid type: string "…", expected …`.
fn without_texts(message: &str) -> String {
    const QUOTED: &str = "string \"";
    let Some(start) = message.find(QUOTED) else {
        return message.to_owned();
    };
    let quoted = &message[start + QUOTED.len()..];
    let rest = quoted.rfind('"').map_or("", |end| &quoted[end + 1..]);
    format!("{}a text{rest}", &message[..start])
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const SECRET: &str = "hunter2";

    fn refused(text: &str) -> String {
        let error = Config::from_toml(text).expect_err(text);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(SECRET), "{shown}");
        error.to_string()
    }

    #[test]
    fn the_message_for_a_mistake_beside_a_secret_does_not_show_the_secret() {
        let place = "the configuration cannot be read: TOML parse error at line 2, column ";
        let quoted = refused("[database]\nurl = \"postgres://user:pa\"hunter2@host/name\"\n");
        assert!(quoted.starts_with(place), "{quoted}");
        let unended = refused("[database]\nurl = \"postgres://user:hunter2@host/name\n");
        assert!(unended.starts_with(place), "{unended}");
        assert!(refused("checkpoint = \"hunter2\"").contains("checkpoint"));
        refused("database.url = \"postgres://user:hunter2@host\"\nauth.modes = \"hunter2\"\n");
        refused("database.url = [\"hunter2\"]");
        refused("database.url = \"postgres://u\"\nserver.max_wait = \"hunter2\"\n");
        refused("server.listen = \"hunter2\"");
    }

    #[test]
    fn an_invalid_override_is_named_by_its_number() {
        let sets = ["server.listen=127.0.0.1:0".into(), SECRET.into()];
        let error = Config::load(None, &sets).unwrap_err().to_string();
        assert!(
            error.contains("argument 2 of --set") && !error.contains(SECRET),
            "{error}"
        );
    }

    #[test]
    fn an_account_without_quotes_is_refused_and_its_key_is_named() {
        let config = |account: &str| {
            refused(&format!(
                "database.url = \"postgres://u@h/d\"\ncheckpoint.name = \"o\"\nauth.modes = [\"trusted-header\"]\n\
                 [[accounts]]\nid = \"111122223333\"\nregions = [\"eu-central-1\"]\nshare_with = \"anyone\"\n\
                 [[accounts]]\n{account}\nregions = [\"eu-central-1\"]\n"
            ))
        };
        let id = config("id = 111122224444\nshare_with = \"anyone\"");
        assert!(
            id.contains("accounts[1].id: ") && id.contains("12 digits, in quotes"),
            "{id}"
        );
        let recipients = config("id = \"111122224444\"\nshare_with = [111122223333]");
        let named = recipients.contains("accounts[1].share_with: ");
        assert!(named && recipients.contains("12 digits, in quotes"), "{recipients}");
    }

    #[test]
    fn a_file_that_is_not_utf_8_is_refused_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"# one\n[checkpoint]\norigin = \"\xe9t\xe9\"\n").unwrap();
        let error = Config::load(Some(file.path()), &[]).unwrap_err().to_string();
        let line = format!("line 3 of {} is not UTF-8", file.path().display());
        assert!(error.ends_with(&line), "{error}");
    }
}
