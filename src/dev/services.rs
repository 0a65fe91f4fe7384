//! The running parts of `dev`: how they start, and with which configuration.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use sharewarden_simulator::{self as simulator, Simulator, SimulatorSettings};
use tokio::{net::TcpListener, sync::mpsc};

use super::{
    DevError, DevOptions, key, listen,
    postgres::{self, Cluster, ClusterSettings, StartStep},
    progress::StartProgress,
};
use crate::{
    clock::Clock,
    config::Config,
    domain::with_causes,
    ledger::VerifierKey,
    server::{self, Server},
    telemetry::Telemetry,
    workspaces::BaseCredentials,
};

/// The admin port without --admin-listen: Prometheus's number for this kind of port, as in `docker/` and `deploy/`.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

/// How often the files of --policy are read again: somebody waits for it.
const RELOAD_EVERY: Duration = Duration::from_secs(1);

/// The image that is shared past the service. No document speaks of it, and the service may share it with this account.
const SHARED_IMAGE: &str = "wsi-ubuntu2204";
const SHARED_WITH: &str = "210987654321";

/// The running parts.
pub(super) struct RunningServices {
    pub(super) server: Server,
    pub(super) telemetry: Telemetry,
    pub(super) simulator: Simulator,
    pub(super) cluster: Cluster,
    pub(super) key: VerifierKey,
}

impl RunningServices {
    /// Starts all parts. Dropping the future stops what was started, and waits until Postgres is gone.
    pub(super) async fn start(
        options: &DevOptions,
        folder: &Path,
        progress: &mut StartProgress<'_>,
    ) -> Result<Self, DevError> {
        let listener = listen(options.listen, "--listen").await?;
        let simulator_listener = listen(options.simulator_listen, "--simulator-listen").await?;
        let admin_listener = listen_for_admin(options.admin_listen, progress).await?;
        progress.say("looking for PostgreSQL");
        let data_is_older = folder.join("postgres").exists();
        let cluster = start_postgres(&folder.join("postgres"), progress).await?;

        progress.say("starting the simulator of AWS");
        let settings = simulator::SimulatorSettings {
            state_file: Some(folder.join("simulator.json")),
            // AWS takes minutes, and a person here watches.
            trail_delay_milliseconds: 2_000,
            ..simulator::sample()
        };
        let settings = match options.no_drift {
            true => settings,
            false => with_share_past_the_service(settings),
        };
        let simulator = Simulator::start(simulator_listener, settings)
            .await
            .map_err(DevError::Simulator)?;

        progress.say("migrating the database");
        let key_error = |source| DevError::Key {
            folder: folder.to_owned(),
            source,
        };
        let pem = key::read_or_make(folder).map_err(key_error)?;
        let key = key::verifier_key(&pem).map_err(key_error)?;
        let config = config(options, &cluster, &simulator, &pem)?;
        let telemetry = server::init_telemetry(&config)?;
        let migrated = server::migrate(&config, &mut |_| ()).await;
        migrated.map_err(|error| match error {
            error if data_is_older && error.is_schema() => DevError::OtherBuild {
                folder: folder.to_owned(),
                source: Box::new(error),
            },
            error => error.into(),
        })?;
        // A `dev` that was killed counts as running for another minute.
        if let Err(error) = server::finalize(&config).await {
            progress.say(with_causes(&error));
        }

        progress.say("starting the service");
        let (clock, metrics) = (Clock::system(), telemetry.metrics());
        let server = Server::build_measured(&config, credentials(), clock, listener, metrics)
            .await?
            .with_admin_listener(admin_listener);
        Ok(Self {
            server,
            telemetry,
            simulator,
            cluster,
            key,
        })
    }
}

/// Binds the admin port. The default port may be taken, by another `dev` or by an exporter. Nothing but a person asks for it, so
/// any free port does as well.
async fn listen_for_admin(
    wanted: Option<SocketAddr>,
    progress: &mut StartProgress<'_>,
) -> Result<TcpListener, DevError> {
    const OPTION: &str = "--admin-listen";
    if let Some(address) = wanted {
        return listen(address, OPTION).await;
    }
    match listen(ADMIN, OPTION).await {
        Err(DevError::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
            progress.say(format_args!("{ADMIN} is in use: the admin port gets any free port"));
            listen(SocketAddr::new(ADMIN.ip(), 0), OPTION).await
        }
        bound => bound,
    }
}

async fn start_postgres(folder: &Path, progress: &mut StartProgress<'_>) -> Result<Cluster, DevError> {
    let (steps, mut told) = mpsc::unbounded_channel();
    let tell = move |step| {
        // The send fails only if the start was dropped.
        let _ = steps.send(step);
    };
    let show = async {
        while let Some(step) = told.recv().await {
            match step {
                StartStep::Create(postgres) => {
                    progress.say(format_args!("creating a database cluster with {postgres}"))
                }
                StartStep::Start(postgres) => progress.say(format_args!("starting {postgres}")),
            }
        }
    };
    let (cluster, ()) = tokio::join!(Cluster::start_telling(ClusterSettings::new(folder), tell), show);
    Ok(cluster?)
}

/// An image that is shared before the service runs, if the simulator has no state yet.
fn with_share_past_the_service(mut settings: SimulatorSettings) -> SimulatorSettings {
    let images = settings.images.iter_mut();
    for image in images.filter(|image| image.image_id == SHARED_IMAGE) {
        image.shared_with.insert(SHARED_WITH.to_owned());
    }
    settings
}

/// The simulator accepts any secret for an account that it has.
fn credentials() -> BaseCredentials {
    BaseCredentials::Fixed {
        access_key_id: "AKIA111122223333".into(),
        secret_access_key: "not-a-secret-of-anything".to_owned().into(),
    }
}

/// Every local caller has every role. The configuration has the two owner accounts of the simulator's sample, each with an IAM
/// role: the first may share with any account, the second with two.
fn config(
    options: &DevOptions,
    cluster: &Cluster,
    simulator: &Simulator,
    key: &SecretString,
) -> Result<Config, DevError> {
    let account = |id: &str, share_with: &str| {
        format!(
            "[[accounts]]\nid = \"{id}\"\nregions = [\"eu-central-1\", \"us-east-1\"]\nshare_with = {share_with}\n\
             role_arn = \"arn:aws:iam::{id}:role/sharewarden\"\n"
        )
    };
    let accounts = [
        account("111122223333", "\"anyone\""),
        account("444455556666", "[\"777788889999\", \"210987654321\"]"),
    ]
    .concat();
    // A JSON list of strings is a TOML one.
    let origins = serde_json::json!(options.allow_origin);
    let text = format!(
        "server.listen = \"{listen}\"\n\
         database.url = \"{database}\"\n\
         auth.modes = [\"trusted-header\"]\n\
         roles = [{{ principal = \"*\", roles = [\"viewer\", \"operator\", \"auditor\"] }}]\n\
         aws.endpoint_url = \"{simulator}\"\n\
         aws.sts_endpoint_url = \"{simulator}\"\n\
         server.allowed_origins = {origins}\n\
         log.format = \"human\"\n\
         checkpoint.name = \"{name}\"\n\
         checkpoint.key = \"\"\"\n{key}\"\"\"\n\
         {accounts}",
        listen = options.listen,
        database = cluster.url(postgres::DATABASE),
        simulator = simulator.url(),
        name = key::NAME,
        key = key.expose_secret(),
    );
    let mut config = Config::from_toml(&text)?;
    config.log.filter.clone_from(&options.log);
    // As early as a difference can count. More comparisons would meet the faults that somebody tries.
    config.drift.confirm_after = config.forwarder.late_effect_window;
    if options.policy.is_some() {
        config.policy.directory.clone_from(&options.policy);
        config.policy.reload_every = RELOAD_EVERY;
    }
    Ok(config)
}
