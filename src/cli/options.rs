//! The options that all client commands share.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use clap::{Args, Command, ValueEnum};
use tonic::{metadata::AsciiMetadataValue, transport::Uri};

use super::{
    context::{self, Context, ContextInUse},
    environment::Environment,
    failure::{Exit, Failure},
    given::{Given, Place},
    view::DisplayArgs,
};
use crate::domain::{AccountId, Invalid, Region};

/// The default of --server: the address of `sharewarden dev`.
pub(super) const DEFAULT_SERVER: &str = "http://127.0.0.1:7443";

/// The heading of these options in the help, apart from those of the command.
const HEADING: &str = "Client options";

/// 7 days: longer than any change may take, and within the range of `grpc-timeout`.
const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Options of every client command.
#[derive(Debug, Clone, Args)]
pub struct ClientOptions {
    #[command(flatten)]
    pub(super) given: Given,

    /// The context to use, a named set of these options [default: that of `sharewarden context use`]
    #[arg(long, global = true, help_heading = HEADING, env = "SHAREWARDEN_CONTEXT", value_name = "NAME",
          value_parser = context::file::name)]
    pub(super) context: Option<String>,

    /// The URL of the service: http://HOST:PORT or https://HOST:PORT [default: http://127.0.0.1:7443]
    #[arg(long, global = true, help_heading = HEADING, env = "SHAREWARDEN_SERVER", value_name = "URL",
          value_parser = parse::server)]
    pub(super) server: Option<Uri>,

    /// The name of the caller, in printable ASCII, for a service that trusts this header [default: the name of the OS user, or
    /// none with --tls-certificate or --token-file]
    #[arg(long, global = true, help_heading = HEADING, env = "SHAREWARDEN_PRINCIPAL", value_name = "NAME",
          value_parser = parse::principal)]
    pub(super) principal: Option<AsciiMetadataValue>,

    /// The certificate authorities that verify the service's certificate, a PEM file [default: those of the system]
    #[arg(long, global = true, help_heading = HEADING, env = "SHAREWARDEN_TLS_CA", value_name = "FILE")]
    pub(super) tls_ca: Option<PathBuf>,

    /// The client certificate that authenticates the caller, a PEM file; needs --tls-key
    #[arg(long, global = true, help_heading = HEADING, env = "SHAREWARDEN_TLS_CERTIFICATE", value_name = "FILE")]
    pub(super) tls_certificate: Option<PathBuf>,

    /// The private key of --tls-certificate, a PEM file
    #[arg(long, global = true, help_heading = HEADING, env = "SHAREWARDEN_TLS_KEY", value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,

    /// A file with the bearer token that authenticates the caller; it is read again for each call
    #[arg(long, global = true, help_heading = HEADING, env = "SHAREWARDEN_TOKEN_FILE", value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,

    /// The output format: table for people, json (proto3 JSON) for programs, or csv for lists and summaries [default: table]
    #[arg(short, long, global = true, help_heading = HEADING, value_name = "FORMAT", value_enum, default_value_t = Output::Table,
          hide_possible_values = true, hide_default_value = true)]
    pub(super) output: Output,

    /// The timeout of an answer, with a unit, such as 500ms, 30s or 5m; 1ms to 7days. A change continues after it
    #[arg(long, global = true, help_heading = HEADING, value_name = "DURATION", default_value = "30s",
          value_parser = parse::timeout)]
    pub(super) timeout: Duration,

    #[command(flatten)]
    pub(super) display: DisplayArgs,

    /// The defaults of the environment. Empty until [`in_environment`](Self::in_environment).
    #[arg(skip)]
    pub(super) environment: Environment,

    /// The context in use. None until [`with_context`](Self::with_context).
    #[arg(skip)]
    pub(super) in_use: Option<ContextInUse>,
}

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table, for people.
    Table,
    /// proto3 JSON, for programs.
    Json,
    /// CSV (RFC 4180), for spreadsheets. A text that a spreadsheet would read as a formula gets a ' in front.
    Csv,
}

/// The command, with each environment variable that is empty counted as not set. Compose files pass an unset variable so.
pub fn without_empty_variables(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        // clap reads the variable when the argument is declared.
        let is_empty = arg.get_env().is_some_and(is_empty_variable);
        if is_empty { arg.env(None::<&str>) } else { arg }
    });
    command.mut_subcommands(without_empty_variables)
}

#[expect(
    clippy::disallowed_methods,
    reason = "clap reads the variable, and does not say whether it is empty"
)]
fn is_empty_variable(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

impl ClientOptions {
    /// How answers and errors are printed.
    pub fn output(&self) -> Output {
        self.output
    }

    /// These options, with the defaults of an environment.
    pub fn in_environment(self, environment: Environment) -> Self {
        Self { environment, ..self }
    }

    /// The account that a command is about: the given one, or else the default.
    pub(super) fn account(&self, given: Option<String>) -> Result<String, Failure> {
        if let Some(given) = given {
            return Ok(given);
        }
        self.default_account()?
            .map(|account| account.to_string())
            .ok_or_else(|| {
                let hint =
                    "name it in SHARE (ACCOUNT/REGION/IMAGE), with --account, with SHAREWARDEN_ACCOUNT or in a context";
                Failure::new(Exit::Invalid, "the account is missing", hint)
            })
    }

    /// The Region that a command is about: the given one, or else the default.
    pub(super) fn region(&self, given: Option<String>) -> Result<String, Failure> {
        if let Some(given) = given {
            return Ok(given);
        }
        self.default_region()?.map(|region| region.to_string()).ok_or_else(|| {
            let hint = "name it in SHARE (ACCOUNT/REGION/IMAGE), with --region, with SHAREWARDEN_REGION or AWS_REGION, or in a \
                        context";
            Failure::new(Exit::Invalid, "the Region is missing", hint)
        })
    }

    /// The account of the environment, or else of the context.
    pub(super) fn default_account(&self) -> Result<Option<AccountId>, Failure> {
        let of_context = || self.context_in_use().and_then(|context| context.account);
        Ok(self.environment.account()?.or_else(of_context))
    }

    /// The Region of the environment, or else of the context.
    pub(super) fn default_region(&self) -> Result<Option<Region>, Failure> {
        let of_context = || self.context_in_use().and_then(|context| context.region.clone());
        Ok(self.environment.region()?.or_else(of_context))
    }

    /// The URL of the service.
    pub(super) fn server_uri(&self) -> Uri {
        self.server.clone().unwrap_or_else(default_server)
    }

    /// The URL of the service, for display.
    pub(super) fn server(&self) -> String {
        url(&self.server_uri())
    }

    /// What a command waits for that has called the service.
    pub(super) fn waiting_text(&self) -> String {
        let timeout = humantime::format_duration(self.timeout);
        format!(
            "waiting for an answer of {}, at most {timeout} (--timeout)",
            self.server()
        )
    }

    /// True if an option of the command line names the service.
    pub fn is_service_on_command_line(&self) -> bool {
        let given = |option| self.given.place(option) == Some(Place::CommandLine);
        given("server") || given("context")
    }

    /// True if an option, a variable or a context names the service.
    ///
    /// # Errors
    /// If the context cannot be read.
    pub fn is_service_named(&self) -> Result<bool, Failure> {
        Ok(self.with_context()?.names_server())
    }

    /// The default account and the default Region.
    ///
    /// # Errors
    /// If there is none.
    pub fn default_place(&self) -> Result<(AccountId, Region), Failure> {
        let options = self.with_context()?;
        let (account, region) = (options.account(None)?, options.region(None)?);
        let wrong = |invalid: Invalid| Failure::new(Exit::Invalid, invalid.to_string(), "");
        Ok((account.parse().map_err(wrong)?, region.parse().map_err(wrong)?))
    }

    /// True if something names the service: an option, a variable or a context.
    pub(super) fn names_server(&self) -> bool {
        self.server.is_some()
    }

    /// The principal: the given one, or the OS user; `None` if the OS gives no name that can be sent.
    pub(super) fn principal(&self) -> Option<AsciiMetadataValue> {
        self.principal
            .clone()
            .or_else(|| parse::principal(&whoami::username().ok()?).ok())
    }

    /// True if a certificate or a token authenticates the caller. The name of the OS user could then contradict it.
    pub(super) fn has_credential(&self) -> bool {
        self.tls_certificate.is_some() || self.token_file.is_some()
    }

    /// The options that lead a later command to the same service as the same caller: those of this command line that name a
    /// context, a server or a principal. The environment of the shell has the others.
    pub(super) fn repeated(&self) -> impl Iterator<Item = (&'static str, String)> {
        let server = self.server();
        let is_given = |option: &str| self.given.place(option) == Some(Place::CommandLine);
        let principal = self.principal.as_ref().and_then(|principal| principal.to_str().ok());
        [
            ("--context", self.context.clone().filter(|_| is_given("context"))),
            (
                "--server",
                Some(server).filter(|server| is_given("server") && (server != DEFAULT_SERVER || self.in_use.is_some())),
            ),
            (
                "--principal",
                principal.filter(|_| is_given("principal")).map(str::to_owned),
            ),
        ]
        .into_iter()
        .filter_map(|(option, value)| Some((option, value?)))
    }

    /// The context in use.
    pub(super) fn context_in_use(&self) -> Option<&Context> {
        self.in_use.as_ref().map(|used| &used.context)
    }
}

pub(super) fn default_server() -> Uri {
    Uri::from_static(DEFAULT_SERVER)
}

pub(super) fn url(server: &Uri) -> String {
    server.to_string().trim_end_matches('/').to_owned()
}

/// How the values of options and of the keys of contexts are written.
pub(super) mod parse {
    use std::{fmt::Display, str::FromStr, time::Duration};

    use tonic::{metadata::AsciiMetadataValue, transport::Uri};

    use super::MAX_TIMEOUT;

    pub(in crate::cli) fn id<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
        text.parse().map_err(|error: T::Err| error.to_string())
    }

    pub(in crate::cli) fn server(text: &str) -> Result<Uri, String> {
        let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("begin it with http:// or https://, as in http://127.0.0.1:7443".to_owned());
        }
        if !matches!(uri.path_and_query().map(|path| path.as_str()), None | Some("" | "/")) {
            return Err("end it after the port: a path and a query are not sent".to_owned());
        }
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => {
                Err("remove the user name and the password".to_owned())
            }
            Some(_) => Ok(uri),
            None => Err("the host is missing".to_owned()),
        }
    }

    pub(in crate::cli) fn principal(text: &str) -> Result<AsciiMetadataValue, String> {
        if text.trim().is_empty() {
            return Err("it is empty".to_owned());
        }
        if !text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
            return Err("only printable ASCII characters can be sent".to_owned());
        }
        text.trim()
            .parse()
            .map_err(|_| "it cannot be sent as gRPC metadata".to_owned())
    }

    pub(in crate::cli) fn timeout(text: &str) -> Result<Duration, String> {
        let timeout =
            humantime::parse_duration(text).map_err(|error| format!("{error}; write it as in 500ms, 30s, 5m"))?;
        if timeout < Duration::from_millis(1) || timeout > MAX_TIMEOUT {
            return Err("it must be between 1ms and 7days".to_owned());
        }
        Ok(timeout)
    }
}
