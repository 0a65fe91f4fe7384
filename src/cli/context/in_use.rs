//! The context in use: what it adds to the options of a command, and where each value comes from.

use std::path::{Path, PathBuf};

use super::{
    Context,
    file::{self, ContextFile},
    no_such,
};
use crate::cli::{
    failure::{Exit, Failure},
    given::Place,
    options::{ClientOptions, default_server, url},
};

/// The context in use, and whether its connection is used.
#[derive(Debug, Clone)]
pub(in crate::cli) struct ContextInUse {
    pub(in crate::cli) context: Context,
    /// The server is that of the context, so its certificates, its token and its principal are used.
    is_connected: bool,
}

/// A setting of a context, as a command has it.
#[derive(Debug, Clone)]
pub(in crate::cli) struct EffectiveSetting {
    /// The key in the file of contexts.
    pub(in crate::cli) key: &'static str,
    /// The value; `None` if there is none.
    pub(in crate::cli) value: Option<String>,
    /// Where the value comes from, for people. Empty without a value.
    pub(in crate::cli) from: String,
}

impl ClientOptions {
    /// These options, with what the context in use adds to them.
    ///
    /// The server of a context, and the certificates, the token and the principal belong together: they are used only with this
    /// server. A stronger place may name another server; the same or a weaker place may not, because it is not clear then which
    /// service is meant.
    pub(in crate::cli) fn with_context(&self) -> Result<Self, Failure> {
        let Some(context) = self.chosen_context()? else {
            return Ok(self.clone());
        };
        let mut options = self.clone();
        let theirs = context.server.clone().unwrap_or_else(default_server);
        let is_connected = self.server.as_ref().is_none_or(|server| *server == theirs);
        if is_connected {
            options.server = Some(theirs);
            options.principal = options.principal.or(context.principal.clone());
            options.tls_ca = options.tls_ca.or(context.tls_ca.clone());
            options.tls_certificate = options.tls_certificate.or(context.tls_certificate.clone());
            options.tls_key = options.tls_key.or(context.tls_key.clone());
            options.token_file = options.token_file.or(context.token_file.clone());
        } else if self.given.place("server") <= self.given.place("context") {
            let server = self.given.origin("server").unwrap_or_default();
            let what = format!(
                "context {} has the server {}, and {server} names another one",
                context.name,
                url(&theirs)
            );
            let hint = format!("give only the context, or only {server}");
            return Err(Failure::new(Exit::Invalid, what, hint));
        }
        options.in_use = Some(ContextInUse { context, is_connected });
        Ok(options)
    }

    fn chosen_context(&self) -> Result<Option<Context>, Failure> {
        if self.context.is_none() && self.environment.context_file().is_none() {
            return Ok(None);
        }
        let file = self.context_file()?;
        match self.context.as_ref().or(file.current.as_ref()) {
            None => Ok(None),
            Some(name) => file.context(name).cloned().map(Some).ok_or_else(|| no_such(name)),
        }
    }

    /// The path of the file of contexts.
    pub(in crate::cli) fn context_path(&self) -> Result<&Path, Failure> {
        file::path(self.environment.context_file())
    }

    /// The contexts. None if there is no file, unless the environment names it.
    pub(in crate::cli) fn context_file(&self) -> Result<ContextFile, Failure> {
        let path = self.context_path()?;
        match ContextFile::read(path)? {
            None if self.environment.names_context_file() => {
                let what = format!("SHAREWARDEN_CONFIG_FILE names {}, which does not exist", path.display());
                Err(Failure::new(
                    Exit::Invalid,
                    what,
                    "correct it, or make the file with `sharewarden context set`",
                ))
            }
            file => Ok(file.unwrap_or_default()),
        }
    }

    /// These options, as if `context use` had named this context. Everything else wins over it.
    pub(in crate::cli) fn using(&self, name: String) -> Self {
        let mut options = self.clone();
        options.context = Some(name);
        options.given.remove("context");
        options
    }

    /// The settings of a context that something stronger gives, and the name of that place: for commands that name no context.
    pub(in crate::cli) fn overridden(&self, name: &str) -> Vec<(&'static str, String)> {
        let Ok(later) = self.using(name.to_owned()).with_context() else {
            return Vec::new();
        };
        let Some(context) = later.context_in_use() else {
            return Vec::new();
        };
        let (account, region) = (self.environment.account_variable(), self.environment.region_variable());
        let is_set = [
            ("server", context.server.is_some(), self.given.origin("server")),
            ("principal", context.principal.is_some(), self.given.origin("principal")),
            ("tls_ca", context.tls_ca.is_some(), self.given.origin("tls_ca")),
            (
                "tls_certificate",
                context.tls_certificate.is_some(),
                self.given.origin("tls_certificate"),
            ),
            ("tls_key", context.tls_key.is_some(), self.given.origin("tls_key")),
            (
                "token_file",
                context.token_file.is_some(),
                self.given.origin("token_file"),
            ),
            ("account", context.account.is_some(), account.map(str::to_owned)),
            ("region", context.region.is_some(), region.map(str::to_owned)),
        ];
        let overridden = is_set.into_iter().filter(|(_, is_set, _)| *is_set);
        overridden.filter_map(|(key, _, origin)| Some((key, origin?))).collect()
    }

    /// True if the context has options of a connection that are not used, because the server is another one.
    pub(in crate::cli) fn has_unused_connection_options(&self) -> bool {
        self.in_use
            .as_ref()
            .is_some_and(|used| !used.is_connected && used.context.has_connection_options())
    }

    /// The settings of a context as this command has them: the key, the value, and where it comes from.
    pub(in crate::cli) fn effective(&self) -> Result<Vec<EffectiveSetting>, Failure> {
        let used = self.in_use.as_ref();
        let connection = self.connection_settings().into_iter().map(|(key, value)| {
            let given = self.given.origin(key);
            let is_default = key == "server" && used.is_none_or(|used| used.context.server.is_none());
            let from = match used {
                _ if value.is_none() => String::new(),
                Some(used) if used.is_connected && !is_default => used.context.origin(),
                _ => "default".to_owned(),
            };
            EffectiveSetting {
                key,
                value,
                from: given.unwrap_or(from),
            }
        });
        let mut settings: Vec<_> = connection.collect();
        if let Some(principal) = settings.iter_mut().find(|setting| setting.key == "principal")
            && principal.value.is_none()
            && !self.has_credential()
        {
            principal.value = self.principal().and_then(|name| Some(name.to_str().ok()?.to_owned()));
            principal.from = "the OS user".to_owned();
        }
        let context = self.context_in_use();
        let (account, region) = (self.environment.account()?, self.environment.region()?);
        for (key, variable, of_environment, of_context) in [
            (
                "account",
                self.environment.account_variable(),
                account.map(|account| account.to_string()),
                context
                    .and_then(|context| context.account)
                    .map(|account| account.to_string()),
            ),
            (
                "region",
                self.environment.region_variable(),
                region.map(|region| region.to_string()),
                context
                    .and_then(|context| context.region.clone())
                    .map(|region| region.to_string()),
            ),
        ] {
            let from = match (variable, &of_context) {
                (Some(variable), _) => variable.to_owned(),
                (None, Some(_)) => context.map(Context::origin).unwrap_or_default(),
                (None, None) => String::new(),
            };
            settings.push(EffectiveSetting {
                key,
                value: of_environment.or(of_context),
                from,
            });
        }
        Ok(settings)
    }

    /// The settings of a context that this command line gives, with absolute paths.
    pub(in crate::cli) fn settings_of_command_line(&self) -> Vec<(&'static str, String)> {
        let given = |key: &str| self.given.place(key) == Some(Place::CommandLine);
        let settings = self.connection_settings().into_iter().filter(|(key, _)| given(key));
        settings.filter_map(|(key, value)| Some((key, value?))).collect()
    }

    fn connection_settings(&self) -> [(&'static str, Option<String>); 6] {
        let principal = self.principal.as_ref().and_then(|principal| principal.to_str().ok());
        let file = |file: &Option<PathBuf>| {
            let file = file.as_ref()?;
            Some(std::path::absolute(file).as_ref().unwrap_or(file).display().to_string())
        };
        [
            ("server", Some(self.server())),
            ("principal", principal.map(str::to_owned)),
            ("tls_ca", file(&self.tls_ca)),
            ("tls_certificate", file(&self.tls_certificate)),
            ("tls_key", file(&self.tls_key)),
            ("token_file", file(&self.token_file)),
        ]
    }
}
