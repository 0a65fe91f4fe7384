//! The metrics as Prometheus and a collector see them.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use sharewarden_client::proto::v1::{WatchAuditEntriesRequest, audit_service_client::AuditServiceClient};
use sharewarden_simulator::{Effect, Fault};
use sharewarden_testkit::{postgres::database, stack::*};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;
use tokio::net::TcpStream;

use crate::{
    collector::{Collector, attribute},
    http::get,
    program::Served,
};

const ADMIN: &str = "log.filter = \"info\"\nadmin.listen = \"127.0.0.1:0\"\n";

const LAST_SUCCESS: &str = "sharewarden_worker_last_success_timestamp_seconds";

/// The workers of a service without TLS and tokens.
const WORKERS: [&str; 13] = [
    "counting",
    "denials",
    "drift_watch",
    "ends",
    "expiring",
    "heartbeat",
    "outcomes",
    "partitions",
    "pending",
    "readiness",
    "recovery",
    "signing",
    "tail",
];

/// One scrape of `/metrics`.
pub(crate) struct Scraped(pub(crate) String);

impl Scraped {
    pub(crate) async fn of(served: &Served) -> Self {
        let answer = get(served.admin(), "/metrics").await;
        assert_eq!(answer.status, 200);
        assert!(
            answer.head.contains("content-type: text/plain; version=0.0.4"),
            "{}",
            answer.head
        );
        Self(answer.body)
    }

    /// The value of the only line with this name and all of these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let mut values = self.0.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            (rest.starts_with('{') || rest.starts_with(' ')) && labels.iter().all(|label| rest.contains(label))
        });
        let (found, more) = (values.next()?, values.next());
        assert_eq!(more, None, "{name}{labels:?} is not one: {found}");
        Some(found.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// The metric families with their types.
    fn families(&self) -> BTreeMap<&str, &str> {
        let types = self.0.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.map(|line| line.split_once(' ').unwrap()).collect()
    }
}

/// Scrapes until a value is right.
async fn reach(served: &Served, name: &str, labels: &[(&str, &str)], is_right: impl Fn(f64) -> bool) -> f64 {
    let reached = async {
        loop {
            let value = Scraped::of(served).await.value(name, labels);
            if let Some(value) = value.filter(|value| is_right(*value)) {
                return value;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let reached = tokio::time::timeout(TIMEOUT, reached).await;
    reached.unwrap_or_else(|_| panic!("{name}{labels:?} has no right value in time"))
}

#[tokio::test]
async fn prometheus_gets_every_documented_metric() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let served = Served::start(&config_text(database.url(), &simulator.url(), ADMIN)).await;
    let mut client = served.client().await;
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    };
    simulator
        .inject(Fault::new(throttle).operation(UPDATE).calls(1))
        .unwrap();
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    client.revoke_share_permission(as_tester(revoke())).await.unwrap();
    // A denial of the policy is recorded too.
    let mut denied = grant();
    denied.account_id = OTHER_ACCOUNT.into();
    client.grant_share_permission(as_tester(denied)).await.unwrap_err();
    let ready = reach(&served, "sharewarden_ready", &[], |ready| ready == 1.0);
    ready.await;
    let signed = reach(&served, "sharewarden_checkpoint_age_seconds", &[], |age| age == 0.0);
    signed.await;
    reach(&served, "sharewarden_changes_pending", &[], |pending| pending == 0.0).await;
    reach(&served, "sharewarden_replicas", &[], |replicas| replicas == 1.0).await;
    let scraped = Scraped::of(&served).await;

    let expected = [
        ("rpc_server_call_duration_seconds", "histogram"),
        ("db_client_operation_duration_seconds", "histogram"),
        ("db_client_connections_usage", "gauge"),
        ("db_client_connections_max", "gauge"),
        ("sharewarden_commit_duration_seconds", "histogram"),
        ("sharewarden_commit_batch_size", "histogram"),
        ("sharewarden_committer_queue_depth", "gauge"),
        ("sharewarden_aws_attempts_total", "counter"),
        ("sharewarden_aws_attempt_duration_seconds", "histogram"),
        ("sharewarden_aws_retries_total", "counter"),
        ("sharewarden_aws_read_backs_total", "counter"),
        ("sharewarden_image_facts_reads_total", "counter"),
        ("sharewarden_leases_lost_total", "counter"),
        ("sharewarden_forwarder_backlog", "gauge"),
        ("sharewarden_forwarder_circuits_open", "gauge"),
        ("sharewarden_changes_pending", "gauge"),
        ("sharewarden_changes_in_doubt", "gauge"),
        ("sharewarden_changes_pending_oldest_age_seconds", "gauge"),
        ("sharewarden_changes_ended_total", "counter"),
        ("sharewarden_watch_watchers", "gauge"),
        ("sharewarden_answers_unsent_bytes", "gauge"),
        ("sharewarden_answers_stalled_total", "counter"),
        ("sharewarden_checkpoint_age_seconds", "gauge"),
        ("sharewarden_audit_entries_total", "counter"),
        ("sharewarden_denials_counted_total", "counter"),
        ("sharewarden_worker_last_success_timestamp_seconds", "gauge"),
        ("sharewarden_worker_interval_seconds", "gauge"),
        ("sharewarden_worker_failures_total", "counter"),
        ("sharewarden_worker_duration_seconds", "histogram"),
        ("sharewarden_ready", "gauge"),
        ("sharewarden_schema_version", "gauge"),
        ("sharewarden_schema_oldest_build", "gauge"),
        ("sharewarden_replicas", "gauge"),
        ("sharewarden_build_info", "gauge"),
        ("sharewarden_log_dropped_lines_total", "counter"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_open_fds", "gauge"),
        ("process_max_fds", "gauge"),
        ("process_cpu_seconds_total", "counter"),
        ("process_start_time_seconds", "gauge"),
    ];
    let families = scraped.families();
    for (name, kind) in expected {
        assert_eq!(families.get(name), Some(&kind), "{name} in:\n{}", scraped.0);
    }
    let value = |name: &str, labels: &[(&str, &str)]| scraped.value(name, labels);
    let method = "sharewarden.v1.SharePermissionService/GrantSharePermission";
    let calls = "rpc_server_call_duration_seconds_count";
    let ok = [("rpc_method", method), ("rpc_response_status_code", "OK")];
    assert_eq!(value(calls, &ok), Some(1.0));
    let refused = [
        ("rpc_method", method),
        ("rpc_response_status_code", "PERMISSION_DENIED"),
    ];
    assert_eq!(value(calls, &refused), Some(1.0));
    let attempts = "sharewarden_aws_attempts_total";
    assert_eq!(value(attempts, &[("classification", "THROTTLED")]), Some(1.0));
    let accepted = [("operation", UPDATE), ("classification", "ACCEPTED")];
    assert_eq!(value(attempts, &accepted), Some(2.0));
    assert_eq!(value("sharewarden_aws_retries_total", &[]), Some(1.0));
    let ended = [("state", "SUCCEEDED"), ("action", "REVOKE")];
    assert_eq!(value("sharewarden_changes_ended_total", &ended), Some(1.0));
    let denied = [("kind", "change.denied"), ("action", "GRANT")];
    assert_eq!(value("sharewarden_audit_entries_total", &denied), Some(1.0));
    for action in ["GRANT", "REVOKE"] {
        assert_eq!(
            value("sharewarden_denials_counted_total", &[("action", action)]),
            Some(0.0)
        );
    }
    let succeeded = [("kind", "change.succeeded"), ("action", "REVOKE")];
    assert_eq!(value("sharewarden_audit_entries_total", &succeeded), Some(1.0));
    for worker in WORKERS {
        let worker = [("worker", worker)];
        assert_eq!(value("sharewarden_worker_failures_total", &worker), Some(0.0));
        let start = value("process_start_time_seconds", &[]);
        assert!(value(LAST_SUCCESS, &worker) > start, "{worker:?} of:\n{}", scraped.0);
    }
    let daily = [("worker", "partitions")];
    assert_eq!(value("sharewarden_worker_interval_seconds", &daily), Some(86400.0));
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(value("sharewarden_build_info", &version), Some(1.0));
    assert!(value("process_resident_memory_bytes", &[]) > Some(1e6));
    assert!(value("process_open_fds", &[]) > Some(5.0));
    assert!(value("db_client_connections_max", &[]) >= Some(8.0));
    assert_eq!(value("sharewarden_log_dropped_lines_total", &[]), Some(0.0));
    for id in [ACCOUNT, OTHER_ACCOUNT, RECIPIENT, IMAGE, "tester@example.com"] {
        assert!(!scraped.0.contains(id), "{id} is no label:\n{}", scraped.0);
    }
    served.stop().await;
    simulator.shutdown().await;
}

#[tokio::test]
async fn refusals_without_an_entry_are_counted_and_logged_together() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let more = format!("{ADMIN}roles = [{{ principal = \"tester*\", roles = [\"operator\"] }}]\ndenials.burst = 1\n");
    let served = Served::start(&config_text(database.url(), &simulator.url(), &more)).await;
    let mut client = served.client().await;
    for _ in 0..5 {
        let mut request = as_tester(grant());
        let nobody = "nobody@example.com".parse().unwrap();
        request.metadata_mut().insert("x-sharewarden-principal", nobody);
        client.grant_share_permission(request).await.unwrap_err();
        let mut denied = grant();
        denied.account_id = OTHER_ACCOUNT.into();
        client.grant_share_permission(as_tester(denied)).await.unwrap_err();
    }
    let unbound = [("reason", "unbound_principal")];
    reach(&served, "sharewarden_auth_refused_total", &unbound, |calls| {
        calls == 5.0
    })
    .await;
    let counted = [("action", "GRANT")];
    reach(&served, "sharewarden_denials_counted_total", &counted, |calls| {
        calls == 4.0
    })
    .await;
    let log = served.stop().await;
    let lines: Vec<_> = log
        .iter()
        .filter(|line| line["reason"] == "unbound_principal")
        .collect();
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(
        (&line["principal"], &line["refusals"]),
        (&"nobody@example.com".into(), &1.into())
    );
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_failed_worker_round_is_counted_logged_once_and_retried() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let served = Served::start(&config_text(database.url(), &simulator.url(), ADMIN)).await;
    let mut owner = PgConnection::connect(database.url()).await.unwrap();
    let signing = [("worker", "signing")];
    let rename = "ALTER TABLE ledger_checkpoint RENAME TO gone";
    sqlx::query(rename).execute(&mut owner).await.unwrap();
    let failures = "sharewarden_worker_failures_total";
    reach(&served, failures, &signing, |failures| failures >= 2.0).await;
    let before = Scraped::of(&served).await.value(LAST_SUCCESS, &signing).unwrap();
    let rename = "ALTER TABLE gone RENAME TO ledger_checkpoint";
    sqlx::query(rename).execute(&mut owner).await.unwrap();
    reach(&served, LAST_SUCCESS, &signing, |success| success > before).await;
    owner.close().await.unwrap();
    let log = served.stop().await;
    let messages = log.iter().filter(|line| line["worker"] == "signing");
    let messages: Vec<_> = messages.map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(
        messages,
        [
            "cannot sign checkpoints; the worker tries again",
            "the worker succeeds again"
        ]
    );
    simulator.shutdown().await;
}

#[tokio::test]
async fn a_stream_is_counted_when_it_ends_and_every_code_is_counted() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let served = Served::start(&config_text(database.url(), &simulator.url(), ADMIN)).await;
    let calls = "rpc_server_call_duration_seconds_count";
    let watch = ("rpc_method", "sharewarden.v1.AuditService/WatchAuditEntries");

    let mut auditor = AuditServiceClient::connect(served.address.clone()).await.unwrap();
    let watching = auditor
        .watch_audit_entries(as_tester(WatchAuditEntriesRequest::default()))
        .await
        .unwrap();
    let mut watching = watching.into_inner();
    watching.message().await.unwrap().unwrap();
    reach(&served, "sharewarden_watch_watchers", &[], |watchers| watchers == 1.0).await;
    let mut client = served.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    watching.message().await.unwrap().unwrap();
    reach(&served, "sharewarden_watch_lag_seconds_count", &[], |entries| {
        entries >= 1.0
    })
    .await;
    assert_eq!(Scraped::of(&served).await.value(calls, &[watch]), None, "it goes on");
    drop((watching, auditor));
    let cancelled = [watch, ("rpc_response_status_code", "CANCELLED")];
    reach(&served, calls, &cancelled, |calls| calls == 1.0).await;

    // Codes that no handler returns: those of tonic, of admission, and of unknown methods.
    client
        .get_change(tonic::Request::new(Default::default()))
        .await
        .unwrap_err();
    let unauthenticated = [("rpc_response_status_code", "UNAUTHENTICATED")];
    reach(&served, calls, &unauthenticated, |calls| calls == 1.0).await;
    client.get_change(as_tester(Default::default())).await.unwrap_err();
    let invalid = [("rpc_response_status_code", "INVALID_ARGUMENT")];
    reach(&served, calls, &invalid, |calls| calls == 1.0).await;
    let channel = tonic::transport::Channel::from_shared(served.address.clone()).unwrap();
    let mut raw = tonic::client::Grpc::new(channel.connect().await.unwrap());
    for path in [
        "/sharewarden.v1.SharePermissionService/Nothing",
        "/made.up.Service/ByWhoCalls",
    ] {
        raw.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let path = http::uri::PathAndQuery::from_static(path);
        let answer = raw.unary(as_tester(()), path, codec).await;
        assert_eq!(answer.unwrap_err().code(), tonic::Code::Unimplemented);
    }
    let unimplemented = [("rpc_method", "_OTHER"), ("error_type", "UNIMPLEMENTED")];
    reach(&served, calls, &unimplemented, |calls| calls == 2.0).await;
    served.stop().await;
    simulator.shutdown().await;
}

#[tokio::test]
async fn the_collector_gets_the_same_metrics_with_resource_attributes_and_configured_headers() {
    let (database, simulator, collector) = tokio::join!(database(), simulator(), Collector::start());
    let more = format!(
        "log.filter = \"info\"\ntelemetry.otlp_endpoint = \"{}\"\ntelemetry.metrics_interval = \"1s\"\n\
         telemetry.service_name = \"shares-of-a-test\"\ntelemetry.otlp_headers = {{ api-key = \"hunter2\" }}\n",
        collector.url
    );
    let served = Served::start(&config_text(database.url(), &simulator.url(), &more)).await;
    served
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap();
    let log = served.stop().await;

    let calls = collector.metric("rpc.server.call.duration").unwrap();
    assert_eq!(calls.unit, "s");
    let Some(Data::Histogram(histogram)) = calls.data else {
        panic!("{calls:?}")
    };
    let point = &histogram.data_points[0];
    assert_eq!(point.count, 1);
    assert_eq!(point.explicit_bounds[0], 0.001, "buckets of seconds");
    let code = attribute(&point.attributes, "rpc.response.status_code");
    assert_eq!(code.as_deref(), Some("OK"));
    for name in [
        "sharewarden.commit.duration",
        "sharewarden.aws.attempts",
        "process.resident_memory",
    ] {
        assert!(collector.metric(name).is_some(), "{name}");
    }
    let senders = collector.senders();
    assert!(!senders.is_empty());
    for (attributes, header) in senders {
        assert_eq!(
            attribute(&attributes, "service.name").as_deref(),
            Some("shares-of-a-test")
        );
        assert_eq!(header.as_deref(), Some("hunter2"));
    }
    let log = serde_json::to_string(&log).unwrap();
    assert!(!log.contains("hunter2"), "{log}");
    simulator.shutdown().await;
}

#[tokio::test]
async fn without_exporters_no_port_listens_and_no_metric_is_recorded() {
    let (database, simulator) = tokio::join!(database(), simulator());
    let more = "log.filter = \"info\"\nadmin.listen = \"\"\n";
    let served = Served::start(&config_text(database.url(), &simulator.url(), more)).await;
    assert_eq!(served.admin, None);
    served
        .client()
        .await
        .grant_share_permission(as_tester(grant()))
        .await
        .unwrap();
    assert!(
        TcpStream::connect(served.address.trim_start_matches("http://"))
            .await
            .is_ok()
    );
    served.stop().await;
    simulator.shutdown().await;
}
