//! The request id of a change in a job.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{JobAction, JobChange};
use crate::{
    end::GrantEnd,
    proto::v1::{Access, SharePermission, share_permission::State},
};

/// Separates these ids from those of other programs. A new form of the derivation gets a new name.
const NAMESPACE: &str = "sharewarden job, form 2";

/// The request id of a change: a UUID version 8, from the SHA-256 of the principal, the change, and the generation of the
/// permission that it starts from. `principal` is the caller as the service knows it, because the service keeps the ids of each
/// principal apart. `before` is the permission as the service has it; `None` if it has none.
///
/// The generation counts the accepted changes of a permission, so it names the state that the change starts from:
///
/// - A run that is repeated before its request was accepted sees the same generation, and sends the same id.
/// - While the change is pending, the generation is one higher and the permission wants what the change wants. So the
///   change starts from the generation before, and has the same id.
/// - After it has ended, the generation is higher: a repetition of a failed change, or of one that was undone since, gets a
///   new id.
pub fn request_id(principal: &str, change: &JobChange, before: Option<&SharePermission>) -> Uuid {
    let share = &change.share;
    let (action, wanted) = match change.action {
        JobAction::Grant => ("GRANT", Access::Shared),
        JobAction::Revoke => ("REVOKE", Access::NotShared),
        JobAction::Adopt => ("ADOPT", Access::Shared),
    };
    let from_generation = before.map_or(0, |permission| {
        let is_under_way = permission.state() == State::Pending && permission.desired() == wanted;
        permission.generation.saturating_sub(u64::from(is_under_way))
    });
    let end = change.end.as_ref().map(text_of);
    let mut hash = Sha256::new();
    let texts = [
        NAMESPACE,
        principal,
        action,
        &share.account_id,
        &share.region,
        &share.image_id,
        &share.shared_account_id,
        &from_generation.to_string(),
        &change.reason,
        &change.ticket,
    ];
    // A change without an end has the id that it had before ends were known.
    for text in texts.into_iter().chain(end.as_deref()) {
        // With the lengths, no two lists of texts give the same bytes.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Uuid::new_v8(bytes)
}

/// The end as a text, without a doubt about its form.
fn text_of(end: &GrantEnd) -> String {
    match end {
        GrantEnd::Time(time) => format!("time {}.{:09}", time.seconds, time.nanos),
        GrantEnd::Date(date) => format!("date {date}"),
        GrantEnd::Ttl(ttl) => format!("ttl {} ns", ttl.as_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pbjson_types::Timestamp;

    use super::*;
    use crate::job::ShareName;

    const ALICE: &str = "alice@example.com";

    fn revoke() -> JobChange {
        JobChange {
            action: JobAction::Revoke,
            share: ShareName {
                account_id: "111122223333".into(),
                region: "eu-central-1".into(),
                image_id: "wsi-basewin11".into(),
                shared_account_id: "000011112222".into(),
            },
            reason: "the partner left".into(),
            ticket: String::new(),
            end: None,
        }
    }

    fn permission(generation: u64, state: State, desired: Access) -> SharePermission {
        SharePermission {
            generation,
            state: state.into(),
            desired: desired.into(),
            ..SharePermission::default()
        }
    }

    #[test]
    fn a_run_that_is_repeated_sends_the_same_id_until_the_change_has_ended() {
        let shared = permission(3, State::Shared, Access::Shared);
        let under_way = permission(4, State::Pending, Access::NotShared);
        let first = request_id(ALICE, &revoke(), Some(&shared));
        assert_eq!(first.get_version_num(), 8);
        assert_eq!(request_id(ALICE, &revoke(), Some(&shared)), first);
        assert_eq!(request_id(ALICE, &revoke(), Some(&under_way)), first);
    }

    #[test]
    fn a_failed_change_and_a_later_share_get_new_ids() {
        let first = request_id(ALICE, &revoke(), Some(&permission(3, State::Shared, Access::Shared)));
        for later in [
            permission(4, State::Shared, Access::Shared),
            permission(4, State::Unknown, Access::Shared),
            permission(4, State::Pending, Access::Shared),
            permission(5, State::Shared, Access::Shared),
        ] {
            assert_ne!(request_id(ALICE, &revoke(), Some(&later)), first, "{later:?}");
        }
    }

    #[test]
    fn the_principal_and_every_part_of_a_change_are_in_its_id() {
        let changed = |alter: fn(&mut JobChange)| {
            let mut change = revoke();
            alter(&mut change);
            request_id(ALICE, &change, None)
        };
        let ids = [
            changed(|_| ()),
            request_id("bob@example.com", &revoke(), None),
            changed(|it| it.action = JobAction::Grant),
            changed(|it| it.action = JobAction::Adopt),
            changed(|it| it.share.account_id.push('1')),
            changed(|it| it.share.region.push('1')),
            changed(|it| it.share.image_id.push('1')),
            changed(|it| it.share.shared_account_id.push('1')),
            changed(|it| it.reason.push('1')),
            changed(|it| it.ticket.push('1')),
            changed(|it| it.end = Some(GrantEnd::Date("2026-12-31".into()))),
            changed(|it| it.end = Some(GrantEnd::Time(Timestamp::default()))),
            changed(|it| it.end = Some(GrantEnd::Ttl(Duration::from_secs(1)))),
            // The same texts one after the other.
            changed(|it| it.ticket.push_str(&std::mem::take(&mut it.reason))),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
