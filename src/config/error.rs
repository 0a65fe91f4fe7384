//! Why a configuration cannot be used. What is said may end in a log, so no text of the configuration is repeated: a password that
//! holds a quotation mark, or a key in the place of its section, is where mistakes are made.

use super::rules::{self, Problem};

/// The configuration cannot be used. Each problem names its key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read, for this.
    #[error("the configuration cannot be read: {0}")]
    Unreadable(String),
    /// An override is not `KEY=VALUE`.
    #[error("--set: each must be KEY=VALUE, such as server.listen=127.0.0.1:0; number {0} has no =")]
    Override(usize),
    /// It can be read, but breaks rules.
    #[error("the configuration breaks {} rule(s):{}", .0.len(), rules::list(.0))]
    Broken(Vec<Problem>),
}

impl From<config::ConfigError> for ConfigError {
    fn from(error: config::ConfigError) -> Self {
        Self::Unreadable(told(&error, None))
    }
}

/// What is told of an error, without any text of the configuration. `outer` is the key that was named around it.
fn told(error: &config::ConfigError, outer: Option<&str>) -> String {
    match error {
        config::ConfigError::FileParse { uri, cause } => {
            // The lines that follow show what is there.
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
            let met = format!("not {unexpected}");
            let met = if met.starts_with("not string") {
                "not a text"
            } else {
                &met
            };
            format!("{key}: must be {expected}, {met}")
        }
        config::ConfigError::At { error, key, .. } => told(error, key.as_deref().or(outer)),
        config::ConfigError::Message(message) => {
            let key = outer.map(|key| format!("{key}: ")).unwrap_or_default();
            format!("{key}{}", without_texts(message))
        }
        error => without_texts(&error.to_string()),
    }
}

/// Takes out what serde quotes as the text that it met: `invalid type: string "…", expected …`.
fn without_texts(message: &str) -> String {
    const MET: &str = "string \"";
    let Some(start) = message.find(MET) else {
        return message.to_owned();
    };
    let quoted = &message[start + MET.len()..];
    let rest = quoted.rfind('"').map_or("", |end| &quoted[end + 1..]);
    format!("{}a text{rest}", &message[..start])
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    const SECRET: &str = "hunter2";

    fn refused(text: &str) -> String {
        let error = Config::from_toml(text).expect_err(text);
        let told = format!("{error} {error:?}");
        assert!(!told.contains(SECRET), "{told}");
        error.to_string()
    }

    #[test]
    fn a_mistake_beside_a_secret_does_not_tell_the_secret() {
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
    fn an_override_that_is_none_is_named_by_its_number() {
        let sets = ["server.listen=127.0.0.1:0".into(), SECRET.into()];
        let error = Config::load(None, &sets).unwrap_err().to_string();
        assert!(error.contains("number 2") && !error.contains(SECRET), "{error}");
    }
}
