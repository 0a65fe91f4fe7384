//! One trial: start, inject faults, heal, wait until no change is pending, repeat all requests, collect, check.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use fastrand::Rng;
use sharewarden_simulator::Simulator;
use sqlx::{Connection, PgConnection};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::{
    aws_faults,
    check::{Violation, check},
    clients::{Channels, LONGEST_TTL, RandomClient, Recorder},
    collect,
    fleet::{Fleet, ReplicaPlace, keep_one_ready},
    history::{Build, HealedTime, History, PolicyHistory, PolledReadiness, UpgradeHistory},
    infrastructure_faults::{self, EventCounts},
    outsider,
    policies::{self, PolicyDirectories},
    readiness,
    replica::{OwnersCommand, Program, ReplicaProcess, config_file},
    setup,
    upgrade::{LONGEST_UNRESOLVED, Operator, Upgrade},
    writers,
};
use crate::proxy::{Proxy, ProxyCounts};

#[derive(Clone, Debug)]
pub struct TrialOptions {
    pub seed: u64,
    /// Replicas of each build.
    pub replicas: usize,
    pub clients: usize,
    pub lasts: Duration,
    pub program: Program,
    /// An upgrade from another program to `program`.
    pub upgrade: Option<Upgrade>,
    /// The URL of a database. It is migrated and empty; for an upgrade, it is empty or missing.
    pub database: String,
}

#[derive(Debug)]
pub struct Trial {
    pub history: History,
    pub violations: Vec<Violation>,
    pub kills: BTreeMap<String, u64>,
    pub cuts: BTreeMap<String, u64>,
    pub aws_faults: BTreeMap<String, u64>,
    /// Calls past the service.
    pub outside_calls: u64,
    /// Files of policies that were written, by their names.
    pub policies: BTreeMap<String, u64>,
    pub proxies: Vec<ProxyCounts>,
}

/// Maximum time from healing until no change is pending.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Maximum time from the last change to the export of the ledgers.
const COLLECTED_WITHIN: Duration = Duration::from_secs(20);

/// Runs a trial. Configurations and logs of the replicas are written to `folder`.
pub async fn run(options: &TrialOptions, folder: &Path) -> Trial {
    let mut rng = Rng::with_seed(options.seed);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulator = Simulator::start(listener, setup::settings()).await.unwrap();
    let fleet = places(options, &simulator).await;
    // Older builds do not know policies.
    let directories = match options.upgrade {
        Some(_) => None,
        None => Some(PolicyDirectories::new(folder, fleet.len())),
    };
    let (kills, cuts) = (EventCounts::default(), EventCounts::default());
    let mut replicas = processes(options, folder, &fleet, directories.as_ref());
    if let Some(upgrade) = &options.upgrade {
        let config = config_file(folder, 0);
        let migrated = upgrade
            .old
            .run(OwnersCommand::Migrate, &config, &options.database)
            .await;
        migrated.unwrap();
        writers::note(&options.database, fleet.len()).await;
    }
    for (replica, place) in replicas.iter_mut().zip(fleet.iter()) {
        infrastructure_faults::start(replica, place, &mut rng, &kills).await;
    }
    let channels: Channels = fleet.iter().map(|place| place.channel.subscribe()).collect();
    let panics: Vec<_> = replicas.iter().map(ReplicaProcess::panics).collect();

    let names = aws_faults::inject(&simulator, rng.u64(..));
    let stop = CancellationToken::new();
    let recorder = Arc::<Recorder>::default();
    let clients = start_clients(options, &channels, &recorder, &mut rng, &stop);
    let kept = tokio::spawn(collect::keep_checkpoints(channels.clone(), stop.clone()));
    let watching = match &options.upgrade {
        Some(_) => Some(Watching::start(&fleet, &mut rng, &stop).await),
        None => None,
    };
    let cutting = tokio::spawn(infrastructure_faults::cut(
        Arc::clone(&fleet),
        rng.fork(),
        cuts.clone(),
        stop.clone(),
    ));
    let refusing = tokio::spawn(infrastructure_faults::refuse(
        Arc::clone(&fleet),
        rng.fork(),
        stop.clone(),
    ));
    let outsider = match options.upgrade {
        Some(_) => None,
        None => Some(tokio::spawn(outsider::meddle(
            simulator.url(),
            channels.clone(),
            rng.fork(),
            stop.clone(),
        ))),
    };
    let written = EventCounts::default();
    let changing = directories
        .clone()
        .map(|directories| tokio::spawn(directories.change(rng.fork(), written.clone(), stop.clone())));
    let killing = start_killing(replicas, &fleet, &mut rng, &kills, &stop);

    let mut complaints = Vec::new();
    let mut upgrade = None;
    match &options.upgrade {
        Some(Upgrade { rollback, .. }) => {
            let operator = operator(options, folder, &fleet);
            let operator = operator.run(*rollback, options.lasts).await;
            complaints.extend(operator.complaints);
            upgrade = Some(operator.history);
        }
        None => tokio::time::sleep(options.lasts).await,
    }
    stop.cancel();
    // Heal Postgres first, so that replicas can start. Then AWS.
    cutting.await.unwrap();
    refusing.await.unwrap();
    if let (Some(changing), Some(directories)) = (changing, &directories) {
        changing.await.unwrap();
        directories.permit_everything();
    }
    let mut outside_calls = 0;
    if let Some(outsider) = outsider {
        outside_calls = outsider.await.unwrap();
    }
    let mut replicas = killing.join_all().await;
    let clients = clients.join_all().await;
    let kept = kept.await.unwrap();
    simulator.clear_faults();
    let mut database = PgConnection::connect(&options.database).await.unwrap();
    if directories.is_some() {
        policies::until_everything_is_permitted(&fleet, &mut database, &mut complaints).await;
    }
    nothing_pending(&mut database, &mut complaints).await;
    let healed_at = time_of(&mut database).await;
    let asking: JoinSet<()> = clients.into_iter().map(RandomClient::ask_again).collect();
    asking.join_all().await;
    // Requests that had failed during the faults were accepted now.
    nothing_pending(&mut database, &mut complaints).await;
    let healed = HealedTime {
        from: healed_at,
        to: time_of(&mut database).await,
    };
    if options.upgrade.is_none() {
        outsider::compared(&mut database, &mut complaints).await;
        nothing_pending(&mut database, &mut complaints).await;
    }
    let quiet = simulator.wait_for_calls(|calls| calls.iter().all(|call| call.ended.is_some()));
    if tokio::time::timeout(TIMEOUT, quiet).await.is_err() {
        complaints.push("calls to AWS do not end".into());
    }
    if let (Some(upgrade), Some(watching)) = (&mut upgrade, watching) {
        upgrade.readiness = watching.end().await;
        upgrade.writes = writers::all(&mut database, fleet.len()).await;
    }

    let mut history = History {
        calls: simulator.calls(),
        attempt_timeout: setup::ATTEMPT_TIMEOUT.try_into().unwrap(),
        longest_answer: setup::LONGEST_ANSWER.try_into().unwrap(),
        healed: Some(healed),
        answers: std::mem::take(&mut recorder.answers.lock().unwrap()),
        readings: std::mem::take(&mut recorder.readings.lock().unwrap()),
        upgrade,
        outside: match options.upgrade {
            Some(_) => BTreeSet::new(),
            None => setup::outside_permissions().into_iter().collect(),
        },
        ..History::default()
    };
    let channel = any(&channels);
    if directories.is_some() {
        let replicas: Vec<_> = fleet.iter().map(|place| place.policies.borrow().clone()).collect();
        history.policies = Some(PolicyHistory {
            texts: collect::policy_texts(channel.clone(), &replicas).await,
            valid: policies::valid(),
            replicas,
        });
    }
    for account in setup::ACCOUNTS {
        let size = size_of(&mut database, account).await;
        let ledger = collect::ledger(channel.clone(), account, size, &kept).await;
        history.ledgers.push(ledger);
    }
    let permissions = setup::permissions().into_iter().chain(setup::quiet_permissions());
    for permission in permissions.chain(setup::outside_permissions()) {
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
    let mut aws_faults = aws_faults::counted(&history.calls, &names);
    let refused = fleet.iter().map(|place| place.aws.counts().refused);
    aws_faults.insert("connection refused".into(), refused.sum());
    simulator.shutdown().await;
    Trial {
        violations: check(&history),
        history,
        kills,
        cuts: cuts.all(),
        aws_faults,
        outside_calls,
        policies: written.all(),
        proxies: fleet.iter().map(|place| place.proxy.counts()).collect(),
    }
}

/// The places of all replicas. In an upgrade, the old ones come first and are wanted first.
async fn places(options: &TrialOptions, simulator: &Simulator) -> Fleet {
    let builds = match options.upgrade {
        Some(_) => vec![Build::Old, Build::New],
        None => vec![Build::New],
    };
    let mut places = Vec::new();
    for build in &builds {
        for _ in 0..options.replicas {
            let proxy = Proxy::start(&options.database).await;
            let aws = Proxy::start_plain(simulator.address()).await;
            places.push(ReplicaPlace::new(*build, proxy, aws, *build == builds[0]));
        }
    }
    Arc::new(places)
}

/// The replicas of the places, without processes.
fn processes(
    options: &TrialOptions,
    folder: &Path,
    fleet: &Fleet,
    directories: Option<&PolicyDirectories>,
) -> Vec<ReplicaProcess> {
    let process = |(number, place): (usize, &ReplicaPlace)| {
        let mut url = place.proxy.url(&options.database);
        let mut program = &options.program;
        if let Some(upgrade) = &options.upgrade {
            url = writers::url(&url, number);
            if place.build == Build::Old {
                program = &upgrade.old;
            }
        }
        let policies = directories.map(|directories| directories.of(number));
        let config = setup::config(&url, &format!("http://{}", place.aws.address()), policies);
        let (channel, policies) = (place.channel.clone(), place.policies.clone());
        ReplicaProcess::new(program.clone(), folder, number, &config, channel, policies)
    };
    fleet.iter().enumerate().map(process).collect()
}

fn operator(options: &TrialOptions, folder: &Path, fleet: &Fleet) -> Operator {
    Operator {
        fleet: Arc::clone(fleet),
        new: options.program.clone(),
        config: config_file(folder, 0),
        database: options.database.clone(),
        history: UpgradeHistory {
            builds: fleet.iter().map(|place| place.build).collect(),
            longest_unresolved: LONGEST_UNRESOLVED.try_into().unwrap(),
            ..UpgradeHistory::default()
        },
        cut_off: None,
        complaints: Vec::new(),
    }
}

/// The tasks that poll the readiness of all replicas, and keep one out of the reach of faults.
struct Watching {
    polling: JoinHandle<PolledReadiness>,
    keeping: JoinHandle<()>,
}

impl Watching {
    /// Returns when a ready replica is out of the reach of faults.
    async fn start(fleet: &Fleet, rng: &mut Rng, stop: &CancellationToken) -> Self {
        let (kept, mut is_kept) = watch::channel(false);
        let watching = Self {
            polling: tokio::spawn(readiness::poll(Arc::clone(fleet), stop.clone())),
            keeping: tokio::spawn(keep_one_ready(Arc::clone(fleet), rng.fork(), kept, stop.clone())),
        };
        is_kept.wait_for(|kept| *kept).await.unwrap();
        watching
    }

    async fn end(self) -> PolledReadiness {
        self.keeping.await.unwrap();
        self.polling.await.unwrap()
    }
}

fn start_clients(
    options: &TrialOptions,
    channels: &Channels,
    recorder: &Arc<Recorder>,
    rng: &mut Rng,
    stop: &CancellationToken,
) -> JoinSet<RandomClient> {
    (0..options.clients)
        .map(|_| {
            let client = RandomClient {
                rng: rng.fork(),
                channels: channels.clone(),
                permissions: setup::permissions(),
                quiet_permissions: setup::quiet_permissions(),
                outside_permissions: match options.upgrade {
                    Some(_) => Vec::new(),
                    None => setup::outside_permissions(),
                },
                // Older builds do not know ends.
                grants_for_a_time: options.upgrade.is_none(),
                recorder: Arc::clone(recorder),
                asked: Vec::new(),
                unresolved: Vec::new(),
                heard: Vec::new(),
            };
            client.run(stop.clone())
        })
        .collect()
}

fn start_killing(
    replicas: Vec<ReplicaProcess>,
    fleet: &Fleet,
    rng: &mut Rng,
    kills: &EventCounts,
    stop: &CancellationToken,
) -> JoinSet<ReplicaProcess> {
    let (all, dies) = watch::channel(0);
    let mut killing = JoinSet::new();
    for (number, replica) in replicas.into_iter().enumerate() {
        killing.spawn(infrastructure_faults::kill_and_restart(
            replica,
            Arc::clone(fleet),
            number,
            rng.fork(),
            dies.clone(),
            kills.clone(),
            stop.clone(),
        ));
    }
    tokio::spawn(infrastructure_faults::kill_all(all, rng.fork(), stop.clone()));
    killing
}

/// Waits until no change is pending, and no share ends soon. The revoke of an end that failed is repeated after a minute or more.
async fn nothing_pending(database: &mut PgConnection, complaints: &mut Vec<String>) {
    let quiet = async {
        loop {
            let pending: i64 = sqlx::query_scalar("SELECT count(*) FROM change WHERE state = 'PENDING'")
                .fetch_one(&mut *database)
                .await
                .unwrap();
            if pending == 0 && !ends_soon(database).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(TIMEOUT, quiet).await.is_err() {
        complaints.push(format!("after healing, changes are still pending after {TIMEOUT:?}"));
    }
}

/// True if a share ends before a trial is over. A schema without ends has none.
async fn ends_soon(database: &mut PgConnection) -> bool {
    let soon: Result<bool, _> = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM share_permission WHERE end_due_at < now() + make_interval(secs => $1))",
    )
    .bind(Duration::from_millis(LONGEST_TTL.unsigned_abs()).as_secs_f64() + COLLECTED_WITHIN.as_secs_f64())
    .fetch_one(database)
    .await;
    soon.unwrap_or_default()
}

pub async fn time_of(database: &mut PgConnection) -> time::OffsetDateTime {
    sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(database)
        .await
        .unwrap()
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
