//! What AWS reports about one image: the calls for it, the cache, and its failures.

use std::{sync::Arc, time::Duration};

use sharewarden::{
    clock::Clock,
    domain::{
        AwsError, AwsErrorKind, FailureReason, Timestamp,
        image::{Image, Ownership, ReportedImage, Tags},
    },
    workspaces::WorkSpaces,
};
use sharewarden_simulator::{Effect, Fault, Simulator};

use crate::{
    ACCOUNT, REGION, account, region,
    simulator::{connect, owners, simulator},
    upstream::{Upstream, answer},
};

const MINUTE: Duration = Duration::from_secs(60);
const IMAGE: &str = "wsi-basewin11";

async fn image(workspaces: &WorkSpaces, id: &str, max_age: Duration) -> Result<Arc<ReportedImage>, AwsError> {
    let image = id.parse().unwrap();
    workspaces
        .image(account(ACCOUNT), &region(REGION), &image, max_age)
        .await
}

async fn tags(workspaces: &WorkSpaces, id: &str) -> Result<Arc<Tags>, AwsError> {
    let image = id.parse().unwrap();
    let region = region(REGION);
    workspaces.image_tags(account(ACCOUNT), &region, &image, MINUTE).await
}

fn owned(report: &ReportedImage) -> &Image {
    match report {
        ReportedImage::Owned(image) => image,
        other => panic!("not owned: {other:?}"),
    }
}

fn operations(simulator: &Simulator) -> Vec<String> {
    simulator.calls().into_iter().map(|call| call.operation).collect()
}

#[tokio::test]
async fn a_description_has_the_facts_and_only_what_is_asked_for_is_read() {
    let simulator = simulator().await;
    let workspaces = connect(&simulator).await;
    simulator.reset();
    let report = image(&workspaces, IMAGE, MINUTE).await.unwrap();
    let found = owned(&report);
    assert_eq!(
        (
            found.state.as_str(),
            found.operating_system.as_str(),
            found.required_tenancy.as_str()
        ),
        ("AVAILABLE", "WINDOWS", "DEFAULT")
    );
    assert_eq!(
        (found.name.as_str(), found.owner_account.as_str()),
        ("base-windows-11", ACCOUNT)
    );
    assert!(found.created_at.is_some());
    assert_eq!(operations(&simulator), ["DescribeWorkspaceImages"]);

    let found = tags(&workspaces, IMAGE).await.unwrap();
    assert_eq!(found.0, [("stage".to_owned(), "released".to_owned())].into());
    assert_eq!(tags(&workspaces, "wsi-pending01").await.unwrap().0.len(), 0);
    assert_eq!(image(&workspaces, IMAGE, MINUTE).await.unwrap(), report);
    assert_eq!(
        operations(&simulator),
        ["DescribeWorkspaceImages", "DescribeTags", "DescribeTags"],
        "the cache has the rest"
    );
}

#[tokio::test]
async fn an_image_that_is_not_owned_is_told_from_one_that_does_not_exist() {
    let simulator = simulator().await;
    let workspaces = connect(&simulator).await;
    let missing = image(&workspaces, "wsi-nosuch000", MINUTE).await.unwrap();
    assert_eq!(*missing, ReportedImage::NotFound);
    let of_another = image(&workspaces, "wsi-finance01", MINUTE).await.unwrap();
    assert_eq!(*of_another, ReportedImage::NotFound, "it is not shared");

    let mut shared = sharewarden_simulator::Image::new(REGION, "wsi-partner01", "444455556666");
    shared.shared_with = [ACCOUNT.to_owned()].into();
    simulator.add_image(shared).unwrap();
    match &*image(&workspaces, "wsi-partner01", MINUTE).await.unwrap() {
        ReportedImage::OfAnother(image) => assert_eq!(image.owner_account, "444455556666"),
        other => panic!("{other:?}"),
    }
    let refused = tags(&workspaces, "wsi-partner01").await.unwrap_err();
    assert_eq!(refused.kind, AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied));
}

#[tokio::test]
async fn a_fact_is_read_again_when_the_reader_wants_a_newer_one() {
    let simulator = simulator().await;
    let mut settings = owners(&simulator);
    settings.clock = Clock::manual(Timestamp::parse("2026-11-22T00:00:00Z").unwrap());
    settings.clock.advance(60 * MINUTE);
    let workspaces = WorkSpaces::connect(&settings).await.unwrap();
    image(&workspaces, IMAGE, MINUTE).await.unwrap();
    simulator.set_image_state(REGION, IMAGE, sharewarden_simulator::ImageState::Error);
    settings.clock.advance(MINUTE);
    assert_eq!(
        owned(&image(&workspaces, IMAGE, MINUTE).await.unwrap()).state,
        "AVAILABLE"
    );
    let newer = image(&workspaces, IMAGE, MINUTE / 2).await.unwrap();
    assert_eq!(owned(&newer).state, "ERROR");
    let known = |id: &str| workspaces.known_image(account(ACCOUNT), &region(REGION), &id.parse().unwrap(), MINUTE);
    assert_eq!(known(IMAGE), Some(newer));
    assert_eq!(known("wsi-devtool01"), None);
}

#[tokio::test]
async fn a_list_of_images_leaves_their_descriptions_in_the_cache() {
    let simulator = simulator().await;
    let workspaces = connect(&simulator).await;
    let place = (account(ACCOUNT), region(REGION));
    workspaces
        .list_images(place.0, &place.1, Ownership::Owned)
        .await
        .result
        .unwrap();
    simulator.reset();
    assert_eq!(owned(&image(&workspaces, IMAGE, MINUTE).await.unwrap()).id, IMAGE);
    assert!(simulator.calls().is_empty());
}

#[tokio::test]
async fn readers_of_one_image_at_the_same_time_make_one_call() {
    let simulator = simulator().await;
    let workspaces = connect(&simulator).await;
    simulator.reset();
    let readers = (0..50).map(|_| image(&workspaces, IMAGE, Duration::ZERO));
    let found = futures_util::future::join_all(readers).await;
    assert!(found.iter().all(Result::is_ok));
    assert!(simulator.calls().len() <= 2, "{} calls", simulator.calls().len());
}

#[tokio::test]
async fn a_throttled_read_pauses_the_reads_of_all_images_of_the_account_and_region() {
    let simulator = simulator().await;
    let workspaces = connect(&simulator).await;
    simulator.reset();
    let throttle = Effect::Throttle {
        http_status: 400,
        retry_after_seconds: Some(20),
    };
    simulator.inject(Fault::new(throttle).calls(1)).unwrap();
    for id in [IMAGE, "wsi-devtool01", IMAGE] {
        let error = image(&workspaces, id, MINUTE).await.unwrap_err();
        assert!(matches!(error.kind, AwsErrorKind::Throttled { .. }), "{error:?}");
    }
    assert_eq!(simulator.calls().len(), 1);
    assert!(tags(&workspaces, IMAGE).await.is_ok(), "tags are another operation");
}

/// A mock or a proxy can answer so. "Not found" and "no tags" are findings, and must not be concluded from it.
#[tokio::test]
async fn an_answer_without_a_list_is_an_error() {
    for body in ["{}", "[]", "<html>"] {
        let upstream = Upstream::answering(answer(200, &[], body)).await;
        let workspaces = crate::connect(&upstream.url).await;
        assert_eq!(
            image(&workspaces, IMAGE, MINUTE).await.unwrap_err().kind,
            AwsErrorKind::Unknown,
            "{body}"
        );
        assert_eq!(
            tags(&workspaces, IMAGE).await.unwrap_err().kind,
            AwsErrorKind::Unknown,
            "{body}"
        );
    }
}

/// A mock that ignores the ids of the request.
#[tokio::test]
async fn an_answer_about_another_image_does_not_describe_this_one() {
    let body = r#"{"Images":[{"ImageId":"wsi-another01","State":"AVAILABLE"}]}"#;
    let upstream = Upstream::answering(answer(200, &[], body)).await;
    let workspaces = crate::connect(&upstream.url).await;
    assert_eq!(
        *image(&workspaces, IMAGE, MINUTE).await.unwrap(),
        ReportedImage::NotFound
    );
}

#[tokio::test]
async fn an_account_that_is_not_configured_is_not_asked_about() {
    let simulator = simulator().await;
    let workspaces = connect(&simulator).await;
    let image = IMAGE.parse().unwrap();
    let found = workspaces
        .image(account("000011112222"), &region(REGION), &image, MINUTE)
        .await;
    assert_eq!(found.unwrap_err().kind, AwsErrorKind::NotSent);
}
