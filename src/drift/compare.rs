//! What a complete look at an image means. Pure.
//!
//! *News* is what contradicts the record: a difference without an open finding, or an open finding without a difference. News is
//! submitted when AWS shows it twice, some time apart, and the permission did not change in between. Until then it is a sighting.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    domain::{Access, AccountId, DriftDifference, Observation, PermissionKey, ScanId},
    store::drift::images::{DriftImage, ImageRecord, RecipientRecord, Sighting},
};

/// The meaning of a look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    /// News that was seen for the first time, or with another permission than before.
    pub(super) seen: Vec<(AccountId, Sighting)>,
    /// Accounts whose sighting does not count any more.
    pub(super) over: Vec<AccountId>,
    /// Accounts whose news was seen before, too short a time ago.
    pub(super) waiting: usize,
    /// News that was seen twice.
    pub(super) confirmed: Vec<Observation>,
}

/// Compares what was known before AWS was asked with what AWS showed on all of its pages.
pub(super) fn compare(
    key: &DriftImage,
    known: &ImageRecord,
    shown: &BTreeSet<AccountId>,
    scan_id: ScanId,
    confirm_after: Duration,
) -> Compared {
    let mut compared = Compared::default();
    let none = BTreeMap::from_iter(shown.iter().map(|account| (*account, RecipientRecord::default())));
    let unknown = none
        .iter()
        .filter(|(account, _)| !known.recipients.contains_key(account));
    // AWS lists no owner among the recipients, and a permission cannot name it.
    let recipients = known.recipients.iter().chain(unknown);
    for (account, recipient) in recipients.filter(|(account, _)| **account != key.account) {
        let shown = match shown.contains(account) {
            true => Access::Shared,
            false => Access::NotShared,
        };
        let is_news = !recipient.is_busy && is_news(recipient, shown);
        let sighting = Sighting {
            shown,
            seen_at: known.read_at,
            permission: recipient.permission,
        };
        let before = recipient.sighting.filter(|before| is_same(before, &sighting));
        match (is_news, before) {
            (false, _) if recipient.sighting.is_some() => compared.over.push(*account),
            (false, _) => {}
            (true, None) => compared.seen.push((*account, sighting)),
            (true, Some(before)) if known.read_at.since(before.seen_at) < confirm_after => compared.waiting += 1,
            (true, Some(before)) => compared.confirmed.push(Observation {
                key: PermissionKey {
                    account: key.account,
                    region: key.region.clone(),
                    image: key.image.clone(),
                    shared_account: *account,
                },
                shown,
                first_seen_at: before.seen_at,
                seen_at: known.read_at,
                scan_id,
                permission: recipient.permission,
            }),
        }
    }
    compared
}

fn is_news(known: &RecipientRecord, shown: Access) -> bool {
    let recorded = match known.is_recorded {
        true => Access::Shared,
        false => Access::NotShared,
    };
    DriftDifference::between(shown, recorded).is_some() != known.is_found
}

/// True if both say the same of the same permission. A sighting that lies ahead was written before the database's clock was set
/// back.
fn is_same(before: &Sighting, now: &Sighting) -> bool {
    before.shown == now.shown && before.permission == now.permission && before.seen_at <= now.seen_at
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{PermissionStamp, Timestamp};

    const CONFIRM_AFTER: Duration = Duration::from_secs(60);

    fn key() -> DriftImage {
        DriftImage {
            account: "111122223333".parse().unwrap(),
            region: "eu-central-1".parse().unwrap(),
            image: "wsi-123456789".parse().unwrap(),
        }
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::parse("2026-11-22T00:00:00Z").unwrap() + Duration::from_secs(second)
    }

    fn recipient() -> AccountId {
        "210987654321".parse().unwrap()
    }

    fn stamp(generation: u64) -> PermissionStamp {
        PermissionStamp {
            generation,
            lease_epoch: 2,
            updated_at: at(0),
        }
    }

    fn seen(shown: Access, second: u64, permission: Option<PermissionStamp>) -> Option<Sighting> {
        Some(Sighting {
            shown,
            seen_at: at(second),
            permission,
        })
    }

    /// A look at second 100, at an image with one recipient.
    fn look(recipient_is: RecipientRecord, is_shown: bool) -> Compared {
        let known = ImageRecord {
            read_at: at(100),
            recipients: [(recipient(), recipient_is)].into(),
        };
        let shown = is_shown.then(recipient).into_iter().collect();
        compare(&key(), &known, &shown, ScanId(Uuid::nil()), CONFIRM_AFTER)
    }

    #[test]
    fn what_is_as_recorded_is_no_news() {
        let shared = RecipientRecord {
            permission: Some(stamp(1)),
            is_recorded: true,
            ..RecipientRecord::default()
        };
        assert_eq!(look(shared, true), Compared::default());
        assert_eq!(look(RecipientRecord::default(), false), Compared::default());
        let found = RecipientRecord {
            is_found: true,
            ..RecipientRecord::default()
        };
        assert_eq!(look(found, true), Compared::default(), "the finding is on record");
    }

    #[test]
    fn a_share_that_nothing_names_is_seen() {
        let known = ImageRecord {
            read_at: at(100),
            recipients: BTreeMap::new(),
        };
        let compared = compare(
            &key(),
            &known,
            &[recipient()].into(),
            ScanId(Uuid::nil()),
            CONFIRM_AFTER,
        );
        let sighting = seen(Access::Shared, 100, None).unwrap();
        assert_eq!(compared.seen, [(recipient(), sighting)]);
        let of_owner = compare(
            &key(),
            &known,
            &[key().account].into(),
            ScanId(Uuid::nil()),
            CONFIRM_AFTER,
        );
        assert_eq!(of_owner, Compared::default());
    }

    #[test]
    fn news_counts_when_it_is_seen_again_after_the_delay_and_not_before() {
        let unrecorded = |second| RecipientRecord {
            sighting: seen(Access::Shared, second, None),
            ..RecipientRecord::default()
        };
        assert_eq!(look(unrecorded(41), true).waiting, 1);
        let confirmed = look(unrecorded(40), true).confirmed;
        let [observation] = &confirmed[..] else {
            panic!("{confirmed:?}")
        };
        assert_eq!(
            (observation.first_seen_at, observation.seen_at, observation.shown),
            (at(40), at(100), Access::Shared)
        );
        assert_eq!(look(unrecorded(40), false).over, [recipient()], "it is gone");
    }

    #[test]
    fn a_permission_that_changed_between_two_looks_starts_over() {
        let missing = RecipientRecord {
            permission: Some(stamp(3)),
            is_recorded: true,
            sighting: seen(Access::NotShared, 10, Some(stamp(1))),
            ..RecipientRecord::default()
        };
        let compared = look(missing, false);
        assert_eq!(
            compared.seen,
            [(recipient(), seen(Access::NotShared, 100, Some(stamp(3))).unwrap())]
        );
        assert_eq!(compared.confirmed, []);
        let ahead = RecipientRecord {
            sighting: seen(Access::Shared, 5000, None),
            ..RecipientRecord::default()
        };
        assert_eq!(look(ahead, true).seen.len(), 1, "the clock was set back");
    }

    #[test]
    fn a_permission_with_a_change_in_progress_is_not_compared() {
        let busy = RecipientRecord {
            permission: Some(stamp(3)),
            is_busy: true,
            sighting: seen(Access::Shared, 10, Some(stamp(3))),
            ..RecipientRecord::default()
        };
        let compared = look(busy, true);
        assert_eq!((compared.over, compared.confirmed), (vec![recipient()], Vec::new()));
    }

    #[test]
    fn the_end_of_a_difference_is_confirmed_too() {
        let found = RecipientRecord {
            is_found: true,
            sighting: seen(Access::NotShared, 10, None),
            ..RecipientRecord::default()
        };
        assert_eq!(look(found, false).confirmed.len(), 1);
    }
}
