//! The simulator's HTTP: valid, corrupted and malformed requests to the API, to STS and to its own endpoint.

use std::{net::SocketAddr, time::Duration};

use sharewarden_testkit::stack::{ACCOUNT, IMAGE, RECIPIENT, REGION};
use tokio::task::JoinSet;

use crate::{
    messages::strange,
    mutate::corrupted,
    process::Process,
    raw::Raw,
    seed::{Seed, bytes, one_of, percent},
};

const CASES: u64 = 3000;
const WARM_UP: u64 = 1200;
/// The number of concurrent callers.
const AT_ONCE: usize = 32;
/// The limit for the growth of the simulator's memory, in MiB.
const GROWTH: u64 = 16;
/// The timeout for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

const OPERATIONS: [&str; 8] = [
    "UpdateWorkspaceImagePermission",
    "DescribeWorkspaceImagePermissions",
    "DescribeWorkspaceImages",
    "CreateWorkspaceImage",
    "ImportWorkspaceImage",
    "CopyWorkspaceImage",
    "DeleteWorkspaceImage",
    "CreateWorkspaces",
];

/// The names of members of requests, of the API and of the simulator's own endpoint.
const MEMBERS: [&str; 30] = [
    "ImageId",
    "AllowCopyImage",
    "SharedAccountId",
    "NextToken",
    "MaxResults",
    "ImageIds",
    "ImageType",
    "Name",
    "SourceImageId",
    "SourceRegion",
    "Description",
    "Tags",
    "WorkspaceId",
    "Ec2ImageId",
    "IngestionProcess",
    "ImageName",
    "id",
    "region",
    "image_id",
    "owner",
    "name",
    "state",
    "created",
    "available_at",
    "shared_with",
    "access_keys",
    "when",
    "effect",
    "share",
    "partition",
];

/// The simulator's own endpoint: method and path, and a valid body.
const ADMIN: [(&str, &str); 14] = [
    ("GET /_simulator", ""),
    ("GET /_simulator/state", ""),
    ("GET /_simulator/calls?after=1", ""),
    ("GET /_simulator/calls?after=-1", ""),
    ("DELETE /_simulator/calls", ""),
    ("GET /_simulator/faults", ""),
    ("DELETE /_simulator/faults", ""),
    ("DELETE /_simulator/faults/18446744073709551616", ""),
    (
        "POST /_simulator/accounts",
        r#"{"id":"999900001111","access_keys":["AKIAEXAMPLE"],"organization":"o"}"#,
    ),
    (
        "POST /_simulator/images",
        r#"{"region":"eu-central-1","image_id":"wsi-fuzzed0001","owner":"111122223333","name":"fuzzed","created":"2026-01-01T00:00:00Z"}"#,
    ),
    (
        "PUT /_simulator/images/eu-central-1/wsi-basewin11/state",
        "\"AVAILABLE\"",
    ),
    ("PUT /_simulator/images/%ff/%00/state", "\"ERROR\""),
    ("POST /_simulator/reset", ""),
    ("PATCH /_simulator/%2e%2e/state", ""),
];

/// Faults. Each `N` and `S` is replaced by an unusual number.
const EFFECTS: [&str; 9] = [
    r#"{"kind":"latency","milliseconds":N,"moment":"before_applying"}"#,
    r#"{"kind":"throttle","http_status":S,"retry_after_seconds":N}"#,
    r#"{"kind":"server_error","http_status":S,"moment":"after_applying","retry_after_seconds":N}"#,
    r#"{"kind":"reset","moment":"before_applying"}"#,
    r#"{"kind":"cut_short"}"#,
    r#"{"kind":"hang","moment":"after_applying","at_most_milliseconds":N}"#,
    r#"{"kind":"stale_read","behind":{"changes":N}}"#,
    r#"{"kind":"stale_read","behind":{"milliseconds":N}}"#,
    r#"{"kind":"refuse","code":"C","message":"","http_status":S}"#,
];

/// A request, and whether it is valid HTTP.
struct Request {
    bytes: Vec<u8>,
    is_http: bool,
    /// The expected number of answers.
    answers: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_do_not_break_the_simulator() {
    let seed = Seed::new();
    let simulator = Process::simulate(r#"{"call_log_limit": 500}"#);
    let address = address(&simulator).await;
    run(seed, address, 0..seed.cases(WARM_UP)).await;
    reset(address).await;
    let before = simulator.memory();
    run(seed, address, seed.cases(WARM_UP)..seed.cases(CASES)).await;
    faults(seed, address).await;
    reset(address).await;
    simulator.assert_memory_growth(before, GROWTH);

    let share = format!(r#"{{"ImageId":"{IMAGE}","AllowCopyImage":true,"SharedAccountId":"{RECIPIENT}"}}"#);
    let answer = ask(
        address,
        &operation("UpdateWorkspaceImagePermission", share.as_bytes()),
        TIMEOUT,
    )
    .await;
    assert!(answer.unwrap().starts_with("HTTP/1.1 200 "), "it does what it is for");
    simulator.stop().await;
}

async fn address(simulator: &Process) -> SocketAddr {
    let line = simulator.line_with("http://").await;
    line.rsplit_once("http://").unwrap().1.trim().parse().unwrap()
}

async fn run(seed: Seed, address: SocketAddr, cases: std::ops::Range<u64>) {
    let mut under_way = JoinSet::new();
    for number in cases {
        under_way.spawn(one(seed, address, number));
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await.unwrap().unwrap();
        }
    }
    under_way.join_all().await;
}

async fn one(seed: Seed, address: SocketAddr, number: u64) {
    let request = make(&mut seed.rng_for_case(number));
    // The simulator may wait for the rest of an invalid request.
    let within = if request.is_http {
        TIMEOUT
    } else {
        Duration::from_millis(30)
    };
    let answer = ask(address, &request.bytes, within).await;
    let shown = String::from_utf8_lossy(&request.bytes);
    let answer = match answer {
        Some(answer) => answer,
        None if request.is_http => panic!("case {number} hangs: {shown:.500}"),
        None => return,
    };
    assert!(
        !answer.contains("HTTP/1.1 5"),
        "case {number}: {answer:.300}\n{shown:.500}"
    );
    if request.is_http {
        let answers = answer.matches("HTTP/1.1 ").count();
        assert_eq!(answers, request.answers, "case {number}: {answer:.300}\n{shown:.500}");
    }
}

/// The answer until the connection ends. None if it does not end in time.
async fn ask(address: SocketAddr, request: &[u8], within: Duration) -> Option<String> {
    let mut raw = Raw::open(address).await;
    raw.send_only(request).await;
    let (answer, is_closed) = raw.rest(within).await;
    is_closed.then(|| String::from_utf8_lossy(&answer).into_owned())
}

async fn reset(address: SocketAddr) {
    for line in ["DELETE /_simulator/faults", "POST /_simulator/reset"] {
        let answer = ask(address, &http(line, &[], b""), TIMEOUT).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }
}

fn http(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{line} HTTP/1.1\r\nHost: simulator\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIA{ACCOUNT}/20260131/{REGION}/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={}",
        "0".repeat(64)
    )
}

fn operation(name: &str, body: &[u8]) -> Vec<u8> {
    let headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("X-Amz-Target", &*format!("WorkspacesService.{name}")),
        ("X-Amz-Date", "20260131T000000Z"),
        ("Authorization", &authorization("workspaces")),
    ];
    http("POST /", &headers, body)
}

fn make(rng: &mut fastrand::Rng) -> Request {
    let name = one_of(rng, &OPERATIONS);
    let (bytes, is_http) = match rng.u32(..100) {
        0..25 => (operation(name, json(rng, 0).as_bytes()), true),
        25..40 => {
            let body = json(rng, 0).into_bytes();
            (operation(name, &corrupted(rng, body)), true)
        }
        40..45 => (operation(name, deep(rng).as_bytes()), true),
        45..50 => (
            operation(name, &vec![b' '; one_of(rng, &[100_000, 262_144, 262_145, 600_000])]),
            true,
        ),
        50..60 => (unusual_headers(rng, name), true),
        60..68 => (sts(rng), true),
        68..80 => (admin(rng), true),
        80..84 => return pipelined(rng, name),
        84..88 => (chunked(rng, name), false),
        88..96 => {
            let request = operation(name, json(rng, 0).as_bytes());
            (corrupted(rng, request), false)
        }
        _ => (bytes(rng, 400), false),
    };
    Request {
        bytes,
        is_http,
        answers: 1,
    }
}

/// An object with the names of real members and values of any type.
fn json(rng: &mut fastrand::Rng, depth: u32) -> String {
    let members = (0..rng.u32(..8)).map(|_| {
        let (name, value) = (one_of(rng, &MEMBERS), value(rng, depth));
        format!("\"{name}\":{value}")
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn value(rng: &mut fastrand::Rng, depth: u32) -> String {
    match rng.u32(..10) {
        0 | 1 => format!(
            "\"{}\"",
            one_of(
                rng,
                &[IMAGE, RECIPIENT, REGION, "wsi-nosuch000", "OWNED", "BYOL_GRAPHICS"]
            )
        ),
        2 => one_of(rng, &["true", "false", "null"]).into(),
        3 => one_of(
            rng,
            &["0", "-1", "25", "1e999", "99999999999999999999", "-0.0", "1e-400"],
        )
        .into(),
        4 if depth < 4 => json(rng, depth + 1),
        5 if depth < 4 => format!(
            "[{}]",
            (0..rng.u32(..4))
                .map(|_| value(rng, depth + 1))
                .collect::<Vec<_>>()
                .join(",")
        ),
        6 => one_of(
            rng,
            &["\"\\ud800\"", "\"\\u0000\"", "\"\\uFFFF\"", "\"2026-13-45T99:99:99Z\""],
        )
        .into(),
        _ => serde_json::to_string(&strange(rng)).unwrap(),
    }
}

fn deep(rng: &mut fastrand::Rng) -> String {
    let depth = one_of(rng, &[100, 127, 128, 129, 10_000, 40_000]);
    match rng.u32(..4) {
        0 => "[".repeat(depth),
        1 => "{\"Tags\":".repeat(depth),
        2 => format!("{{\"ImageId\":{}{}}}", "[".repeat(depth), "]".repeat(depth)),
        _ => format!("{}{}", "{\"a\":".repeat(depth), "}".repeat(depth)),
    }
}

fn unusual_headers(rng: &mut fastrand::Rng, name: &str) -> Vec<u8> {
    let long = "x".repeat(20_000);
    let many: String = "WorkspacesService.".repeat(100);
    let text: String = (0..rng.usize(..80)).map(|_| rng.char(' '..='~')).collect();
    let target = format!("WorkspacesService.{name}");
    let right = authorization("workspaces");
    let authorization = match rng.u32(..4) {
        0 => right.clone(),
        1 => right.replace("AKIA", &text),
        2 => right.replace('/', ""),
        _ => format!("AWS4-HMAC-SHA256 {text}"),
    };
    let target = one_of(rng, &[&*target, "", ".", "WorkspacesService.", &many, &text, &long]);
    let content_type = one_of(
        rng,
        &[
            "application/x-amz-json-1.1",
            "application/json",
            "",
            ";;;",
            "application/cbor",
            &text,
        ],
    );
    let date = one_of(rng, &["20260131T000000Z", "99999999T999999Z", "", "é", "20260131"]);
    let line = one_of(
        rng,
        &[
            "POST /",
            "POST /",
            "POST /",
            "GET /",
            "POST //",
            "POST /?a=%ff",
            "OPTIONS *",
            "PUT /service/x",
        ],
    );
    let headers = [
        ("Content-Type", content_type),
        ("X-Amz-Target", target),
        ("X-Amz-Date", date),
        ("Authorization", &authorization),
        ("X-Amz-Security-Token", &text),
        ("amz-sdk-invocation-id", &long),
    ];
    http(line, &headers, json(rng, 0).as_bytes())
}

fn sts(rng: &mut fastrand::Rng) -> Vec<u8> {
    let role = format!("arn:aws:iam::{ACCOUNT}:role/sharewarden");
    let action = one_of(
        rng,
        &["AssumeRole", "GetCallerIdentity", "", "Else", "AssumeRole&Action=Else"],
    );
    let role = one_of(
        rng,
        &[
            &*role,
            "",
            "arn:aws:iam::x:role/",
            "arn:::::",
            "%ff%fe",
            "arn:aws:iam::111122223333:role/é",
        ],
    );
    let seconds = one_of(rng, &["900", "0", "-1", "99999999999999999999", "43200", "x"]);
    let session = one_of(rng, &["session", "", "<&>\"'", "%00"]);
    let form = format!(
        "Action={action}&Version=2011-06-15&RoleArn={role}&RoleSessionName={session}&DurationSeconds={seconds}"
    );
    let form = if percent(rng, 30) {
        corrupted(rng, form.into_bytes())
    } else {
        form.into_bytes()
    };
    let headers = [
        ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("X-Amz-Date", "20260131T000000Z"),
        ("Authorization", &authorization("sts")),
    ];
    http("POST /", &headers, &form)
}

fn admin(rng: &mut fastrand::Rng) -> Vec<u8> {
    let (line, right) = one_of(rng, &ADMIN);
    let body = match rng.u32(..4) {
        0 | 1 => right.as_bytes().to_vec(),
        2 => corrupted(rng, right.as_bytes().to_vec()),
        _ => json(rng, 0).into_bytes(),
    };
    let content_type = one_of(rng, &["application/json", "application/json", "text/plain"]);
    http(line, &[("Content-Type", content_type)], &body)
}

/// Several pipelined requests. The last one ends the connection.
fn pipelined(rng: &mut fastrand::Rng, name: &str) -> Request {
    let answers = rng.usize(2..20);
    let last = operation(name, json(rng, 0).as_bytes());
    let text = String::from_utf8(last.clone()).unwrap();
    let before = text.replacen("Connection: close\r\n", "", 1).repeat(answers - 1);
    Request {
        bytes: [before.as_bytes(), &last].concat(),
        is_http: true,
        answers,
    }
}

fn chunked(rng: &mut fastrand::Rng, name: &str) -> Vec<u8> {
    let whole = String::from_utf8(operation(name, b"")).unwrap();
    let head = whole.replace("Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n");
    let body = match rng.u32(..8) {
        0 => "2\r\n{}\r\n0\r\n\r\n".into(),
        1 => "ffffffffffffffffff\r\n{}".into(),
        2 => "-1\r\n{}\r\n0\r\n\r\n".into(),
        3 => format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(100_000)),
        4 => "1\r\n \r\n".repeat(5000),
        5 => format!("2\r\n{{}}\r\n0\r\n{}\r\n", "x-trailer: x\r\n".repeat(5000)),
        6 => "zz\r\n".into(),
        _ => "5\r\n{}\r\n0\r\n\r\n".into(),
    };
    format!("{head}{body}").into_bytes()
}

/// Faults with extreme numbers. Each gets two calls, which may be slow or fail as the fault says.
async fn faults(seed: Seed, address: SocketAddr) {
    for number in 0..seed.cases(120) {
        let mut rng = seed.rng_for_case(2_000_000 + number);
        let effect = one_of(&mut rng, &EFFECTS);
        let numbers = [
            "0",
            "1",
            "18446744073709551615",
            "9223372036854775807",
            "-1",
            "9999999999999",
            "1e3",
        ];
        let effect = effect.replace('N', one_of(&mut rng, &numbers));
        let effect = effect.replace('S', one_of(&mut rng, &["0", "99", "200", "400", "503", "999", "65535"]));
        let (calls, share) = (
            one_of(&mut rng, &["0", "1", "18446744073709551615"]),
            one_of(&mut rng, &["0", "1", "0.5", "-1", "1e400"]),
        );
        let fault = format!(r#"{{"calls":{calls},"share":{share},"skip":0,"effect":{effect}}}"#);
        let headers = [("Content-Type", "application/json")];
        let added = ask(
            address,
            &http("POST /_simulator/faults", &headers, fault.as_bytes()),
            TIMEOUT,
        )
        .await;
        let added = added.unwrap();
        assert!(
            added.starts_with("HTTP/1.1 200") || added.starts_with("HTTP/1.1 4"),
            "{fault}: {added}"
        );
        for name in ["DescribeWorkspaceImagePermissions", "UpdateWorkspaceImagePermission"] {
            let body = format!(r#"{{"ImageId":"{IMAGE}","AllowCopyImage":true,"SharedAccountId":"{RECIPIENT}"}}"#);
            ask(address, &operation(name, body.as_bytes()), Duration::from_millis(50)).await;
            let describe = format!(r#"{{"ImageId":"{IMAGE}"}}"#);
            ask(
                address,
                &operation(name, describe.as_bytes()),
                Duration::from_millis(50),
            )
            .await;
        }
        let cleared = ask(address, &http("DELETE /_simulator/faults", &[], b""), TIMEOUT).await;
        assert!(cleared.unwrap().starts_with("HTTP/1.1 204"), "{fault}");
    }
}
