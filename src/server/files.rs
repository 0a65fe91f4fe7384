//! The files that a configuration names, read in the same way as the server reads them, for `config check`.

use std::{
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::{
    clock::Clock,
    config::Config,
    domain::with_causes,
    edge::{ServerTls, TokenKeys},
};

use super::{checkpoint_keys, policy_set};

/// A file that a configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// The key of the configuration.
    pub key: &'static str,
    /// The path, as it is configured.
    pub path: PathBuf,
}

impl fmt::Display for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key, self.path.display())?;
        match std::env::current_dir() {
            Ok(folder) if self.path.is_relative() => {
                write!(f, " (relative to the working directory, {})", folder.display())
            }
            _ => Ok(()),
        }
    }
}

/// The files that the configuration names.
pub fn named_files(config: &Config) -> Vec<NamedFile> {
    let (tls, jwt) = (config.server.tls.as_ref(), config.auth.jwt.as_ref());
    let files: [(&'static str, Option<&Path>); 6] = [
        ("server.tls.certificate", tls.map(|tls| &*tls.certificate)),
        ("server.tls.key", tls.map(|tls| &*tls.key)),
        ("server.tls.client_ca", tls.and_then(|tls| tls.client_ca.as_deref())),
        (
            "auth.jwt.jwks",
            jwt.filter(|jwt| !jwt.jwks_is_url()).map(|jwt| Path::new(&jwt.jwks)),
        ),
        ("auth.jwt.jwks_ca", jwt.and_then(|jwt| jwt.jwks_ca.as_deref())),
        ("checkpoint.key_file", config.checkpoint.key_file.as_deref()),
    ];
    let named = files.into_iter().filter_map(|(key, path)| {
        let path = path?.to_owned();
        Some(NamedFile { key, path })
    });
    named.collect()
}

/// Why files of the configuration, or the checkpoint key in it, cannot be used. It calls neither Postgres nor AWS nor an issuer
/// of tokens.
pub async fn file_problems(config: &Config) -> Vec<String> {
    let files = named_files(config);
    let unreadable: Vec<_> = files
        .iter()
        .filter_map(|file| Some((file, unreadable(&file.path)?)))
        .collect();
    let is_readable = |prefix: &str| !unreadable.iter().any(|(file, _)| file.key.starts_with(prefix));
    let mut problems: Vec<_> = unreadable.iter().map(|(file, why)| format!("{file}: {why}")).collect();
    let mut add = |error: &(dyn Error + 'static)| problems.push(with_causes(error));
    if let Some(tls) = config.server.tls.clone().filter(|_| is_readable("server.tls"))
        && let Err(error) = ServerTls::load(tls, Clock::system()).await
    {
        add(&error);
    }
    if let Some(jwt) = config
        .auth
        .jwt
        .clone()
        .filter(|jwt| !jwt.jwks_is_url() && is_readable("auth.jwt"))
        && let Err(error) = TokenKeys::start(jwt, Clock::system()).await
    {
        add(&error);
    }
    if let Err(error) = policy_set(config) {
        add(&error);
    }
    if is_readable("checkpoint")
        && let Err(error) = checkpoint_keys::read(&config.checkpoint)
    {
        add(&error);
    }
    problems
}

fn unreadable(path: &Path) -> Option<io::Error> {
    fs::read(path).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_policy_that_cannot_be_used_is_a_problem_of_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        let config = format!(
            "database.url = \"postgres://x\"\nauth.modes = [\"trusted-header\"]\ncheckpoint.name = \"a\"\ncheckpoint.key = \"b\"\n\
             policy.directory = \"{}\"\naccounts = [{{ id = \"111122223333\", regions = [\"eu-central-1\"], share_with = \"anyone\" }}]\n",
            directory.path().display()
        );
        let config = Config::from_toml(&config).unwrap();
        let about_policies = async || {
            let problems = file_problems(&config).await;
            problems
                .into_iter()
                .filter(|problem| problem.contains("a.cedar:2: the policy has no @id"))
                .count()
        };
        assert_eq!(about_policies().await, 0);
        fs::write(
            directory.path().join("a.cedar"),
            "\npermit (principal, action, resource);",
        )
        .unwrap();
        assert_eq!(about_policies().await, 1);
    }
}
