//! `sharewarden dev` as a real process: what it prints works, and it leaves nothing behind.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Output,
};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use crate::processes::{output, program, signal, stderr};
use sharewarden_testkit::stack::TIMEOUT;

/// The program with `dev`, on free ports.
fn dev_on_free_ports() -> Command {
    let mut command = program();
    command.args(["dev", "--listen", "127.0.0.1:0", "--simulator-listen", "127.0.0.1:0"]);
    command
}

/// A process of `sharewarden dev`, after it has printed its commands.
struct Dev {
    child: Child,
    /// The lines that it printed, without leading spaces.
    screen: Vec<String>,
}

impl Dev {
    async fn start(arguments: &[&str]) -> Self {
        let mut child = dev_on_free_ports().args(arguments).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut screen = Vec::new();
        let read = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                screen.push(line.trim().to_owned());
                if line.starts_with("Ctrl-C") {
                    return;
                }
            }
            let mut stderr_text = String::new();
            let mut stderr = child.stderr.take().unwrap();
            let _ = stderr.read_to_string(&mut stderr_text).await;
            panic!("dev ended before it printed all commands: {stderr_text}");
        };
        tokio::time::timeout(TIMEOUT, read).await.expect("dev starts in time");
        Self { child, screen }
    }

    /// The value behind a word at the beginning of a line.
    fn shown(&self, word: &str) -> &str {
        let line = self.screen.iter().find_map(|line| line.strip_prefix(word)).unwrap();
        line.split_whitespace().next().unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.shown("data ").into()
    }

    /// Runs the printed command with this text in a shell, after the printed settings.
    async fn run(&self, which: &str) -> Output {
        let command = self.screen.iter().find(|line| line.contains(which)).unwrap();
        self.shell(command).await
    }

    async fn shell(&self, command: &str) -> Output {
        let settings = self.screen.iter().find(|line| line.starts_with(". ")).unwrap();
        output(Command::new("sh").arg("-c").arg(format!("{settings}\n{command}"))).await
    }

    async fn answer(&self, which: &str) -> String {
        let output = self.run(which).await;
        assert!(output.status.success(), "{which}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Repeats a printed command until it succeeds.
    async fn answer_in_time(&self, which: &str) -> String {
        let asked = async {
            loop {
                let output = self.run(which).await;
                if output.status.success() {
                    return String::from_utf8(output.stdout).unwrap();
                }
            }
        };
        tokio::time::timeout(TIMEOUT, asked).await.expect("it succeeds in time")
    }

    fn postgres_pid(&self) -> Pid {
        let file = fs::read_to_string(self.folder().join("postgres/cluster/postmaster.pid")).unwrap();
        Pid::from_raw(file.lines().next().unwrap().parse().unwrap()).unwrap()
    }

    async fn stop(mut self, with: Signal) {
        signal(&self.child, with);
        let ended = tokio::time::timeout(TIMEOUT, self.child.wait()).await;
        assert!(ended.expect("it ends in time").unwrap().success());
    }
}

async fn wait_until_ended(process: Pid) {
    let gone = async {
        while test_kill_process(process).is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, gone).await.expect("the process ends");
}

#[tokio::test]
async fn the_commands_that_dev_prints_work_and_dev_leaves_nothing_behind() {
    let dev = Dev::start(&["--ephemeral"]).await;
    assert!(dev.answer("'try it'").await.contains("SUCCEEDED"));
    let refused = dev.run("'not allowed'").await;
    assert!(stderr(&refused).contains("POLICY_DENIED"), "{}", stderr(&refused));
    let history = dev.answer("audit list").await;
    assert!(
        history.contains("change.succeeded") && history.contains("change.denied"),
        "{history}"
    );
    let proof = dev.answer_in_time("--proof").await;
    assert!(proof.contains("change.succeeded"), "{proof}");
    assert!(dev.answer("'no longer needed'").await.contains("SUCCEEDED"));
    let history = dev.answer("psql ").await;
    assert!(
        history.contains("change.requested") && history.contains("change.denied"),
        "{history}"
    );

    let (postgres, folder) = (dev.postgres_pid(), dev.folder());
    dev.stop(Signal::INT).await;
    assert!(test_kill_process(postgres).is_err(), "Postgres ended before dev");
    assert!(!folder.exists());
}

#[tokio::test]
async fn dev_has_a_share_that_was_made_past_the_service_and_finds_it_unless_it_is_told_not_to() {
    let dev = Dev::start(&["--ephemeral"]).await;
    let compared = dev.shell("sharewarden drift scan -a 444455556666 -o csv").await;
    assert_eq!(compared.status.code(), Some(10), "{}", stderr(&compared));
    let listed = dev.answer("sharewarden drift list").await;
    assert!(
        listed.contains("wsi-ubuntu2204") && listed.contains("UNRECORDED_SHARE"),
        "{listed}"
    );
    dev.stop(Signal::INT).await;

    let empty = Dev::start(&["--ephemeral", "--no-drift"]).await;
    assert!(!empty.screen.iter().any(|line| line.contains("drift list")));
    let compared = empty.shell("sharewarden drift scan").await;
    assert!(compared.status.success(), "{}", stderr(&compared));
    empty.stop(Signal::INT).await;
}

#[tokio::test]
async fn dev_keeps_its_data_refuses_a_second_instance_and_stops_postgres_even_when_killed() {
    let folder = world_readable_folder();
    let arguments = ["--data-dir", folder.path().to_str().unwrap()];
    let mut dev = Dev::start(&arguments).await;
    dev.answer("'try it'").await;
    let key = dev.shown("key ").to_owned();

    let second = output(dev_on_free_ports().args(arguments)).await;
    assert!(!second.status.success());
    assert!(stderr(&second).contains("in use"), "{}", stderr(&second));

    let postgres = dev.postgres_pid();
    dev.child.kill().await.unwrap();
    wait_until_ended(postgres).await;

    let again = Dev::start(&arguments).await;
    assert_eq!(again.shown("key "), key);
    let shared = again.shell("sharewarden get wsi-basewin11 --with 000011112222").await;
    assert!(String::from_utf8(shared.stdout).unwrap().contains("SHARED"));
    again.stop(Signal::TERM).await;
}

#[tokio::test]
async fn a_closed_parent_of_the_data_folder_is_named_with_its_mode() {
    // Only root starts Postgres as another user.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let closed = world_readable_folder();
    fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let inside = closed.path().join("open/data");
    let refused = output(dev_on_free_ports().arg("--data-dir").arg(&inside)).await;
    assert!(!refused.status.success());
    let named = format!("cannot enter {} (mode 0700)", closed.path().display());
    assert!(stderr(&refused).contains(&named), "{}", stderr(&refused));
}

#[tokio::test]
async fn dev_says_what_it_does_while_it_starts_and_what_it_does_not_repeat() {
    let folder = world_readable_folder();
    let arguments = ["--data-dir", folder.path().to_str().unwrap()];
    let mut steps = Vec::new();
    for _ in 0..2 {
        let mut dev = Dev::start(&arguments).await;
        let mut stderr = dev.child.stderr.take().unwrap();
        dev.stop(Signal::INT).await;
        let mut text = String::new();
        stderr.read_to_string(&mut text).await.unwrap();
        // `[  0.3 s] starting PostgreSQL 15 (/usr/lib/postgresql/15/bin)`
        let said = text.lines().filter(|line| line.starts_with('[')).map(|line| {
            let (time, step) = line.split_once(" s] ").unwrap();
            assert!(time[1..].trim().parse::<f64>().is_ok(), "{line}");
            step.split(" PostgreSQL ").next().unwrap().to_owned()
        });
        steps.push(said.filter(|step| !step.contains("in use")).collect::<Vec<_>>());
    }
    let rest = [
        "starting",
        "starting the simulator of AWS",
        "migrating the database",
        "starting the service",
        "ready",
    ];
    let first = ["looking for PostgreSQL", "creating a database cluster with"];
    assert_eq!(steps[0], [&first[..], &rest[..]].concat());
    assert_eq!(steps[1], [&first[..1], &rest[..]].concat());
}

#[tokio::test]
async fn dev_has_a_fixed_admin_port_unless_it_is_taken() {
    const FIXED: &str = "127.0.0.1:9464";
    // Another test can give the port back between the look and the start. Then it is free, and the start is not the one to test.
    let (_taken, dev) = loop {
        let taken = TcpListener::bind(FIXED).await;
        let dev = Dev::start(&["--ephemeral"]).await;
        if taken.is_ok() || !dev.shown("admin ").contains(FIXED) {
            break (taken, dev);
        }
        dev.stop(Signal::INT).await;
    };
    let admin = dev
        .shown("admin ")
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/metrics")
        .unwrap();
    assert_ne!(admin, FIXED);

    let refused = output(dev_on_free_ports().args(["--ephemeral", "--admin-listen", admin])).await;
    let text = stderr(&refused);
    assert!(
        text.contains(admin) && text.contains("choose another with --admin-listen"),
        "{text}"
    );
    dev.stop(Signal::INT).await;

    let help = String::from_utf8(output(program().args(["dev", "--help"])).await.stdout).unwrap();
    assert!(help.contains("127.0.0.1:9464"), "{help}");
}

#[tokio::test]
async fn pages_of_an_allowed_origin_may_call_dev() {
    let origin = "http://localhost:5173";
    let dev = Dev::start(&[
        "--ephemeral",
        "--allow-origin",
        origin,
        "--allow-origin",
        "https://audit.example.com",
    ])
    .await;
    let url = dev.shown("gRPC ").to_owned() + "/sharewarden.v1.SharePermissionService/ListSharePermissions";
    let preflight = allowed_origin(&url, origin).await;
    assert_eq!(preflight.as_deref(), Some(origin));
    assert_eq!(allowed_origin(&url, "http://localhost:1").await, None);
    dev.stop(Signal::INT).await;

    let refused = output(dev_on_free_ports().args(["--ephemeral", "--allow-origin", "*"])).await;
    assert!(
        stderr(&refused).contains("server.allowed_origins must be origins"),
        "{}",
        stderr(&refused)
    );
}

#[tokio::test]
async fn data_of_another_build_are_left_alone_and_dev_says_what_to_do() {
    let folder = world_readable_folder();
    let arguments = ["--data-dir", folder.path().to_str().unwrap()];
    let dev = Dev::start(&arguments).await;
    let url = dev
        .screen
        .iter()
        .find_map(|line| line.strip_prefix("Postgres "))
        .unwrap()
        .trim()
        .to_owned();
    let altered = dev
        .shell(&format!(
            "psql '{url}' -c \"UPDATE _sqlx_migrations SET checksum = '\\\\x00'\""
        ))
        .await;
    assert!(altered.status.success(), "{}", stderr(&altered));
    dev.stop(Signal::INT).await;

    let refused = output(dev_on_free_ports().args(arguments)).await;
    let (text, path) = (stderr(&refused), folder.path().display());
    let expected = format!(
        "the data in {path} are of another build of sharewarden: delete this folder, choose another with --data-dir, or keep no \
         data with --ephemeral"
    );
    assert!(text.contains(&expected), "{text}");
    assert!(folder.path().join("postgres/cluster/PG_VERSION").exists());
}

#[tokio::test]
async fn a_chosen_folder_without_postgres_is_an_error_that_names_the_variable() {
    let empty = tempfile::tempdir().unwrap();
    let refused = output(
        dev_on_free_ports()
            .arg("--ephemeral")
            .env("SHAREWARDEN_POSTGRES_BIN", empty.path()),
    )
    .await;
    let text = stderr(&refused);
    let expected = format!("SHAREWARDEN_POSTGRES_BIN names {}", empty.path().display());
    assert!(text.contains(&expected), "{text}");
}

/// A moment of the start of `dev`: a line that it prints, or a file that appears in the folder of its cluster.
#[derive(Debug)]
enum Moment {
    Line(&'static str),
    File(&'static str),
}

/// Ctrl-C in a terminal sends SIGINT to the whole process group.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_interrupt_at_any_moment_of_the_start_leaves_no_process_file_or_shared_memory() {
    use Moment::{File, Line};
    for moment in [
        Line("looking for PostgreSQL"),
        Line("creating a database cluster"),
        File("cluster.unfinished/PG_VERSION"),
        File("cluster.unfinished/global/pg_control"),
        File("cluster.unfinished/base/4"),
        Line("starting PostgreSQL"),
        File("cluster/postmaster.pid"),
        Line("migrating the database"),
        Line("starting the service"),
    ] {
        let (temporary, before) = (world_readable_folder(), SharedMemory::without_owner());
        let mut child = dev_on_free_ports()
            .arg("--ephemeral")
            .env("TMPDIR", temporary.path())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let reached = async {
            match moment {
                Line(text) => while !stderr.next_line().await.unwrap().unwrap().contains(text) {},
                File(path) => {
                    // On a busy machine the moment can pass unseen: then it is the next one, after the folder has its name.
                    let is_past =
                        |folder: &Path| path.starts_with("cluster.unfinished") && folder.join("cluster").exists();
                    let has_come = |folder: PathBuf| folder.join(path).exists() || is_past(&folder);
                    while !data_folders_in(temporary.path()).any(has_come) {
                        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                    }
                }
            }
        };
        tokio::time::timeout(TIMEOUT, reached).await.expect("the moment comes");
        let group = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        kill_process_group(group, Signal::INT).unwrap();
        let ended = tokio::time::timeout(TIMEOUT, child.wait()).await.expect("it ends");
        assert!(ended.unwrap().success(), "{moment:?}");

        assert_eq!(processes_with(temporary.path()), Vec::<String>::new(), "{moment:?}");
        let left: Vec<_> = fs::read_dir(temporary.path()).unwrap().collect();
        assert!(left.is_empty(), "{moment:?}: {left:?}");
        // Postgres servers of other tests start and stop meanwhile.
        let released = async {
            while !SharedMemory::without_owner().is_subset(&before) {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let released = tokio::time::timeout(TIMEOUT, released).await;
        assert!(released.is_ok(), "{moment:?}: {:?}", SharedMemory::without_owner());
    }
}

/// Asks as a browser does before a call. Returns the origin that the answer allows.
async fn allowed_origin(url: &str, origin: &str) -> Option<String> {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let request = format!(
        "OPTIONS /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type,x-grpc-web\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let allowed = answer
        .lines()
        .find_map(|line| line.strip_prefix("access-control-allow-origin: "));
    allowed.map(str::to_owned)
}

/// The folders `postgres` in the folders of this temporary folder. `dev` may have made others there.
fn data_folders_in(temporary: &Path) -> impl Iterator<Item = PathBuf> {
    let folders = fs::read_dir(temporary).unwrap().flatten();
    folders.map(|folder| folder.path().join("postgres"))
}

/// The processes whose command line or environment has this path.
fn processes_with(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let read = |pid: &Path, what| fs::read(pid.join(what)).map(|text| String::from_utf8_lossy(&text).into_owned());
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let texts =
        processes.filter_map(|pid| Some(read(&pid, "cmdline").ok()? + &read(&pid, "environ").unwrap_or_default()));
    texts.filter(|text| text.contains(path)).collect()
}

/// Shared memory of Postgres servers: a System V segment, or a file in `/dev/shm`.
struct SharedMemory;

impl SharedMemory {
    /// What no process has mapped.
    fn without_owner() -> BTreeSet<String> {
        // Columns: key, shmid, perms, size, cpid, lpid, nattch, …
        let table = fs::read_to_string("/proc/sysvipc/shm").unwrap();
        let segments = table
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let unattached = segments.filter(|columns| columns[6] == "0");
        let mut found: BTreeSet<_> = unattached.map(|columns| format!("shmid {}", columns[1])).collect();
        let files = fs::read_dir("/dev/shm").unwrap().flatten();
        let names = files.map(|file| file.path().display().to_string());
        found.extend(names.filter(|name| name.contains("/PostgreSQL.")));
        // After the list of files: a file that a server made meanwhile is not in it.
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let maps = fs::read_to_string(process.path().join("maps")).unwrap_or_default();
            found.retain(|name| !name.starts_with('/') || !maps.contains(name.as_str()));
        }
        found
    }
}

/// A temporary folder that every user can read. When root runs the tests, Postgres runs as another user.
fn world_readable_folder() -> TempDir {
    let permissions = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new()
        .prefix("sharewarden-dev-test-")
        .permissions(permissions)
        .tempdir()
        .unwrap()
}
