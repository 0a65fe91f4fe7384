//! LookupEvents of CloudTrail.

use serde_json::{Value, json};
use sharewarden_simulator::{Effect, Fault, FaultTiming, Simulator, SimulatorSettings};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::harness::*;

/// As boto3 sends it.
const OPERATION: &str = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents";

/// As AWS's SDK for Rust sends it.
const SHORT_OPERATION: &str = "CloudTrail_20131101.LookupEvents";

/// A simulator whose events can be found at once.
async fn start_prompt() -> Simulator {
    start_with(SimulatorSettings {
        trail_delay_milliseconds: 0,
        ..quick()
    })
    .await
}

async fn lookup_as(sim: &Simulator, account: &str, region: &str, service: &str, body: &Value) -> Value {
    call(sim, OPERATION, account, region, service, body).await
}

async fn call(sim: &Simulator, target: &str, account: &str, region: &str, service: &str, body: &Value) -> Value {
    let authorization = authorization(&format!("AKIA{account}"), region, service);
    let headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("X-Amz-Target", target),
        ("X-Amz-Date", "20260131T000000Z"),
        ("Authorization", &authorization),
    ];
    let answer = http(sim, "POST /", &headers, body.to_string().as_bytes()).await;
    answer.unwrap().json()
}

/// Looks up as the owner in Frankfurt, again and again while the rate is exceeded.
async fn lookup(sim: &Simulator, body: Value) -> Value {
    loop {
        let answer = lookup_as(sim, OWNER, FRANKFURT, "cloudtrail", &body).await;
        if answer["__type"] != "ThrottlingException" {
            return answer;
        }
    }
}

/// The records in an answer.
fn records(answer: &Value) -> Vec<Value> {
    let events = answer["Events"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let record = |event: &Value| serde_json::from_str(event["CloudTrailEvent"].as_str().unwrap()).unwrap();
    events.iter().map(record).collect()
}

/// The recipients in an answer.
fn recipients(answer: &Value) -> Vec<String> {
    let recipient = |record: &Value| {
        record["requestParameters"]["sharedAccountId"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    records(answer).iter().map(recipient).collect()
}

async fn share_with(sim: &Simulator, recipients: &[&str]) {
    let owner = client(sim, OWNER, FRANKFURT);
    for recipient in recipients {
        share(&owner, IMAGE, recipient, true).await.unwrap();
    }
}

#[tokio::test]
async fn a_share_is_an_event_with_who_when_from_where_and_what() {
    let sim = start_prompt().await;
    share_with(&sim, &[RECIPIENT]).await;
    let answer = lookup(&sim, json!({})).await;
    let (event, record) = (&answer["Events"][0], &records(&answer)[0]);
    assert_eq!(
        record["userIdentity"],
        json!({
            "type": "IAMUser",
            "principalId": "AIDA111122223333",
            "arn": "arn:aws:iam::111122223333:user/simulator",
            "accountId": OWNER,
            "accessKeyId": "AKIA111122223333",
            "userName": "simulator",
        })
    );
    assert_eq!(
        record["requestParameters"],
        json!({"imageId": IMAGE, "allowCopyImage": true, "sharedAccountId": RECIPIENT})
    );
    for (member, value) in [
        ("eventSource", json!("workspaces.amazonaws.com")),
        ("eventName", json!("UpdateWorkspaceImagePermission")),
        ("awsRegion", json!(FRANKFURT)),
        ("sourceIPAddress", json!("127.0.0.1")),
        ("requestID", json!(sim.calls()[0].request_id)),
        ("responseElements", Value::Null),
        ("readOnly", json!(false)),
        ("eventType", json!("AwsApiCall")),
        ("recipientAccountId", json!(OWNER)),
        ("eventCategory", json!("Management")),
        ("eventID", event["EventId"].clone()),
    ] {
        assert_eq!(record[member], value, "{member}");
    }
    assert!(
        record["userAgent"].as_str().unwrap().contains("aws-sdk-rust"),
        "{record}"
    );
    assert!(record.get("errorCode").is_none());
    let at = OffsetDateTime::parse(record["eventTime"].as_str().unwrap(), &Rfc3339).unwrap();
    assert_eq!(event["EventTime"], at.unix_timestamp());
    assert_eq!(
        (&event["Username"], &event["ReadOnly"], &event["Resources"]),
        (&json!("simulator"), &json!("false"), &json!([]))
    );
}

#[tokio::test]
async fn both_names_of_the_operation_are_known() {
    let sim = start_prompt().await;
    for (target, region) in [(OPERATION, FRANKFURT), (SHORT_OPERATION, VIRGINIA)] {
        let answer = call(&sim, target, OWNER, region, "cloudtrail", &json!({})).await;
        assert!(records(&answer).is_empty(), "{target}");
    }
}

#[tokio::test]
async fn an_assumed_role_is_recorded_with_its_session_and_issuer() {
    let sim = start_prompt().await;
    let role = "arn:aws:iam::111122223333:role/team/ImageSharing";
    let assume = sts_client(&sim, ZEROS, FRANKFURT).assume_role().role_arn(role);
    let session = assume.role_session_name("outsider").send().await.unwrap();
    let session = session.credentials().unwrap();
    let (key, secret) = (session.access_key_id(), session.secret_access_key());
    let token = Some(session.session_token().to_owned());
    let keys = aws_credential_types::Credentials::new(key, secret, token, None, "test");
    share(&client_with(&sim, keys, FRANKFURT), IMAGE, RECIPIENT, true)
        .await
        .unwrap();

    let answer = lookup(&sim, json!({})).await;
    let identity = &records(&answer)[0]["userIdentity"];
    let arn = "arn:aws:sts::111122223333:assumed-role/ImageSharing/outsider";
    assert_eq!(
        (&identity["type"], &identity["arn"]),
        (&json!("AssumedRole"), &json!(arn))
    );
    assert_eq!(identity["accessKeyId"], key);
    let context = &identity["sessionContext"];
    assert_eq!(
        (&context["sessionIssuer"]["arn"], &context["sessionIssuer"]["userName"]),
        (&json!(role), &json!("ImageSharing"))
    );
    assert_eq!(context["attributes"]["mfaAuthenticated"], "false");
    assert_eq!(answer["Events"][0]["Username"], "outsider");
}

#[tokio::test]
async fn a_refused_call_is_an_event_with_its_error() {
    let sim = start_prompt().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    share(&owner, "wsi-nosuch000", RECIPIENT, true).await.unwrap_err();
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: None,
    };
    sim.inject(Fault::new(throttle).calls(1)).unwrap();
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap_err();
    assert_eq!(
        operation(&sim, "UpdateWorkspaceImagePermission", "{}").await.status,
        400
    );

    let answer = lookup(&sim, json!({})).await;
    let records = records(&answer);
    let codes: Vec<_> = records
        .iter()
        .map(|record| record["errorCode"].as_str().unwrap())
        .collect();
    assert_eq!(
        codes,
        [
            "ValidationException",
            "ThrottlingException",
            "ResourceNotFoundException"
        ]
    );
    assert_eq!(records[0]["requestParameters"], Value::Null);
    assert_eq!(records[2]["requestParameters"]["imageId"], "wsi-nosuch000");
    assert_eq!(records[2]["errorMessage"], "The image wsi-nosuch000 was not found.");
}

#[tokio::test]
async fn a_call_whose_answer_was_lost_is_an_event_only_if_it_reached_aws() {
    let sim = start_prompt().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    let proxy = Effect::ServerError {
        http_status: 502,
        moment: FaultTiming::BeforeApplying,
        retry_after_seconds: None,
    };
    let reset = |moment| Effect::Reset { moment };
    for effect in [
        proxy,
        reset(FaultTiming::BeforeApplying),
        reset(FaultTiming::AfterApplying),
    ] {
        sim.inject(Fault::new(effect).calls(1)).unwrap();
        share(&owner, IMAGE, RECIPIENT, true).await.unwrap_err();
    }
    let records = records(&lookup(&sim, json!({})).await);
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["requestID"], sim.calls()[2].request_id);
    assert!(records[0].get("errorCode").is_none());
}

#[tokio::test]
async fn events_are_those_of_the_account_in_the_region() {
    let sim = start_prompt().await;
    share_with(&sim, &[RECIPIENT]).await;
    let virginia = client(&sim, OWNER, VIRGINIA);
    share(&virginia, "wsi-usbase011", ZEROS, true).await.unwrap();
    for (account, region, expected) in [
        (OWNER, FRANKFURT, vec![RECIPIENT]),
        (OWNER, VIRGINIA, vec![ZEROS]),
        (RECIPIENT, FRANKFURT, vec![]),
    ] {
        let answer = lookup_as(&sim, account, region, "cloudtrail", &json!({})).await;
        assert_eq!(recipients(&answer), expected, "{account} {region}");
    }
    let wrong_scope = lookup_as(&sim, BYOL_OWNER, FRANKFURT, "workspaces", &json!({})).await;
    assert_eq!(wrong_scope["__type"], "InvalidSignatureException");
}

#[tokio::test]
async fn the_newest_event_is_first_and_a_token_leads_to_the_older_ones() {
    let sim = start_prompt().await;
    let made: Vec<_> = (0..5).map(|number| format!("00000000000{number}")).collect();
    share_with(&sim, &made.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let attribute = json!([{"AttributeKey": "EventName", "AttributeValue": "UpdateWorkspaceImagePermission"}]);
    let (mut found, mut token) = (Vec::new(), Value::Null);
    for size in [2, 2, 1] {
        let body = json!({"LookupAttributes": attribute, "MaxResults": 2, "NextToken": token});
        let answer = lookup(&sim, body).await;
        assert_eq!(recipients(&answer).len(), size);
        found.extend(recipients(&answer));
        token = answer["NextToken"].clone();
        // An event that comes meanwhile does not move the pages.
        share_with(&sim, &[RECIPIENT]).await;
    }
    assert_eq!(token, Value::Null);
    assert_eq!(found, made.into_iter().rev().collect::<Vec<_>>());

    let first = lookup(&sim, json!({"MaxResults": 1})).await;
    let other = json!({"MaxResults": 1, "NextToken": first["NextToken"], "LookupAttributes": attribute});
    assert_eq!(lookup(&sim, other).await["__type"], "InvalidNextTokenException");
}

#[tokio::test]
async fn a_lookup_can_ask_for_one_attribute_and_for_a_time_with_both_ends_included() {
    let sim = start_prompt().await;
    share_with(&sim, &[RECIPIENT]).await;
    let event = lookup(&sim, json!({})).await["Events"][0].clone();
    let at = event["EventTime"].as_i64().unwrap();
    for (key, value, count) in [
        ("EventName", json!("UpdateWorkspaceImagePermission"), 1),
        ("EventName", json!("CreateTags"), 0),
        ("EventId", event["EventId"].clone(), 1),
        ("EventSource", json!("workspaces.amazonaws.com"), 1),
        ("Username", json!("simulator"), 1),
        ("AccessKeyId", json!("AKIA444455556666"), 0),
        ("ReadOnly", json!("true"), 0),
        ("ResourceName", json!(IMAGE), 0),
    ] {
        let body = json!({"LookupAttributes": [{"AttributeKey": key, "AttributeValue": value}]});
        assert_eq!(records(&lookup(&sim, body).await).len(), count, "{key} {value}");
    }
    for (body, count) in [
        (json!({"StartTime": at, "EndTime": at}), 1),
        (json!({"StartTime": at + 1}), 0),
        (json!({"StartTime": f64::from(u32::try_from(at).unwrap()) + 0.5}), 0),
        (json!({"EndTime": at - 1}), 0),
        (json!({"EventCategory": "insight"}), 0),
    ] {
        assert_eq!(records(&lookup(&sim, body.clone()).await).len(), count, "{body}");
    }
}

#[tokio::test]
async fn invalid_lookups_are_refused_with_the_codes_of_aws() {
    let sim = start_prompt().await;
    let by = |key: &str| json!({"AttributeKey": key, "AttributeValue": "x"});
    for (body, code) in [
        (json!({"MaxResults": 0}), "InvalidMaxResultsException"),
        (json!({"MaxResults": 51}), "InvalidMaxResultsException"),
        (
            json!({"LookupAttributes": [by("EventId"), by("EventName")]}),
            "InvalidLookupAttributesException",
        ),
        (
            json!({"LookupAttributes": [by("Account")]}),
            "InvalidLookupAttributesException",
        ),
        (
            json!({"LookupAttributes": [{"AttributeKey": "EventId"}]}),
            "ValidationException",
        ),
        (json!({"StartTime": 2, "EndTime": 1}), "InvalidTimeRangeException"),
        (json!({"StartTime": "yesterday"}), "SerializationException"),
        (json!({"StartTime": 1e300}), "SerializationException"),
        (json!({"EventCategory": "data"}), "InvalidEventCategoryException"),
        (json!({"NextToken": "made up"}), "InvalidNextTokenException"),
    ] {
        assert_eq!(lookup(&sim, body.clone()).await["__type"], code, "{body}");
    }
}

#[tokio::test]
async fn an_account_that_looks_up_too_often_in_a_region_is_throttled() {
    let sim = start_prompt().await;
    let mut refused = 0;
    for _ in 0..20 {
        let answer = lookup_as(&sim, OWNER, FRANKFURT, "cloudtrail", &json!({})).await;
        refused += i32::from(answer["__type"] == "ThrottlingException");
    }
    assert!(refused > 0);
    let elsewhere = lookup_as(&sim, OWNER, VIRGINIA, "cloudtrail", &json!({})).await;
    assert!(records(&elsewhere).is_empty());
}

#[tokio::test]
async fn an_event_is_found_only_after_its_delay_and_not_after_a_reset() {
    let late = start_with(SimulatorSettings {
        trail_delay_milliseconds: 3_600_000,
        ..quick()
    })
    .await;
    share_with(&late, &[RECIPIENT]).await;
    assert!(records(&lookup(&late, json!({})).await).is_empty());

    let sim = start_prompt().await;
    share_with(&sim, &[RECIPIENT]).await;
    assert_eq!(records(&lookup(&sim, json!({})).await).len(), 1);
    sim.reset();
    assert!(records(&lookup(&sim, json!({})).await).is_empty());
}
