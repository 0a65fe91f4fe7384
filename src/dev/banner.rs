//! What `dev` prints when everything runs: the addresses, and commands to try.

use std::{fmt, net::SocketAddr, path::Path};

/// Displays as the text that `dev` prints.
pub(super) struct Banner<'a> {
    pub(super) server: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
    pub(super) simulator: String,
    pub(super) database_url: String,
    pub(super) folder: &'a Path,
    pub(super) ephemeral: bool,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = std::env::current_exe().map_or_else(|_| "sharewarden".into(), |path| path.display().to_string());
        let server = if self.server.port() == 7443 {
            String::new()
        } else {
            format!(" --server http://{}", self.server)
        };
        let name = "--account 111122223333 --region eu-central-1 --image wsi-basewin11 --with 000011112222";
        let kept = if self.ephemeral {
            "removed at the end"
        } else {
            "kept; start with --ephemeral to keep nothing"
        };
        let admin = self
            .admin
            .map(|address| format!("\n  admin      http://{address}/metrics  (and /healthz, /readyz)"))
            .unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION");
        write!(
            f,
            "
sharewarden {version} runs, with everything that it needs:

  gRPC       http://{grpc}  (plain text; reflection, health and gRPC-Web are on){admin}
  simulator  {simulator}  (stands for Amazon WorkSpaces and STS)
  Postgres   {database}
  data       {folder}  ({kept})

Share an image, ask for it, and read what happened, in another terminal:

  {program}{server} grant {name} --reason 'try it'
  {program}{server} get {name}
  psql '{database}' -c 'SELECT log_index, kind, action, principal, aws_request_id FROM audit_entry ORDER BY account_id, log_index'

Ctrl-C stops all of it.
",
            grpc = self.server,
            simulator = self.simulator,
            database = self.database_url,
            folder = self.folder.display(),
        )
    }
}
