//! The gauges of pending changes, as Prometheus reads them.

use sharewarden::{clock::Clock, config::Config, server::Server, telemetry::Metrics};
use sharewarden_simulator::{Effect, Fault, FaultTiming};
use sharewarden_testkit::{postgres::database, stack::*};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The metrics of a server that a test has built.
pub(crate) struct ReadMetrics(pub(crate) Metrics);

impl ReadMetrics {
    pub(crate) fn of(config: &Config) -> Self {
        Self(Metrics::new(&config.telemetry, true).unwrap())
    }

    /// The current value of a gauge without labels.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        let text = String::from_utf8(self.0.text().unwrap()).unwrap();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(value.parse().unwrap())
    }

    /// Waits until the gauges have these values.
    async fn wait_for(&self, pending: f64, in_doubt: f64) {
        let reached = async {
            while self.value("sharewarden_changes_pending") != Some(pending)
                || self.value("sharewarden_changes_in_doubt") != Some(in_doubt)
            {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let reached = tokio::time::timeout(TIMEOUT, reached).await;
        reached.unwrap_or_else(|_| panic!("the gauges do not reach {pending} pending and {in_doubt} in doubt in time"));
    }
}

#[tokio::test]
async fn the_gauges_report_pending_changes_their_age_and_those_in_doubt() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let slow = "forwarder.backoff_base = \"10m\"\nforwarder.backoff_cap = \"10m\"\n";
    let config = config(database.url(), &simulator.url(), slow);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let measured = ReadMetrics::of(&config);
    let server = Server::build_measured(&config, credentials(), Clock::system(), listener, &measured.0)
        .await
        .unwrap();
    let address = format!("http://{}", server.address());
    assert_eq!(
        measured.value("sharewarden_changes_pending"),
        None,
        "an unknown value is not reported"
    );
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run(stop.clone().cancelled_owned()));
    let client = Client::connect(address).await.unwrap();
    measured.wait_for(0.0, 0.0).await;
    assert_eq!(
        measured.value("sharewarden_changes_pending_oldest_age_seconds"),
        Some(0.0)
    );

    // Every call of the first change is throttled, because jitter may end its wait early. The second change loses the answers of
    // its call and of every read.
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    };
    simulator
        .inject(Fault::new(throttle).operation(UPDATE).shared_account(RECIPIENT))
        .unwrap();
    let first = spawn_grant(client.clone(), grant());
    measured.wait_for(1.0, 0.0).await;
    let reset = || {
        Fault::new(Effect::Reset {
            moment: FaultTiming::AfterApplying,
        })
    };
    simulator.inject(reset().operation(UPDATE)).unwrap();
    simulator.inject(reset().operation(DESCRIBE)).unwrap();
    let mut other = grant();
    other.shared_account_id = OTHER_RECIPIENT.into();
    let second = spawn_grant(client, other);
    measured.wait_for(2.0, 1.0).await;
    assert!(
        measured
            .value("sharewarden_changes_pending_oldest_age_seconds")
            .unwrap()
            > 0.0
    );

    first.abort();
    second.abort();
    stop.cancel();
    tokio::time::timeout(TIMEOUT, serving).await.unwrap().unwrap().unwrap();
    simulator.shutdown().await;
}
