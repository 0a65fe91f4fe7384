use super::*;
use crate::{
    audit::entry::tests::stored,
    domain::{Action, Cause, ChangeId, RequestId},
};

type Checked = Result<PresentedEntry<AuditEntry>, Error>;

fn checked(stored: StoredEntry<'_>, matches: fn(&Entry) -> bool) -> Checked {
    PresentedEntry::verify(stored, matches, |entry| entry)
}

fn entries(indexes: &[u64]) -> Vec<PresentedEntry<AuditEntry>> {
    let checked = indexes.iter().map(|index| checked(stored(*index), |_| true).unwrap());
    checked.collect()
}

fn read_at() -> Timestamp {
    Timestamp::parse("2026-11-22T07:05:00.123456Z").unwrap()
}

fn found(entries: Vec<StoredEntry>, matches: fn(&Entry) -> bool) -> EntryRows<Checked> {
    EntryRows {
        read_at: (!entries.is_empty()).then(read_at),
        entries: entries.into_iter().map(|stored| checked(stored, matches)).collect(),
        nothing_archived: true,
    }
}

#[test]
fn gaps_are_found_in_either_order_and_named_by_the_first_missing_entry() {
    let account = "000011112222".parse().unwrap();
    assert_eq!(gaps(&entries(&[0, 1, 2])), []);
    assert_eq!(gaps(&entries(&[7])), []);
    assert_eq!(gaps(&entries(&[9, 8, 5, 4, 2])), [(account, 3), (account, 6)]);
    assert_eq!(gaps(&entries(&[])), []);
}

#[test]
fn a_page_ends_before_its_text_is_too_long_for_a_message_and_has_at_least_one_entry() {
    let long = |text_bytes: usize| {
        let entry = checked(stored(0), |_| true)?;
        Checked::Ok(PresentedEntry { text_bytes, ..entry })
    };
    assert_eq!(
        count_that_fits(&[long(MAX_TEXT_BYTES / 2), long(MAX_TEXT_BYTES / 2), long(1)]),
        2
    );
    assert_eq!(count_that_fits(&[long(MAX_TEXT_BYTES + 1), long(1)]), 1);
    assert_eq!(count_that_fits(&(0..500).map(|_| long(700)).collect::<Vec<_>>()), 500);
}

#[test]
fn there_is_a_next_page_only_if_there_are_more_entries() {
    let rows: Vec<_> = (0..3).map(stored).collect();
    let page = |rows: &[StoredEntry<'static>], size| {
        let (entries, next) = page(found(rows.to_vec(), |_| true), size).unwrap();
        (entries.len(), next)
    };
    assert_eq!(page(&rows, 3), (3, None));
    let next = NextPage {
        after: rows[1].position(),
        read_at: read_at(),
    };
    assert_eq!(page(&rows, 2), (2, Some(next)));
    assert_eq!(page(&[], 2), (0, None));
}

#[test]
fn an_entry_whose_text_does_not_match_the_filter_was_tampered_with() {
    let error = page(found(vec![stored(4)], |_| false), 1).err().unwrap();
    assert!(matches!(error, Error::Tampered { log_index: 4, .. }), "{error}");
}

#[test]
fn each_condition_of_a_filter_is_checked_against_the_text_of_an_entry() {
    let entry = AuditEntry::check(stored(0)).unwrap().recorded.entry;
    let intent = &entry.body.change().unwrap().intent;
    let matching = EntryFilter {
        accounts: vec![intent.key.account],
        regions: vec![intent.key.region.clone()],
        image: Some(intent.key.image.clone()),
        shared_account: Some(intent.key.shared_account),
        principals: vec!["other".parse().unwrap(), intent.principal.clone()],
        actions: vec![Action::Grant],
        kinds: vec!["change.requested".parse().unwrap()],
        causes: vec![Cause::Caller],
        change: Some(intent.change_id),
        request: Some(intent.request_id),
        aws_request: None,
        from: Some(entry.recorded_at),
        to: Some(entry.recorded_at + std::time::Duration::from_micros(1)),
        text: None,
    };
    let matches_filter = |filter: &EntryFilter| matches_filter(filter, &filter.conditions(), &entry);
    assert!(matches_filter(&matching) && matches_filter(&EntryFilter::default()));
    let with = |set: &dyn Fn(&mut EntryFilter)| {
        let mut filter = matching.clone();
        set(&mut filter);
        filter
    };
    let others = [
        with(&|filter| filter.accounts = vec!["999999999999".parse().unwrap()]),
        with(&|filter| filter.regions = vec!["eu-west-1".parse().unwrap()]),
        with(&|filter| filter.image = "wsi-987654321".parse().ok()),
        with(&|filter| filter.shared_account = "999999999999".parse().ok()),
        with(&|filter| filter.principals = vec!["other".parse().unwrap()]),
        with(&|filter| filter.actions = vec![Action::Revoke]),
        with(&|filter| filter.kinds = vec!["change.denied".parse().unwrap(), "test.invented".parse().unwrap()]),
        with(&|filter| filter.change = Some(ChangeId(uuid::Uuid::nil()))),
        with(&|filter| filter.request = Some(RequestId(uuid::Uuid::nil()))),
        with(&|filter| filter.aws_request = Some("any".into())),
        with(&|filter| filter.from = Timestamp::parse("2026-11-22T07:05:00.500001Z")),
        with(&|filter| filter.to = Some(entry.recorded_at)),
    ];
    for other in others {
        assert!(!matches_filter(&other), "{other:?}");
    }
}
