//! Tags of images: through WorkSpaces, the Resource Groups Tagging API, and the admin API.

use aws_sdk_workspaces::types::Tag;
use serde_json::{Value, json};
use sharewarden_simulator::{Effect, Fault, Simulator};

use crate::harness::*;

/// A simulator whose images have no tags.
async fn start_untagged() -> Simulator {
    let mut settings = quick();
    settings.images.iter_mut().for_each(|image| image.tags.clear());
    start_with(settings).await
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

async fn tags_of(client: &Client, image: &str) -> Vec<(String, String)> {
    let answer = client.describe_tags().resource_id(image).send().await.unwrap();
    let pair = |tag: &Tag| (tag.key().to_owned(), tag.value().unwrap_or_default().to_owned());
    answer.tag_list().iter().map(pair).collect()
}

/// Calls GetResources as the owner in Frankfurt. Returns the body.
async fn get_resources(sim: &Simulator, body: Value) -> Value {
    let authorization = authorization(&format!("AKIA{OWNER}"), FRANKFURT, "tagging");
    let headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("X-Amz-Target", "ResourceGroupsTaggingAPI_20170126.GetResources"),
        ("X-Amz-Date", "20260131T000000Z"),
        ("Authorization", &authorization),
    ];
    let answer = http(sim, "POST /", &headers, body.to_string().as_bytes()).await;
    answer.unwrap().json()
}

fn arn(image: &str) -> String {
    format!("arn:aws:workspaces:{FRANKFURT}:{OWNER}:workspaceimage/{image}")
}

fn found(answer: &Value) -> Vec<&str> {
    let list = answer["ResourceTagMappingList"].as_array().unwrap();
    list.iter()
        .map(|found| found["ResourceARN"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn tags_are_created_replaced_described_and_deleted() {
    let sim = start_untagged().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    let create = owner.create_tags().resource_id(IMAGE);
    create
        .tags(tag("team", "desktop"))
        .tags(tag("stage", "test"))
        .send()
        .await
        .unwrap();
    let create = owner.create_tags().resource_id(IMAGE);
    create.tags(tag("stage", "released")).send().await.unwrap();
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        tags_of(&owner, IMAGE).await,
        [pair("stage", "released"), pair("team", "desktop")]
    );
    owner
        .delete_tags()
        .resource_id(IMAGE)
        .tag_keys("stage")
        .tag_keys("none")
        .send()
        .await
        .unwrap();
    assert_eq!(tags_of(&owner, IMAGE).await, [pair("team", "desktop")]);
}

#[tokio::test]
async fn a_tag_without_a_value_has_the_empty_one_and_missing_lists_are_refused() {
    let sim = start_untagged().await;
    let body = json!({"ResourceId": IMAGE, "Tags": [{"Key": "golden"}]}).to_string();
    assert_eq!(operation(&sim, "CreateTags", body).await.status, 200);
    let owner = client(&sim, OWNER, FRANKFURT);
    assert_eq!(tags_of(&owner, IMAGE).await, [("golden".to_owned(), String::new())]);
    for name in ["CreateTags", "DeleteTags"] {
        let body = json!({"ResourceId": IMAGE}).to_string();
        assert_eq!(
            refusal(&sim, name, &body).await,
            (400, "ValidationException".into()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_prefix_that_aws_reserves_is_refused() {
    let sim = start_untagged().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    for (key, value) in [
        ("aws:team", "desktop"),
        ("AWS:team", "desktop"),
        ("team", "aws:workspaces:x"),
    ] {
        let create = owner.create_tags().resource_id(IMAGE).tags(tag(key, value));
        let refused = create.send().await.map_err(code);
        assert_eq!(refused.unwrap_err(), "InvalidParameterValuesException", "{key}={value}");
    }
    assert!(tags_of(&owner, IMAGE).await.is_empty());
}

#[tokio::test]
async fn a_fault_can_hit_the_reads_of_one_image_only() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    let refuse = Effect::Refuse {
        code: "AccessDeniedException".into(),
        message: String::new(),
        http_status: 400,
    };
    sim.inject(Fault::new(refuse).image(IMAGE)).unwrap();
    for (image, is_refused) in [(IMAGE, true), ("wsi-devtool01", false)] {
        let tags = owner.describe_tags().resource_id(image).send().await;
        let described = owner.describe_workspace_images().image_ids(image).send().await;
        assert_eq!((tags.is_err(), described.is_err()), (is_refused, is_refused), "{image}");
    }
    assert!(sim.calls().iter().all(|call| call.image.is_some()));
}

#[tokio::test]
async fn tags_of_other_images_and_more_than_fifty_are_refused() {
    let sim = start_untagged().await;
    let stranger = client(&sim, RECIPIENT, FRANKFURT);
    let refused = stranger.describe_tags().resource_id(IMAGE).send().await.map_err(code);
    assert_eq!(refused.unwrap_err(), "ResourceNotFoundException");
    let owner = client(&sim, OWNER, FRANKFURT);
    let many = (0..51).map(|number| tag(&number.to_string(), "")).collect();
    let refused = owner
        .create_tags()
        .resource_id(IMAGE)
        .set_tags(Some(many))
        .send()
        .await
        .map_err(code);
    assert_eq!(refused.unwrap_err(), "ResourceLimitExceededException");
    assert!(tags_of(&owner, IMAGE).await.is_empty());
}

#[tokio::test]
async fn a_new_image_has_the_tags_of_its_request() {
    let sim = start_untagged().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    let copy = owner.copy_workspace_image().name("copy").source_image_id(IMAGE);
    let copy = copy
        .source_region(FRANKFURT)
        .tags(tag("team", "desktop"))
        .send()
        .await
        .unwrap();
    assert_eq!(tags_of(&owner, copy.image_id().unwrap()).await.len(), 1);
}

#[tokio::test]
async fn get_resources_lists_tagged_images_of_the_caller_and_filters_them() {
    let sim = start_untagged().await;
    for (image, body) in [
        (IMAGE, "team=desktop&stage=released"),
        (PENDING_IMAGE, r#"{"team":"desktop"}"#),
    ] {
        let line = format!("PUT /_simulator/images/{FRANKFURT}/{image}/tags");
        assert_eq!(admin(&sim, &line, body).await.status, 204);
    }
    let finance = "PUT /_simulator/images/eu-central-1/wsi-finance01/tags";
    assert_eq!(
        admin(&sim, finance, "team=desktop").await.status,
        204,
        "of another account"
    );

    let all = get_resources(&sim, json!({})).await;
    assert_eq!(found(&all), [arn(IMAGE), arn(PENDING_IMAGE)]);
    assert_eq!(
        all["ResourceTagMappingList"][1]["Tags"],
        json!([{"Key": "team", "Value": "desktop"}])
    );
    assert_eq!(all["PaginationToken"], "");

    let devtools = arn("wsi-devtool01");
    let by_arn = json!({"ResourceARNList": [arn(IMAGE), devtools, "arn:aws:s3:::other"]});
    assert_eq!(found(&get_resources(&sim, by_arn).await), [arn(IMAGE)]);
    for (filter, expected) in [
        (json!([{"Key": "stage"}]), vec![arn(IMAGE)]),
        (
            json!([{"Key": "team", "Values": ["desktop", "other"]}]),
            vec![arn(IMAGE), arn(PENDING_IMAGE)],
        ),
        (json!([{"Key": "team"}, {"Key": "stage", "Values": ["test"]}]), vec![]),
    ] {
        let answer = get_resources(&sim, json!({"TagFilters": filter})).await;
        assert_eq!(found(&answer), expected, "{filter}");
    }
    for (types, count) in [("workspaces:workspaceimage", 2), ("workspaces", 2), ("ec2:instance", 0)] {
        let answer = get_resources(&sim, json!({"ResourceTypeFilters": [types]})).await;
        assert_eq!(found(&answer).len(), count, "{types}");
    }
}

#[tokio::test]
async fn get_resources_has_pages_and_refuses_what_aws_refuses() {
    let sim = start_untagged().await;
    for image in [IMAGE, PENDING_IMAGE] {
        let tags = [("team".to_owned(), "desktop".to_owned())].into();
        assert!(sim.set_image_tags(FRANKFURT, image, tags).unwrap());
    }
    let first = get_resources(&sim, json!({"ResourcesPerPage": 1, "PaginationToken": ""})).await;
    assert_eq!(found(&first), [arn(IMAGE)]);
    let next = json!({"ResourcesPerPage": 1, "PaginationToken": first["PaginationToken"]});
    let second = get_resources(&sim, next).await;
    assert_eq!(found(&second), [arn(PENDING_IMAGE)]);
    assert_eq!(second["PaginationToken"], "");

    let both = json!({"ResourceARNList": [arn(IMAGE)], "ResourcesPerPage": 1});
    assert_eq!(get_resources(&sim, both).await["__type"], "InvalidParameterException");
    let other = operation(&sim, "GetResources", "{}").await;
    assert_eq!(
        other.code(),
        "UnknownOperationException",
        "not an operation of WorkSpaces"
    );
}

#[tokio::test]
async fn invalid_tags_of_the_admin_api_are_refused_with_a_reason() {
    let sim = start_untagged().await;
    let line = format!("PUT /_simulator/images/{FRANKFURT}/{IMAGE}/tags");
    let long = format!("team={}", "x".repeat(256));
    for (body, reason) in [
        ("=x", "1 to 127"),
        (&long, "255"),
        ("a=1&a=2", "twice"),
        ("{\"a\":1}", "string"),
    ] {
        let answer = admin(&sim, &line, body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains(reason), "{body}: {}", answer.text());
    }
    let missing = "PUT /_simulator/images/eu-central-1/wsi-nosuch000/tags";
    assert_eq!(admin(&sim, missing, "a=1").await.status, 404);
}
