//! One trial: start, make trouble, heal, wait until nothing is pending, ask again for what was asked, collect, check.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use fastrand::Rng;
use sharewarden_simulator::Simulator;
use sqlx::{Connection, PgConnection};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::proxy::{Counts, Proxy};

use super::{
    check::{Violation, check},
    clients::{Channels, Client, Notebook},
    collect, faults,
    history::History,
    replica::{Program, Replica},
    trouble::{self, Tally},
    world,
};

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub replicas: usize,
    pub clients: usize,
    pub lasts: Duration,
    pub program: Program,
    /// A migrated, empty database.
    pub database: String,
}

/// What came of it.
#[derive(Debug)]
pub struct Trial {
    pub history: History,
    pub violations: Vec<Violation>,
    pub kills: BTreeMap<String, u64>,
    pub cuts: BTreeMap<String, u64>,
    pub faults: BTreeMap<String, u64>,
    pub proxies: Vec<Counts>,
}

/// After healing, everything ends within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a trial. Configurations and logs of the replicas go to `folder`.
pub async fn run(plan: &Plan, folder: &Path) -> Trial {
    let mut dice = Rng::with_seed(plan.seed);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulator = Simulator::start(listener, world::settings()).await.unwrap();
    let aws = Arc::new(Proxy::start_plain(simulator.address()).await);
    let mut proxies = Vec::new();
    for _ in 0..plan.replicas {
        proxies.push(Proxy::start(&plan.database).await);
    }
    let proxies = Arc::new(proxies);
    let (kills, cuts) = (Tally::default(), Tally::default());
    let replicas = start_replicas(plan, folder, &proxies, &aws, &mut dice, &kills).await;
    let channels: Channels = replicas.iter().map(Replica::channel).collect();
    let panics: Vec<_> = replicas.iter().map(Replica::panics).collect();

    let names = faults::inject(&simulator, dice.u64(..));
    let stop = CancellationToken::new();
    let notebook = Arc::<Notebook>::default();
    let clients = start_clients(plan, &channels, &notebook, &mut dice, &stop);
    let kept = tokio::spawn(collect::keep_checkpoints(channels.clone(), stop.clone()));
    let cutting = tokio::spawn(trouble::cut(
        Arc::clone(&proxies),
        dice.fork(),
        cuts.clone(),
        stop.clone(),
    ));
    let refusing = tokio::spawn(trouble::refuse(Arc::clone(&aws), dice.fork(), stop.clone()));
    let killing = start_killing(replicas, &mut dice, &kills, &stop);

    tokio::time::sleep(plan.lasts).await;
    stop.cancel();
    // Healing: first Postgres, so that replicas can start; then AWS.
    cutting.await.unwrap();
    refusing.await.unwrap();
    let mut replicas = killing.join_all().await;
    let clients = clients.join_all().await;
    let kept = kept.await.unwrap();
    simulator.clear_faults();
    let mut complaints = Vec::new();
    let mut database = PgConnection::connect(&plan.database).await.unwrap();
    nothing_pending(&mut database, &mut complaints).await;
    let asking: JoinSet<()> = clients.into_iter().map(Client::ask_again).collect();
    asking.join_all().await;
    // What was never accepted in the trouble was accepted now.
    nothing_pending(&mut database, &mut complaints).await;
    let quiet = simulator.wait_for_calls(|calls| calls.iter().all(|call| call.ended.is_some()));
    if tokio::time::timeout(PATIENCE, quiet).await.is_err() {
        complaints.push("calls to AWS go on for ever".into());
    }

    let mut history = History {
        calls: simulator.calls(),
        attempt_timeout: world::ATTEMPT_TIMEOUT.try_into().unwrap(),
        longest_answer: world::LONGEST_ANSWER.try_into().unwrap(),
        answers: std::mem::take(&mut notebook.answers.lock().unwrap()),
        readings: std::mem::take(&mut notebook.readings.lock().unwrap()),
        ..History::default()
    };
    let channel = any(&channels);
    for account in world::ACCOUNTS {
        let size = size_of(&mut database, account).await;
        let ledger = collect::ledger(channel.clone(), account, size, &kept).await;
        history.ledgers.push(ledger);
    }
    for permission in world::permissions() {
        let shared = simulator.shared_accounts(&permission.account, &permission.region, &permission.image);
        if shared.contains(&permission.shared_account) {
            history.shared.insert(permission);
        }
    }
    for replica in &mut replicas {
        replica.kill().await;
    }
    let panics: u64 = panics.iter().map(|panics| panics.load(Relaxed)).sum();
    if panics > 0 {
        complaints.push(format!("replicas panicked {panics} times; see their logs"));
    }
    let kills = kills.all();
    let badly_ended = kills.iter().filter(|(what, _)| what.starts_with("(SIGTERM"));
    complaints.extend(badly_ended.map(|(what, times)| format!("{times} times {what}")));
    history.complaints = complaints;
    database.close().await.unwrap();
    let mut faults = faults::counted(&history.calls, &names);
    faults.insert("connection refused".into(), aws.counts().refused);
    simulator.shutdown().await;
    Trial {
        violations: check(&history),
        history,
        kills,
        cuts: cuts.all(),
        faults,
        proxies: proxies.iter().map(Proxy::counts).collect(),
    }
}

async fn start_replicas(
    plan: &Plan,
    folder: &Path,
    proxies: &[Proxy],
    aws: &Proxy,
    dice: &mut Rng,
    kills: &Tally,
) -> Vec<Replica> {
    let mut replicas = Vec::new();
    for (number, proxy) in proxies.iter().enumerate() {
        let config = world::config(&proxy.url(&plan.database), &format!("http://{}", aws.address()));
        let mut replica = Replica::new(plan.program.clone(), folder, number, &config);
        trouble::start(&mut replica, dice, kills).await;
        replicas.push(replica);
    }
    replicas
}

fn start_clients(
    plan: &Plan,
    channels: &Channels,
    notebook: &Arc<Notebook>,
    dice: &mut Rng,
    stop: &CancellationToken,
) -> JoinSet<Client> {
    (0..plan.clients)
        .map(|_| {
            let client = Client {
                dice: dice.fork(),
                channels: channels.clone(),
                permissions: world::permissions(),
                notebook: Arc::clone(notebook),
                asked: Vec::new(),
                heard: Vec::new(),
            };
            client.run(stop.clone())
        })
        .collect()
}

fn start_killing(replicas: Vec<Replica>, dice: &mut Rng, kills: &Tally, stop: &CancellationToken) -> JoinSet<Replica> {
    let (all, dies) = watch::channel(0);
    let mut killing = JoinSet::new();
    for replica in replicas {
        killing.spawn(trouble::kill_and_restart(
            replica,
            dice.fork(),
            dies.clone(),
            kills.clone(),
            stop.clone(),
        ));
    }
    tokio::spawn(trouble::kill_all(all, dice.fork(), stop.clone()));
    killing
}

async fn nothing_pending(database: &mut PgConnection, complaints: &mut Vec<String>) {
    let quiet = async {
        loop {
            let pending: i64 = sqlx::query_scalar("SELECT count(*) FROM change WHERE state = 'PENDING'")
                .fetch_one(&mut *database)
                .await
                .unwrap();
            if pending == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, quiet).await.is_err() {
        complaints.push(format!("after healing, changes are still pending after {PATIENCE:?}"));
    }
}

async fn size_of(database: &mut PgConnection, account: &str) -> u64 {
    let size: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_entry WHERE account_id = $1")
        .bind(account)
        .fetch_one(database)
        .await
        .unwrap();
    size.unsigned_abs()
}

fn any(channels: &Channels) -> Channel {
    let channel = channels.iter().find_map(|channel| channel.borrow().clone());
    channel.expect("after healing every replica runs")
}
