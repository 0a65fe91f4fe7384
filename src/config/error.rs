//! Why a configuration cannot be used. The message may end up in a log, so it repeats no text of the configuration. Mistakes are
//! often beside secrets: a password with a quotation mark, or a key in the place of its section.

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
        Self::Unreadable(message(&error, None))
    }
}

/// The message for an error, without text of the configuration. `outer` is the key of the enclosing error.
fn message(error: &config::ConfigError, outer: Option<&str>) -> String {
    match error {
        config::ConfigError::FileParse { uri, cause } => {
            // The lines after the first quote the configuration.
            let place = cause.to_string();
            let place = place.lines().next().unwrap_or_default().to_owned();
            let file = uri.as_ref().map(|uri| format!(" in {uri}")).unwrap_or_default();
            format!("{place}{file}")
        }
        config::ConfigError::Type {
            unexpected,
            expected,
            key,
            ..
        } => {
            let key = key.as_deref().or(outer).unwrap_or("a value");
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
            let key = outer.map(|key| format!("{key}: ")).unwrap_or_default();
            format!("{key}{}", without_texts(text))
        }
        error => without_texts(&error.to_string()),
    }
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
}
