//! What `dev` prints when everything runs: the addresses, the settings of a client, and what to try. The settings are also a
//! file.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::ledger::VerifierKey;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Displays as the text that `dev` prints.
pub(super) struct Banner<'a> {
    pub(super) server: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
    pub(super) simulator: String,
    pub(super) database_url: String,
    pub(super) folder: &'a Path,
    pub(super) ephemeral: bool,
    /// True if an image is shared past the service.
    pub(super) has_drift: bool,
    pub(super) key: VerifierKey,
}

impl Banner<'_> {
    fn addresses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nsharewarden {VERSION} runs, with everything that it needs:\n")?;
        writeln!(
            f,
            "  gRPC       http://{}  (plain text; reflection, health and gRPC-Web are on)",
            self.server
        )?;
        if let Some(admin) = self.admin {
            writeln!(f, "  admin      http://{admin}/metrics  (and /healthz, /readyz)")?;
        }
        writeln!(
            f,
            "  simulator  {}  (stands for Amazon WorkSpaces and STS)",
            self.simulator
        )?;
        writeln!(f, "  Postgres   {}", self.database_url)?;
        let kept = if self.ephemeral {
            "removed at the end"
        } else {
            "kept; start with --ephemeral to keep nothing"
        };
        writeln!(f, "  data       {}  ({kept})", self.folder.display())?;
        writeln!(f, "  key        {}  (verifies checkpoints)", self.key)
    }

    /// Writes the settings into a file of the data folder, which a shell can read: they are long lines to copy.
    pub(super) fn write_settings(&self) -> io::Result<()> {
        fs::write(self.settings_file(), self.settings().join("\n") + "\n")
    }

    fn settings_file(&self) -> PathBuf {
        self.folder.join("client.sh")
    }

    /// Commands of a shell that set up the client.
    fn settings(&self) -> Vec<String> {
        let program = std::env::current_exe().ok();
        let folder = program.as_deref().and_then(Path::parent).filter(|_| !is_in_path());
        let path = folder.map(|folder| format!("export PATH='{}':\"$PATH\"", folder.display()));
        // $USER is not set in every container.
        let others = [
            format!(
                "export SHAREWARDEN_SERVER=http://{} SHAREWARDEN_PRINCIPAL=\"$(id -un)\"",
                self.server
            ),
            "export SHAREWARDEN_ACCOUNT=111122223333 SHAREWARDEN_REGION=eu-central-1".to_owned(),
            format!("export VKEY={}", self.key),
            format!("export DATABASE_URL='{}'", self.database_url),
        ];
        path.into_iter().chain(others).collect()
    }

    fn client(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nIn another terminal, set up the client:\n")?;
        writeln!(f, "  . '{}'\n", self.settings_file().display())?;
        writeln!(f, "It does this:\n")?;
        self.settings().iter().try_for_each(|line| writeln!(f, "  {line}"))
    }

    fn tries(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = format!("{}/_simulator/faults", self.simulator);
        write!(
            f,
            "
Then try, in this order:

  # Share an image. The policy refuses the second share.
  sharewarden grant wsi-basewin11 --with 000011112222 --reason 'try it'
  sharewarden grant 444455556666/eu-central-1/wsi-finance01 --with 000011112222 --reason 'not allowed'
  # Read what happened, and prove that nobody altered it. An entry is covered after a few seconds.
  sharewarden audit list
  sharewarden audit show 1 --proof --key \"$VKEY\"
  # AWS throttles the next two calls: the service tries again.
  curl -d operation=UpdateWorkspaceImagePermission -d kind=throttle -d calls=2 {faults}
  sharewarden revoke wsi-basewin11 --with 000011112222 --reason 'no longer needed'
  # The same history in SQL.
  psql \"$DATABASE_URL\" -c 'SELECT log_index, kind, principal, aws_request_id FROM audit_entry ORDER BY account_id, log_index'
"
        )?;
        if self.has_drift {
            writeln!(
                f,
                "  # Somebody shared an image past the service. It is found within a minute.\n  sharewarden drift list"
            )?;
        }
        if !self.ephemeral {
            write!(
                f,
                "  # AWS does not answer, and the service is killed. Start `dev` again: the change ends within half a minute.
  curl -d kind=hang -d calls=1 {faults}
  sharewarden grant wsi-basewin11 --with 210987654321 --reason 'survives a kill' & sleep 2; kill -9 {pid}
  sharewarden get wsi-basewin11 --with 210987654321
",
                pid = std::process::id()
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addresses(f)?;
        self.client(f)?;
        self.tries(f)?;
        writeln!(f, "\nCtrl-C stops all of it.")
    }
}

/// True if a shell finds this version of the program by its name.
fn is_in_path() -> bool {
    let found = Command::new("sharewarden").arg("--version").output();
    found.is_ok_and(|found| found.stdout == format!("sharewarden {VERSION}\n").as_bytes())
}
