//! The processes of the bench: a private Postgres, the simulator and the service.

use std::{
    fmt::Write,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sharewarden::{
    config::Config,
    dev::postgres::{Cluster, ClusterSettings, DATABASE},
    server,
};
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::{
    estate,
    load::{Measured, Run, Workload},
    policies,
    usage::{Processes, Usage, memory},
};

/// The number of accounts that own images.
pub(crate) const ACCOUNTS: usize = 10_000;
pub(crate) const REGION: &str = "eu-central-1";
/// The number of images of the first account. Each other account has one.
const IMAGES_OF_THE_FIRST: usize = 100;

const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIIeh4qG0eSyZysGiQjRRrVo2MCvlxyj6P1BZHd376qNY
-----END PRIVATE KEY-----
";

/// The account id of an owner.
pub(crate) fn account(number: usize) -> String {
    format!("1{number:011}")
}

/// The owner and the id of the image for a call. Numbers cycle through the first `accounts` owners. Only the first owner
/// has several images.
pub(crate) fn image(number: u64, accounts: usize) -> (String, String) {
    let owner = number as usize % accounts;
    let of_owner = if owner == 0 {
        number as usize / accounts % IMAGES_OF_THE_FIRST
    } else {
        0
    };
    (account(owner), image_id(owner, of_owner))
}

/// A recipient for a call that is an account of the configuration, and not the owner. The first million calls with a number of
/// accounts have different images or recipients.
pub(crate) fn configured_recipient(number: u64, accounts: usize) -> String {
    let (owner, turn) = (number as usize % accounts, number as usize / accounts);
    account((owner + 1 + turn % (ACCOUNTS - 1)) % ACCOUNTS)
}

fn image_id(owner: usize, number: usize) -> String {
    format!("wsi-{owner:06}{number:03}")
}

pub(crate) struct Stack {
    pub(crate) pool: PgPool,
    pub(crate) simulator_url: String,
    simulator: Process,
    server: Option<Server>,
    cluster: Cluster,
    postmaster: u32,
    folder: tempfile::TempDir,
    policies: Option<PathBuf>,
}

struct Server {
    process: Process,
    address: String,
    took: Duration,
}

impl Stack {
    /// Starts Postgres and the simulator with what it has at first. The grants are permitted by the policies of a folder, or by a
    /// role.
    pub(crate) async fn start(policies: Option<PathBuf>, simulated: serde_json::Value) -> Self {
        // If root runs this, the private Postgres runs as another user, which needs access.
        let folder = tempfile::Builder::new()
            .prefix("sharewarden-bench-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()
            .unwrap();
        let postgres = folder.path().join("postgres");
        let cluster = Cluster::start(ClusterSettings::new(postgres.clone())).await.unwrap();
        let pid = std::fs::read_to_string(postgres.join("cluster/postmaster.pid")).unwrap();
        let postmaster = pid.lines().next().unwrap().trim().parse().unwrap();

        let settings = folder.path().join("simulator.json");
        std::fs::write(&settings, simulated.to_string()).unwrap();
        let mut program = program();
        program.args(["simulate", "--listen", "127.0.0.1:0", "--settings"]);
        let (simulator, line) = Process::start(program.arg(settings), "simulating");
        let simulator_url = line.split_whitespace().last().unwrap().to_owned();

        let url = cluster.url(DATABASE);
        let stack = Self {
            pool: PgPoolOptions::new().max_connections(16).connect_lazy(&url).unwrap(),
            simulator_url,
            simulator,
            server: None,
            cluster,
            postmaster,
            folder,
            policies,
        };
        let config = stack.config(1, &[REGION], "");
        let config = Config::from_toml(&std::fs::read_to_string(config).unwrap()).unwrap();
        server::migrate(&config, &mut |_| ()).await.unwrap();
        stack
    }

    /// Measures an idle service with one account: the time until it logs that it serves, and its memory.
    pub(crate) async fn print_idle(&mut self) {
        let mut started = Vec::new();
        for _ in 0..5 {
            self.serve(1);
            started.push(self.server().took);
        }
        started.sort_unstable();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let held = memory(self.server().process.id()) as f64 / 1e6;
        println!(
            "start-up on a current schema: {:.0?} (median of 5); its memory when idle is {held:.1} MB\n",
            started[2]
        );
    }

    pub(crate) async fn serve_all_accounts(&mut self) {
        self.serve(ACCOUNTS);
    }

    /// Waits until every ledger that grew has its checkpoint, so that a run does not include the signing for the run before.
    pub(crate) async fn wait_for_checkpoints(&self) {
        const UNSIGNED: &str = "SELECT EXISTS (SELECT FROM ledger WHERE size > 0 AND NOT EXISTS (
            SELECT FROM ledger_checkpoint c WHERE c.account_id = ledger.account_id AND c.size = ledger.size))";
        while sqlx::query_scalar(UNSIGNED).fetch_one(&self.pool).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Updates the statistics of Postgres, as autovacuum does within a minute. A plan that was
    /// made while a table was empty uses a sequential scan.
    pub(crate) async fn analyze_tables(&self) {
        sqlx::raw_sql("ANALYZE").execute(&self.pool).await.unwrap();
    }

    /// Serves the accounts and Regions of the estate, with more keys of the configuration.
    pub(crate) fn serve_estate(&mut self, more: &str) {
        self.serve_with(estate::ACCOUNTS, &estate::REGIONS, more);
    }

    /// The memory of the service, in bytes.
    pub(crate) fn server_memory(&self) -> u64 {
        memory(self.server().process.id())
    }

    fn serve(&mut self, accounts: usize) {
        self.serve_with(accounts, &[REGION], "");
    }

    fn serve_with(&mut self, accounts: usize, regions: &[&str], more: &str) {
        if let Some(server) = self.server.take() {
            server.process.stop();
        }
        let config = self.config(accounts, regions, more);
        let begun = Instant::now();
        let mut program = match &self.policies {
            Some(_) => command(std::env::current_exe().unwrap()),
            None => program(),
        };
        let (process, line) = Process::start(program.args(["serve", "--config"]).arg(config), "\"serving\"");
        let took = begun.elapsed();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = format!("http://{}", line["address"].as_str().unwrap());
        self.server = Some(Server { process, address, took });
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("the service runs")
    }

    /// The address of the service.
    pub(crate) fn address(&self) -> String {
        self.server().address.clone()
    }

    /// Runs a workload and measures its cost. The memory is that of the service at the end.
    pub(crate) async fn measure<W: Workload>(&self, run: Run, workload: &W) -> (Measured, Usage, u64) {
        let processes = Processes {
            server: self.server().process.id(),
            postgres: self.postmaster,
            simulator: self.simulator.id(),
        };
        let before = Usage::read(processes, &self.pool).await;
        let measured = run.of(workload).await;
        let held = memory(processes.server);
        let usage = Usage::read(processes, &self.pool).await.since(before);
        (measured, usage, held)
    }

    /// True if policies permit the grants.
    pub(crate) fn has_policies(&self) -> bool {
        self.policies.is_some()
    }

    fn config(&self, accounts: usize, regions: &[&str], more: &str) -> PathBuf {
        let (database, simulator) = (self.cluster.url(DATABASE), &self.simulator_url);
        let roles = match &self.policies {
            Some(_) => &["viewer", "auditor"][..],
            None => &["viewer", "operator", "auditor"],
        };
        let mut text = format!(
            "server.listen = \"127.0.0.1:0\"
server.calls_per_second_per_principal = 1000000
denials.burst = 1000000
auth.modes = [\"trusted-header\"]
roles = [{{ principal = \"*\", roles = {roles:?} }}]
database.url = \"{database}\"
aws.endpoint_url = \"{simulator}\"
aws.sts_endpoint_url = \"{simulator}\"
aws.verify_identity = false
checkpoint.name = \"sharewarden.bench\"
checkpoint.key = \"\"\"\n{KEY}\"\"\"
{more}
"
        );
        if let Some(directory) = &self.policies {
            text += &policies::config(directory, accounts);
        }
        for number in 0..accounts {
            let id = account(number);
            write!(
                text,
                "\n[[accounts]]\nid = \"{id}\"\nregions = {regions:?}\nshare_with = \"anyone\"\n\
                 role_arn = \"arn:aws:iam::{id}:role/sharewarden\"\n"
            )
            .unwrap();
        }
        let id = denied();
        write!(
            text,
            "\n[[accounts]]\nid = \"{id}\"\nregions = [\"{REGION}\"]\nshare_with = []\n"
        )
        .unwrap();
        let file = self.folder.path().join("sharewarden.toml");
        std::fs::write(&file, text).unwrap();
        file
    }

    pub(crate) async fn stop(self) {
        self.pool.close().await;
        self.server.unwrap().process.stop();
        self.simulator.stop();
        self.cluster.stop();
        self.folder.close().unwrap();
    }
}

/// An account that may share with no account.
pub(crate) fn denied() -> String {
    "999999999999".into()
}

pub(crate) fn simulated() -> serde_json::Value {
    let of = |owner: usize, number: usize| {
        let id = image_id(owner, number);
        json!({
            "region": REGION, "image_id": id, "name": id, "owner": account(owner), "tags": { "release": "yes" },
        })
    };
    let images = (0..IMAGES_OF_THE_FIRST)
        .map(|number| of(0, number))
        .chain((1..ACCOUNTS).map(|owner| of(owner, 0)));
    let accounts = (0..ACCOUNTS).map(account).chain([denied()]);
    json!({
        "accounts": accounts.map(|id| json!({ "id": id })).collect::<Vec<_>>(),
        "images": images.collect::<Vec<_>>(),
        "call_log_limit": 1000,
    })
}

fn program() -> Command {
    command(env!("CARGO_BIN_EXE_sharewarden").into())
}

fn command(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .env("AWS_ACCESS_KEY_ID", "AKIA999999999999")
        .env("AWS_SECRET_ACCESS_KEY", "any")
        .env_remove("AWS_PROFILE");
    command
}

/// A child process. Its log is read and discarded. Dropping this kills it.
struct Process(Child);

impl Process {
    /// Starts the process, and waits for the line of its log that has this text.
    fn start(command: &mut Command, text: &str) -> (Self, String) {
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::with_capacity(1 << 20, child.stderr.take().unwrap());
        let mut skipped = String::new();
        let line = loop {
            let mut line = String::new();
            assert!(
                log.read_line(&mut line).unwrap() > 0,
                "{skipped}the process ended before it logged {text}"
            );
            if line.contains(text) {
                break line;
            }
            skipped += &line;
        };
        std::thread::spawn(move || drain(log));
        (Self(child), line)
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn stop(mut self) {
        kill_process(Pid::from_raw(self.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn drain(mut log: BufReader<ChildStderr>) {
    let mut bytes = vec![0; 1 << 20];
    while log.read(&mut bytes).is_ok_and(|read| read > 0) {}
}
