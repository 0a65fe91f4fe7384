//! What the service tells about AWS's own rules: predictions of `validate_only`, and warnings of a grant.

use std::time::Duration;

use sharewarden::{
    clock::Clock,
    domain::{Region, Timestamp},
    proto::v1::{Finding, GrantSharePermissionRequest, finding::Code as Rule, finding::Severity},
};
use sharewarden_simulator::{Account, ApiCall, Effect, Image, ImageState, Partition};
use sharewarden_testkit::stack::*;

const DESCRIBE: &str = "DescribeWorkspaceImages";
const BYOL: &str = "wsi-ownlicence1";

fn validation(image: &str) -> GrantSharePermissionRequest {
    GrantSharePermissionRequest {
        image_id: image.into(),
        validate_only: true,
        ..grant()
    }
}

async fn findings(client: &mut Client, request: GrantSharePermissionRequest) -> Vec<Finding> {
    let answer = client.grant_share_permission(as_tester(request)).await.unwrap();
    answer.into_inner().findings
}

fn rules(findings: &[Finding]) -> Vec<(Rule, Severity)> {
    let rules = findings.iter().map(|finding| (finding.code(), finding.severity()));
    rules.collect()
}

/// Every rule that depends on what AWS reports. AWS's own answer to the change agrees.
#[tokio::test]
async fn validate_only_predicts_what_aws_answers() {
    let stack = Stack::start().await;
    let mut shared = Image::new(REGION, "wsi-partner01", OTHER_ACCOUNT);
    shared.shared_with = [ACCOUNT.to_owned()].into();
    stack.simulator.add_image(shared).unwrap();
    let failed = Image::new(REGION, "wsi-failed001", ACCOUNT).in_state(ImageState::Error);
    stack.simulator.add_image(failed).unwrap();
    let mut client = stack.client().await;
    for (image, rule, refusal) in [
        ("wsi-nosuch000", Rule::ImageNotFound, "IMAGE_NOT_FOUND"),
        ("wsi-finance01", Rule::ImageNotFound, "IMAGE_NOT_FOUND"),
        ("wsi-partner01", Rule::ImageNotOwned, "UPSTREAM_ACCESS_DENIED"),
        ("wsi-pending01", Rule::ImageNotAvailable, "IMAGE_UNAVAILABLE"),
        ("wsi-failed001", Rule::ImageNotAvailable, "IMAGE_UNAVAILABLE"),
    ] {
        let found = findings(&mut client, validation(image)).await;
        assert_eq!(rules(&found), [(rule, Severity::Error)], "{image}");
        assert!(found[0].message.contains(image), "{}", found[0].message);
        let mut revoke = revoke();
        (revoke.image_id, revoke.validate_only) = (image.into(), true);
        let answer = client.revoke_share_permission(as_tester(revoke)).await.unwrap();
        assert_eq!(
            rules(&answer.into_inner().findings),
            [(rule, Severity::Error)],
            "{image}"
        );
        if refusal != "IMAGE_UNAVAILABLE" {
            let mut request = validation(image);
            request.validate_only = false;
            let refused = client.grant_share_permission(as_tester(request)).await.unwrap_err();
            assert_eq!(reason(&refused), refusal, "{image}");
        }
    }
    assert!(findings(&mut client, validation(IMAGE)).await.is_empty());
    stack.end().await;
}

#[tokio::test]
async fn a_byol_image_warns_before_a_grant_and_after_it() {
    let stack = Stack::start().await;
    add_byol_image(&stack);
    let mut client = stack.client().await;
    let before = findings(&mut client, validation(BYOL)).await;
    assert_eq!(rules(&before), [(Rule::ByolRecipient, Severity::Warning)]);
    let mut request = validation(BYOL);
    request.validate_only = false;
    assert_eq!(findings(&mut client, request).await, before);
    assert_eq!(stack.calls_of(DESCRIBE), 1, "the grant used what was known");
    stack.end().await;
}

/// The read begins when the change is PENDING, and the grant does not wait for it: here it never ends.
#[tokio::test]
async fn a_grant_reads_the_image_beside_its_own_call_and_never_waits_for_it() {
    let stack = Stack::start().await;
    stack.fault(DESCRIBE, u64::MAX, late(60_000));
    let mut client = stack.client().await;
    assert!(findings(&mut client, grant()).await.is_empty());
    assert_eq!(stack.shared_with(), [RECIPIENT]);
    stack.simulator.clear_faults();

    // The grant's own call takes longer than the read.
    add_byol_image(&stack);
    stack.hold();
    let mut request = validation(BYOL);
    request.validate_only = false;
    let granted = spawn_grant(stack.client().await, request);
    let is_read = |call: &ApiCall| call.operation == DESCRIBE && call.image.as_deref() == Some(BYOL);
    let begun = stack.simulator.wait_for_calls(|calls| calls.iter().any(is_read));
    tokio::time::timeout(TIMEOUT, begun).await.unwrap();
    // It is answered when the read is.
    findings(&mut client, validation(BYOL)).await;
    stack.release();
    let answer = granted.await.unwrap().unwrap();
    assert_eq!(rules(&answer.findings), [(Rule::ByolRecipient, Severity::Warning)]);
    let reads: Vec<_> = stack.simulator.calls().into_iter().filter(is_read).collect();
    assert_eq!(reads.len(), 1, "the validation waited for the same read");
    let created = answer.change.unwrap().create_time.unwrap();
    let created = i128::from(created.seconds) * 1_000_000_000 + i128::from(created.nanos);
    let read = reads[0].started_at.unix_timestamp_nanos();
    assert!(read >= created, "never before the change is PENDING");
    stack.end().await;
}

/// A report that an image does not exist is true for a moment only.
#[tokio::test]
async fn a_grant_reads_an_image_again_that_did_not_exist_before() {
    let clock = Clock::manual(Timestamp::parse("2026-11-28T00:00:00Z").unwrap());
    let stack = Stack::start_on("", clock.clone()).await;
    let mut client = stack.client().await;
    let before = findings(&mut client, validation(BYOL)).await;
    assert_eq!(rules(&before), [(Rule::ImageNotFound, Severity::Error)]);
    add_byol_image(&stack);
    clock.advance(Duration::from_secs(11));
    // The read takes less time than the change.
    stack.fault(UPDATE, 1, late(500));
    let mut request = validation(BYOL);
    request.validate_only = false;
    let found = findings(&mut client, request).await;
    assert_eq!(rules(&found), [(Rule::ByolRecipient, Severity::Warning)]);
    stack.end().await;
}

/// An image with the owner's licence, and a recipient that can use it.
fn add_byol_image(stack: &Stack) {
    for account in [ACCOUNT, RECIPIENT] {
        stack
            .simulator
            .add_account(Account::new(account).byol("o-example"))
            .unwrap();
    }
    let image = Image::new(REGION, BYOL, ACCOUNT).with_own_licence();
    stack.simulator.add_image(image).unwrap();
}

#[tokio::test]
async fn what_aws_does_not_tell_is_said_and_refuses_nothing() {
    let stack = Stack::start().await;
    stack.fault(
        DESCRIBE,
        u64::MAX,
        Effect::Refuse {
            code: "AccessDeniedException".into(),
            message: "not for this role".into(),
            http_status: 400,
        },
    );
    let mut client = stack.client().await;
    let found = findings(&mut client, validation(IMAGE)).await;
    assert_eq!(rules(&found), [(Rule::NotChecked, Severity::Warning)]);
    assert!(
        found[0].message.contains("could not be checked: AccessDeniedException"),
        "{}",
        found[0].message
    );
    findings(&mut client, grant()).await;
    assert_eq!(stack.shared_with(), [RECIPIENT]);
    stack.end().await;
}

#[tokio::test]
async fn a_validation_waits_for_aws_only_a_part_of_its_time() {
    let stack = Stack::start().await;
    stack.fault(DESCRIBE, u64::MAX, late(60_000));
    let mut client = stack.client().await;
    let mut request = as_tester(validation(IMAGE));
    request.set_timeout(Duration::from_secs(2));
    let answer = client.grant_share_permission(request).await.unwrap().into_inner();
    assert_eq!(rules(&answer.findings), [(Rule::NotChecked, Severity::Warning)]);
    assert!(
        answer.findings[0].message.contains("in time"),
        "{}",
        answer.findings[0].message
    );
    stack.end().await;
}

#[tokio::test]
async fn regions_with_rules_of_their_own_are_predicted() {
    let stack = Stack::start().await;
    for (partition, region, plain, byol) in [
        (
            Partition::China,
            "cn-northwest-1",
            Rule::CopyWithinRegionOnly,
            (Rule::ByolRecipient, Severity::Warning),
        ),
        (
            Partition::GovCloud,
            "us-gov-west-1",
            Rule::CopyThroughSupport,
            (Rule::ByolInGovcloud, Severity::Error),
        ),
    ] {
        let mut config = stack.config("");
        config.accounts.truncate(1);
        config.accounts[0].regions = vec![region.parse::<Region>().unwrap()];
        config.accounts[0].role_arn = None;
        stack
            .simulator
            .add_account(Account::new(ACCOUNT).in_partition(partition))
            .unwrap();
        stack.simulator.add_image(Image::new(region, IMAGE, ACCOUNT)).unwrap();
        stack
            .simulator
            .add_image(Image::new(region, BYOL, ACCOUNT).with_own_licence())
            .unwrap();
        stack
            .simulator
            .add_account(Account::new("123412341234").in_partition(partition))
            .unwrap();
        let server = RunningServer::start(&config, Clock::system()).await;
        let mut client = server.client().await;
        let request = |image| GrantSharePermissionRequest {
            region: region.into(),
            shared_account_id: "123412341234".into(),
            ..validation(image)
        };
        let warning = (plain, Severity::Warning);
        assert_eq!(rules(&findings(&mut client, request(IMAGE)).await), [warning]);
        assert_eq!(rules(&findings(&mut client, request(BYOL)).await), [byol, warning]);
        let mut granted = request(IMAGE);
        granted.validate_only = false;
        assert_eq!(
            rules(&findings(&mut client, granted).await),
            [warning],
            "a grant warns too"
        );
        server.stop().await;
    }
    stack.end().await;
}
