//! UpdateWorkspaceImagePermission: what can be shared with which account.

use sharewarden_simulator::{Account, Image, ImageState, Partition, SimulatorSettings};

use crate::harness::*;

#[tokio::test]
async fn the_owner_sees_shared_and_revoked_permissions() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    share(&owner, IMAGE, ZEROS, true).await.unwrap();
    assert_eq!(shared_with(&owner, IMAGE).await.unwrap(), [ZEROS, RECIPIENT]);
    share(&owner, IMAGE, RECIPIENT, false).await.unwrap();
    assert_eq!(shared_with(&owner, IMAGE).await.unwrap(), [ZEROS]);
    assert_eq!(sim.shared_accounts(OWNER, FRANKFURT, IMAGE), [ZEROS.to_owned()].into());
    sim.shutdown().await;
}

#[tokio::test]
async fn sharing_twice_succeeds() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    assert_eq!(shared_with(&owner, IMAGE).await.unwrap(), [RECIPIENT]);
}

#[tokio::test]
async fn an_unknown_account_can_be_a_recipient() {
    let sim = start().await;
    share(&client(&sim, OWNER, FRANKFURT), IMAGE, "999988887777", true)
        .await
        .unwrap();
}

#[tokio::test]
async fn revoking_a_missing_permission_has_the_configured_result() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    assert_eq!(
        share(&owner, IMAGE, RECIPIENT, false).await.unwrap_err(),
        "InvalidParameterValuesException"
    );

    let code = Some("ResourceNotFoundException".to_owned());
    let sim = start_with(SimulatorSettings {
        revoke_unshared_code: code,
        ..quick()
    })
    .await;
    let owner = client(&sim, OWNER, FRANKFURT);
    assert_eq!(
        share(&owner, IMAGE, RECIPIENT, false).await.unwrap_err(),
        "ResourceNotFoundException"
    );

    let sim = start_with(SimulatorSettings {
        revoke_unshared_code: None,
        ..quick()
    })
    .await;
    share(&client(&sim, OWNER, FRANKFURT), IMAGE, RECIPIENT, false)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_unknown_image_and_one_of_another_account_look_the_same() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    assert_eq!(
        share(&owner, "wsi-nosuch000", RECIPIENT, true).await.unwrap_err(),
        "ResourceNotFoundException"
    );
    let stranger = client(&sim, BYOL_OWNER, FRANKFURT);
    assert_eq!(
        share(&stranger, IMAGE, RECIPIENT, true).await.unwrap_err(),
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn an_image_is_found_only_in_its_own_region() {
    let sim = start().await;
    let elsewhere = client(&sim, OWNER, VIRGINIA);
    assert_eq!(
        share(&elsewhere, IMAGE, RECIPIENT, true).await.unwrap_err(),
        "ResourceNotFoundException"
    );
}

#[tokio::test]
async fn a_recipient_cannot_share_onward() {
    let sim = start().await;
    share(&client(&sim, OWNER, FRANKFURT), IMAGE, RECIPIENT, true)
        .await
        .unwrap();
    let recipient = client(&sim, RECIPIENT, FRANKFURT);
    assert_eq!(
        share(&recipient, IMAGE, ZEROS, true).await.unwrap_err(),
        "AccessDeniedException"
    );
    assert_eq!(
        shared_with(&recipient, IMAGE).await.unwrap_err(),
        "AccessDeniedException"
    );
}

#[tokio::test]
async fn sharing_with_oneself_is_refused() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    assert_eq!(
        share(&owner, IMAGE, OWNER, true).await.unwrap_err(),
        "InvalidParameterValuesException"
    );
}

#[tokio::test]
async fn an_image_that_is_not_available_is_unavailable() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    for state in [ImageState::Pending, ImageState::Error] {
        assert!(sim.set_image_state(FRANKFURT, PENDING_IMAGE, state));
        assert_eq!(
            share(&owner, PENDING_IMAGE, RECIPIENT, true).await.unwrap_err(),
            "ResourceUnavailableException"
        );
    }
    assert!(sim.set_image_state(FRANKFURT, PENDING_IMAGE, ImageState::Available));
    share(&owner, PENDING_IMAGE, RECIPIENT, true).await.unwrap();
}

#[tokio::test]
async fn byol_images_go_only_to_byol_accounts_of_the_same_organization() {
    let sim = start().await;
    sim.add_account(Account::new("121212121212").byol("o-other")).unwrap();
    sim.add_account(Account {
        byol_enabled: false,
        ..Account::new("131313131313").byol("o-example")
    })
    .unwrap();
    let owner = client(&sim, BYOL_OWNER, VIRGINIA);
    for wrong in [RECIPIENT, "121212121212", "131313131313", "999988887777"] {
        let refused = share(&owner, BYOL_IMAGE, wrong, true).await;
        assert_eq!(refused.unwrap_err(), "OperationNotSupportedException", "{wrong}");
    }
    share(&owner, BYOL_IMAGE, BYOL_RECIPIENT, true).await.unwrap();
    share(&owner, BYOL_IMAGE, BYOL_RECIPIENT, false).await.unwrap();
}

#[tokio::test]
async fn byol_images_are_not_shared_in_govcloud() {
    let gov = |id: &str| Account::new(id).byol("o-gov").in_partition(Partition::GovCloud);
    let image = Image::new("us-gov-west-1", "wsi-govbyol01", "151515151515").with_own_licence();
    let sim = start_with_image(gov("151515151515"), image).await;
    sim.add_account(gov("161616161616")).unwrap();
    let owner = client(&sim, "151515151515", "us-gov-west-1");
    let refused = share(&owner, "wsi-govbyol01", "161616161616", true).await;
    assert_eq!(refused.unwrap_err(), "OperationNotSupportedException");
    sim.add_image(Image::new("us-gov-west-1", "wsi-govplain1", "151515151515"))
        .unwrap();
    share(&owner, "wsi-govplain1", "161616161616", true).await.unwrap();
}

#[tokio::test]
async fn images_are_not_shared_into_another_partition() {
    let china = Account::new("171717171717").in_partition(Partition::China);
    let image = Image::new("cn-northwest-1", "wsi-china0001", "171717171717");
    let sim = start_with_image(china, image).await;
    let owner = client(&sim, "171717171717", "cn-northwest-1");
    let refused = share(&owner, "wsi-china0001", RECIPIENT, true).await;
    assert_eq!(refused.unwrap_err(), "InvalidParameterValuesException");
}

#[tokio::test]
async fn missing_members_are_reported_together() {
    let sim = start().await;
    let answer = operation(&sim, "UpdateWorkspaceImagePermission", "{}").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "ValidationException"));
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    for part in [
        "3 validation errors",
        "'imageId'",
        "'allowCopyImage'",
        "'sharedAccountId'",
        "must not be null",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_missing_allow_copy_image_is_not_a_revoke() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    share(&owner, IMAGE, RECIPIENT, true).await.unwrap();
    let call = owner
        .update_workspace_image_permission()
        .image_id(IMAGE)
        .shared_account_id(RECIPIENT);
    assert_eq!(code(call.send().await.unwrap_err()), "ValidationException");
    let null = format!(r#"{{"ImageId":"{IMAGE}","SharedAccountId":"{RECIPIENT}","AllowCopyImage":null}}"#);
    assert_eq!(
        refusal(&sim, "UpdateWorkspaceImagePermission", &null).await,
        (400, "ValidationException".into())
    );
    assert_eq!(shared_with(&owner, IMAGE).await.unwrap(), [RECIPIENT]);
}

#[tokio::test]
async fn patterns_are_anchored_at_both_ends() {
    let sim = start().await;
    let owner = client(&sim, OWNER, FRANKFURT);
    for image in [
        "xwsi-basewin11",
        "wsi-basewin11 ",
        "wsi-basewin11\n",
        "WSI-basewin11",
        "wsi-short",
        "",
    ] {
        assert_eq!(
            share(&owner, image, RECIPIENT, true).await.unwrap_err(),
            "ValidationException",
            "{image:?}"
        );
    }
    for account in [
        "21098765432",
        "2109876543210",
        "21098765432a",
        " 210987654321",
        "٢١٠٩٨٧٦٥٤٣٢١",
        "",
    ] {
        assert_eq!(
            share(&owner, IMAGE, account, true).await.unwrap_err(),
            "ValidationException",
            "{account:?}"
        );
    }
}

#[tokio::test]
async fn wrong_json_types_are_serialization_errors() {
    let sim = start().await;
    for (image, account, allow) in [
        ("1", "\"210987654321\"", "true"),
        ("\"wsi-basewin11\"", "210987654321", "true"),
        ("\"wsi-basewin11\"", "\"210987654321\"", "\"true\""),
        ("\"wsi-basewin11\"", "\"210987654321\"", "1"),
        ("[]", "{}", "true"),
    ] {
        let body = format!(r#"{{"ImageId":{image},"SharedAccountId":{account},"AllowCopyImage":{allow}}}"#);
        let refused = refusal(&sim, "UpdateWorkspaceImagePermission", &body).await;
        assert_eq!(refused, (400, "SerializationException".into()), "{body}");
    }
}

#[tokio::test]
async fn unknown_members_are_ignored() {
    let sim = start().await;
    let body = format!(r#"{{"ImageId":"{IMAGE}","SharedAccountId":"{RECIPIENT}","AllowCopyImage":true,"Extra":[1]}}"#);
    assert_eq!(
        operation(&sim, "UpdateWorkspaceImagePermission", body).await.status,
        200
    );
}
