//! What may be recorded of a change while a call was lost: nothing that AWS could prove wrong.
//!
//! The forwarder decides by the same rule (`convergence`); here it is kept, whatever a replica says.

use crate::domain::Permission;

use super::{Context, Outcome};

/// The outcome of the work under a lease, as far as it is known. `lost` says that a call was lost under the lease.
///
/// A lost call is open until AWS was read back when it could take effect no more. Until then a change did not fail: it is put off,
/// and begins with reading back.
pub(super) fn as_far_as_known(outcome: Outcome, permission: &mut Permission, lost: bool, context: &Context) -> Outcome {
    let landed = !lost && permission.landing.is_none_or(|landing| landing.until <= context.now);
    match outcome {
        Outcome::Succeeded => Outcome::Succeeded,
        Outcome::Failed { failure, observed } => {
            let observed = observed.filter(|_| landed);
            match permission.landing {
                Some(landing) if observed.is_none() => Outcome::Retry {
                    delay: landing.until.since(context.now),
                    in_doubt: true,
                    observed: None,
                },
                _ => {
                    permission.landing = None;
                    Outcome::Failed { failure, observed }
                }
            }
        }
        Outcome::Retry {
            delay,
            in_doubt,
            observed,
        } => {
            let in_doubt = in_doubt || lost;
            let observed = observed.filter(|_| landed && !in_doubt);
            if observed.is_some() {
                permission.landing = None;
            }
            Outcome::Retry {
                delay,
                in_doubt,
                observed,
            }
        }
    }
}
