//! Model tests of the transition. Replicas that crash, race and lose replies run random histories of an account, and the tests
//! check the promises of the transition.
//!
//! Read this file first: it has the promises as tests. Then read [`promises`] (how a breach is recorded), [`world`],
//! [`forwarder`] and [`aws`] (the model), [`end_state`] (the state after a history), [`database`] (the stored state and its
//! constraints) and [`reply_checks`] (the expected reply to every command). [`invalid_commands`] tests commands that no
//! forwarder sends. [`ends`] has the rules of ends, [`drift`] those of observations. [`regressions`], [`late_calls`] and
//! [`unseen_effects`] keep the bugs that the histories found.
//!
//! `PROPTEST_CASES` is the number of histories per test.

mod aws;
mod database;
mod drift;
mod end_state;
mod ends;
mod fixtures;
mod forwarder;
mod invalid_commands;
mod late_calls;
mod promises;
mod regressions;
mod reply_checks;
mod unseen_effects;
mod world;

use promises::Promise;
use proptest::prelude::*;
use world::World;

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..ProptestConfig::default()
    }
}

/// One random number per step.
fn history() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(any::<u64>(), 0..LENGTH)
}

const LENGTH: usize = 350;

/// Defines tests that run the same histories, each for one promise.
macro_rules! promised {
    ($($(#[$doc:meta])* $name:ident = $promise:ident),+ $(,)?) => {
        proptest! {
            #![proptest_config(config())]
            $(
                $(#[$doc])*
                #[test]
                fn $name(history in history()) {
                    let world = World::after(&history, false);
                    prop_assert_eq!(world.breaches.of(Promise::$promise), None);
                }
            )+

            /// P2, P3: a change that waits for the effect of an unresolved call does not wait for ever.
            #[test]
            fn every_change_ends_also_where_aws_refuses_it(history in history()) {
                let world = World::refused_after(&history);
                prop_assert_eq!(world.breaches.of(Promise::AllEnds), None);
                prop_assert_eq!(world.breaches.of(Promise::FailedIsKnown), None);
            }

            /// P10, P2: every set in force refuses every grant in the end.
            #[test]
            fn a_grant_that_is_refused_after_its_acceptance_ends_denied_and_no_newer_change_is_lost(history in history()) {
                let world = World::denied_after(&history);
                for promise in [
                    Promise::RefusedEndsDenied, Promise::RefusedIsNotCalled, Promise::DoubtIsReadFirst, Promise::AllEnds,
                    Promise::FailedIsKnown,
                ] {
                    prop_assert_eq!(world.breaches.of(promise), None);
                }
            }

            /// P2, P6: a lease or a window may last longer after the database's clock was set back, and never shorter. A change
            /// waits for [`LONGEST_WAIT`](sharewarden::domain::transition::LONGEST_WAIT) at most.
            #[test]
            fn a_clock_that_was_set_back_ends_no_lease_early_and_delays_no_change_for_long(history in history()) {
                let world = World::set_back_after(&history);
                for promise in [
                    Promise::OneLeaseAtATime, Promise::NewestTakesEffectLast, Promise::FailedIsKnown, Promise::NewestWins,
                    Promise::OneRequestOneEnd, Promise::GaplessLedger, Promise::EffectsAreExact, Promise::Constraints,
                ] {
                    prop_assert_eq!(world.breaches.of(promise), None);
                }
            }

            /// P13: a difference is on record if and only if there is one, and the ledger tells of it.
            #[test]
            fn what_somebody_does_past_the_service_is_found(history in history()) {
                let world = World::with_outsider_after(&history);
                for promise in [
                    Promise::DriftIsFound, Promise::NoFalseFinding, Promise::LedgerTellsState, Promise::EffectsAreExact,
                    Promise::Constraints, Promise::GaplessLedger, Promise::OnlyUnrecordedSharesAreRevoked,
                ] {
                    prop_assert_eq!(world.breaches.of(promise), None);
                }
            }

            /// P4, also if the database's clock goes back.
            #[test]
            fn the_ledger_is_gapless_and_its_times_never_go_back(history in history()) {
                let world = World::after(&history, true);
                prop_assert_eq!(world.breaches.of(Promise::GaplessLedger), None);
            }
        }
    };
}

promised! {
    /// P2.
    every_accepted_change_is_requested_once_and_ends_once = OneRequestOneEnd,
    /// P5.
    a_request_id_opens_one_change_and_a_replay_names_it = OneChangePerRequestId,
    /// P5.
    a_request_id_with_other_content_is_refused_and_writes_nothing = ReuseIsRefused,
    /// A request joins the newest change in progress if it asks for the same access. No other request joins.
    a_request_for_the_access_of_a_change_in_progress_joins_it = SameWishJoins,
    /// P6: at most one task of all replicas may be calling AWS for a permission.
    leases_never_overlap_and_work_is_handed_out_once_for_each_epoch = OneLeaseAtATime,
    /// P6.
    the_newest_intent_is_worked_on_last_and_wins = NewestWins,
    /// P6.
    a_settlement_under_a_lost_lease_writes_nothing = LostLeaseIsSilent,
    /// P3.
    a_permission_at_rest_says_what_aws_holds = RestIsTrue,
    /// P6: also with late calls that take effect within the window.
    no_unresolved_call_takes_effect_after_a_newer_one = NewestTakesEffectLast,
    /// P3: neither through its own call, nor through a call whose effect is not recorded.
    a_failed_change_is_not_in_effect = FailedIsKnown,
    /// P10: the set in force in the replica that calls AWS decides, whatever the set of the acceptance said.
    no_grant_is_called_that_the_policy_of_its_replica_refuses = RefusedIsNotCalled,
    /// P10, P3: an earlier call may have taken effect.
    a_change_in_doubt_is_read_back_before_the_policy_ends_it = DoubtIsReadFirst,
    /// An auditor recomputes the rows from the entries.
    the_ledger_tells_the_state_of_every_change_and_permission = LedgerTellsState,
    /// P12: in a quiet state, no share is left that has reached its end.
    a_share_with_an_end_is_not_shared_after_its_end = EndsAreKept,
    /// P12: an end of an older basis does nothing, and an accepted renewal is never undone by an end.
    only_the_end_of_the_newest_grant_ends_a_share = OnlyItsEndEndsAShare,
    /// P13: what AWS shows during a change, or before a late call takes effect, is no finding.
    no_finding_contradicts_an_accepted_change = NoFalseFinding,
    every_saved_state_keeps_the_constraints_of_the_schema = Constraints,
    effects_name_exactly_what_is_new_and_what_changed = EffectsAreExact,
}
