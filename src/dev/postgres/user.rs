//! Who the server runs as. Postgres refuses root, so root hands it to `postgres`, or else to `nobody`.

use std::{
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::{Command, Stdio},
};

use super::Error;

/// The user of the server's processes and files.
#[derive(Debug)]
pub(super) enum User {
    /// Whoever we are.
    Current,
    /// We are root, and it runs as someone else.
    Other { name: &'static str, uid: u32, gid: u32 },
}

impl User {
    pub(super) fn for_server() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Current);
        }
        for name in ["postgres", "nobody"] {
            if let (Some(uid), Some(gid)) = (id("-u", name)?, id("-g", name)?) {
                return Ok(Self::Other { name, uid, gid });
            }
        }
        Err(Error::NoBinaries(
            "PostgreSQL refuses root, and there is no user postgres nor nobody".to_owned(),
        ))
    }

    /// A short-lived command of this user. In `/`, because the server's user may not see where we are; in the C
    /// locale, so that its messages and its sort order are the same everywhere.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// The server's own command: it is sent SIGINT, a fast shutdown, when the thread that spawns it ends.
    #[cfg(target_os = "linux")]
    pub(super) fn server_command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        if let Self::Other { uid, gid, .. } = self {
            command.args([
                format!("--reuid={uid}"),
                format!("--regid={gid}"),
                "--clear-groups".to_owned(),
            ]);
        }
        // setpriv and not `Command::uid`: a change of user after prctl would clear the signal again.
        command
            .args(["--pdeathsig", "INT", "--"])
            .arg(program)
            .current_dir("/")
            .env("LC_ALL", "C");
        command
    }

    /// The server's own command. This system knows no signal at the parent's death: after a SIGKILL the server stays,
    /// and the next start on its folder says so.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn server_command(&self, program: &Path) -> Command {
        self.command(program)
    }

    /// Gives a file or folder that we made to this user.
    pub(super) fn own(&self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Current => Ok(()),
            Self::Other { uid, gid, .. } => chown(path, Some(*uid), Some(*gid)).map_err(Error::io(path)),
        }
    }

    /// Root's files may lie where no one else can follow.
    pub(super) fn check_access(&self, folder: &Path) -> Result<(), Error> {
        let Self::Other { name, .. } = self else { return Ok(()) };
        let test = Path::new("test");
        let reached = self
            .command(test)
            .arg("-x")
            .arg(folder)
            .status()
            .map_err(Error::run(test))?;
        if reached.success() {
            return Ok(());
        }
        Err(Error::Unreachable {
            folder: folder.to_owned(),
            user: (*name).to_owned(),
        })
    }
}

/// One number of a user, if there is such a user.
fn id(which: &str, name: &str) -> Result<Option<u32>, Error> {
    let program = Path::new("id");
    let output = Command::new(program)
        .args([which, name])
        .output()
        .map_err(Error::run(program))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
}
