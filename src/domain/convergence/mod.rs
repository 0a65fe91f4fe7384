//! Decides the next step of a change from the answers of AWS. Pure; the forwarder carries the step out.
//!
//! A change ends only after one of three answers. AWS accepted the call, AWS refused it, or a read of AWS showed what it holds.
//! After a call whose effect is unknown, AWS is read back before anything else. A change is recorded as failed only when no
//! earlier call can take effect any more. If a call is unresolved, AWS must also have been read back after that time.

use std::time::Duration;

use super::{
    Access, Action, Attempt, AwsError, AwsErrorKind, AwsOperation, ChangeFailure, Classification, FailureReason,
};

/// The delays between attempts, and when to give up.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// The upper bound of the first delay.
    pub base: Duration,
    /// The upper bound of every delay.
    pub cap: Duration,
    /// How long after its acceptance a change is retried: the retry budget. A change in doubt is read back beyond it, until AWS
    /// answers.
    pub give_up_after: Duration,
}

impl RetryPolicy {
    /// The delay before a read back, at least `base`: an earlier call may still take effect.
    pub fn delay_in_doubt(&self, attempts: usize, retry_after: Option<Duration>, jitter: f64) -> Duration {
        self.base + self.delay(attempts, retry_after, jitter)
    }

    /// The delay before the next attempt after `attempts` attempts: exponential backoff with full jitter. `jitter` is uniform in
    /// `[0, 1)`. AWS's `retry_after` is the minimum, itself limited to the larger of `cap` and `give_up_after`.
    pub fn delay(&self, attempts: usize, retry_after: Option<Duration>, jitter: f64) -> Duration {
        let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        let bound = self.base.saturating_mul(1 << doublings).min(self.cap);
        bound
            .mul_f64(jitter.clamp(0.0, 1.0))
            .max(retry_after.unwrap_or_default().min(self.cap.max(self.give_up_after)))
    }
}

/// The minimum delay before AWS is asked again for a fact that it did not give.
const FACTS_AFTER: Duration = Duration::from_secs(2);

/// The facts that a decision depends on, beside the answer of AWS.
#[derive(Debug, Clone, Copy)]
pub struct DecisionContext<'a> {
    /// Grant or revoke.
    pub action: Action,
    /// True if this is the first change of its permission.
    pub is_first: bool,
    /// True if the retry budget was spent when the call began.
    pub is_budget_spent: bool,
    /// How long an unresolved call may still take effect, counted from the begin of this call. Zero if it cannot any more, but
    /// AWS was not read back since. None if there is no unresolved call.
    pub unresolved_for: Option<Duration>,
    /// What AWS was read to hold under this lease. See [`observed_access`].
    pub observed: Option<Access>,
    /// Why the policy in force refuses a call, if it does.
    pub denial: Option<&'a str>,
}

/// Why AWS is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadBackReason {
    /// The call just made may have taken effect, or may still do so.
    CallUnresolved,
    /// An earlier call may have taken effect. If it did not and the retry budget is spent, the change fails with this.
    EarlierCall(ChangeFailure),
    /// AWS refused a revoke with this failure. There may be nothing to revoke.
    RefusedRevoke(ChangeFailure),
}

/// The next step of a change.
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
        /// Why it failed.
        failure: ChangeFailure,
        /// What AWS holds, if it was read back.
        observed: Option<Access>,
    },
    /// Try again later.
    Retry {
        /// The minimum delay that AWS asked for.
        retry_after: Option<Duration>,
        /// True if the next attempt must start with a read back.
        in_doubt: bool,
    },
}

impl NextStep {
    /// Whether the change is in doubt if this step is skipped. None for a step that makes no call.
    pub fn in_doubt_if_skipped(&self) -> Option<bool> {
        match self {
            Self::Call => Some(false),
            Self::ReadBack(ReadBackReason::CallUnresolved | ReadBackReason::EarlierCall(_)) => Some(true),
            // AWS refuses the next attempt too, and that leads to the same read.
            Self::ReadBack(ReadBackReason::RefusedRevoke(_)) => Some(false),
            Self::Succeed | Self::Fail { .. } | Self::Retry { .. } => None,
        }
    }
}

/// The next step of a change that is not called because AWS does not answer.
pub fn when_unreachable(in_doubt: bool, now: DecisionContext<'_>) -> NextStep {
    let failure = ChangeFailure {
        reason: FailureReason::UpstreamUnavailable,
        code: None,
        message: None,
    };
    match (now.is_budget_spent, in_doubt) {
        (true, false) => fail_when_resolved(fail(failure, None), now),
        (_, true) => read_back_later(None),
        (false, false) => retry(None),
    }
}

/// The first step under a lease. `last_call_failure` is the failure of the newest call.
pub fn first_step(in_doubt: bool, last_call_failure: ChangeFailure) -> NextStep {
    if in_doubt {
        NextStep::ReadBack(ReadBackReason::EarlierCall(last_call_failure))
    } else {
        NextStep::Call
    }
}

/// Replaces a call that the policy refuses; other steps stay as they are. Apply it directly before each call. A read back is
/// never refused, because an earlier call may have taken effect.
pub fn apply_policy(next: NextStep, now: DecisionContext<'_>) -> NextStep {
    match (next, now.denial) {
        (NextStep::Call, Some(message)) => fail_when_resolved(fail(denied(message), None), now),
        (next, _) => next,
    }
}

/// Replaces a call about which the policy cannot decide now, because AWS does not give a fact. The change is retried
/// as after an error of the call itself.
pub fn await_decision(next: NextStep, error: &AwsError, now: DecisionContext<'_>) -> NextStep {
    let reason = match error.kind {
        AwsErrorKind::Throttled { .. } => FailureReason::UpstreamThrottled,
        AwsErrorKind::Refused(reason) => reason,
        AwsErrorKind::NotSent | AwsErrorKind::Unknown => FailureReason::UpstreamUnavailable,
    };
    match next {
        NextStep::Call if now.is_budget_spent => fail_when_resolved(fail(failure(reason, error), None), now),
        NextStep::Call => retry(Some(retry_after(error).unwrap_or_default().max(FACTS_AFTER))),
        next => next,
    }
}

/// The failure of the newest call of a change. `reason_of` maps AWS's error codes to reasons.
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

/// The next step after a call.
pub fn after_call(result: &Result<(), AwsError>, now: DecisionContext<'_>) -> NextStep {
    let Err(error) = result else { return NextStep::Succeed };
    let is_spent = now.is_budget_spent;
    let next = match error.kind {
        AwsErrorKind::Unknown => NextStep::ReadBack(ReadBackReason::CallUnresolved),
        AwsErrorKind::Refused(FailureReason::ImageUnavailable) if !is_spent => retry(None),
        AwsErrorKind::Refused(reason) => match now.action {
            Action::Revoke if reason != FailureReason::ImageUnavailable => {
                NextStep::ReadBack(ReadBackReason::RefusedRevoke(failure(reason, error)))
            }
            _ => fail(failure(reason, error), None),
        },
        AwsErrorKind::Throttled { .. } if is_spent => fail(failure(FailureReason::UpstreamThrottled, error), None),
        AwsErrorKind::Throttled { retry_after } => retry(retry_after),
        AwsErrorKind::NotSent if is_spent => fail(failure(FailureReason::UpstreamUnavailable, error), None),
        AwsErrorKind::NotSent => retry(None),
    };
    fail_when_resolved(next, now)
}

/// The next step after AWS was read back for this reason.
///
/// A read may be stale. Its result is believed at once only if no older change can have caused it. Otherwise a second read after
/// a delay decides.
pub fn after_read_back(
    read_back_reason: ReadBackReason,
    result: &Result<Access, AwsError>,
    now: DecisionContext<'_>,
) -> NextStep {
    let wanted = Access::from(now.action);
    let next = match (result, read_back_reason) {
        (Ok(access), ReadBackReason::CallUnresolved | ReadBackReason::RefusedRevoke(_))
            if *access == wanted && !now.is_first =>
        {
            read_back_later(None)
        }
        (Ok(access), _) if *access == wanted => NextStep::Succeed,
        (Ok(access), ReadBackReason::RefusedRevoke(failure)) => fail(failure, Some(*access)),
        (Ok(_), ReadBackReason::CallUnresolved) => read_back_later(None),
        (Ok(access), ReadBackReason::EarlierCall(failure)) => match now.denial {
            // A share that exists was recorded by an arm above, whatever the policy says now. A missing share is not made.
            Some(message) => fail(denied(message), Some(*access)),
            None if now.is_budget_spent => fail(failure, Some(*access)),
            None => NextStep::Call,
        },
        (Err(error), ReadBackReason::CallUnresolved) => read_back_later(retry_after(error)),
        // A deleted image is shared with no account, so a revoke has succeeded. If the permission never had a change before, the
        // image id is more likely wrong.
        (Err(error), _) if error.kind == AwsErrorKind::Refused(FailureReason::ImageNotFound) && is_revoked(now) => {
            NextStep::Succeed
        }
        (Err(error), _) if error.kind == AwsErrorKind::Refused(FailureReason::ImageNotFound) => {
            fail(failure(FailureReason::ImageNotFound, error), Some(Access::NotShared))
        }
        // AWS refused the revoke and refuses the read: the revoke had no effect.
        (
            Err(AwsError {
                kind: AwsErrorKind::Refused(_),
                ..
            }),
            ReadBackReason::RefusedRevoke(failure),
        ) => fail(failure, None),
        (Err(_), ReadBackReason::RefusedRevoke(failure)) if now.is_budget_spent => fail(failure, None),
        (Err(error), ReadBackReason::RefusedRevoke(_)) => retry(retry_after(error)),
        (Err(error), ReadBackReason::EarlierCall(_)) => read_back_later(retry_after(error)),
    };
    fail_when_resolved(next, now)
}

/// What AWS was read to hold, if no unresolved call could take effect when the read began. The value is valid until a call is
/// accepted or becomes unresolved.
pub fn observed_access(
    read_back_reason: &ReadBackReason,
    result: &Result<Access, AwsError>,
    now: DecisionContext<'_>,
) -> Option<Access> {
    let is_final =
        now.unresolved_for.is_none_or(|left| left.is_zero()) && *read_back_reason != ReadBackReason::CallUnresolved;
    result.as_ref().ok().copied().filter(|_| is_final)
}

/// Replaces a failure while an earlier call is unresolved: AWS is read back when that call can take effect no more.
fn fail_when_resolved(next: NextStep, now: DecisionContext<'_>) -> NextStep {
    let NextStep::Fail { failure, observed } = next else {
        return next;
    };
    let observed = observed.or(now.observed);
    match now.unresolved_for {
        Some(left) if !left.is_zero() || observed.is_none() => read_back_later(Some(left)),
        _ => fail(failure, observed),
    }
}

fn is_revoked(now: DecisionContext<'_>) -> bool {
    now.action == Action::Revoke && !now.is_first
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

fn denied(message: &str) -> ChangeFailure {
    ChangeFailure {
        reason: FailureReason::PolicyDenied,
        code: None,
        message: Some(message.to_owned()),
    }
}

fn failure(reason: FailureReason, error: &AwsError) -> ChangeFailure {
    ChangeFailure {
        reason,
        code: error.code.clone(),
        message: error.message.clone(),
    }
}

fn retry_after(error: &AwsError) -> Option<Duration> {
    match error.kind {
        AwsErrorKind::Throttled { retry_after } => retry_after,
        _ => None,
    }
}

#[cfg(test)]
mod tests;
