//! Commands that no forwarder sends: invalid epochs, changes of other permissions, and permissions without a change.

use std::time::Duration;

use proptest::prelude::*;
use sharewarden::domain::{
    Access, Action,
    transition::{AdmittedBuilds, Command, Settlement, TransitionContext, WorkOutcome},
};

use crate::{
    aws::WINDOW,
    config,
    database::Database,
    fixtures::{account, change, denials, intent, key, refused, replica, start},
    promises::{Breaches, Promise},
    world::LEASE,
};

fn outcome() -> impl Strategy<Value = WorkOutcome> {
    let observed = || prop_oneof![Just(None), Just(Some(Access::Shared)), Just(Some(Access::NotShared))];
    prop_oneof![
        Just(WorkOutcome::Succeeded),
        observed().prop_map(|observed| WorkOutcome::Failed {
            failure: refused(),
            observed
        }),
        (prop_oneof![Just(0), Just(3), Just(u64::MAX)], any::<bool>(), observed()).prop_map(
            |(delay, in_doubt, observed)| WorkOutcome::Retry {
                delay: Duration::from_secs(delay),
                in_doubt,
                observed
            }
        ),
    ]
}

/// The test sets the change ids of opens later, because a server never uses one twice.
fn command() -> impl Strategy<Value = Command> {
    let epoch = || prop_oneof![8 => 0_u64..12, 1 => Just(u64::MAX)];
    let any_intent = || {
        (0_u64..40, 0_u64..12, 0_u64..3, any::<bool>(), 0_u64..2).prop_map(|(id, request, k, grant, who)| {
            intent(
                id,
                request,
                key(k),
                if grant { Action::Grant } else { Action::Revoke },
                who,
            )
        })
    };
    prop_oneof![
        4 => any_intent().prop_map(Command::Open),
        1 => any_intent().prop_map(Command::Replay),
        1 => any_intent().prop_map(|intent| Command::Deny(intent, "no".into())),
        1 => Just(Command::RecordDenials(account(), denials())),
        2 => (0_u64..4).prop_map(|k| Command::Claim(key(k))),
        2 => (0_u64..4, epoch()).prop_map(|(k, epoch)| {
            Command::Renew { key: key(k), epoch, attempts: Vec::new() }
        }),
        4 => (0_u64..4, epoch(), 0_u64..40, outcome()).prop_map(|(k, epoch, id, outcome)| {
            Command::Settle(Settlement { key: key(k), epoch, change_id: change(id), attempts: Vec::new(), decision: None, outcome })
        }),
    ]
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn no_sequence_of_commands_panics_or_breaks_a_constraint(
        batches in prop::collection::vec((prop::collection::vec(command(), 1..6), 0_u64..2, 0_u64..8), 0..40),
    ) {
        let mut database = Database::new(account(), start());
        let mut breaches = Breaches::default();
        let (mut opened, mut clock) = (0, start());
        for (mut batch, owner, seconds) in batches {
            clock = clock + Duration::from_secs(seconds);
            for command in &mut batch {
                if let Command::Open(intent) | Command::Replay(intent) = command {
                    std::sync::Arc::make_mut(intent).change_id = change(opened);
                    opened += 1;
                }
            }
            let context = TransitionContext { now: clock, admitted: AdmittedBuilds::NEWEST, replica: replica(owner), lease_for: LEASE, late_effect_window: WINDOW };
            let mut account = database.load(&batch);
            for command in batch {
                account.apply(command, &context);
            }
            database.save(&account, &mut breaches);
        }
        prop_assert_eq!(breaches.of(Promise::Constraints), None);
        prop_assert_eq!(breaches.of(Promise::OneRequestOneEnd), None);
    }
}
