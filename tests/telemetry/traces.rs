//! One grant is one trace: from the caller, through the commit and the forwarder's task, to the call to AWS. A retry and a
//! takeover by another process stay in the same trace.

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use sharewarden::proto::v1::GrantSharePermissionRequest;
use sharewarden_simulator::{Effect, Fault, FaultTiming, Simulator};
use sharewarden_testkit::{
    postgres::{TestDatabase, database},
    stack::*,
};
use tonic::Request;

use crate::{
    collector::{Collector, attribute, hex},
    program::Served,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const GRANT: &str = "sharewarden.v1.SharePermissionService/GrantSharePermission";
const GET_CHANGE: &str = "sharewarden.v1.SharePermissionService/GetChange";
const CALL: &str = "WorkSpaces.UpdateWorkspaceImagePermission";
const READ_BACK: &str = "WorkSpaces.DescribeWorkspaceImagePermissions";

/// What the program needs, with a collector.
struct Environment {
    database: TestDatabase,
    simulator: Simulator,
    collector: Collector,
}

impl Environment {
    async fn start() -> Self {
        let (database, simulator, collector) = tokio::join!(database(), simulator(), Collector::start());
        Self {
            database,
            simulator,
            collector,
        }
    }

    async fn serve(&self, more: &str) -> Served {
        let more = format!(
            "log.filter = \"info\"\ntelemetry.otlp_endpoint = \"{}\"\n{more}",
            self.collector.url
        );
        Served::start(&config_text(self.database.url(), &self.simulator.url(), &more)).await
    }
}

fn traced(flags: &str) -> Request<GrantSharePermissionRequest> {
    let mut request = as_tester(grant());
    let parent = format!("00-{TRACE}-{PARENT}-{flags}");
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    request
}

fn assert_child(child: &Span, parent: &Span) {
    assert_eq!(
        hex(&child.trace_id),
        hex(&parent.trace_id),
        "{} is in the trace",
        child.name
    );
    assert_eq!(
        hex(&child.parent_span_id),
        hex(&parent.span_id),
        "{} is a child of {}",
        child.name,
        parent.name
    );
}

fn is_linked(from: &Span, to: &Span) -> bool {
    let links = from.links.iter();
    links
        .filter(|link| link.trace_id == to.trace_id)
        .any(|link| link.span_id == to.span_id)
}

fn is_kind(span: &Span, kind: SpanKind) -> bool {
    span.kind() == kind
}

#[tokio::test]
async fn one_grant_is_one_connected_trace_from_the_caller_to_the_call_to_aws() {
    let environment = Environment::start().await;
    let served = environment.serve("").await;
    let answer = served.client().await.grant_share_permission(traced("01")).await;
    let change = answer.unwrap().into_inner().change.unwrap();
    assert_eq!(change.trace_id, TRACE, "the trace id is recorded");
    let log = served.stop().await;
    let collector = &environment.collector;

    // The call is a child of the caller's span.
    let call = collector.span(GRANT);
    assert_eq!(
        (hex(&call.trace_id).as_str(), hex(&call.parent_span_id).as_str()),
        (TRACE, PARENT)
    );
    assert!(is_kind(&call, SpanKind::Server), "{call:?}");
    let of_call = |key| attribute(&call.attributes, key);
    assert_eq!(of_call("rpc.system.name").as_deref(), Some("grpc"));
    assert_eq!(of_call("rpc.method").as_deref(), Some(GRANT));
    assert_eq!(of_call("rpc.response.status_code").as_deref(), Some("OK"));
    assert_eq!(of_call("change_id").as_deref(), Some(change.change_id.as_str()));

    // The forwarder's task is a child of the call.
    let forward = collector.span("forward");
    assert_child(&forward, &call);

    // The call to AWS is a child of that task, and AWS got its trace context.
    let attempt = collector.span(CALL);
    assert_child(&attempt, &forward);
    assert!(is_kind(&attempt, SpanKind::Client), "{attempt:?}");
    let of_attempt = |key| attribute(&attempt.attributes, key);
    assert_eq!(of_attempt("cloud.region").as_deref(), Some(REGION));
    assert_eq!(
        of_attempt("aws.request_id"),
        Some(change.attempts[0].aws_request_id.clone())
    );
    let calls = environment.simulator.calls();
    let update = calls.iter().find(|call| call.operation == UPDATE).unwrap();
    let traceparent = format!("00-{TRACE}-{}-01", hex(&attempt.span_id));
    assert_eq!(update.traceparent.as_deref(), Some(traceparent.as_str()));

    // A batch is not part of a caller's trace. It and the spans that it committed link to each other.
    let commits = collector.spans_named("commit");
    assert_eq!(commits.len(), 2, "the acceptance and the outcome: {commits:?}");
    for (commit, of) in [(&commits[0], &call), (&commits[1], &forward)] {
        assert!(commit.parent_span_id.is_empty(), "{commit:?}");
        assert!(is_linked(commit, of), "{commit:?} is linked to {}", of.name);
        assert!(is_linked(of, commit), "{} is linked to its commit", of.name);
        assert_eq!(attribute(&commit.attributes, "commands").as_deref(), Some("1"));
    }
    assert!(
        commits[0].end_time_unix_nano <= attempt.start_time_unix_nano,
        "the request was recorded before AWS was called"
    );

    // The log has the same ids.
    let called = log.iter().find(|line| line["message"] == "called AWS").unwrap();
    assert_eq!(
        (&called["trace_id"], &called["change_id"]),
        (&TRACE.into(), &change.change_id.as_str().into())
    );
    let ended = log.iter().find(|line| line["message"] == "the call ended").unwrap();
    assert_eq!(
        (&ended["trace_id"], &ended["change_id"]),
        (&TRACE.into(), &change.change_id.as_str().into())
    );
    environment.simulator.shutdown().await;
}

#[tokio::test]
async fn a_retried_grant_stays_in_its_trace() {
    let environment = Environment::start().await;
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    };
    let fault = Fault::new(throttle).operation(UPDATE).calls(1);
    environment.simulator.inject(fault).unwrap();
    let served = environment.serve("").await;
    served
        .client()
        .await
        .grant_share_permission(traced("01"))
        .await
        .unwrap();
    served.stop().await;

    let call = environment.collector.span(GRANT);
    let steps = environment.collector.spans_named("forward");
    let attempts = environment.collector.spans_named(CALL);
    assert_eq!((steps.len(), attempts.len()), (2, 2));
    for (step, attempt) in steps.iter().zip(&attempts) {
        assert_child(step, &call);
        assert_child(attempt, step);
    }
    let status = attempts[0].status.as_ref().unwrap();
    assert_eq!(status.code(), StatusCode::Error);
    let throttled = attribute(&attempts[0].attributes, "sharewarden.classification");
    assert_eq!(throttled.as_deref(), Some("THROTTLED"));
    assert_eq!(attribute(&steps[1].attributes, "attempts").as_deref(), Some("1"));
    environment.simulator.shutdown().await;
}

#[tokio::test]
async fn a_change_that_another_process_completes_stays_in_its_trace() {
    let environment = Environment::start().await;
    let quick = "forwarder.attempt_timeout = \"500ms\"\nforwarder.read_timeout = \"500ms\"\n\
                 forwarder.lease_margin = \"100ms\"\nforwarder.lease = \"1100ms\"\n";
    let mut first = environment.serve(quick).await;
    let hang = Effect::Hang {
        moment: FaultTiming::AfterApplying,
        at_most_milliseconds: 60_000,
    };
    environment
        .simulator
        .inject(Fault::new(hang).operation(UPDATE).calls(1))
        .unwrap();
    let mut client = first.client().await;
    let call = tokio::spawn(async move { client.grant_share_permission(traced("01")).await });
    let reached = environment
        .simulator
        .wait_for_calls(|calls| calls.iter().any(|call| call.operation == UPDATE));
    tokio::time::timeout(TIMEOUT, reached).await.unwrap();
    first.child.kill().await.unwrap();
    call.await.unwrap().unwrap_err();

    let second = environment.serve(quick).await;
    let pool = sqlx::PgPool::connect(environment.database.url()).await.unwrap();
    let ended = async {
        let state = "SELECT state FROM change";
        while sqlx::query_scalar::<_, String>(state).fetch_one(&pool).await.unwrap() == "PENDING" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, ended)
        .await
        .expect("the change is recovered in time");
    second.stop().await;

    let forwards = environment.collector.spans_named("forward");
    let forward = forwards.last().unwrap();
    assert_eq!(hex(&forward.trace_id), TRACE, "the row has the trace id");
    assert_eq!(attribute(&forward.attributes, "in_doubt").as_deref(), Some("true"));
    let reads = environment.collector.spans_named(READ_BACK);
    assert_child(reads.last().unwrap(), forward);
    // Recovery has its own trace, linked with the batch that granted the lease.
    let recover = environment.collector.spans_named("recover").pop().unwrap();
    assert!(recover.parent_span_id.is_empty());
    let commits = environment.collector.spans_named("commit");
    assert!(commits.iter().any(|commit| is_linked(commit, &recover)), "{commits:?}");
    pool.close().await;
    environment.simulator.shutdown().await;
}

#[tokio::test]
async fn the_caller_decides_whether_its_trace_is_exported_and_the_sample_ratio_decides_for_others() {
    let environment = Environment::start().await;
    let served = environment.serve("telemetry.sample_ratio = 0.0\n").await;
    let mut client = served.client().await;
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    client.grant_share_permission(traced("00")).await.unwrap();
    let mut revoke = as_tester(revoke());
    let parent = format!("00-{TRACE}-{PARENT}-01");
    revoke.metadata_mut().insert("traceparent", parent.parse().unwrap());
    client.revoke_share_permission(revoke).await.unwrap();
    served.stop().await;
    let spans = environment.collector.spans();
    assert!(
        environment.collector.spans_named(GRANT).is_empty() && environment.collector.spans_named(GET_CHANGE).is_empty()
    );
    let in_trace: Vec<_> = spans.iter().filter(|span| hex(&span.trace_id) == TRACE).collect();
    assert_eq!(in_trace.len(), 3, "the call, the step, the call to AWS: {spans:?}");
    let others: Vec<_> = spans.iter().filter(|span| hex(&span.trace_id) != TRACE).collect();
    assert!(
        others.len() == 2 && others.iter().all(|span| span.name == "commit"),
        "its two batches: {others:?}"
    );
    environment.simulator.shutdown().await;
}

#[tokio::test]
async fn a_trace_that_its_caller_did_not_sample_is_not_exported() {
    let environment = Environment::start().await;
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    };
    let fault = Fault::new(throttle).operation(UPDATE).calls(1);
    environment.simulator.inject(fault).unwrap();
    let served = environment.serve("telemetry.sample_ratio = 1.0\n").await;
    let mut client = served.client().await;
    client.grant_share_permission(traced("00")).await.unwrap();
    served.stop().await;
    let spans = environment.collector.spans();
    assert!(
        spans
            .iter()
            .all(|span| hex(&span.trace_id) != TRACE && span.name != CALL && span.name != "forward"),
        "{spans:?}"
    );
    let calls = environment.simulator.calls();
    let update = calls.iter().find(|call| call.operation == UPDATE).unwrap();
    let update = update.traceparent.as_deref().unwrap();
    assert!(
        update.starts_with(&format!("00-{TRACE}-")) && update.ends_with("-00"),
        "{update}"
    );
    environment.simulator.shutdown().await;
}

#[tokio::test]
async fn a_call_without_a_trace_starts_one_and_records_its_id() {
    let environment = Environment::start().await;
    let served = environment.serve("").await;
    let answer = served.client().await.grant_share_permission(as_tester(grant())).await;
    let change = answer.unwrap().into_inner().change.unwrap();
    served.stop().await;
    let call = environment.collector.span(GRANT);
    assert!(call.parent_span_id.is_empty());
    assert_eq!(hex(&call.trace_id), change.trace_id);
    assert_child(&environment.collector.span("forward"), &call);
    environment.simulator.shutdown().await;
}

#[tokio::test]
async fn an_unreachable_or_silent_collector_blocks_no_call() {
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (database, simulator) = tokio::join!(database(), simulator());
    for endpoint in [
        "http://127.0.0.1:1".to_owned(),
        format!("http://{}", mute.local_addr().unwrap()),
    ] {
        let more = format!(
            "log.filter = \"info\"\ntelemetry.otlp_endpoint = \"{endpoint}\"\ntelemetry.metrics_interval = \"1s\"\n"
        );
        let served = Served::start(&config_text(database.url(), &simulator.url(), &more)).await;
        let mut client = served.client().await;
        for request in 0..20 {
            let mut granted = grant();
            granted.shared_account_id = format!("{request:012}");
            client.grant_share_permission(as_tester(granted)).await.unwrap();
        }
        let log = served.stop().await;
        assert!(log.iter().any(|line| line["message"] == "stopped"), "{log:?}");
    }
    simulator.shutdown().await;
}
