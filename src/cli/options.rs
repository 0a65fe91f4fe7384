//! The options that all client commands share.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use clap::{Args, Command, ValueEnum};
use tonic::{metadata::AsciiMetadataValue, transport::Uri};

use super::{
    environment::Environment,
    failure::{Exit, Failure},
    view::DisplayArgs,
};

/// The default of --server: the address of `sharewarden dev`.
pub(super) const DEFAULT_SERVER: &str = "http://127.0.0.1:7443";

/// The heading of these options in the help, apart from those of the command.
const HEADING: &str = "Client options";

/// 7 days: longer than any change may take, and within the range of `grpc-timeout`.
const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Options of every client command.
#[derive(Debug, Clone, Args)]
pub struct ClientOptions {
    /// The URL of the service: http://HOST:PORT or https://HOST:PORT
    #[arg(long, global = true, help_heading = HEADING, env = "SHAREWARDEN_SERVER", value_name = "URL",
          default_value = DEFAULT_SERVER, value_parser = server)]
    pub(super) server: Uri,

    /// The name of the caller, in printable ASCII, for a service that trusts this header [default: the name of the OS user, or
    /// none with --tls-certificate or --token-file]
    #[arg(long, global = true, help_heading = HEADING, env = "SHAREWARDEN_PRINCIPAL", value_name = "NAME",
          value_parser = principal)]
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

    /// The output format: a table for people, proto3 JSON for programs, or CSV for lists and summaries
    #[arg(short, long, global = true, help_heading = HEADING, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub(super) output: Output,

    /// The timeout of an answer, with a unit, such as 500ms, 30s or 5m; 1ms to 7days. A change continues after it
    #[arg(long, global = true, help_heading = HEADING, value_name = "DURATION", default_value = "30s", value_parser = timeout)]
    pub(super) timeout: Duration,

    #[command(flatten)]
    pub(super) display: DisplayArgs,

    /// The defaults of the environment. Empty until [`in_environment`](Self::in_environment).
    #[arg(skip)]
    environment: Environment,
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
        let found = given.map_or_else(
            || self.environment.account().map(|id| id.map(|id| id.to_string())),
            |id| Ok(Some(id)),
        )?;
        found.ok_or_else(|| {
            let hint = "name it in SHARE (ACCOUNT/REGION/IMAGE), with --account, or with SHAREWARDEN_ACCOUNT";
            Failure::new(Exit::Invalid, "the account is missing", hint)
        })
    }

    /// The Region that a command is about: the given one, or else the default.
    pub(super) fn region(&self, given: Option<String>) -> Result<String, Failure> {
        let found = given.map_or_else(
            || self.environment.region().map(|id| id.map(|id| id.to_string())),
            |id| Ok(Some(id)),
        )?;
        found.ok_or_else(|| {
            let hint =
                "name it in SHARE (ACCOUNT/REGION/IMAGE), with --region, or with SHAREWARDEN_REGION or AWS_REGION";
            Failure::new(Exit::Invalid, "the Region is missing", hint)
        })
    }

    /// The URL of the service, for display.
    pub(super) fn server(&self) -> String {
        self.server.to_string().trim_end_matches('/').to_owned()
    }

    /// The principal: the given one, or the OS user; `None` if the OS gives no name that can be sent.
    pub(super) fn principal(&self) -> Option<AsciiMetadataValue> {
        self.principal
            .clone()
            .or_else(|| principal(&whoami::username().ok()?).ok())
    }

    /// True if a certificate or a token authenticates the caller. The name of the OS user could then contradict it.
    pub(super) fn has_credential(&self) -> bool {
        self.tls_certificate.is_some() || self.token_file.is_some()
    }
}

fn server(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("begin it with http:// or https://, as in http://127.0.0.1:7443".to_owned());
    }
    if !matches!(uri.path_and_query().map(|path| path.as_str()), None | Some("" | "/")) {
        return Err("end it after the port: a path and a query are not sent".to_owned());
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => Err("remove the user name and the password".to_owned()),
        Some(_) => Ok(uri),
        None => Err("the host is missing".to_owned()),
    }
}

fn principal(text: &str) -> Result<AsciiMetadataValue, String> {
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

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = humantime::parse_duration(text).map_err(|error| format!("{error}; write it as in 500ms, 30s, 5m"))?;
    if timeout < Duration::from_millis(1) || timeout > MAX_TIMEOUT {
        return Err("it must be between 1ms and 7days".to_owned());
    }
    Ok(timeout)
}
