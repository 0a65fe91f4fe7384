//! What to do next about a change, given what AWS said. Pure; the forwarder does it.
//!
//! Only three answers settle a change: AWS accepted it, AWS refused it, or reading AWS back showed what AWS holds. After an
//! answer that leaves it open whether the call had an effect, nothing is done before AWS was read back, and the verdict
//! "not in effect" is given only by a read-back that comes a delay after the call, since the call may still be landing.

use std::time::Duration;

use super::{Access, Action, Failure, FailureReason, Fault, FaultKind};

/// When to try again, and until when.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// The upper bound of the first delay.
    pub base: Duration,
    /// The upper bound of every delay.
    pub cap: Duration,
    /// How long after its acceptance a change may be tried again. A change in doubt is read back past it, until AWS answers.
    pub give_up_after: Duration,
}

impl RetryPolicy {
    /// The delay before AWS is looked at again after a call that may still be landing: never at once.
    pub fn delay_in_doubt(&self, attempts: usize, retry_after: Option<Duration>, jitter: f64) -> Duration {
        self.base + self.delay(attempts, retry_after, jitter)
    }

    /// The delay before the next attempt, after `attempts` of them: exponential with full jitter (`jitter` is uniform in
    /// `[0, 1)`), and not before AWS's `retry_after`, which is heeded up to the cap.
    pub fn delay(&self, attempts: usize, retry_after: Option<Duration>, jitter: f64) -> Duration {
        let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        let bound = self.base.saturating_mul(1 << doublings).min(self.cap);
        bound
            .mul_f64(jitter.clamp(0.0, 1.0))
            .max(retry_after.unwrap_or_default().min(self.cap.max(self.give_up_after)))
    }
}

/// Why AWS is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The call just made may have had an effect, or may have one yet.
    Landing,
    /// A call of some time ago may have had an effect.
    Earlier,
    /// AWS refused a revoke, for this: perhaps because there is nothing to revoke.
    RefusedRevoke(Failure),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Call AWS.
    Call,
    /// Read AWS back.
    ReadBack(Doubt),
    /// Record that the change is in effect.
    Succeed,
    /// Record that the change is known not to be in effect.
    Fail {
        /// Why.
        failure: Failure,
        /// What AWS holds, where it was read back.
        observed: Option<Access>,
    },
    /// Try again later.
    Retry {
        /// Not before so long.
        retry_after: Option<Duration>,
        /// Begin with reading back.
        in_doubt: bool,
    },
}

impl Next {
    /// Whether the change is in doubt if AWS is not called now; nothing, where it would not be called anyway.
    pub fn in_doubt_if_not_called(&self) -> Option<bool> {
        match self {
            Self::Call => Some(false),
            Self::ReadBack(Doubt::Landing | Doubt::Earlier) => Some(true),
            // The refusal stands: the next attempt is refused too, and asks again.
            Self::ReadBack(Doubt::RefusedRevoke(_)) => Some(false),
            Self::Succeed | Self::Fail { .. } | Self::Retry { .. } => None,
        }
    }
}

/// What to do about a change that is not called, since AWS does not answer. `spent` says that its budget is.
pub fn unreachable(in_doubt: bool, spent: bool) -> Next {
    if spent && !in_doubt {
        return fail(unavailable(), None);
    }
    Next::Retry {
        retry_after: None,
        in_doubt,
    }
}

/// What to do first.
pub fn begin(in_doubt: bool) -> Next {
    if in_doubt {
        Next::ReadBack(Doubt::Earlier)
    } else {
        Next::Call
    }
}

/// What to do after a call. `spent` says that the change's budget is.
pub fn after_call(action: Action, result: &Result<(), Fault>, spent: bool) -> Next {
    let Err(fault) = result else { return Next::Succeed };
    match fault.kind {
        FaultKind::Unknown => Next::ReadBack(Doubt::Landing),
        FaultKind::Refused(FailureReason::ImageUnavailable) if !spent => retry(None),
        FaultKind::Refused(reason) => match action {
            Action::Revoke if reason != FailureReason::ImageUnavailable => {
                Next::ReadBack(Doubt::RefusedRevoke(failure(reason, fault)))
            }
            _ => fail(failure(reason, fault), None),
        },
        FaultKind::Throttled { .. } if spent => fail(failure(FailureReason::UpstreamThrottled, fault), None),
        FaultKind::Throttled { retry_after } => retry(retry_after),
        FaultKind::NotSent if spent => fail(failure(FailureReason::UpstreamUnavailable, fault), None),
        FaultKind::NotSent => retry(None),
    }
}

/// What to do after AWS was read back, for this doubt. `first` says that no change of the permission came before this one.
///
/// A read may be behind. What it shows is believed at once only where it cannot be an older change's doing; otherwise a
/// second read, a delay later, decides.
pub fn after_read_back(action: Action, doubt: Doubt, result: &Result<Access, Fault>, first: bool, spent: bool) -> Next {
    match (result, doubt) {
        (Ok(access), Doubt::Landing | Doubt::RefusedRevoke(_)) if *access == action.into() && !first => {
            look_again(None)
        }
        (Ok(access), _) if *access == action.into() => Next::Succeed,
        (Ok(access), Doubt::RefusedRevoke(failure)) => fail(failure, Some(*access)),
        (Ok(_), Doubt::Landing) => look_again(None),
        (Ok(access), Doubt::Earlier) if spent => fail(unavailable(), Some(*access)),
        (Ok(_), Doubt::Earlier) => Next::Call,
        // An image that is gone is shared with nobody.
        (Err(fault), _) if fault.kind == FaultKind::Refused(FailureReason::ImageNotFound) => {
            fail(failure(FailureReason::ImageNotFound, fault), Some(Access::NotShared))
        }
        // The refusal of the revoke stands by itself: it had no effect.
        (
            Err(Fault {
                kind: FaultKind::Refused(_),
                ..
            }),
            Doubt::RefusedRevoke(failure),
        ) => fail(failure, None),
        (Err(_), Doubt::RefusedRevoke(failure)) if spent => fail(failure, None),
        (Err(fault), Doubt::RefusedRevoke(_)) => retry(retry_after(fault)),
        (Err(fault), Doubt::Landing | Doubt::Earlier) => look_again(retry_after(fault)),
    }
}

fn look_again(retry_after: Option<Duration>) -> Next {
    Next::Retry {
        retry_after,
        in_doubt: true,
    }
}

fn retry(retry_after: Option<Duration>) -> Next {
    Next::Retry {
        retry_after,
        in_doubt: false,
    }
}

fn fail(failure: Failure, observed: Option<Access>) -> Next {
    Next::Fail { failure, observed }
}

fn failure(reason: FailureReason, fault: &Fault) -> Failure {
    Failure {
        reason,
        code: fault.code.clone(),
        message: fault.message.clone(),
    }
}

fn unavailable() -> Failure {
    Failure {
        reason: FailureReason::UpstreamUnavailable,
        code: None,
        message: None,
    }
}

fn retry_after(fault: &Fault) -> Option<Duration> {
    match fault.kind {
        FaultKind::Throttled { retry_after } => retry_after,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind) -> Fault {
        Fault {
            kind,
            code: Some("Code".into()),
            message: None,
        }
    }

    const KINDS: [FaultKind; 4] = [
        FaultKind::Refused(FailureReason::UpstreamAccessDenied),
        FaultKind::Throttled { retry_after: None },
        FaultKind::NotSent,
        FaultKind::Unknown,
    ];

    #[test]
    fn an_unknown_outcome_is_read_back_before_anything_else() {
        for action in [Action::Grant, Action::Revoke] {
            for spent in [false, true] {
                assert_eq!(
                    after_call(action, &Err(fault(FaultKind::Unknown)), spent),
                    Next::ReadBack(Doubt::Landing)
                );
            }
        }
    }

    #[test]
    fn a_change_in_doubt_is_never_failed_while_aws_cannot_be_read() {
        for kind in KINDS {
            for doubt in [Doubt::Landing, Doubt::Earlier] {
                let next = after_read_back(Action::Grant, doubt, &Err(fault(kind)), true, true);
                assert!(matches!(next, Next::Retry { in_doubt: true, .. }), "{kind:?}: {next:?}");
            }
        }
    }

    #[test]
    fn a_call_that_may_still_be_landing_is_not_failed_by_the_first_read_back() {
        let next = after_read_back(Action::Grant, Doubt::Landing, &Ok(Access::NotShared), true, true);
        assert_eq!(
            next,
            Next::Retry {
                retry_after: None,
                in_doubt: true
            }
        );
        let next = after_read_back(Action::Grant, Doubt::Earlier, &Ok(Access::NotShared), true, true);
        assert!(matches!(
            next,
            Next::Fail {
                observed: Some(Access::NotShared),
                ..
            }
        ));
    }

    #[test]
    fn a_refused_revoke_of_what_is_not_shared_is_done() {
        let refused = Err(fault(FaultKind::Refused(FailureReason::UpstreamInvalidParameter)));
        let Next::ReadBack(doubt) = after_call(Action::Revoke, &refused, false) else {
            panic!("reads back")
        };
        assert_eq!(
            after_read_back(Action::Revoke, doubt.clone(), &Ok(Access::NotShared), true, false),
            Next::Succeed
        );
        let next = after_read_back(Action::Revoke, doubt, &Ok(Access::Shared), true, false);
        assert!(matches!(
            next,
            Next::Fail {
                observed: Some(Access::Shared),
                ..
            }
        ));
    }

    #[test]
    fn what_an_older_change_may_have_done_is_believed_only_by_the_second_read() {
        let refused = Failure {
            reason: FailureReason::UpstreamAccessDenied,
            code: None,
            message: None,
        };
        for doubt in [Doubt::Landing, Doubt::RefusedRevoke(refused)] {
            let next = after_read_back(Action::Revoke, doubt.clone(), &Ok(Access::NotShared), false, true);
            assert_eq!(next, look_again(None), "{doubt:?}");
        }
        let next = after_read_back(Action::Revoke, Doubt::Earlier, &Ok(Access::NotShared), false, true);
        assert_eq!(next, Next::Succeed);
    }

    #[test]
    fn a_change_that_cannot_be_called_waits_and_fails_only_when_its_budget_is_spent_and_nothing_is_in_doubt() {
        assert_eq!(unreachable(false, false), retry(None));
        assert_eq!(unreachable(true, false), look_again(None));
        assert_eq!(unreachable(true, true), look_again(None));
        let Next::Fail { failure, observed } = unreachable(false, true) else {
            panic!("it fails")
        };
        assert_eq!((failure.reason, observed), (FailureReason::UpstreamUnavailable, None));
    }

    #[test]
    fn a_refused_grant_fails_at_once() {
        let refused = Err(fault(FaultKind::Refused(FailureReason::ImageNotFound)));
        assert!(matches!(
            after_call(Action::Grant, &refused, false),
            Next::Fail { observed: None, .. }
        ));
    }

    #[test]
    fn what_had_no_effect_is_tried_again_until_the_budget_is_spent() {
        let kinds = [
            (
                FaultKind::Refused(FailureReason::ImageUnavailable),
                FailureReason::ImageUnavailable,
            ),
            (
                FaultKind::Throttled { retry_after: None },
                FailureReason::UpstreamThrottled,
            ),
            (FaultKind::NotSent, FailureReason::UpstreamUnavailable),
        ];
        for (kind, reason) in kinds {
            for action in [Action::Grant, Action::Revoke] {
                let next = after_call(action, &Err(fault(kind)), false);
                assert!(matches!(next, Next::Retry { in_doubt: false, .. }), "{kind:?}");
                let Next::Fail { failure, .. } = after_call(action, &Err(fault(kind)), true) else {
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
        assert_eq!(
            policy.delay(1, Some(Duration::from_secs(7)), 0.5),
            Duration::from_secs(7)
        );
        assert_eq!(
            policy.delay(1, Some(Duration::from_secs(100_000)), 0.5),
            Duration::from_secs(600)
        );
    }
}
