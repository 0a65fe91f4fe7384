//! The shares in effect at a point in time, archived ranges, and ledger sizes.

use fastrand::Rng;
use sharewarden::{
    domain::{PermissionKey, Timestamp},
    store::audit::{Share, ShareFilter, archived, archived_at, shares_at, sizes},
};

use crate::{
    model::{self, Row, account},
    store::Store,
};

/// Consecutive shares of each permission. Some begin when another ends, and some have no end.
fn shares(random: &mut Rng) -> Vec<Share> {
    let mut keys: Vec<_> = model::history(random, 120).iter().filter_map(Row::key).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut shares = Vec::new();
    for key in keys {
        let mut parts: Vec<_> = (0..random.usize(1..7)).map(|_| random.u64(0..60)).collect();
        parts.sort_unstable();
        let time = |part: u64| model::time(1, part);
        for (number, part) in parts.chunks(2).enumerate() {
            let index = 2 * number as u64;
            shares.push(Share {
                key: key.clone(),
                start_time: time(part[0]),
                start_index: index,
                end: part.get(1).map(|end| (time(*end), index + 1)),
            });
        }
    }
    shares
}

async fn insert(store: &Store, shares: &[Share]) {
    for share in shares {
        let PermissionKey {
            account,
            region,
            image,
            shared_account,
        } = &share.key;
        let end = share
            .end
            .map_or("NULL, NULL".to_owned(), |(time, index)| format!("{index}, '{time}'"));
        store
            .execute(format!(
                "INSERT INTO share_interval VALUES ('{account}', '{region}', '{image}', '{shared_account}', {}, '{}', {end})",
                share.start_index, share.start_time
            ))
            .await;
    }
}

fn was_in_effect(share: &Share, since: Timestamp, time: Timestamp) -> bool {
    share.start_time <= time && share.end.is_none_or(|(end, _)| end > since)
}

fn matches(filter: &ShareFilter, key: &PermissionKey) -> bool {
    filter.account.is_none_or(|account| account == key.account)
        && filter.region.as_ref().is_none_or(|region| *region == key.region)
        && filter.image.as_ref().is_none_or(|image| *image == key.image)
        && filter
            .shared_account
            .is_none_or(|account| account == key.shared_account)
}

#[tokio::test]
async fn shares_at_a_time_match_the_model() {
    let mut random = Rng::with_seed(8);
    let store = Store::new().await;
    let shares = shares(&mut random);
    insert(&store, &shares).await;
    for round in 0..150 {
        let key = &random.choice(&shares).unwrap().key;
        let time = model::time(1, random.u64(0..62));
        let filter = ShareFilter {
            since: random.bool().then(|| model::time(1, random.u64(0..62)).min(time)),
            account: random.bool().then_some(key.account),
            region: random.bool().then(|| key.region.clone()),
            image: (random.u8(0..4) == 0).then(|| key.image.clone()),
            shared_account: (random.u8(0..4) == 0).then_some(key.shared_account),
        };
        let mut expected: Vec<_> = shares
            .iter()
            .filter(|share| was_in_effect(share, filter.since.unwrap_or(time), time) && matches(&filter, &share.key))
            .cloned()
            .collect();
        expected.sort_by(|one, other| (&one.key, one.start_index).cmp(&(&other.key, other.start_index)));
        let mut found: Vec<Share> = Vec::new();
        let limit = random.u32(1..20);
        loop {
            let after = found.last().map(Share::position);
            let page = shares_at(&store.database, time, &filter, after.as_ref(), limit)
                .await
                .unwrap();
            let full = page.len() == limit as usize;
            found.extend(page);
            if !full {
                break;
            }
        }
        assert_eq!(found, expected, "round {round}: {time} {filter:?}");
    }
}

#[tokio::test]
async fn archived_ranges_are_found_by_account_time_and_index() {
    let store = Store::new().await;
    for (number, start, end, from, to) in [(1, 0, 10, 1, 2), (1, 10, 30, 2, 3), (2, 0, 5, 1, 1)] {
        store
            .execute(format!(
                "INSERT INTO audit_archive VALUES ('{}', {start}, {end}, '{}', '{}', 'a-{number}-{start}', sha256(''), '{}')",
                account(number),
                model::time(from, 100),
                model::time(to, 50),
                model::time(4, start),
            ).replace(&model::time(1, 50).to_string(), &model::time(1, 150).to_string()))
            .await;
    }
    let listed =
        async |accounts: &[usize], from: Option<Timestamp>, to: Option<Timestamp>, limit: u32| -> Vec<String> {
            let accounts: Vec<_> = accounts.iter().map(|number| account(*number)).collect();
            let parts = archived(&store.database, &accounts, from, to, None, limit)
                .await
                .unwrap();
            parts.into_iter().map(|part| part.location).collect()
        };
    assert_eq!(listed(&[], None, None, 10).await, ["a-1-10", "a-2-0", "a-1-0"]);
    assert_eq!(listed(&[], None, None, 1).await, ["a-1-10"]);
    assert_eq!(listed(&[2, 3], None, None, 10).await, ["a-2-0"]);
    assert_eq!(
        listed(&[], Some(model::time(2, 50)), None, 10).await,
        ["a-1-10", "a-1-0"]
    );
    assert_eq!(listed(&[], Some(model::time(2, 51)), None, 10).await, ["a-1-10"]);
    assert_eq!(
        listed(&[], None, Some(model::time(2, 100)), 10).await,
        ["a-2-0", "a-1-0"]
    );
    assert_eq!(listed(&[], None, Some(model::time(1, 100)), 10).await, [""; 0]);
    for (since, expected) in [(10, &["a-1-10"][..]), (11, &[])] {
        let since = Some(model::time(4, since));
        let parts = archived(&store.database, &[], None, None, since, 10).await.unwrap();
        let parts: Vec<_> = parts.into_iter().map(|part| part.location).collect();
        assert_eq!(parts, expected);
    }

    let at = async |number, index| {
        let part = archived_at(&store.database, account(number), index).await.unwrap();
        part.map(|part| part.location)
    };
    assert_eq!(at(1, 0).await.as_deref(), Some("a-1-0"));
    assert_eq!(at(1, 9).await.as_deref(), Some("a-1-0"));
    assert_eq!(at(1, 10).await.as_deref(), Some("a-1-10"));
    assert_eq!(at(1, 30).await, None);
    assert_eq!(at(3, 0).await, None);
}

#[tokio::test]
async fn ledger_sizes_are_returned_for_the_requested_accounts() {
    let mut random = Rng::with_seed(9);
    let store = Store::new().await;
    let rows = model::history(&mut random, 100);
    store.insert(&rows).await;
    let all: Vec<_> = (0..5)
        .map(|number| {
            let size = rows.iter().filter(|row| row.account == account(number)).count();
            (account(number), size as u64)
        })
        .collect();
    assert_eq!(sizes(&store.database, &[]).await.unwrap(), all);
    assert_eq!(
        sizes(&store.database, &[account(3), account(77)]).await.unwrap(),
        all[3..4]
    );
}
