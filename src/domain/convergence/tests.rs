use super::*;
use crate::domain::Timestamp;

fn error(kind: AwsErrorKind) -> AwsError {
    AwsError {
        kind,
        code: Some("Code".into()),
        message: None,
    }
}

fn failed(reason: FailureReason) -> ChangeFailure {
    ChangeFailure {
        reason,
        code: None,
        message: None,
    }
}

fn earlier_call() -> ReadBackReason {
    ReadBackReason::EarlierCall(failed(FailureReason::UpstreamUnavailable))
}

/// A permission's first change, with retry budget left and no unresolved call.
fn a_first(action: Action) -> DecisionContext<'static> {
    DecisionContext {
        action,
        is_first: true,
        is_budget_spent: false,
        unresolved_for: None,
        observed: None,
        denial: None,
    }
}

fn spent(now: DecisionContext<'_>) -> DecisionContext<'_> {
    DecisionContext {
        is_budget_spent: true,
        ..now
    }
}

fn not_first(now: DecisionContext<'_>) -> DecisionContext<'_> {
    DecisionContext { is_first: false, ..now }
}

fn unresolved(now: DecisionContext<'_>) -> DecisionContext<'_> {
    DecisionContext {
        unresolved_for: Some(Duration::from_secs(7)),
        ..now
    }
}

fn resolved_unread(now: DecisionContext<'_>) -> DecisionContext<'_> {
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
fn a_call_with_an_unknown_effect_is_read_back_before_anything_else() {
    for action in [Action::Grant, Action::Revoke] {
        for now in [a_first(action), spent(a_first(action)), unresolved(a_first(action))] {
            let next = after_call(&Err(error(AwsErrorKind::Unknown)), now);
            assert_eq!(next, NextStep::ReadBack(ReadBackReason::CallUnresolved));
        }
    }
}

#[test]
fn a_change_in_doubt_never_fails_while_aws_cannot_be_read() {
    for kind in KINDS {
        for reason in [ReadBackReason::CallUnresolved, earlier_call()] {
            let next = after_read_back(reason, &Err(error(kind)), spent(a_first(Action::Grant)));
            assert!(
                matches!(next, NextStep::Retry { in_doubt: true, .. }),
                "{kind:?}: {next:?}"
            );
        }
    }
}

#[test]
fn the_first_read_back_does_not_fail_a_change_whose_call_may_still_take_effect() {
    let now = spent(a_first(Action::Grant));
    let next = after_read_back(ReadBackReason::CallUnresolved, &Ok(Access::NotShared), now);
    assert_eq!(next, read_back_later(None));
    let next = after_read_back(earlier_call(), &Ok(Access::NotShared), now);
    let observed = Some(Access::NotShared);
    assert_eq!(next, fail(failed(FailureReason::UpstreamUnavailable), observed));
    let gone = Err(error(AwsErrorKind::Refused(FailureReason::ImageNotFound)));
    assert_eq!(
        after_read_back(ReadBackReason::CallUnresolved, &gone, now),
        read_back_later(None)
    );
}

/// P3: a change that is recorded as failed must not take effect afterwards.
#[test]
fn no_change_fails_while_an_earlier_call_may_take_effect() {
    let refused = failed(FailureReason::UpstreamAccessDenied);
    let wait = read_back_later(Some(Duration::from_secs(7)));
    for action in [Action::Grant, Action::Revoke] {
        let now = unresolved(spent(a_first(action)));
        for kind in KINDS.into_iter().filter(|kind| *kind != AwsErrorKind::Unknown) {
            let next = after_call(&Err(error(kind)), now);
            let read_first = matches!(next, NextStep::ReadBack(ReadBackReason::RefusedRevoke(_)));
            assert!(next == wait || read_first, "{action:?}, {kind:?}: {next:?}");
        }
        let other = match action {
            Action::Grant => Access::NotShared,
            Action::Revoke => Access::Shared,
        };
        for reason in [earlier_call(), ReadBackReason::RefusedRevoke(refused.clone())] {
            assert_eq!(after_read_back(reason, &Ok(other), now), wait);
        }
        let gone = Err(error(AwsErrorKind::Refused(FailureReason::ImageNotFound)));
        assert_eq!(after_read_back(earlier_call(), &gone, now), wait);
    }
}

#[test]
fn a_refused_revoke_succeeds_if_the_image_is_not_shared() {
    let now = a_first(Action::Revoke);
    let refused = Err(error(AwsErrorKind::Refused(FailureReason::UpstreamInvalidParameter)));
    let NextStep::ReadBack(reason) = after_call(&refused, now) else {
        panic!("reads back")
    };
    let next = after_read_back(reason.clone(), &Ok(Access::NotShared), now);
    assert_eq!(next, NextStep::Succeed);
    let next = after_read_back(reason, &Ok(Access::Shared), now);
    let observed = Some(Access::Shared);
    assert!(matches!(next, NextStep::Fail { observed: o, .. } if o == observed));
}

#[test]
fn a_second_read_decides_where_an_older_change_may_have_caused_the_result() {
    let now = not_first(a_first(Action::Revoke));
    let refused = failed(FailureReason::UpstreamAccessDenied);
    for reason in [ReadBackReason::CallUnresolved, ReadBackReason::RefusedRevoke(refused)] {
        let next = after_read_back(reason.clone(), &Ok(Access::NotShared), spent(now));
        assert_eq!(next, read_back_later(None), "{reason:?}");
    }
    assert_eq!(
        after_read_back(earlier_call(), &Ok(Access::NotShared), now),
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

/// The first read missed the share and the second sees it. The failure keeps AWS's reason, not "unavailable".
#[test]
fn a_refused_revoke_whose_budget_is_spent_fails_with_the_reason_of_aws() {
    use AwsOperation::{DescribeWorkspaceImagePermissions as Read, UpdateWorkspaceImagePermission as Call};
    let attempts = [
        attempt(Call, Classification::Unknown, Some("Timeout")),
        attempt(Call, Classification::Refused, Some("AccessDeniedException")),
        attempt(Read, Classification::Accepted, None),
    ];
    let failure = last_call_failure(&attempts, |code| {
        assert_eq!(code, Some("AccessDeniedException"));
        FailureReason::UpstreamAccessDenied
    });
    let NextStep::ReadBack(reason) = first_step(true, failure) else {
        panic!("reads back")
    };
    let now = spent(not_first(a_first(Action::Revoke)));
    let NextStep::Fail { failure, .. } = after_read_back(reason, &Ok(Access::Shared), now) else {
        panic!("the budget is spent")
    };
    assert_eq!(failure.reason, FailureReason::UpstreamAccessDenied);
    assert_eq!(failure.code.as_deref(), Some("AccessDeniedException"));
}

#[test]
fn a_call_without_an_answer_fails_as_upstream_unavailable() {
    use AwsOperation::UpdateWorkspaceImagePermission as Call;
    for attempts in [
        vec![],
        vec![attempt(Call, Classification::Unknown, Some("Timeout"))],
        vec![attempt(Call, Classification::NotSent, Some("NotSent"))],
    ] {
        let failure = last_call_failure(&attempts, |_| unreachable!("nothing was refused"));
        assert_eq!(failure, failed(FailureReason::UpstreamUnavailable));
    }
    let throttled = [attempt(Call, Classification::Throttled, None)];
    let failure = last_call_failure(&throttled, |_| unreachable!("nothing was refused"));
    assert_eq!(failure.reason, FailureReason::UpstreamThrottled);
}

#[test]
fn a_refused_grant_fails_at_once() {
    let refused = Err(error(AwsErrorKind::Refused(FailureReason::ImageNotFound)));
    let next = after_call(&refused, a_first(Action::Grant));
    assert!(matches!(next, NextStep::Fail { observed: None, .. }));
}

#[test]
fn a_call_without_effect_is_retried_until_the_budget_is_spent() {
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
            let next = after_call(&Err(error(kind)), now);
            assert!(matches!(next, NextStep::Retry { in_doubt: false, .. }), "{kind:?}");
            let NextStep::Fail { failure, .. } = after_call(&Err(error(kind)), spent(now)) else {
                panic!("{kind:?} fails when the budget is spent")
            };
            assert_eq!(failure.reason, reason);
        }
    }
}

#[test]
fn delays_grow_to_the_cap_and_respect_retry_after() {
    let policy = RetryPolicy {
        base: Duration::from_millis(100),
        cap: Duration::from_secs(5),
        give_up_after: Duration::from_secs(600),
    };
    assert_eq!(policy.delay(1, None, 1.0), Duration::from_millis(100));
    assert_eq!(policy.delay(3, None, 1.0), Duration::from_millis(400));
    assert_eq!(policy.delay(1000, None, 1.0), Duration::from_secs(5));
    assert_eq!(policy.delay(3, None, 0.0), Duration::ZERO);
    let delay = policy.delay(1, Some(Duration::from_secs(7)), 0.5);
    assert_eq!(delay, Duration::from_secs(7));
    let delay = policy.delay(1, Some(Duration::from_secs(100_000)), 0.5);
    assert_eq!(delay, Duration::from_secs(600));
}

#[test]
fn a_change_that_cannot_be_called_fails_only_when_its_budget_is_spent_and_it_is_not_in_doubt() {
    let now = a_first(Action::Grant);
    assert_eq!(when_unreachable(false, now), retry(None));
    assert_eq!(when_unreachable(true, now), read_back_later(None));
    assert_eq!(when_unreachable(true, spent(now)), read_back_later(None));
    let wait = read_back_later(Some(Duration::from_secs(7)));
    assert_eq!(when_unreachable(false, unresolved(spent(now))), wait);
    let NextStep::Fail { failure, observed } = when_unreachable(false, spent(now)) else {
        panic!("it fails")
    };
    assert_eq!((failure.reason, observed), (FailureReason::UpstreamUnavailable, None));
}

/// P3: an unresolved call may have taken effect after the last read.
#[test]
fn no_change_fails_before_a_read_that_began_when_no_unresolved_call_could_take_effect() {
    let read_first = read_back_later(Some(Duration::ZERO));
    for action in [Action::Grant, Action::Revoke] {
        let now = resolved_unread(spent(not_first(a_first(action))));
        for kind in KINDS.into_iter().filter(|kind| *kind != AwsErrorKind::Unknown) {
            let next = after_call(&Err(error(kind)), now);
            let reads = matches!(next, NextStep::ReadBack(ReadBackReason::RefusedRevoke(_)));
            assert!(next == read_first || reads, "{action:?}, {kind:?}: {next:?}");
        }
        assert_eq!(when_unreachable(false, now), read_first);
        let unread = ReadBackReason::RefusedRevoke(failed(FailureReason::UpstreamAccessDenied));
        let denied = Err(error(AwsErrorKind::Refused(FailureReason::UpstreamAccessDenied)));
        assert_eq!(after_read_back(unread, &denied, now), read_first);
    }
}

#[test]
fn after_such_a_read_the_change_may_fail_at_once() {
    let now = resolved_unread(spent(a_first(Action::Grant)));
    let other = Ok(Access::NotShared);
    assert_eq!(
        observed_access(&earlier_call(), &other, unresolved(now)),
        None,
        "the call may take effect after the read"
    );
    assert_eq!(
        observed_access(&ReadBackReason::CallUnresolved, &other, now),
        None,
        "the call may take effect after the read"
    );
    let now = DecisionContext {
        observed: observed_access(&earlier_call(), &other, now),
        ..now
    };
    for kind in KINDS.into_iter().filter(|kind| *kind != AwsErrorKind::Unknown) {
        let next = after_call(&Err(error(kind)), now);
        let NextStep::Fail { observed, .. } = next else {
            panic!("{kind:?}: {next:?}")
        };
        assert_eq!(observed, Some(Access::NotShared), "{kind:?}");
    }
    let next = after_read_back(earlier_call(), &other, resolved_unread(spent(a_first(Action::Grant))));
    assert!(matches!(next, NextStep::Fail { .. }), "{next:?}");
}

/// P10: a grant is called only if the policy in force allows it at that moment.
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
    // The effect of an earlier call is read first, and an end stays an end.
    for next in [
        NextStep::ReadBack(ReadBackReason::CallUnresolved),
        NextStep::ReadBack(earlier_call()),
        NextStep::Succeed,
        read_back_later(None),
    ] {
        assert_eq!(apply_policy(next.clone(), denied), next);
    }
}

/// P3: a share that an older call made is recorded. A missing share is not made any more.
#[test]
fn a_change_that_the_policy_refuses_ends_by_what_aws_holds() {
    let denied = DecisionContext {
        denial: Some("not with this account"),
        ..resolved_unread(not_first(a_first(Action::Grant)))
    };
    for now in [denied, spent(denied)] {
        assert_eq!(
            after_read_back(earlier_call(), &Ok(Access::Shared), now),
            NextStep::Succeed
        );
        let NextStep::Fail { failure, observed } = after_read_back(earlier_call(), &Ok(Access::NotShared), now) else {
            panic!("it fails")
        };
        assert_eq!(
            (failure.reason, observed),
            (FailureReason::PolicyDenied, Some(Access::NotShared))
        );
    }
}

/// P3: a refusal by the policy does not hide a call that may take effect.
#[test]
fn a_refused_call_does_not_fail_the_change_while_an_earlier_call_may_take_effect() {
    let denied = |now| DecisionContext {
        denial: Some("not with this account"),
        ..now
    };
    let now = denied(unresolved(a_first(Action::Grant)));
    assert_eq!(
        apply_policy(NextStep::Call, now),
        read_back_later(Some(Duration::from_secs(7)))
    );
    let now = denied(resolved_unread(a_first(Action::Grant)));
    assert_eq!(apply_policy(NextStep::Call, now), read_back_later(Some(Duration::ZERO)));
    let now = DecisionContext {
        observed: Some(Access::NotShared),
        ..now
    };
    let observed = Some(Access::NotShared);
    assert!(matches!(apply_policy(NextStep::Call, now), NextStep::Fail { observed: o, .. } if o == observed));
}

#[test]
fn a_deleted_image_is_shared_with_no_account() {
    let gone = Err(error(AwsErrorKind::Refused(FailureReason::ImageNotFound)));
    let refused = ReadBackReason::RefusedRevoke(failed(FailureReason::ImageNotFound));
    for reason in [refused, earlier_call()] {
        let now = not_first(a_first(Action::Revoke));
        assert_eq!(
            after_read_back(reason.clone(), &gone, now),
            NextStep::Succeed,
            "{reason:?}"
        );
        // If the permission never had a change before, the image id is more likely wrong.
        for now in [
            a_first(Action::Revoke),
            a_first(Action::Grant),
            not_first(a_first(Action::Grant)),
        ] {
            let NextStep::Fail { failure, observed } = after_read_back(reason.clone(), &gone, now) else {
                panic!("{reason:?}: {now:?} fails")
            };
            let actual = (failure.reason, observed);
            assert_eq!(actual, (FailureReason::ImageNotFound, Some(Access::NotShared)));
        }
    }
}

/// A fact that AWS does not give now is no refusal: the change is retried as after an error of the call.
#[test]
fn a_call_that_the_policy_cannot_decide_now_is_made_later_until_the_retry_budget_is_spent() {
    let throttled = error(AwsErrorKind::Throttled {
        retry_after: Some(Duration::from_secs(9)),
    });
    let now = a_first(Action::Grant);
    assert_eq!(
        await_decision(NextStep::Call, &throttled, now),
        retry(Some(Duration::from_secs(9)))
    );
    let silent = error(AwsErrorKind::Unknown);
    assert_eq!(await_decision(NextStep::Call, &silent, now), retry(Some(FACTS_AFTER)));
    for (error, reason) in [
        (&throttled, FailureReason::UpstreamThrottled),
        (&silent, FailureReason::UpstreamUnavailable),
    ] {
        let next = await_decision(NextStep::Call, error, spent(now));
        assert!(
            matches!(&next, NextStep::Fail { failure, .. } if failure.reason == reason),
            "{next:?}"
        );
        // P3: a call that may take effect is read back first.
        let next = await_decision(NextStep::Call, error, spent(unresolved(now)));
        assert_eq!(next, read_back_later(Some(Duration::from_secs(7))));
    }
    let denied = NextStep::ReadBack(earlier_call());
    assert_eq!(await_decision(denied.clone(), &silent, spent(now)), denied);
}
