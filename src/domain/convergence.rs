//! What to do next about a change, given what AWS said. Pure; the forwarder does it.
//!
//! Only three answers settle a change: AWS accepted it, AWS refused it, or reading AWS back showed what AWS holds. After an
//! answer that leaves it open whether the call had an effect, nothing is done before AWS was read back, and the verdict
//! "not in effect" is given only when no call can be landing any more, and AWS was read back since, if one was lost.

use std::time::Duration;

use super::{Access, Action, Attempt, Classification, Failure, FailureReason, Fault, FaultKind, Operation};

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

/// What else bears on a decision.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// Grant or revoke.
    pub action: Action,
    /// No change of the permission came before this one.
    pub first: bool,
    /// The change's budget was spent when the call began.
    pub spent: bool,
    /// An earlier call was lost, and AWS was not read back since it can take effect no more: from the begin of the call on
    /// it can for so long yet.
    pub landing_for: Option<Duration>,
    /// What AWS was seen to hold under this lease. See [`seen`].
    pub seen: Option<Access>,
    /// Why the policy in force refuses the call, if it does.
    pub denial: Option<&'a str>,
}

/// Why AWS is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// The call just made may have had an effect, or may have one yet.
    Landing,
    /// A call of some time ago may have had an effect. If it had none, and there is no time for another, this is why.
    Earlier(Failure),
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
            Self::ReadBack(Doubt::Landing | Doubt::Earlier(_)) => Some(true),
            // The refusal stands: the next attempt is refused too, and asks again.
            Self::ReadBack(Doubt::RefusedRevoke(_)) => Some(false),
            Self::Succeed | Self::Fail { .. } | Self::Retry { .. } => None,
        }
    }
}

/// What to do about a change that is not called, since AWS does not answer.
pub fn unreachable(in_doubt: bool, now: Circumstances<'_>) -> Next {
    let unreachable = Failure {
        reason: FailureReason::UpstreamUnavailable,
        code: None,
        message: None,
    };
    match (now.spent, in_doubt) {
        (true, false) => once_known(fail(unreachable, None), now),
        (_, true) => look_again(None),
        (false, false) => retry(None),
    }
}

/// What to do first. `last_word` is what AWS said last.
pub fn begin(in_doubt: bool, last_word: Failure) -> Next {
    if in_doubt {
        Next::ReadBack(Doubt::Earlier(last_word))
    } else {
        Next::Call
    }
}

/// The same, but for a call that the policy refuses. Ask directly before each call. Reading back is never refused: a call that was
/// made earlier may have had an effect.
pub fn permitted(next: Next, now: Circumstances<'_>) -> Next {
    match (next, now.denial) {
        (Next::Call, Some(words)) => once_known(fail(denied(words), None), now),
        (next, _) => next,
    }
}

/// What AWS said last of a change, as the reason of its failure. `reason_of` knows AWS's error codes.
pub fn last_word(attempts: &[Attempt], reason_of: impl FnOnce(Option<&str>) -> FailureReason) -> Failure {
    let calls = attempts.iter().rev();
    let last = calls
        .filter(|attempt| attempt.operation == Operation::UpdateWorkspaceImagePermission)
        .map(|attempt| (attempt.classification, attempt.error_code.clone()))
        .next();
    let (reason, code) = match last {
        Some((Classification::Refused, code)) => (reason_of(code.as_deref()), code),
        Some((Classification::Throttled, code)) => (FailureReason::UpstreamThrottled, code),
        _ => (FailureReason::UpstreamUnavailable, None),
    };
    Failure {
        reason,
        code,
        message: None,
    }
}

/// What to do after a call.
pub fn after_call(result: &Result<(), Fault>, now: Circumstances<'_>) -> Next {
    let Err(fault) = result else { return Next::Succeed };
    let spent = now.spent;
    let next = match fault.kind {
        FaultKind::Unknown => Next::ReadBack(Doubt::Landing),
        FaultKind::Refused(FailureReason::ImageUnavailable) if !spent => retry(None),
        FaultKind::Refused(reason) => match now.action {
            Action::Revoke if reason != FailureReason::ImageUnavailable => {
                Next::ReadBack(Doubt::RefusedRevoke(failure(reason, fault)))
            }
            _ => fail(failure(reason, fault), None),
        },
        FaultKind::Throttled { .. } if spent => fail(failure(FailureReason::UpstreamThrottled, fault), None),
        FaultKind::Throttled { retry_after } => retry(retry_after),
        FaultKind::NotSent if spent => fail(failure(FailureReason::UpstreamUnavailable, fault), None),
        FaultKind::NotSent => retry(None),
    };
    once_known(next, now)
}

/// What to do after AWS was read back, for this doubt.
///
/// A read may be behind. What it shows is believed at once only where it cannot be an older change's doing; otherwise a
/// second read, a delay later, decides.
pub fn after_read_back(doubt: Doubt, result: &Result<Access, Fault>, now: Circumstances<'_>) -> Next {
    let wanted = Access::from(now.action);
    let next = match (result, doubt) {
        (Ok(access), Doubt::Landing | Doubt::RefusedRevoke(_)) if *access == wanted && !now.first => look_again(None),
        (Ok(access), _) if *access == wanted => Next::Succeed,
        (Ok(access), Doubt::RefusedRevoke(failure)) => fail(failure, Some(*access)),
        (Ok(_), Doubt::Landing) => look_again(None),
        (Ok(access), Doubt::Earlier(failure)) => match now.denial {
            // A share that is there is on record above, whatever the policy says by now. One that is not there is not made.
            Some(words) => fail(denied(words), Some(*access)),
            None if now.spent => fail(failure, Some(*access)),
            None => Next::Call,
        },
        (Err(fault), Doubt::Landing) => look_again(retry_after(fault)),
        // An image that is gone is shared with nobody: what was to be revoked is. Of one that was never heard of before, it is
        // rather the name that is wrong.
        (Err(fault), _) if fault.kind == FaultKind::Refused(FailureReason::ImageNotFound) && is_revoked(now) => {
            Next::Succeed
        }
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
        (Err(_), Doubt::RefusedRevoke(failure)) if now.spent => fail(failure, None),
        (Err(fault), Doubt::RefusedRevoke(_)) => retry(retry_after(fault)),
        (Err(fault), Doubt::Earlier(_)) => look_again(retry_after(fault)),
    };
    once_known(next, now)
}

/// What a read has shown that was begun when no lost call could take effect any more. It holds until a call is accepted or
/// lost.
pub fn seen(doubt: &Doubt, result: &Result<Access, Fault>, now: Circumstances<'_>) -> Option<Access> {
    let has_landed = now.landing_for.is_none_or(|left| left.is_zero()) && *doubt != Doubt::Landing;
    result.as_ref().ok().copied().filter(|_| has_landed)
}

/// No change is failed while an earlier call may take effect, or may have: AWS is read back when that is over.
fn once_known(next: Next, now: Circumstances<'_>) -> Next {
    let Next::Fail { failure, observed } = next else {
        return next;
    };
    let observed = observed.or(now.seen);
    match now.landing_for {
        Some(left) if !left.is_zero() || observed.is_none() => look_again(Some(left)),
        _ => fail(failure, observed),
    }
}

fn is_revoked(now: Circumstances<'_>) -> bool {
    now.action == Action::Revoke && !now.first
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

fn denied(words: &str) -> Failure {
    Failure {
        reason: FailureReason::PolicyDenied,
        code: None,
        message: Some(words.to_owned()),
    }
}

fn failure(reason: FailureReason, fault: &Fault) -> Failure {
    Failure {
        reason,
        code: fault.code.clone(),
        message: fault.message.clone(),
    }
}

fn retry_after(fault: &Fault) -> Option<Duration> {
    match fault.kind {
        FaultKind::Throttled { retry_after } => retry_after,
        _ => None,
    }
}

#[cfg(test)]
mod tests;
