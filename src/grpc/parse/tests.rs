use tonic::Code;
use tonic_types::StatusExt;

use super::*;
use crate::grpc::page_token;

fn request() -> v1::GrantSharePermissionRequest {
    v1::GrantSharePermissionRequest {
        account_id: "000011112222".into(),
        region: "eu-central-1".into(),
        image_id: "wsi-123456789".into(),
        shared_account_id: "210987654321".into(),
        reason: "onboarding".into(),
        ..Default::default()
    }
}

fn parsed(request: &v1::GrantSharePermissionRequest) -> Result<ParsedChange, Status> {
    let now = Timestamp::parse("2026-11-29T10:00:00Z").unwrap();
    grant(request, &PolicySet::default(), now)
}

fn violations(status: &Status) -> Vec<(String, String)> {
    let bad_request = status.get_details_bad_request().unwrap();
    let violations = bad_request.field_violations.into_iter();
    violations
        .map(|violation| (violation.field, violation.description))
        .collect()
}

fn fields(status: &Status) -> Vec<String> {
    violations(status).into_iter().map(|(field, _)| field).collect()
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().unwrap().reason
}

#[test]
fn a_valid_grant_is_parsed_and_empty_options_are_absent() {
    let asked = parsed(&request()).unwrap();
    assert_eq!(
        asked.key.to_string(),
        "000011112222/eu-central-1/wsi-123456789/210987654321"
    );
    assert_eq!((asked.request_id, asked.justification.ticket), (None, None));
    assert_eq!(asked.justification.reason.as_str(), "onboarding");
}

#[test]
fn an_unknown_region_is_accepted() {
    let asked = parsed(&v1::GrantSharePermissionRequest {
        region: "xx-new-9".into(),
        ..request()
    })
    .unwrap();
    assert_eq!(asked.key.region.as_str(), "xx-new-9");
}

#[test]
fn all_violations_are_reported_at_once_without_the_values() {
    let wrong = v1::GrantSharePermissionRequest {
        account_id: "hunter2".into(),
        region: "Hunter2".into(),
        image_id: "ami-hunter2".into(),
        shared_account_id: String::new(),
        request_id: "hunter2".into(),
        reason: " ".into(),
        ticket: "hunter2\0".into(),
        ..Default::default()
    };
    let status = parsed(&wrong).unwrap_err();
    assert_eq!(
        (status.code(), reason(&status).as_str()),
        (Code::InvalidArgument, "INVALID_FIELDS")
    );
    let all = [
        "account_id",
        "region",
        "image_id",
        "shared_account_id",
        "request_id",
        "reason",
        "ticket",
    ];
    assert_eq!(fields(&status), all);
    assert!(
        all.iter().all(|field| status.message().contains(field)),
        "{}",
        status.message()
    );
    assert!(!format!("{status:?} {:?}", violations(&status)).contains("unter2"));
    let revoked = v1::RevokeSharePermissionRequest {
        account_id: wrong.account_id,
        region: wrong.region,
        image_id: wrong.image_id,
        shared_account_id: wrong.shared_account_id,
        request_id: wrong.request_id,
        reason: wrong.reason,
        ticket: wrong.ticket,
        ..Default::default()
    };
    assert_eq!(violations(&revoke(&revoked).unwrap_err()), violations(&status));
}

#[test]
fn a_missing_field_is_reported_with_its_rule() {
    let status = get(&v1::GetSharePermissionRequest::default()).unwrap_err();
    assert_eq!(
        fields(&status),
        ["account_id", "region", "image_id", "shared_account_id"]
    );
    assert_eq!(
        violations(&status)[0].1,
        "is required: must be an AWS account: twelve digits (^[0-9]{12}$); got nothing"
    );
}

#[test]
fn an_image_is_not_shared_with_its_owner() {
    let wrong = v1::GrantSharePermissionRequest {
        shared_account_id: request().account_id,
        ..request()
    };
    assert_eq!(fields(&parsed(&wrong).unwrap_err()), ["shared_account_id"]);
}

#[test]
fn the_page_size_has_a_default_and_a_maximum() {
    let size = |page_size| {
        list(&v1::ListSharePermissionsRequest {
            page_size,
            ..Default::default()
        })
        .map(|asked| asked.page.size)
    };
    assert_eq!(size(0).unwrap(), 100);
    assert_eq!(size(1).unwrap(), 1);
    assert_eq!(size(500).unwrap(), 500);
    assert_eq!(size(i32::MAX).unwrap(), 500);
    assert_eq!(fields(&size(-1).unwrap_err()), ["page_size"]);
}

#[test]
fn invalid_enum_values_are_refused() {
    let wrong = v1::ListSharePermissionsRequest {
        account_id: "1".into(),
        state: 17,
        page_size: -1,
        ..Default::default()
    };
    assert_eq!(fields(&list(&wrong).unwrap_err()), ["account_id", "state", "page_size"]);
    let wrong = v1::ListImagesRequest {
        ownership: -1,
        ..Default::default()
    };
    assert_eq!(
        fields(&list_images(&wrong).unwrap_err()),
        ["account_id", "region", "ownership"]
    );
    assert_eq!(
        fields(&get_change(&v1::GetChangeRequest::default()).unwrap_err()),
        ["account_id", "change_id"]
    );
}

#[test]
fn a_page_token_is_valid_only_with_its_own_filters() {
    let key = parsed(&request()).unwrap().key;
    let first = v1::ListSharePermissionsRequest {
        account_id: "000011112222".into(),
        ..Default::default()
    };
    let page_token = page_token::encode(&list(&first).unwrap().filter, &key);
    let next = v1::ListSharePermissionsRequest {
        page_token,
        page_size: 7,
        ..first
    };
    assert_eq!(list(&next).unwrap().page.after, Some(key));

    let other = v1::ListSharePermissionsRequest {
        region: "eu-central-1".into(),
        ..next.clone()
    };
    let status = list(&other).unwrap_err();
    assert_eq!(
        (reason(&status).as_str(), fields(&status)),
        ("INVALID_PAGE_TOKEN", vec!["page_token".into()])
    );

    let two = v1::ListSharePermissionsRequest { page_size: -1, ..other };
    let status = list(&two).unwrap_err();
    assert_eq!(reason(&status), "INVALID_FIELDS");
    assert_eq!(fields(&status), ["page_size", "page_token"]);
}
