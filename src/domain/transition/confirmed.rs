//! What may be recorded of a change while a call was lost: nothing that AWS could prove wrong.
//!
//! The forwarder decides by the same rule (`convergence`); here it is kept, whatever a replica says.

use crate::domain::Permission;

use super::{TransitionContext, WorkOutcome};

/// The outcome of the work under a lease, as far as it is known. `lost` says that a call was lost under the lease.
///
/// A lost call is open until AWS was read back when it could take effect no more. Until then a change did not fail: it is put off,
/// and begins with reading back.
pub(super) fn confirmed_outcome(
    outcome: WorkOutcome,
    permission: &mut Permission,
    lost: bool,
    context: &TransitionContext,
) -> WorkOutcome {
    let landed = !lost
        && permission
            .unresolved_call
            .is_none_or(|landing| landing.until <= context.now);
    match outcome {
        WorkOutcome::Succeeded => WorkOutcome::Succeeded,
        WorkOutcome::Failed { failure, observed } => {
            let observed = observed.filter(|_| landed);
            match permission.unresolved_call {
                Some(landing) if observed.is_none() => WorkOutcome::Retry {
                    delay: landing.until.since(context.now),
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
            let in_doubt = in_doubt || lost;
            let observed = observed.filter(|_| landed && !in_doubt);
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
