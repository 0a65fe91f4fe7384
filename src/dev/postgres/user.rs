//! The user that the server runs as. Postgres refuses to run as root, so root runs it as `postgres`, or else as `nobody`.

use std::{
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use super::Error;

/// The user of the server's processes and files.
#[derive(Debug)]
pub(super) enum User {
    /// The user of this process.
    Current,
    /// This process is root, and the server runs as this user.
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
        Err(Error::NoUser)
    }

    /// A command of this user. It runs in `/`, because the user may have no access to the current folder, and in the C locale, so
    /// that messages and sort order do not depend on the machine.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env("LC_ALL", "C").stdin(Stdio::null());
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// The command of `initdb` or of a server. It has its own process group, because Ctrl-C in a terminal must not reach it: a
    /// server that dies during `initdb` leaves shared memory behind. When the thread that spawned it ends, the kernel sends it
    /// SIGINT, and it ends in order.
    #[cfg(target_os = "linux")]
    pub(super) fn postgres_command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        if let Self::Other { uid, gid, .. } = self {
            command.args([
                format!("--reuid={uid}"),
                format!("--regid={gid}"),
                "--clear-groups".to_owned(),
            ]);
        }
        // Not `Command::uid`: a change of the user after prctl would clear the signal.
        command
            .args(["--pdeathsig", "INT", "--"])
            .arg(program)
            .current_dir("/")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    /// The command of `initdb` or of a server, in its own process group. This OS sends no signal when a parent dies: after a
    /// SIGKILL the server keeps running, and the next start on its folder fails with `InUse`.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn postgres_command(&self, program: &Path) -> Command {
        let mut command = self.command(program);
        command.process_group(0);
        command
    }

    /// Makes this user the owner of a file or folder that this process created.
    pub(super) fn own(&self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Current => Ok(()),
            Self::Other { uid, gid, .. } => chown(path, Some(*uid), Some(*gid)).map_err(Error::io(path)),
        }
    }

    /// Fails if this user cannot enter the folder, for example because it is inside root's home. Names the outermost closed one.
    pub(super) fn check_access(&self, folder: &Path) -> Result<(), Error> {
        let Self::Other { name, .. } = self else { return Ok(()) };
        if self.can_enter(folder)? {
            return Ok(());
        }
        let mut closed = folder;
        for parent in folder.ancestors() {
            if !self.can_enter(parent)? {
                closed = parent;
            }
        }
        let mode = closed.metadata().map_err(Error::io(closed))?.permissions().mode() & 0o7777;
        Err(Error::Unreachable {
            folder: folder.to_owned(),
            closed: closed.to_owned(),
            mode,
            user: (*name).to_owned(),
        })
    }

    fn can_enter(&self, folder: &Path) -> Result<bool, Error> {
        let test = Path::new("test");
        let status = self.command(test).arg("-x").arg(folder).status();
        Ok(status.map_err(Error::run(test))?.success())
    }
}

/// The output of `id` for a user; `None` if there is no such user.
fn id(which: &str, name: &str) -> Result<Option<u32>, Error> {
    let program = Path::new("id");
    let output = Command::new(program)
        .args([which, name])
        .output()
        .map_err(Error::run(program))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
}
