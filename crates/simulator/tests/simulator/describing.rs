//! DescribeWorkspaceImagePermissions and DescribeWorkspaceImages.

use aws_sdk_workspaces::types::{ImageType, WorkspaceImage, WorkspaceImageState};
use sharewarden_simulator::{Image, Simulator};

use crate::harness::*;

async fn share_with_many(sim: &Simulator, count: u32) -> Client {
    let owner = client(sim, OWNER, FRANKFURT);
    for number in 0..count {
        share(&owner, IMAGE, &format!("{number:012}"), true).await.unwrap();
    }
    owner
}

fn ids(images: &[WorkspaceImage]) -> Vec<&str> {
    images.iter().filter_map(|image| image.image_id()).collect()
}

#[tokio::test]
async fn permissions_come_in_pages_of_25_at_most() {
    let sim = start().await;
    let owner = share_with_many(&sim, 60).await;
    let (mut found, mut sizes, mut token) = (Vec::new(), Vec::new(), None);
    loop {
        let call = owner
            .describe_workspace_image_permissions()
            .image_id(IMAGE)
            .set_next_token(token);
        let page = call.send().await.unwrap();
        sizes.push(page.image_permissions().len());
        found.extend(accounts(page.image_permissions()));
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [25, 25, 10]);
    assert_eq!(found, (0..60).map(|number| format!("{number:012}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_last_page_that_is_full_has_no_next_token() {
    let sim = start().await;
    let owner = share_with_many(&sim, 25).await;
    let page = owner
        .describe_workspace_image_permissions()
        .image_id(IMAGE)
        .send()
        .await
        .unwrap();
    assert_eq!((page.image_permissions().len(), page.next_token()), (25, None));
}

#[tokio::test]
async fn page_sizes_are_from_1_to_25() {
    let sim = start().await;
    let owner = share_with_many(&sim, 3).await;
    let sized = |size| {
        owner
            .describe_workspace_image_permissions()
            .image_id(IMAGE)
            .max_results(size)
            .send()
    };
    assert_eq!(sized(2).await.unwrap().image_permissions().len(), 2);
    for size in [0, -1, 26] {
        assert_eq!(code(sized(size).await.unwrap_err()), "ValidationException");
        let images = owner.describe_workspace_images().max_results(size).send().await;
        assert_eq!(code(images.unwrap_err()), "ValidationException");
    }
    let body = format!(r#"{{"ImageId":"{IMAGE}","MaxResults":2.5}}"#);
    let refused = refusal(&sim, "DescribeWorkspaceImagePermissions", &body).await;
    assert_eq!(refused, (400, "SerializationException".into()));
}

#[tokio::test]
async fn a_token_is_valid_only_for_its_list() {
    let sim = start().await;
    let owner = share_with_many(&sim, 3).await;
    let page = owner
        .describe_workspace_image_permissions()
        .image_id(IMAGE)
        .max_results(1)
        .send()
        .await
        .unwrap();
    let token = page.next_token().unwrap();
    let of = |image: &str, token: &str| {
        owner
            .describe_workspace_image_permissions()
            .image_id(image)
            .next_token(token)
            .send()
    };
    assert_eq!(of(IMAGE, token).await.unwrap().image_permissions().len(), 2);
    assert_eq!(
        code(of("wsi-devtool01", token).await.unwrap_err()),
        "InvalidParameterValuesException"
    );
    assert_eq!(
        code(of(IMAGE, "tampered").await.unwrap_err()),
        "InvalidParameterValuesException"
    );
    assert_eq!(code(of(IMAGE, "").await.unwrap_err()), "ValidationException");
    let images = owner.describe_workspace_images().next_token(token).send().await;
    assert_eq!(code(images.unwrap_err()), "InvalidParameterValuesException");
}

#[tokio::test]
async fn only_the_owner_reads_the_permissions_of_an_image() {
    let sim = start().await;
    let stranger = client(&sim, RECIPIENT, FRANKFURT);
    assert_eq!(
        shared_with(&stranger, IMAGE).await.unwrap_err(),
        "ResourceNotFoundException"
    );
    assert_eq!(
        shared_with(&stranger, "wsi-nosuch000").await.unwrap_err(),
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn an_owner_sees_all_details_of_the_images_in_one_region() {
    let sim = start().await;
    let answer = client(&sim, OWNER, FRANKFURT)
        .describe_workspace_images()
        .send()
        .await
        .unwrap();
    assert_eq!(ids(answer.images()), [IMAGE, "wsi-devtool01", PENDING_IMAGE]);
    let image = &answer.images()[0];
    assert_eq!(image.name(), Some("base-windows-11"));
    assert_eq!(image.owner_account_id(), Some(OWNER));
    assert_eq!(image.state(), Some(&WorkspaceImageState::Available));
    assert!(image.created().is_some() && image.operating_system().is_some() && image.required_tenancy().is_some());
    assert_eq!(answer.images()[2].state(), Some(&WorkspaceImageState::Pending));
    let answer = client(&sim, OWNER, VIRGINIA)
        .describe_workspace_images()
        .send()
        .await
        .unwrap();
    assert_eq!(ids(answer.images()), ["wsi-usbase011"]);
}

#[tokio::test]
async fn images_differ_in_state_tenancy_and_operating_system() {
    let sim = start().await;
    let owner = client(&sim, BYOL_OWNER, VIRGINIA);
    let answer = owner.describe_workspace_images().send().await.unwrap();
    let described: Vec<_> = answer.images().iter().map(described).collect();
    assert_eq!(
        described,
        [
            (BYOL_IMAGE, "AVAILABLE", "DEDICATED", "WINDOWS"),
            ("wsi-failed0001", "ERROR", "DEFAULT", "WINDOWS"),
            ("wsi-ubuntu2204", "AVAILABLE", "DEFAULT", "LINUX"),
        ]
    );
    let copy = owner
        .copy_workspace_image()
        .name("copy")
        .source_image_id("wsi-ubuntu2204");
    let copy = copy.source_region(VIRGINIA).send().await.unwrap();
    let answer = owner.describe_workspace_images().image_ids(copy.image_id().unwrap());
    let answer = answer.send().await.unwrap();
    assert_eq!(described_system(&answer.images()[0]), "LINUX");
}

fn described(image: &WorkspaceImage) -> (&str, &str, &str, &str) {
    let tenancy = image.required_tenancy().unwrap().as_str();
    let state = image.state().unwrap().as_str();
    (image.image_id().unwrap(), state, tenancy, described_system(image))
}

fn described_system(image: &WorkspaceImage) -> &str {
    image.operating_system().unwrap().r#type().unwrap().as_str()
}

#[tokio::test]
async fn a_recipient_sees_a_shared_image_until_it_is_revoked() {
    let sim = start().await;
    let (owner, recipient) = (client(&sim, OWNER, FRANKFURT), client(&sim, RECIPIENT, FRANKFURT));
    let shared = || {
        recipient
            .describe_workspace_images()
            .image_type(ImageType::Shared)
            .send()
    };
    assert!(shared().await.unwrap().images().is_empty());
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    let answer = shared().await.unwrap();
    assert_eq!(ids(answer.images()), [IMAGE]);
    assert_eq!(answer.images()[0].owner_account_id(), Some(OWNER));
    assert!(
        recipient
            .describe_workspace_images()
            .send()
            .await
            .unwrap()
            .images()
            .is_empty(),
        "no type is OWNED"
    );
    let own = owner
        .describe_workspace_images()
        .image_type(ImageType::Shared)
        .send()
        .await
        .unwrap();
    assert!(
        own.images().is_empty(),
        "what is shared with others is not shared with the owner"
    );
    share(&owner, IMAGE, RECIPIENT, false).await.unwrap();
    assert!(shared().await.unwrap().images().is_empty());
}

#[tokio::test]
async fn images_are_listed_by_id_and_unknown_ids_are_ignored() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    let call = owner
        .describe_workspace_images()
        .image_ids(IMAGE)
        .image_ids("wsi-nosuch000")
        .image_ids("wsi-finance01");
    assert_eq!(ids(call.send().await.unwrap().images()), [IMAGE]);
}

#[tokio::test]
async fn images_come_in_pages() {
    let sim = start().await;
    for number in 0..30 {
        sim.add_image(Image::new("eu-west-1", format!("wsi-{number:09}"), OWNER))
            .unwrap();
    }
    let owner = client(&sim, OWNER, "eu-west-1");
    let first = owner.describe_workspace_images().send().await.unwrap();
    let second = owner
        .describe_workspace_images()
        .set_next_token(first.next_token().map(str::to_owned));
    let second = second.send().await.unwrap();
    assert_eq!(
        (first.images().len(), second.images().len(), second.next_token()),
        (25, 5, None)
    );
    let all = [ids(first.images()), ids(second.images())].concat();
    assert_eq!(
        all,
        (0..30).map(|number| format!("wsi-{number:09}")).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn describing_images_refuses_invalid_types_and_id_lists() {
    let sim = start().await;
    let many = serde_json::json!({"ImageIds": vec![IMAGE; 26]}).to_string();
    for (body, code) in [
        (r#"{"ImageType":"BORROWED"}"#, "ValidationException"),
        (r#"{"ImageIds":[]}"#, "ValidationException"),
        (r#"{"ImageIds":["nonsense"]}"#, "ValidationException"),
        (many.as_str(), "ValidationException"),
        (r#"{"ImageIds":"wsi-basewin11"}"#, "SerializationException"),
        (r#"{"ImageIds":[1]}"#, "SerializationException"),
    ] {
        assert_eq!(
            refusal(&sim, "DescribeWorkspaceImages", body).await,
            (400, code.into()),
            "{body}"
        );
    }
}
