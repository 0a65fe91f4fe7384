//! The history of one permission, and the shares in effect at a point in time.

use std::time::Duration;

use sharewarden::clock::Clock;
use sharewarden::proto::v1::{
    AuditEntryOrder, Basis, GetSharePermissionsAtRequest, ListPermissionHistoryRequest, PastSharePermission,
};
use sharewarden_testkit::stack::*;

use crate::{archive::archive, auditor::*};

type Time = pbjson_types::Timestamp;

fn history() -> ListPermissionHistoryRequest {
    ListPermissionHistoryRequest {
        account_id: ACCOUNT.into(),
        region: REGION.into(),
        image_id: IMAGE.into(),
        shared_account_id: RECIPIENT.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn the_history_of_a_permission_has_exactly_its_entries() {
    let stack = stack_with_history().await;
    let mut auditor = auditor(&stack).await;
    for order in [AuditEntryOrder::OldestFirst, AuditEntryOrder::Unspecified] {
        let mut kinds = Vec::new();
        let mut request = ListPermissionHistoryRequest {
            order: order.into(),
            page_size: 3,
            ..history()
        };
        loop {
            let page = auditor
                .list_permission_history(as_tester(request.clone()))
                .await
                .unwrap()
                .into_inner();
            assert!(
                page.entries
                    .iter()
                    .all(|entry| change(entry).shared_account_id == RECIPIENT && change(entry).image_id == IMAGE)
            );
            kinds.extend(page.entries.into_iter().map(|entry| (entry.log_index, entry.kind)));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                break;
            }
        }
        if order != AuditEntryOrder::OldestFirst {
            kinds.reverse();
        }
        let expected = [
            "change.requested",
            "change.succeeded",
            "change.requested",
            "change.succeeded",
        ];
        let expected: Vec<_> = (0..4).zip(expected.map(String::from)).collect();
        assert_eq!(kinds, expected, "{order:?}");
    }
    stack.end().await;
}

#[tokio::test]
async fn a_share_is_in_effect_from_the_end_of_its_grant_to_the_end_of_its_revoke() {
    let stack = Stack::start().await;
    let (mut client, mut auditor) = (stack.client().await, auditor(&stack).await);
    client.grant_share_permission(as_tester(grant())).await.unwrap();
    client.revoke_share_permission(as_tester(revoke())).await.unwrap();
    let entries = auditor
        .list_permission_history(as_tester(history()))
        .await
        .unwrap()
        .into_inner()
        .entries;
    let (granted, revoked) = (entries[2].record_time.unwrap(), entries[0].record_time.unwrap());
    for (time, shared) in [
        (add_nanos(granted, -1), false),
        (granted, true),
        (add_nanos(revoked, -1), true),
        (revoked, false),
    ] {
        let request = GetSharePermissionsAtRequest {
            time: Some(time),
            ..Default::default()
        };
        let shares = auditor
            .get_share_permissions_at(as_tester(request))
            .await
            .unwrap()
            .into_inner()
            .permissions;
        let expected = PastSharePermission {
            account_id: ACCOUNT.into(),
            region: REGION.into(),
            image_id: IMAGE.into(),
            shared_account_id: RECIPIENT.into(),
            start_time: Some(granted),
            start_index: 1,
            end_time: Some(revoked),
            end_index: Some(3),
            bases: vec![Basis {
                change_id: change(&entries[2]).change_id.clone(),
                expire_time: None,
            }],
            basis_archived: false,
        };
        assert_eq!(shares, if shared { vec![expected] } else { vec![] }, "{time:?}");
    }
    stack.end().await;
}

/// The bases of the shares at a time, and whether they are archived.
async fn bases_at(auditor: &mut AuditClient, request: GetSharePermissionsAtRequest) -> Vec<(Vec<Basis>, bool)> {
    let answer = auditor.get_share_permissions_at(as_tester(request)).await.unwrap();
    let shares = answer.into_inner().permissions.into_iter();
    shares.map(|share| (share.bases, share.basis_archived)).collect()
}

#[tokio::test]
async fn a_share_stands_at_each_time_on_the_last_grant_that_had_succeeded_with_its_end() {
    let stack = Stack::start().await;
    let (mut client, mut auditor) = (stack.client().await, auditor(&stack).await);
    // The image has other shares, and the recipient other images.
    grant_to_many(&stack, 0..3).await;
    let (mut times, mut expected) = (Vec::new(), Vec::new());
    for end in [None, Some(4_102_358_400), Some(4_102_444_800)] {
        let mut request = grant();
        request.expire_time = end.map(|seconds| Time { seconds, nanos: 0 });
        let granted = client.grant_share_permission(as_tester(request)).await.unwrap();
        let change = granted.into_inner().change.unwrap();
        times.push(change.end_time);
        expected.push(Basis {
            change_id: change.change_id,
            expire_time: change.expire_time,
        });
    }
    let at = |time| GetSharePermissionsAtRequest {
        time,
        shared_account_id: RECIPIENT.into(),
        ..Default::default()
    };
    for (time, basis) in times.iter().zip(&expected) {
        let found = bases_at(&mut auditor, at(*time)).await;
        assert_eq!(found, [(vec![basis.clone()], false)], "{time:?}");
    }
    let before = times[1].map(|time| add_nanos(time, -1));
    assert_eq!(
        bases_at(&mut auditor, at(before)).await,
        [(vec![expected[0].clone()], false)]
    );
    let all = GetSharePermissionsAtRequest {
        time: times[2],
        ..Default::default()
    };
    let found = bases_at(&mut auditor, all).await;
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|(bases, _)| bases.len() == 1), "{found:?}");
    let since = GetSharePermissionsAtRequest {
        since: times[0],
        ..at(times[2])
    };
    assert_eq!(bases_at(&mut auditor, since).await, [(vec![], false)]);
    stack.end().await;
}

#[tokio::test]
async fn a_grant_that_is_archived_is_told_and_one_that_is_missing_is_tampered() {
    let stack = Stack::start().await;
    let (mut client, mut auditor) = (stack.client().await, auditor(&stack).await);
    for number in 0..3 {
        client
            .grant_share_permission(as_tester(nth_grant(number)))
            .await
            .unwrap();
    }
    archive(&stack, 0..4).await;
    let found = bases_at(&mut auditor, Default::default()).await;
    let found: Vec<_> = found.iter().map(|(bases, archived)| (bases.len(), *archived)).collect();
    assert_eq!(found, [(0, true), (0, true), (1, false)]);

    stack.tamper("DELETE FROM audit_entry WHERE log_index = 5").await;
    let missing = auditor
        .get_share_permissions_at(as_tester(GetSharePermissionsAtRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(
        (reason(&missing).as_str(), detail(&missing, "log_index").as_str()),
        ("LEDGER_TAMPERED", "5")
    );
    stack.end().await;
}

#[tokio::test]
async fn pages_of_past_shares_return_each_share_once_and_filters_apply() {
    let stack = Stack::start().await;
    grant_to_many(&stack, 0..11).await;
    let mut auditor = auditor(&stack).await;
    let latest = all(&mut auditor, Default::default()).await[0].record_time;
    let mut request = GetSharePermissionsAtRequest {
        time: latest,
        account_id: ACCOUNT.into(),
        page_size: 4,
        ..Default::default()
    };
    let (mut shared, mut pages) = (Vec::new(), 0);
    loop {
        let page = auditor
            .get_share_permissions_at(as_tester(request.clone()))
            .await
            .unwrap()
            .into_inner();
        shared.extend(page.permissions.into_iter().map(|share| share.shared_account_id));
        pages += 1;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    let expected: Vec<_> = (0..11).map(|number| format!("50000000{number:04}")).collect();
    assert_eq!((shared, pages), (expected, 3));
    for (filter, count) in [
        (
            GetSharePermissionsAtRequest {
                shared_account_id: "500000000007".into(),
                ..Default::default()
            },
            1,
        ),
        (
            GetSharePermissionsAtRequest {
                image_id: IMAGE.into(),
                region: REGION.into(),
                ..Default::default()
            },
            11,
        ),
        (
            GetSharePermissionsAtRequest {
                region: "us-east-1".into(),
                ..Default::default()
            },
            0,
        ),
        (
            GetSharePermissionsAtRequest {
                account_id: OTHER_ACCOUNT.into(),
                ..Default::default()
            },
            0,
        ),
    ] {
        let request = GetSharePermissionsAtRequest { time: latest, ..filter };
        let found = auditor
            .get_share_permissions_at(as_tester(request.clone()))
            .await
            .unwrap()
            .into_inner();
        assert_eq!(found.permissions.len(), count, "{request:?}");
        assert!(
            found
                .permissions
                .iter()
                .all(|share| share.end_time.is_none() && share.end_index.is_none())
        );
    }
    stack.end().await;
}

#[tokio::test]
async fn a_time_in_the_future_is_refused() {
    let stack = Stack::start().await;
    let mut auditor = auditor(&stack).await;
    let tomorrow = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(24 * 60 * 60);
    let time = Time {
        seconds: tomorrow.as_secs().try_into().unwrap(),
        nanos: 0,
    };
    let request = GetSharePermissionsAtRequest {
        time: Some(time),
        ..Default::default()
    };
    let status = auditor.get_share_permissions_at(as_tester(request)).await.unwrap_err();
    assert_eq!(
        (reason(&status).as_str(), invalid_fields(&status)),
        ("INVALID_FIELDS", vec!["time".to_owned()])
    );
    stack.end().await;
}

#[tokio::test]
async fn the_clock_of_a_replica_does_not_decide_what_is_in_the_future() {
    for off_by in [-3600, 3600] {
        let stack = Stack::start_on("", Clock::system_off_by(off_by)).await;
        grant_to_many(&stack, 0..3).await;
        let mut auditor = auditor(&stack).await;
        let now = || {
            let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
            i64::try_from(now.as_secs()).unwrap()
        };
        let mut at = async |seconds: Option<i64>, page_token: &str| {
            let request = GetSharePermissionsAtRequest {
                time: seconds.map(|seconds| Time { seconds, nanos: 0 }),
                page_size: 2,
                page_token: page_token.into(),
                ..Default::default()
            };
            let answer = auditor.get_share_permissions_at(as_tester(request)).await;
            answer.map(tonic::Response::into_inner)
        };
        at(Some(now()), "").await.unwrap();
        let status = at(Some(now() + 1800), "").await.unwrap_err();
        assert_eq!(invalid_fields(&status), ["time"], "{off_by}");

        // Without a time: now. The later pages repeat the time of the first one.
        let first = at(None, "").await.unwrap();
        let time = first.time.unwrap();
        assert!((time.seconds - now()).abs() < 60, "{off_by}: {time:?}");
        assert_eq!(first.permissions.len(), 2);
        let status = at(None, &first.next_page_token).await.unwrap_err();
        assert_eq!(invalid_fields(&status), ["time"]);
        let request = GetSharePermissionsAtRequest {
            time: Some(time),
            page_size: 2,
            page_token: first.next_page_token,
            ..Default::default()
        };
        let second = auditor.get_share_permissions_at(as_tester(request)).await.unwrap();
        assert_eq!(second.into_inner().permissions.len(), 1);
        let signed = stack.checkpoint_of(ACCOUNT, 6).await.sign_time.unwrap();
        assert!((signed.seconds - now()).abs() < 60, "{off_by}: {signed:?}");
        stack.end().await;
    }
}

/// A time `later` nanoseconds after `time`.
fn add_nanos(time: Time, later: i64) -> Time {
    let nanos = time.seconds * 1_000_000_000 + i64::from(time.nanos) + later;
    Time {
        seconds: nanos.div_euclid(1_000_000_000),
        nanos: nanos.rem_euclid(1_000_000_000).try_into().unwrap(),
    }
}
