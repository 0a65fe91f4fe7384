//! The program as a real process, with real signals.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use sharewarden::{clock::Clock, config::DatabaseConfig, store::Database};
use sharewarden_client::proto::v1::{change, share_permission_service_client::SharePermissionServiceClient};
use sharewarden_simulator::{Effect, Fault, FaultTiming};
use sharewarden_testkit::{postgres::database, proxy::Proxy, stack::*};
use sqlx::{Connection, PgConnection};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader, Lines},
    process::{Child, Command},
};

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sharewarden"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for name in [
        "SHAREWARDEN_SERVER",
        "SHAREWARDEN_PRINCIPAL",
        "SHAREWARDEN_CONFIG",
        "AWS_PROFILE",
    ] {
        command.env_remove(name);
    }
    command
        .env("AWS_ACCESS_KEY_ID", "AKIA111122223333")
        .env("AWS_SECRET_ACCESS_KEY", "any");
    command
}

pub(crate) async fn output(command: &mut Command) -> Output {
    tokio::time::timeout(TIMEOUT, command.output())
        .await
        .expect("the program ends in time")
        .unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Reads lines until one contains this text.
pub(crate) async fn line_with<R: AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>, text: &str) -> String {
    let mut read = String::new();
    let found = async {
        loop {
            let line = lines.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the output ended before {text:?}:\n{read}"));
            if line.contains(text) {
                return line;
            }
            read.push_str(&line);
            read.push('\n');
        }
    };
    let found = tokio::time::timeout(TIMEOUT, found).await;
    found.unwrap_or_else(|_| panic!("no line with {text:?} in time:\n{read}"))
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// A process of `sharewarden serve`, and its address.
pub(crate) struct ServerProcess {
    pub(crate) child: Child,
    pub(crate) address: String,
    _config: tempfile::NamedTempFile,
    pub(crate) log: Lines<BufReader<tokio::process::ChildStderr>>,
}

impl ServerProcess {
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_with(config, &[]).await
    }

    /// Starts it with additional environment variables.
    pub(crate) async fn start_with(config: &str, environment: &[(&str, &str)]) -> Self {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(config.as_bytes()).unwrap();
        let mut program = program();
        program.envs(environment.iter().copied());
        let mut child = program.arg("serve").arg("--config").arg(file.path()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let serving = line_with(&mut log, "\"serving\"").await;
        let serving: serde_json::Value = serde_json::from_str(&serving).unwrap();
        let address = format!("http://{}", serving["address"].as_str().unwrap());
        Self {
            child,
            address,
            _config: file,
            log,
        }
    }

    /// Reads the log to its end. The process would block on a full pipe.
    pub(crate) async fn read_log(&mut self) {
        while let Ok(Some(_)) = self.log.next_line().await {}
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        signal(&self.child, Signal::TERM);
    }

    /// Sends SIGTERM and waits until the process ends with success.
    pub(crate) async fn stop(&mut self) {
        self.terminate();
        let ended = tokio::time::timeout(TIMEOUT, self.child.wait()).await;
        assert!(ended.expect("it stops in time").unwrap().success());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        SharePermissionServiceClient::connect(self.address.clone())
            .await
            .unwrap()
    }
}

pub(crate) const SHORT_LEASE: &str = "log.filter = \"info\"
forwarder.attempt_timeout = \"500ms\"
forwarder.read_timeout = \"500ms\"
forwarder.lease_margin = \"100ms\"
forwarder.lease = \"1100ms\"
";

#[tokio::test]
async fn a_server_killed_while_aws_was_answering_leaves_a_change_that_the_next_server_ends() {
    for (moment, shared_before_restart) in [(FaultTiming::AfterApplying, true), (FaultTiming::BeforeApplying, false)] {
        let (database, simulator) = tokio::join!(database(), simulator());
        let config = config_text(database.url(), &simulator.url(), SHORT_LEASE);
        let mut first = ServerProcess::start(&config).await;
        let hang = Fault::new(Effect::Hang {
            moment,
            at_most_milliseconds: 60_000,
        });
        simulator.inject(hang.operation(UPDATE).calls(1)).unwrap();
        let call = spawn_grant(first.client().await, grant());
        let reached = simulator.wait_for_calls(|calls| calls.iter().any(|call| call.operation == UPDATE));
        tokio::time::timeout(TIMEOUT, reached).await.unwrap();
        first.child.kill().await.unwrap();
        assert!(call.await.unwrap().is_err());
        let shared = !simulator.shared_accounts(ACCOUNT, REGION, IMAGE).is_empty();
        assert_eq!(shared, shared_before_restart, "the fault acted at the intended moment");

        let mut second = ServerProcess::start(&config).await;
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        let ended = async {
            loop {
                let state: String = sqlx::query_scalar("SELECT state FROM change")
                    .fetch_one(&mut connection)
                    .await
                    .unwrap();
                if state != "PENDING" {
                    return state;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        assert_eq!(
            tokio::time::timeout(TIMEOUT, ended).await.expect("it ends"),
            "SUCCEEDED"
        );
        let attempts: serde_json::Value = sqlx::query_scalar("SELECT attempts FROM change")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(
            attempts[0]["error_code"], "LeaseExpired",
            "the attempt of the expired lease is recorded"
        );
        assert_eq!(attempts[1]["operation"], DESCRIBE, "the next attempt is a read-back");
        assert_eq!(simulator.shared_accounts(ACCOUNT, REGION, IMAGE).len(), 1);
        let updates = simulator.calls().iter().filter(|call| call.operation == UPDATE).count();
        assert_eq!(updates, if shared_before_restart { 1 } else { 2 });
        connection.close().await.unwrap();

        signal(&second.child, Signal::TERM);
        assert!(second.child.wait().await.unwrap().success());
        simulator.shutdown().await;
    }
}

#[tokio::test]
async fn sigterm_lets_calls_under_way_finish_and_exits_with_success() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let mut served = ServerProcess::start(&config_text(database.url(), &simulator.url(), SHORT_LEASE)).await;
    simulator
        .inject(Fault::new(late(400)).operation(UPDATE).calls(1))
        .unwrap();
    let call = spawn_grant(served.client().await, grant());
    let reached = simulator.wait_for_calls(|calls| calls.iter().any(|call| call.operation == UPDATE));
    tokio::time::timeout(TIMEOUT, reached).await.unwrap();
    signal(&served.child, Signal::TERM);
    let granted = call.await.unwrap().unwrap();
    assert_eq!(granted.change.unwrap().state(), change::State::Succeeded);
    assert!(
        tokio::time::timeout(TIMEOUT, served.child.wait())
            .await
            .unwrap()
            .unwrap()
            .success()
    );
    line_with(&mut served.log, "\"stopped\"").await;
    simulator.shutdown().await;
}

#[tokio::test]
async fn serve_warns_about_an_owner_role_and_logs_its_checkpoints() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(config_text(database.url(), &simulator.url(), SHORT_LEASE).as_bytes())
        .unwrap();
    let mut child = program().arg("serve").arg("--config").arg(file.path()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    // The role of the tests is a superuser.
    let warning = line_with(&mut log, "docs/roles.sql").await;
    assert!(
        warning.contains("WARN") && warning.contains("\"superuser\":true"),
        "{warning}"
    );

    let serving: serde_json::Value = serde_json::from_str(&line_with(&mut log, "\"serving\"").await).unwrap();
    let address = format!("http://{}", serving["address"].as_str().unwrap());
    let mut client = SharePermissionServiceClient::connect(address).await.unwrap();
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    // The first checkpoint can cover only the first entry. A later one covers both.
    loop {
        let line: serde_json::Value = serde_json::from_str(&line_with(&mut log, "signed a checkpoint").await).unwrap();
        let note = line["note"].as_str().unwrap();
        assert!(
            note.starts_with(&format!("sharewarden.test/{ACCOUNT}\n{}\n", line["size"])),
            "{note}"
        );
        assert!(note.contains("\n\n— sharewarden.test "), "{note}");
        if line["size"] == 2 {
            break;
        }
    }
    signal(&child, Signal::TERM);
    assert!(child.wait().await.unwrap().success());
    simulator.shutdown().await;
}

#[tokio::test]
async fn serve_needs_its_own_migrations_and_accepts_newer_ones_until_they_are_finalized() {
    let (fresh, simulator) = tokio::join!(database(), simulator());
    let mut admin = PgConnection::connect(fresh.url()).await.unwrap();
    sqlx::raw_sql("DROP SCHEMA public, reporting CASCADE; CREATE SCHEMA public")
        .execute(&mut admin)
        .await
        .unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(config_text(fresh.url(), &simulator.url(), "").as_bytes())
        .unwrap();
    let run = async |command: &str| output(program().arg(command).arg("--config").arg(file.path())).await;

    let refused = run("serve").await;
    assert!(!refused.status.success());
    assert!(
        stderr(&refused).contains("run `sharewarden migrate`"),
        "{}",
        stderr(&refused)
    );
    let migrated = run("migrate").await;
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    assert!(
        run("migrate").await.status.success(),
        "a second migration changes nothing"
    );
    let settings = DatabaseConfig {
        url: fresh.url().to_owned().into(),
        max_connections: 1,
        acquire_timeout: TIMEOUT,
        statement_timeout: TIMEOUT,
    };
    let checked = Database::new(&settings, &Clock::system()).unwrap();
    checked.check().await.unwrap();
    checked.close().await;

    let newer = "INSERT INTO _sqlx_migrations VALUES (9999, 'of the future', now(), true, '\\x00', 0)";
    sqlx::query(newer).execute(&mut admin).await.unwrap();
    // The schema of a newer version, which is not finalized: this version can be run again.
    let migrated = run("migrate").await;
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    assert!(
        stdout(&migrated).contains("the schema is 9999"),
        "{}",
        stdout(&migrated)
    );
    let refused = run("finalize").await;
    assert!(
        stderr(&refused).contains("`finalize` of the newer program"),
        "{}",
        stderr(&refused)
    );
    let config = config_text(fresh.url(), &simulator.url(), "log.filter = \"info\"\n");
    ServerProcess::start(&config).await.stop().await;

    sqlx::query("UPDATE build_admission SET oldest_build = 9999")
        .execute(&mut admin)
        .await
        .unwrap();
    for command in ["serve", "migrate", "finalize"] {
        let refused = run(command).await;
        let error = stderr(&refused);
        assert!(!refused.status.success(), "{command}");
        assert!(error.contains("admits builds from 9999 on"), "{command}: {error}");
    }
    admin.close().await.unwrap();
    simulator.shutdown().await;
}

/// Waiting would not help.
#[tokio::test]
async fn serve_ends_at_once_if_the_role_or_the_database_does_not_exist() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let no_role = database.url().replacen("://sharewarden@", "://nobody:hunter2@", 1);
    let (server, query) = database.url().split_once('?').unwrap();
    let no_database = format!("{}_gone?{query}", server);
    for (url, sentence) in [
        (no_role, "the server refuses the role"),
        (no_database, "the database does not exist"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(config_text(&url, &simulator.url(), "").as_bytes())
            .unwrap();
        let refused = output(program().arg("serve").arg("--config").arg(file.path())).await;
        let refused_with = stderr(&refused);
        assert_eq!(refused.status.code(), Some(1), "{refused_with}");
        assert!(
            refused_with.contains(sentence) && refused_with.contains("database.url"),
            "{refused_with}"
        );
        assert!(
            !refused_with.contains("hunter2") && !refused_with.contains("nobody"),
            "{refused_with}"
        );
    }
    simulator.shutdown().await;
}

/// No connection is made, so the URL can have any host.
#[tokio::test]
async fn no_command_prints_or_logs_a_value_of_a_database_url_that_it_refuses() {
    for (url, name) in [
        ("postgres://u@127.0.0.1/db?sslpassword=hunter2", "sslpassword"),
        ("postgres://u@127.0.0.1/db?sslmode=hunter2", "sslmode"),
        (
            "postgres://u@127.0.0.1/db?sslmode=disable&password=hunter2&=hunter2",
            "parameter",
        ),
        ("postgres://u:hunter2/hunter2@127.0.0.1/db", "database.url"),
        ("postgres://u:hunter2?hunter2@127.0.0.1/db", "database.url"),
        ("postgres://u:hunter2#hunter2@127.0.0.1/db", "database.url"),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = config_text(url, "http://127.0.0.1:1", "log.filter = \"trace\"\n");
        file.write_all(text.as_bytes()).unwrap();
        for command in [&["config", "check"][..], &["migrate"], &["serve"]] {
            let refused = output(program().args(command).arg("--config").arg(file.path())).await;
            let said = format!("{}{}", stderr(&refused), String::from_utf8_lossy(&refused.stdout));
            assert!(!refused.status.success(), "{command:?} {url}: {said}");
            assert!(
                said.contains(name) && !said.contains("hunter2"),
                "{command:?} {url}: {said}"
            );
        }
    }
}

#[tokio::test]
async fn a_database_at_an_ipv6_address_is_migrated_and_served() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let proxy = Proxy::start_on_ipv6(database.url()).await;
    let url = proxy.url(database.url());
    assert!(url.contains("@[::1]:"), "{url}");
    let text = config_text(&url, &simulator.url(), "log.filter = \"info\"\n");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let migrated = output(program().arg("migrate").arg("--config").arg(file.path())).await;
    assert!(migrated.status.success(), "{}", stderr(&migrated));
    let mut served = ServerProcess::start(&text).await;
    served.terminate();
    assert!(served.child.wait().await.unwrap().success());
    simulator.shutdown().await;
}

#[tokio::test]
async fn invalid_configuration_is_reported_by_key_and_secrets_stay_hidden() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = config_text("postgres://user:hunter2@localhost/db", "http://127.0.0.1:1", "");
    file.write_all(text.as_bytes()).unwrap();
    let check = async |set: &[&str]| {
        let mut command = program();
        command.args(["config", "check", "--config"]).arg(file.path());
        for set in set {
            command.args(["--set", set]);
        }
        output(&mut command).await
    };
    let shown = check(&[]).await;
    assert!(shown.status.success(), "{}", stderr(&shown));
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("url = \"[hidden]\"") && !shown.contains("hunter2"),
        "{shown}"
    );
    assert!(shown.contains("lease = \"30s\""), "defaults are shown: {shown}");

    let refused = stderr(&check(&["database.url=mysql://user:hunter2@localhost/db"]).await);
    assert!(
        refused.contains("database.url must begin with postgres://") && !refused.contains("hunter2"),
        "{refused}"
    );
    let mut command = program();
    command.args(["config", "check", "--config"]).arg(file.path());
    for variable in ["SHAREWARDEN__DATABASE__URL", "SHAREWARDEN__AWS__STS_ENDPOINT_URL"] {
        command.env(variable, "");
    }
    let unset = output(&mut command).await;
    assert!(
        unset.status.success(),
        "an empty variable counts as unset: {}",
        stderr(&unset)
    );
    let refused = stderr(&check(&["server.listen=0.0.0.0:7443"]).await);
    assert!(
        refused.contains("server.listen") && refused.contains("loopback"),
        "{refused}"
    );
    let refused = stderr(&check(&["forwarder.lease=1s", "committer.lanes=0"]).await);
    assert!(
        refused.contains("forwarder.lease") && refused.contains("committer.lanes"),
        "one answer names all invalid keys: {refused}"
    );
    let refused = stderr(&check(&["forwarder.attempt_timeout=soon"]).await);
    assert!(
        refused.contains("attempt_timeout") && refused.contains("must be a duration"),
        "{refused}"
    );
    let refused = stderr(&check(&["server.lisen=127.0.0.1:1"]).await);
    assert!(refused.contains("lisen"), "{refused}");

    let from_environment = output(
        program()
            .args(["config", "check", "--config"])
            .arg(file.path())
            .env("SHAREWARDEN__COMMITTER__LANES", "7"),
    )
    .await;
    assert!(
        String::from_utf8(from_environment.stdout)
            .unwrap()
            .contains("lanes = 7")
    );
}

#[tokio::test]
async fn completions_are_printed() {
    let printed = output(program().args(["completions", "bash"])).await;
    assert!(String::from_utf8(printed.stdout).unwrap().contains("sharewarden"));
}
