//! The folder of a cluster: `cluster/` (Postgres' own data), `run/` (the socket), `postgres.log` and `lock`.
//!
//! The process that runs the cluster holds the lock. The OS releases it when the process ends, for any reason.

use std::{
    fs::{self, File, TryLockError},
    io::{Seek, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::{DATABASE, Error, PORT, USER, binaries::Binaries, user::User};

/// The path of a unix socket has at most 107 bytes on Linux, without its final NUL.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// Maximum polls, 20 ms apart, for the shutdown of a server whose parent has died: 10 s.
const MAX_ORPHAN_POLLS: u32 = 500;

/// A locked cluster folder.
#[derive(Debug)]
pub(super) struct ClusterFolder {
    root: PathBuf,
    socket_dir: SocketDir,
    _lock: File,
}

#[derive(Debug)]
enum SocketDir {
    Inside(PathBuf),
    /// For a folder whose path is too long for a socket.
    Temporary(TempDir),
}

impl ClusterFolder {
    pub(super) fn open(path: &Path, user: &User) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(Error::io(path))?;
        let root = path.canonicalize().map_err(Error::io(path))?;
        let empty = fs::read_dir(&root).map_err(Error::io(&root))?.next().is_none();
        if !empty && !root.join("lock").exists() {
            return Err(Error::Foreign { folder: root });
        }
        let lock = lock(&root)?;
        if empty {
            user.own(&root)?;
        }
        user.check_access(&root)?;
        let socket_dir = SocketDir::make(&root, user)?;
        let folder = Self {
            root,
            socket_dir,
            _lock: lock,
        };
        folder.wait_for_orphan()?;
        Ok(folder)
    }

    /// Postgres' own data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.root.join("cluster")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    pub(super) fn socket_dir(&self) -> &Path {
        match &self.socket_dir {
            SocketDir::Inside(path) => path,
            SocketDir::Temporary(dir) => dir.path(),
        }
    }

    /// The folder and the major version of its cluster; `None` without a cluster.
    pub(super) fn major_version(&self) -> Result<Option<(&Path, u32)>, Error> {
        let file = self.data().join("PG_VERSION");
        if !self.data().exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&file).map_err(Error::io(&file))?;
        let major = text.trim().parse().map_err(|_| Error::Foreign {
            folder: self.root.clone(),
        })?;
        Ok(Some((&self.root, major)))
    }

    /// Creates the cluster. It is created under another name and then renamed, so that the next start does not use an unfinished
    /// cluster.
    pub(super) fn init(&self, binaries: &Binaries, user: &User) -> Result<(), Error> {
        let unfinished = self.root.join("cluster.unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(Error::io(&unfinished))?;
        }
        fs::create_dir(&unfinished).map_err(Error::io(&unfinished))?;
        user.own(&unfinished)?;
        self.initdb(&unfinished, binaries, user)?;
        self.create_database(&unfinished, binaries, user)?;
        fs::rename(&unfinished, self.data()).map_err(Error::io(&unfinished))
    }

    fn initdb(&self, data: &Path, binaries: &Binaries, user: &User) -> Result<(), Error> {
        let output = user
            .postgres_command(binaries.initdb())
            .arg("--pgdata")
            .arg(data)
            .args([
                "--username",
                USER,
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .output()
            .map_err(Error::run(binaries.initdb()))?;
        self.check(output)
    }

    /// Creates the database in single-user mode, which needs no client and no running server.
    fn create_database(&self, data: &Path, binaries: &Binaries, user: &User) -> Result<(), Error> {
        let program = binaries.postgres();
        // A file, because a pipe could block.
        let mut script = tempfile::tempfile().map_err(Error::io(&self.root))?;
        writeln!(script, "CREATE DATABASE {DATABASE}").map_err(Error::io(&self.root))?;
        script.rewind().map_err(Error::io(&self.root))?;
        let output = user
            .postgres_command(program)
            .args(["--single", "-j", "-c", "exit_on_error=on", "-D"])
            .arg(data)
            .arg("postgres")
            .stdin(Stdio::from(script))
            .output()
            .map_err(Error::run(program))?;
        self.check(output)
    }

    fn check(&self, output: Output) -> Result<(), Error> {
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        Err(Error::Init {
            folder: self.root.clone(),
            output: String::from_utf8_lossy(&text).trim().to_owned(),
        })
    }

    /// This process holds the lock, so a server that still runs has lost its parent and is shutting down.
    fn wait_for_orphan(&self) -> Result<(), Error> {
        let file = self.data().join("postmaster.pid");
        for _ in 0..MAX_ORPHAN_POLLS {
            let Some(pid) = pid_in(&file) else { return Ok(()) };
            if !is_postgres(pid) {
                // Another process may have this id now. Postgres would then refuse to start.
                return fs::remove_file(&file).or_else(ignore_missing).map_err(Error::io(&file));
            }
            thread::park_timeout(Duration::from_millis(20));
        }
        Err(Error::InUse {
            folder: self.root.clone(),
            holder: format!("a PostgreSQL server (see {})", file.display()),
        })
    }
}

impl SocketDir {
    fn make(root: &Path, user: &User) -> Result<Self, Error> {
        let inside = root.join("run");
        let name = inside.join(format!(".s.PGSQL.{PORT}"));
        if name.as_os_str().as_bytes().len() > MAX_SOCKET_PATH_BYTES {
            let dir = tempfile::Builder::new()
                .prefix("sharewarden-")
                .tempdir()
                .map_err(Error::io(&inside))?;
            user.own(dir.path())?;
            return Ok(Self::Temporary(dir));
        }
        if !inside.exists() {
            fs::create_dir(&inside).map_err(Error::io(&inside))?;
            user.own(&inside)?;
        }
        Ok(Self::Inside(inside))
    }
}

/// Takes the lock and writes the process id into it, for the error message of other processes.
fn lock(root: &Path) -> Result<File, Error> {
    let path = root.join("lock");
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(Error::io(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            let holder = format!("process {}", holder.trim());
            return Err(Error::InUse {
                folder: root.to_owned(),
                holder,
            });
        }
        Err(TryLockError::Error(error)) => return Err(Error::io(&path)(error)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(Error::io(&path))?;
    Ok(file)
}

/// The process in the first line of `postmaster.pid`.
fn pid_in(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
}

/// True if this process is a Postgres server.
fn is_postgres(pid: u32) -> bool {
    if cfg!(target_os = "linux") {
        let about = |what| fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
        // A zombie keeps its name but has an empty command line.
        return about("comm").trim() == "postgres" && !about("cmdline").is_empty();
    }
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}
