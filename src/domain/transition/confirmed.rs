//! Limits the outcome that may be recorded while a call is unresolved, so that AWS cannot contradict the record later.
//!
//! The forwarder decides by the same rule (`convergence`). This module enforces it for outcomes of every replica.

use crate::domain::Permission;

use super::{TransitionContext, WorkOutcome};

/// The part of an outcome that is confirmed. `is_call_unresolved` is true if a call under this lease is unresolved.
///
/// A call stays unresolved until AWS is read back at a time when the call can take effect no more. Until then a failure becomes a
/// retry that starts with a read back.
pub(super) fn confirmed_outcome(
    outcome: WorkOutcome,
    permission: &mut Permission,
    is_call_unresolved: bool,
    context: &TransitionContext,
) -> WorkOutcome {
    let is_resolved = !is_call_unresolved && permission.unresolved_call.is_none_or(|call| call.until <= context.now);
    match outcome {
        WorkOutcome::Succeeded => WorkOutcome::Succeeded,
        WorkOutcome::Failed { failure, observed } => {
            let observed = observed.filter(|_| is_resolved);
            match permission.unresolved_call {
                Some(call) if observed.is_none() => WorkOutcome::Retry {
                    delay: call.until.since(context.now),
                    in_doubt: true,
                    observed: None,
                },
                _ => {
                    permission.unresolved_call = None;
                    WorkOutcome::Failed { failure, observed }
                }
            }
        }
        WorkOutcome::Retry {
            delay,
            in_doubt,
            observed,
        } => {
            let in_doubt = in_doubt || is_call_unresolved;
            let observed = observed.filter(|_| is_resolved && !in_doubt);
            if observed.is_some() {
                permission.unresolved_call = None;
            }
            WorkOutcome::Retry {
                delay,
                in_doubt,
                observed,
            }
        }
    }
}
