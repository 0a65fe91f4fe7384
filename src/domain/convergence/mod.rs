//! What to do next about a change, given what AWS said. Pure; the forwarder does it.
//!
//! Only three answers settle a change: AWS accepted it, AWS refused it, or reading AWS back showed what AWS holds. After an
//! answer that leaves it open whether the call had an effect, nothing is done before AWS was read back, and the verdict
//! "not in effect" is given only when no call can be landing any more, and AWS was read back since, if one was lost.

use std::time::Duration;

use super::{
    Access, Action, Attempt, AwsError, AwsErrorKind, AwsOperation, ChangeFailure, Classification, FailureReason,
};

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
pub struct DecisionContext<'a> {
    /// Grant or revoke.
    pub action: Action,
    /// No change of the permission came before this one.
    pub first: bool,
    /// The change's budget was spent when the call began.
    pub spent: bool,
    /// An earlier call was lost, and AWS was not read back since it can take effect no more: from the begin of the call on
    /// it can for so long yet.
    pub unresolved_for: Option<Duration>,
    /// What AWS was seen to hold under this lease. See [`seen`].
    pub seen: Option<Access>,
    /// Why the policy in force refuses the call, if it does.
    pub denial: Option<&'a str>,
}

/// Why AWS is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadBackReason {
    /// The call just made may have had an effect, or may have one yet.
    CallUnresolved,
    /// A call of some time ago may have had an effect. If it had none, and there is no time for another, this is why.
    EarlierCall(ChangeFailure),
    /// AWS refused a revoke, for this: perhaps because there is nothing to revoke.
    RefusedRevoke(ChangeFailure),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextStep {
    /// Call AWS.
    Call,
    /// Read AWS back.
    ReadBack(ReadBackReason),
    /// Record that the change is in effect.
    Succeed,
    /// Record that the change is known not to be in effect.
    Fail {
        /// Why.
        failure: ChangeFailure,
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

impl NextStep {
    /// Whether the change is in doubt if AWS is not called now; nothing, where it would not be called anyway.
    pub fn in_doubt_if_skipped(&self) -> Option<bool> {
        match self {
            Self::Call => Some(false),
            Self::ReadBack(ReadBackReason::CallUnresolved | ReadBackReason::EarlierCall(_)) => Some(true),
            // The refusal stands: the next attempt is refused too, and asks again.
            Self::ReadBack(ReadBackReason::RefusedRevoke(_)) => Some(false),
            Self::Succeed | Self::Fail { .. } | Self::Retry { .. } => None,
        }
    }
}

/// What to do about a change that is not called, since AWS does not answer.
pub fn when_unreachable(in_doubt: bool, now: DecisionContext<'_>) -> NextStep {
    let unreachable = ChangeFailure {
        reason: FailureReason::UpstreamUnavailable,
        code: None,
        message: None,
    };
    match (now.spent, in_doubt) {
        (true, false) => unless_unresolved(fail(unreachable, None), now),
        (_, true) => read_back_later(None),
        (false, false) => retry(None),
    }
}

/// What to do first. `last_call_failure` is what AWS said last.
pub fn first_step(in_doubt: bool, last_call_failure: ChangeFailure) -> NextStep {
    if in_doubt {
        NextStep::ReadBack(ReadBackReason::EarlierCall(last_call_failure))
    } else {
        NextStep::Call
    }
}

/// The same, but for a call that the policy refuses. Ask directly before each call. Reading back is never refused: a call that was
/// made earlier may have had an effect.
pub fn apply_policy(next: NextStep, now: DecisionContext<'_>) -> NextStep {
    match (next, now.denial) {
        (NextStep::Call, Some(words)) => unless_unresolved(fail(denied(words), None), now),
        (next, _) => next,
    }
}

/// What AWS said last of a change, as the reason of its failure. `reason_of` knows AWS's error codes.
pub fn last_call_failure(attempts: &[Attempt], reason_of: impl FnOnce(Option<&str>) -> FailureReason) -> ChangeFailure {
    let calls = attempts.iter().rev();
    let last = calls
        .filter(|attempt| attempt.operation == AwsOperation::UpdateWorkspaceImagePermission)
        .map(|attempt| (attempt.classification, attempt.error_code.clone()))
        .next();
    let (reason, code) = match last {
        Some((Classification::Refused, code)) => (reason_of(code.as_deref()), code),
        Some((Classification::Throttled, code)) => (FailureReason::UpstreamThrottled, code),
        _ => (FailureReason::UpstreamUnavailable, None),
    };
    ChangeFailure {
        reason,
        code,
        message: None,
    }
}

/// What to do after a call.
pub fn after_call(result: &Result<(), AwsError>, now: DecisionContext<'_>) -> NextStep {
    let Err(fault) = result else { return NextStep::Succeed };
    let spent = now.spent;
    let next = match fault.kind {
        AwsErrorKind::Unknown => NextStep::ReadBack(ReadBackReason::CallUnresolved),
        AwsErrorKind::Refused(FailureReason::ImageUnavailable) if !spent => retry(None),
        AwsErrorKind::Refused(reason) => match now.action {
            Action::Revoke if reason != FailureReason::ImageUnavailable => {
                NextStep::ReadBack(ReadBackReason::RefusedRevoke(failure(reason, fault)))
            }
            _ => fail(failure(reason, fault), None),
        },
        AwsErrorKind::Throttled { .. } if spent => fail(failure(FailureReason::UpstreamThrottled, fault), None),
        AwsErrorKind::Throttled { retry_after } => retry(retry_after),
        AwsErrorKind::NotSent if spent => fail(failure(FailureReason::UpstreamUnavailable, fault), None),
        AwsErrorKind::NotSent => retry(None),
    };
    unless_unresolved(next, now)
}

/// What to do after AWS was read back, for this doubt.
///
/// A read may be behind. What it shows is believed at once only where it cannot be an older change's doing; otherwise a
/// second read, a delay later, decides.
pub fn after_read_back(doubt: ReadBackReason, result: &Result<Access, AwsError>, now: DecisionContext<'_>) -> NextStep {
    let wanted = Access::from(now.action);
    let next = match (result, doubt) {
        (Ok(access), ReadBackReason::CallUnresolved | ReadBackReason::RefusedRevoke(_))
            if *access == wanted && !now.first =>
        {
            read_back_later(None)
        }
        (Ok(access), _) if *access == wanted => NextStep::Succeed,
        (Ok(access), ReadBackReason::RefusedRevoke(failure)) => fail(failure, Some(*access)),
        (Ok(_), ReadBackReason::CallUnresolved) => read_back_later(None),
        (Ok(access), ReadBackReason::EarlierCall(failure)) => match now.denial {
            // A share that is there is on record above, whatever the policy says by now. One that is not there is not made.
            Some(words) => fail(denied(words), Some(*access)),
            None if now.spent => fail(failure, Some(*access)),
            None => NextStep::Call,
        },
        (Err(fault), ReadBackReason::CallUnresolved) => read_back_later(retry_after(fault)),
        // An image that is gone is shared with nobody: what was to be revoked is. Of one that was never heard of before, it is
        // rather the name that is wrong.
        (Err(fault), _) if fault.kind == AwsErrorKind::Refused(FailureReason::ImageNotFound) && is_revoked(now) => {
            NextStep::Succeed
        }
        (Err(fault), _) if fault.kind == AwsErrorKind::Refused(FailureReason::ImageNotFound) => {
            fail(failure(FailureReason::ImageNotFound, fault), Some(Access::NotShared))
        }
        // The refusal of the revoke stands by itself: it had no effect.
        (
            Err(AwsError {
                kind: AwsErrorKind::Refused(_),
                ..
            }),
            ReadBackReason::RefusedRevoke(failure),
        ) => fail(failure, None),
        (Err(_), ReadBackReason::RefusedRevoke(failure)) if now.spent => fail(failure, None),
        (Err(fault), ReadBackReason::RefusedRevoke(_)) => retry(retry_after(fault)),
        (Err(fault), ReadBackReason::EarlierCall(_)) => read_back_later(retry_after(fault)),
    };
    unless_unresolved(next, now)
}

/// What a read has shown that was begun when no lost call could take effect any more. It holds until a call is accepted or
/// lost.
pub fn observed_access(
    doubt: &ReadBackReason,
    result: &Result<Access, AwsError>,
    now: DecisionContext<'_>,
) -> Option<Access> {
    let has_landed = now.unresolved_for.is_none_or(|left| left.is_zero()) && *doubt != ReadBackReason::CallUnresolved;
    result.as_ref().ok().copied().filter(|_| has_landed)
}

/// No change is failed while an earlier call may take effect, or may have: AWS is read back when that is over.
fn unless_unresolved(next: NextStep, now: DecisionContext<'_>) -> NextStep {
    let NextStep::Fail { failure, observed } = next else {
        return next;
    };
    let observed = observed.or(now.seen);
    match now.unresolved_for {
        Some(left) if !left.is_zero() || observed.is_none() => read_back_later(Some(left)),
        _ => fail(failure, observed),
    }
}

fn is_revoked(now: DecisionContext<'_>) -> bool {
    now.action == Action::Revoke && !now.first
}

fn read_back_later(retry_after: Option<Duration>) -> NextStep {
    NextStep::Retry {
        retry_after,
        in_doubt: true,
    }
}

fn retry(retry_after: Option<Duration>) -> NextStep {
    NextStep::Retry {
        retry_after,
        in_doubt: false,
    }
}

fn fail(failure: ChangeFailure, observed: Option<Access>) -> NextStep {
    NextStep::Fail { failure, observed }
}

fn denied(words: &str) -> ChangeFailure {
    ChangeFailure {
        reason: FailureReason::PolicyDenied,
        code: None,
        message: Some(words.to_owned()),
    }
}

fn failure(reason: FailureReason, fault: &AwsError) -> ChangeFailure {
    ChangeFailure {
        reason,
        code: fault.code.clone(),
        message: fault.message.clone(),
    }
}

fn retry_after(fault: &AwsError) -> Option<Duration> {
    match fault.kind {
        AwsErrorKind::Throttled { retry_after } => retry_after,
        _ => None,
    }
}

#[cfg(test)]
mod tests;
