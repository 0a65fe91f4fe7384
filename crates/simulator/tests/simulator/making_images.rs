//! CreateWorkspaceImage, ImportWorkspaceImage, CopyWorkspaceImage, DeleteWorkspaceImage.

use aws_sdk_workspaces::types::{
    Tag, WorkspaceImageIngestionProcess, WorkspaceImageRequiredTenancy, WorkspaceImageState,
};
use sharewarden_simulator::{Account, Image, ImageState, Partition, SimulatorSettings};

use crate::harness::*;

async fn create(client: &Client, name: &str) -> Result<String, String> {
    let call = client
        .create_workspace_image()
        .name(name)
        .description("an image")
        .workspace_id("ws-12345678a");
    let answer = call.send().await.map_err(code)?;
    Ok(answer.image_id().unwrap().to_owned())
}

async fn copy(client: &Client, name: &str, image: &str, region: &str) -> Result<String, String> {
    let call = client
        .copy_workspace_image()
        .name(name)
        .source_image_id(image)
        .source_region(region);
    let answer = call.send().await.map_err(code)?;
    Ok(answer.image_id().unwrap().to_owned())
}

async fn delete(client: &Client, image: &str) -> Result<(), String> {
    client
        .delete_workspace_image()
        .image_id(image)
        .send()
        .await
        .map(drop)
        .map_err(code)
}

#[tokio::test]
async fn a_created_image_can_be_shared() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    let tag = Tag::builder().key("team").value("desktop").build().unwrap();
    let call = owner
        .create_workspace_image()
        .name("new")
        .description("d")
        .workspace_id("ws-12345678a")
        .tags(tag);
    let made = call.send().await.unwrap();
    assert_eq!((made.name(), made.owner_account_id()), (Some("new"), Some(OWNER)));
    share(&owner, made.image_id().unwrap(), RECIPIENT, true).await.unwrap();
}

#[tokio::test]
async fn a_created_image_is_pending_until_it_is_built() {
    let sim = start_with(SimulatorSettings {
        image_build_milliseconds: u64::MAX,
        ..quick()
    })
    .await;
    let owner = client(&sim, OWNER, FRANKFURT);
    let call = owner
        .create_workspace_image()
        .name("new")
        .description("d")
        .workspace_id("ws-12345678a");
    let made = call.send().await.unwrap();
    assert_eq!(made.state(), Some(&WorkspaceImageState::Pending));
    let image = made.image_id().unwrap();
    assert_eq!(
        share(&owner, image, RECIPIENT, true).await.unwrap_err(),
        "ResourceUnavailableException"
    );
    assert_eq!(
        delete(&owner, image).await.unwrap_err(),
        "InvalidResourceStateException"
    );
    assert!(sim.set_image_state(FRANKFURT, image, ImageState::Available));
    share(&owner, image, RECIPIENT, true).await.unwrap();
}

#[tokio::test]
async fn image_names_are_unique_per_account_and_region() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    create(&owner, "taken").await.unwrap();
    assert_eq!(
        create(&owner, "taken").await.unwrap_err(),
        "ResourceAlreadyExistsException"
    );
    create(&client(&sim, OWNER, VIRGINIA), "taken").await.unwrap();
    create(&client(&sim, RECIPIENT, FRANKFURT), "taken").await.unwrap();
}

#[tokio::test]
async fn the_image_limit_of_an_account_is_enforced() {
    let sim = start_with(SimulatorSettings {
        image_limit: 4,
        ..quick()
    })
    .await;
    let owner = client(&sim, OWNER, FRANKFURT);
    create(&owner, "fourth").await.unwrap();
    assert_eq!(
        create(&owner, "fifth").await.unwrap_err(),
        "ResourceLimitExceededException"
    );
}

#[tokio::test]
async fn creating_refuses_missing_and_malformed_members() {
    let sim = start().await;
    for body in [
        r#"{}"#,
        r#"{"Name":"a","WorkspaceId":"ws-12345678a"}"#,
        r#"{"Name":"a b","Description":"d","WorkspaceId":"ws-12345678a"}"#,
        r#"{"Name":"a","Description":"ä","WorkspaceId":"ws-12345678a"}"#,
        r#"{"Name":"a","Description":"d","WorkspaceId":"wsi-12345678a"}"#,
        r#"{"Name":"a","Description":"d","WorkspaceId":"ws-12345678a","Tags":[{"Key":"","Value":"v"}]}"#,
        r#"{"Name":"a","Description":"d","WorkspaceId":"ws-12345678a","Tags":[{"Value":"v"}]}"#,
    ] {
        assert_eq!(
            refusal(&sim, "CreateWorkspaceImage", body).await,
            (400, "ValidationException".into()),
            "{body}"
        );
    }
}

#[tokio::test]
async fn only_byol_accounts_import_and_what_they_import_is_byol() {
    let sim = start().await;
    let import = |client: Client| {
        let call = client
            .import_workspace_image()
            .ec2_image_id("ami-0123456789abcdef0")
            .image_name("imported");
        let call = call
            .image_description("d")
            .ingestion_process(WorkspaceImageIngestionProcess::ByolRegularWsp);
        call.send()
    };
    let refused = import(client(&sim, OWNER, FRANKFURT)).await;
    assert_eq!(code(refused.unwrap_err()), "OperationNotSupportedException");
    let owner = client(&sim, BYOL_OWNER, FRANKFURT);
    let image = import(owner.clone()).await.unwrap().image_id().unwrap().to_owned();
    let images = owner
        .describe_workspace_images()
        .image_ids(&image)
        .send()
        .await
        .unwrap();
    assert_eq!(
        images.images()[0].required_tenancy(),
        Some(&WorkspaceImageRequiredTenancy::Dedicated)
    );
    assert_eq!(
        share(&owner, &image, RECIPIENT, true).await.unwrap_err(),
        "OperationNotSupportedException"
    );
    let body = r#"{"Ec2ImageId":"ami-1","IngestionProcess":"MAGIC","ImageName":"n","ImageDescription":"d"}"#;
    assert_eq!(
        refusal(&sim, "ImportWorkspaceImage", body).await,
        (400, "ValidationException".into())
    );
}

#[tokio::test]
async fn only_accounts_with_permission_can_copy() {
    let sim = start().await;
    let recipient = client(&sim, RECIPIENT, FRANKFURT);
    assert_eq!(
        copy(&recipient, "mine", IMAGE, FRANKFURT).await.unwrap_err(),
        "ResourceNotFoundException"
    );
    share(&client(&sim, OWNER, FRANKFURT), IMAGE, RECIPIENT, true)
        .await
        .unwrap();
    let copied = copy(&recipient, "mine", IMAGE, FRANKFURT).await.unwrap();
    let answer = recipient.describe_workspace_images().send().await.unwrap();
    let image = &answer.images()[0];
    assert_eq!(
        (image.image_id(), image.owner_account_id()),
        (Some(copied.as_str()), Some(RECIPIENT))
    );
}

#[tokio::test]
async fn a_copy_outlives_the_revocation_of_its_source() {
    let sim = start().await;
    let (owner, recipient) = (client(&sim, OWNER, FRANKFURT), client(&sim, RECIPIENT, FRANKFURT));
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    let copied = copy(&recipient, "mine", IMAGE, FRANKFURT).await.unwrap();
    share(&owner, IMAGE, RECIPIENT, false).await.unwrap();
    share(&recipient, &copied, ZEROS, true).await.unwrap();
}

#[tokio::test]
async fn copies_cross_regions_in_the_commercial_partition() {
    let sim = start().await;
    let there = client(&sim, OWNER, VIRGINIA);
    let copied = copy(&there, "from-frankfurt", IMAGE, FRANKFURT).await.unwrap();
    assert_eq!(shared_with(&there, &copied).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn copies_do_not_cross_regions_in_china_and_govcloud() {
    for (partition, home, away) in [
        (Partition::China, "cn-northwest-1", "cn-north-1"),
        (Partition::GovCloud, "us-gov-west-1", "us-gov-east-1"),
    ] {
        let account = Account::new("181818181818").in_partition(partition);
        let sim = start_with_image(account, Image::new(home, "wsi-home00001", "181818181818")).await;
        copy(&client(&sim, "181818181818", home), "near", "wsi-home00001", home)
            .await
            .unwrap();
        let far = copy(&client(&sim, "181818181818", away), "far", "wsi-home00001", home).await;
        assert_eq!(far.unwrap_err(), "OperationNotSupportedException");
    }
}

#[tokio::test]
async fn a_pending_image_is_not_copied() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    assert_eq!(
        copy(&owner, "early", PENDING_IMAGE, FRANKFURT).await.unwrap_err(),
        "ResourceUnavailableException"
    );
}

#[tokio::test]
async fn a_shared_image_is_not_deleted_until_it_is_unshared() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    assert_eq!(delete(&owner, IMAGE).await.unwrap_err(), "ResourceAssociatedException");
    share(&owner, IMAGE, RECIPIENT, false).await.unwrap();
    delete(&owner, IMAGE).await.unwrap();
    assert_eq!(
        shared_with(&owner, IMAGE).await.unwrap_err(),
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn only_the_owner_can_delete_an_image() {
    let sim = start().await;
    let stranger = client(&sim, RECIPIENT, FRANKFURT);
    assert_eq!(delete(&stranger, IMAGE).await.unwrap_err(), "AccessDeniedException");
    assert_eq!(
        delete(&stranger, "wsi-nosuch000").await.unwrap_err(),
        "AccessDeniedException"
    );
}
