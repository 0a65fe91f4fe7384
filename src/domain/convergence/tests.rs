use super::*;
use crate::domain::Timestamp;

fn fault(kind: AwsErrorKind) -> AwsError {
    AwsError {
        kind,
        code: Some("Code".into()),
        message: None,
    }
}

fn said(reason: FailureReason) -> ChangeFailure {
    ChangeFailure {
        reason,
        code: None,
        message: None,
    }
}

fn earlier() -> ReadBackReason {
    ReadBackReason::EarlierCall(said(FailureReason::UpstreamUnavailable))
}

/// A permission's first change, with time left, and nothing on its way to AWS.
fn a_first(action: Action) -> DecisionContext<'static> {
    DecisionContext {
        action,
        first: true,
        spent: false,
        unresolved_for: None,
        seen: None,
        denial: None,
    }
}

fn spent(now: DecisionContext<'_>) -> DecisionContext<'_> {
    DecisionContext { spent: true, ..now }
}

fn not_first(now: DecisionContext<'_>) -> DecisionContext<'_> {
    DecisionContext { first: false, ..now }
}

fn landing(now: DecisionContext<'_>) -> DecisionContext<'_> {
    DecisionContext {
        unresolved_for: Some(Duration::from_secs(7)),
        ..now
    }
}

fn landed(now: DecisionContext<'_>) -> DecisionContext<'_> {
    DecisionContext {
        unresolved_for: Some(Duration::ZERO),
        ..now
    }
}

const KINDS: [AwsErrorKind; 4] = [
    AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied),
    AwsErrorKind::Throttled { retry_after: None },
    AwsErrorKind::NotSent,
    AwsErrorKind::Unknown,
];

#[test]
fn an_unknown_outcome_is_read_back_before_anything_else() {
    for action in [Action::Grant, Action::Revoke] {
        for now in [a_first(action), spent(a_first(action)), landing(a_first(action))] {
            let next = after_call(&Err(fault(AwsErrorKind::Unknown)), now);
            assert_eq!(next, NextStep::ReadBack(ReadBackReason::CallUnresolved));
        }
    }
}

#[test]
fn a_change_in_doubt_is_never_failed_while_aws_cannot_be_read() {
    for kind in KINDS {
        for doubt in [ReadBackReason::CallUnresolved, earlier()] {
            let next = after_read_back(doubt, &Err(fault(kind)), spent(a_first(Action::Grant)));
            assert!(
                matches!(next, NextStep::Retry { in_doubt: true, .. }),
                "{kind:?}: {next:?}"
            );
        }
    }
}

#[test]
fn a_call_that_may_still_be_landing_is_not_failed_by_the_first_read_back() {
    let now = spent(a_first(Action::Grant));
    let next = after_read_back(ReadBackReason::CallUnresolved, &Ok(Access::NotShared), now);
    assert_eq!(next, read_back_later(None));
    let next = after_read_back(earlier(), &Ok(Access::NotShared), now);
    let observed = Some(Access::NotShared);
    assert_eq!(next, fail(said(FailureReason::UpstreamUnavailable), observed));
    let gone = Err(fault(AwsErrorKind::Refused(FailureReason::ImageNotFound)));
    assert_eq!(
        after_read_back(ReadBackReason::CallUnresolved, &gone, now),
        read_back_later(None)
    );
}

/// P3: what is recorded as failed must not take effect afterwards.
#[test]
fn nothing_fails_while_an_earlier_call_may_land() {
    let refused = said(FailureReason::UpstreamAccessDenied);
    let wait = read_back_later(Some(Duration::from_secs(7)));
    for action in [Action::Grant, Action::Revoke] {
        let now = landing(spent(a_first(action)));
        for kind in KINDS.into_iter().filter(|kind| *kind != AwsErrorKind::Unknown) {
            let next = after_call(&Err(fault(kind)), now);
            let read_first = matches!(next, NextStep::ReadBack(ReadBackReason::RefusedRevoke(_)));
            assert!(next == wait || read_first, "{action:?}, {kind:?}: {next:?}");
        }
        let other = match action {
            Action::Grant => Access::NotShared,
            Action::Revoke => Access::Shared,
        };
        for doubt in [earlier(), ReadBackReason::RefusedRevoke(refused.clone())] {
            assert_eq!(after_read_back(doubt, &Ok(other), now), wait);
        }
        let gone = Err(fault(AwsErrorKind::Refused(FailureReason::ImageNotFound)));
        assert_eq!(after_read_back(earlier(), &gone, now), wait);
    }
}

#[test]
fn a_refused_revoke_of_what_is_not_shared_is_done() {
    let now = a_first(Action::Revoke);
    let refused = Err(fault(AwsErrorKind::Refused(FailureReason::UpstreamInvalidParameter)));
    let NextStep::ReadBack(doubt) = after_call(&refused, now) else {
        panic!("reads back")
    };
    let next = after_read_back(doubt.clone(), &Ok(Access::NotShared), now);
    assert_eq!(next, NextStep::Succeed);
    let next = after_read_back(doubt, &Ok(Access::Shared), now);
    let observed = Some(Access::Shared);
    assert!(matches!(next, NextStep::Fail { observed: o, .. } if o == observed));
}

#[test]
fn what_an_older_change_may_have_done_is_believed_only_by_the_second_read() {
    let now = not_first(a_first(Action::Revoke));
    let refused = said(FailureReason::UpstreamAccessDenied);
    for doubt in [ReadBackReason::CallUnresolved, ReadBackReason::RefusedRevoke(refused)] {
        let next = after_read_back(doubt.clone(), &Ok(Access::NotShared), spent(now));
        assert_eq!(next, read_back_later(None), "{doubt:?}");
    }
    assert_eq!(
        after_read_back(earlier(), &Ok(Access::NotShared), now),
        NextStep::Succeed
    );
}

fn attempt(operation: AwsOperation, classification: Classification, code: Option<&str>) -> Attempt {
    Attempt {
        operation,
        started_at: Timestamp::parse("2026-11-22T00:00:00Z").unwrap(),
        duration: Duration::ZERO,
        classification,
        aws_request_id: None,
        error_code: code.map(str::to_owned),
    }
}

/// The first read missed the share and the second one sees it; the reason is what AWS said, and not that it was away.
#[test]
fn a_revoke_that_aws_refused_and_that_ran_out_of_time_fails_with_the_words_of_aws() {
    use AwsOperation::{DescribeWorkspaceImagePermissions as Read, UpdateWorkspaceImagePermission as Call};
    let attempts = [
        attempt(Call, Classification::Unknown, Some("Timeout")),
        attempt(Call, Classification::Refused, Some("AccessDeniedException")),
        attempt(Read, Classification::Accepted, None),
    ];
    let word = last_call_failure(&attempts, |code| {
        assert_eq!(code, Some("AccessDeniedException"));
        FailureReason::UpstreamAccessDenied
    });
    let NextStep::ReadBack(doubt) = first_step(true, word) else {
        panic!("reads back")
    };
    let now = spent(not_first(a_first(Action::Revoke)));
    let NextStep::Fail { failure, .. } = after_read_back(doubt, &Ok(Access::Shared), now) else {
        panic!("there is no time left")
    };
    assert_eq!(failure.reason, FailureReason::UpstreamAccessDenied);
    assert_eq!(failure.code.as_deref(), Some("AccessDeniedException"));
}

#[test]
fn the_last_word_on_a_lost_call_is_that_aws_was_away() {
    use AwsOperation::UpdateWorkspaceImagePermission as Call;
    for attempts in [
        vec![],
        vec![attempt(Call, Classification::Unknown, Some("Timeout"))],
        vec![attempt(Call, Classification::NotSent, Some("NotSent"))],
    ] {
        let word = last_call_failure(&attempts, |_| unreachable!("nothing was refused"));
        assert_eq!(word, said(FailureReason::UpstreamUnavailable));
    }
    let throttled = [attempt(Call, Classification::Throttled, None)];
    let word = last_call_failure(&throttled, |_| unreachable!("nothing was refused"));
    assert_eq!(word.reason, FailureReason::UpstreamThrottled);
}

#[test]
fn a_refused_grant_fails_at_once() {
    let refused = Err(fault(AwsErrorKind::Refused(FailureReason::ImageNotFound)));
    let next = after_call(&refused, a_first(Action::Grant));
    assert!(matches!(next, NextStep::Fail { observed: None, .. }));
}

#[test]
fn what_had_no_effect_is_tried_again_until_the_budget_is_spent() {
    let kinds = [
        (
            AwsErrorKind::Refused(FailureReason::ImageUnavailable),
            FailureReason::ImageUnavailable,
        ),
        (
            AwsErrorKind::Throttled { retry_after: None },
            FailureReason::UpstreamThrottled,
        ),
        (AwsErrorKind::NotSent, FailureReason::UpstreamUnavailable),
    ];
    for (kind, reason) in kinds {
        for now in [a_first(Action::Grant), a_first(Action::Revoke)] {
            let next = after_call(&Err(fault(kind)), now);
            assert!(matches!(next, NextStep::Retry { in_doubt: false, .. }), "{kind:?}");
            let NextStep::Fail { failure, .. } = after_call(&Err(fault(kind)), spent(now)) else {
                panic!("{kind:?} fails when the budget is spent")
            };
            assert_eq!(failure.reason, reason);
        }
    }
}

#[test]
fn delays_grow_to_the_cap_and_heed_retry_after() {
    let policy = RetryPolicy {
        base: Duration::from_millis(100),
        cap: Duration::from_secs(5),
        give_up_after: Duration::from_secs(600),
    };
    assert_eq!(policy.delay(1, None, 1.0), Duration::from_millis(100));
    assert_eq!(policy.delay(3, None, 1.0), Duration::from_millis(400));
    assert_eq!(policy.delay(1000, None, 1.0), Duration::from_secs(5));
    assert_eq!(policy.delay(3, None, 0.0), Duration::ZERO);
    let heeded = policy.delay(1, Some(Duration::from_secs(7)), 0.5);
    assert_eq!(heeded, Duration::from_secs(7));
    let heeded = policy.delay(1, Some(Duration::from_secs(100_000)), 0.5);
    assert_eq!(heeded, Duration::from_secs(600));
}

#[test]
fn a_change_that_cannot_be_called_waits_and_fails_only_when_its_budget_is_spent_and_nothing_is_in_doubt() {
    let now = a_first(Action::Grant);
    assert_eq!(when_unreachable(false, now), retry(None));
    assert_eq!(when_unreachable(true, now), read_back_later(None));
    assert_eq!(when_unreachable(true, spent(now)), read_back_later(None));
    let wait = read_back_later(Some(Duration::from_secs(7)));
    assert_eq!(when_unreachable(false, landing(spent(now))), wait);
    let NextStep::Fail { failure, observed } = when_unreachable(false, spent(now)) else {
        panic!("it fails")
    };
    assert_eq!((failure.reason, observed), (FailureReason::UpstreamUnavailable, None));
}

/// P3: a lost call may have taken effect since AWS was read back last.
#[test]
fn nothing_fails_that_was_not_read_back_since_a_lost_call_can_land_no_more() {
    let read_first = read_back_later(Some(Duration::ZERO));
    for action in [Action::Grant, Action::Revoke] {
        let now = landed(spent(not_first(a_first(action))));
        for kind in KINDS.into_iter().filter(|kind| *kind != AwsErrorKind::Unknown) {
            let next = after_call(&Err(fault(kind)), now);
            let reads = matches!(next, NextStep::ReadBack(ReadBackReason::RefusedRevoke(_)));
            assert!(next == read_first || reads, "{action:?}, {kind:?}: {next:?}");
        }
        assert_eq!(when_unreachable(false, now), read_first);
        let unread = ReadBackReason::RefusedRevoke(said(FailureReason::UpstreamAccessDenied));
        let denied = Err(fault(AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied)));
        assert_eq!(after_read_back(unread, &denied, now), read_first);
    }
}

#[test]
fn what_was_read_after_a_lost_call_could_land_no_more_lets_the_change_fail_at_once() {
    let now = landed(spent(a_first(Action::Grant)));
    let other = Ok(Access::NotShared);
    assert_eq!(
        observed_access(&earlier(), &other, landing(now)),
        None,
        "it may land after the read"
    );
    assert_eq!(
        observed_access(&ReadBackReason::CallUnresolved, &other, now),
        None,
        "it may land after the read"
    );
    let now = DecisionContext {
        seen: observed_access(&earlier(), &other, now),
        ..now
    };
    for kind in KINDS.into_iter().filter(|kind| *kind != AwsErrorKind::Unknown) {
        let next = after_call(&Err(fault(kind)), now);
        let NextStep::Fail { observed, .. } = next else {
            panic!("{kind:?}: {next:?}")
        };
        assert_eq!(observed, Some(Access::NotShared), "{kind:?}");
    }
    let next = after_read_back(earlier(), &other, landed(spent(a_first(Action::Grant))));
    assert!(matches!(next, NextStep::Fail { .. }), "{next:?}");
}

/// P10: nothing is granted that the policy in force does not allow at that moment.
#[test]
fn a_call_that_the_policy_refuses_is_not_made() {
    let denied = DecisionContext {
        denial: Some("not with this account"),
        ..a_first(Action::Grant)
    };
    let NextStep::Fail { failure, observed } = apply_policy(NextStep::Call, denied) else {
        panic!("it fails")
    };
    assert_eq!((failure.reason, observed), (FailureReason::PolicyDenied, None));
    assert_eq!(failure.message.as_deref(), Some("not with this account"));
    assert_eq!(apply_policy(NextStep::Call, a_first(Action::Grant)), NextStep::Call);
    // What was called before is found out first, and an end is an end.
    for next in [
        NextStep::ReadBack(ReadBackReason::CallUnresolved),
        NextStep::ReadBack(earlier()),
        NextStep::Succeed,
        read_back_later(None),
    ] {
        assert_eq!(apply_policy(next.clone(), denied), next);
    }
}

/// P3: a share that an older call has made is on record. One that was not made is not made any more.
#[test]
fn a_change_that_the_policy_refuses_ends_by_what_aws_holds() {
    let denied = DecisionContext {
        denial: Some("not with this account"),
        ..landed(not_first(a_first(Action::Grant)))
    };
    for now in [denied, spent(denied)] {
        assert_eq!(after_read_back(earlier(), &Ok(Access::Shared), now), NextStep::Succeed);
        let NextStep::Fail { failure, observed } = after_read_back(earlier(), &Ok(Access::NotShared), now) else {
            panic!("it fails")
        };
        assert_eq!(
            (failure.reason, observed),
            (FailureReason::PolicyDenied, Some(Access::NotShared))
        );
    }
}

/// P3: a refusal does not hide a call that may take effect.
#[test]
fn a_refused_call_does_not_fail_the_change_while_an_earlier_one_may_land() {
    let denied = |now| DecisionContext {
        denial: Some("not with this account"),
        ..now
    };
    let now = denied(landing(a_first(Action::Grant)));
    assert_eq!(
        apply_policy(NextStep::Call, now),
        read_back_later(Some(Duration::from_secs(7)))
    );
    let now = denied(landed(a_first(Action::Grant)));
    assert_eq!(apply_policy(NextStep::Call, now), read_back_later(Some(Duration::ZERO)));
    let now = DecisionContext {
        seen: Some(Access::NotShared),
        ..now
    };
    let observed = Some(Access::NotShared);
    assert!(matches!(apply_policy(NextStep::Call, now), NextStep::Fail { observed: o, .. } if o == observed));
}

#[test]
fn an_image_that_is_gone_is_shared_with_nobody() {
    let gone = Err(fault(AwsErrorKind::Refused(FailureReason::ImageNotFound)));
    let refused = ReadBackReason::RefusedRevoke(said(FailureReason::ImageNotFound));
    for doubt in [refused, earlier()] {
        let now = not_first(a_first(Action::Revoke));
        assert_eq!(
            after_read_back(doubt.clone(), &gone, now),
            NextStep::Succeed,
            "{doubt:?}"
        );
        // Of one that nothing was ever asked about it is rather the name that is wrong.
        for now in [
            a_first(Action::Revoke),
            a_first(Action::Grant),
            not_first(a_first(Action::Grant)),
        ] {
            let NextStep::Fail { failure, observed } = after_read_back(doubt.clone(), &gone, now) else {
                panic!("{doubt:?}: {now:?} fails")
            };
            let told = (failure.reason, observed);
            assert_eq!(told, (FailureReason::ImageNotFound, Some(Access::NotShared)));
        }
    }
}
