use proptest::prelude::*;

use super::*;
use crate::{
    domain::{Action, Cause, ChangeId, RequestId, example},
    grpc::page_token::{decode, encode},
};

fn time() -> Timestamp {
    Timestamp::parse("2026-11-22T07:05:00.123456Z").unwrap()
}

fn position() -> NextPage {
    NextPage {
        after: EntryPosition {
            recorded_at: time(),
            account: "000011112222".parse().unwrap(),
            log_index: 41,
        },
        read_at: time() + std::time::Duration::from_secs(60),
    }
}

fn key() -> PermissionKey {
    example::intent().key
}

fn share_position() -> SharePosition {
    SharePosition {
        key: key(),
        start_index: 41,
    }
}

fn entries(filter: EntryFilter) -> EntryList {
    EntryList {
        filter,
        order: Order::NewestFirst,
    }
}

#[test]
fn a_token_is_bound_to_every_filter_of_entries_and_to_the_order() {
    let with = |set: &dyn Fn(&mut EntryFilter)| {
        let mut filter = EntryFilter::default();
        set(&mut filter);
        filter
    };
    let (account, region) = (key().account, key().region);
    let (id, time) = (uuid::Uuid::from_u128(1), time());
    let filters = [
        EntryFilter::default(),
        with(&|filter| filter.accounts = vec![account]),
        with(&|filter| filter.accounts = vec![account, key().shared_account]),
        with(&|filter| filter.regions = vec![region.clone()]),
        with(&|filter| filter.image = Some(key().image)),
        with(&|filter| filter.shared_account = Some(account)),
        with(&|filter| filter.principals = vec!["GRANT".parse().unwrap()]),
        with(&|filter| filter.actions = vec![Action::Grant]),
        with(&|filter| filter.kinds = vec!["change.denied".parse().unwrap()]),
        with(&|filter| filter.causes = vec![Cause::Caller]),
        with(&|filter| filter.change = Some(ChangeId(id))),
        with(&|filter| filter.request = Some(RequestId(id))),
        with(&|filter| filter.aws_request = Some(id.to_string())),
        with(&|filter| filter.from = Some(time)),
        with(&|filter| filter.to = Some(time)),
        with(&|filter| filter.text = Some(time.to_string())),
    ];
    for (at, filter) in filters.iter().enumerate() {
        let token = encode(&entries(filter.clone()), &position());
        for (other_at, other) in filters.iter().enumerate() {
            let opened = decode(&entries(other.clone()), &token);
            assert_eq!(opened, (at == other_at).then(position), "{filter:?} {other:?}");
        }
        let other_order = EntryList {
            filter: filter.clone(),
            order: Order::OldestFirst,
        };
        assert_eq!(decode(&other_order, &token), None, "{filter:?}");
    }
}

#[test]
fn a_token_is_refused_by_another_method() {
    let history = PermissionHistory {
        key: key(),
        order: Order::NewestFirst,
    };
    let shares = SharesAt {
        time: time(),
        filter: ShareFilter::default(),
    };
    let of_history = encode(&history, &position());
    assert_eq!(decode(&history, &of_history), Some(position()));
    assert_eq!(decode(&entries(EntryFilter::default()), &of_history), None);
    assert_eq!(decode(&shares, &of_history), None);
    let of_shares = encode(&shares, &share_position());
    assert_eq!(decode(&shares, &of_shares), Some(share_position()));
    assert_eq!(
        decode(&crate::store::reads::PermissionFilter::default(), &of_shares),
        None
    );
}

#[test]
fn a_token_of_past_shares_is_bound_to_the_time_and_the_filters() {
    let with = |set: &dyn Fn(&mut ShareFilter)| {
        let mut filter = ShareFilter::default();
        set(&mut filter);
        filter
    };
    let filters = [
        ShareFilter::default(),
        with(&|filter| filter.account = Some(key().account)),
        with(&|filter| filter.region = Some(key().region)),
        with(&|filter| filter.image = Some(key().image)),
        with(&|filter| filter.shared_account = Some(key().account)),
        with(&|filter| filter.since = Some(time())),
    ];
    let at = |time: &str, filter: &ShareFilter| SharesAt {
        time: Timestamp::parse(time).unwrap(),
        filter: filter.clone(),
    };
    for filter in &filters {
        let token = encode(&at("2026-11-22T07:05:00Z", filter), &share_position());
        assert_eq!(decode(&at("2026-11-22T07:05:01Z", filter), &token), None, "{filter:?}");
        for other in &filters {
            let opened = decode(&at("2026-11-22T07:05:00Z", other), &token);
            assert_eq!(opened, (filter == other).then(share_position), "{filter:?} {other:?}");
        }
    }
}

#[test]
fn a_forged_token_after_the_last_representable_time_is_refused() {
    let (time, past) = ("2026-11-22T07:05:00Z", "9999-12-31T23:59:59-23:59");
    for (recorded_at, read_at) in [(time, past), (past, time)] {
        assert_eq!(
            NextPage::read(&format!("000011112222/41/{recorded_at}/{read_at}")),
            None
        );
    }
    assert!(NextPage::read(&format!("000011112222/41/{time}/{time}")).is_some());
}

proptest! {
    #[test]
    fn any_text_parses_to_a_position_that_the_store_can_hold_or_to_none(
        text in "([0-9]{12})?/?[0-9]{0,25}(/([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{0,20}(Z|[-+][0-9]{2}:[0-9]{2}))?){0,2}",
    ) {
        if let Some(position) = NextPage::read(&text) {
            prop_assert!(i64::try_from(position.after.log_index).is_ok());
            prop_assert_eq!(NextPage::read(&position.write()), Some(position));
        }
    }
}
