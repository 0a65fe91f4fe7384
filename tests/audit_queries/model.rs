//! Random entries in memory, and a filter that compares them one by one.

use fastrand::Rng;
use sharewarden::{
    domain::{
        AccountId, Action, Cause, ChangeId, EntryColumns, EntryKind, ImageId, KindName, PermissionKey, Principal,
        Region, RequestId, Timestamp,
    },
    ledger::{Hash, merkle::leaf_hash},
    store::audit::{EntryFilter, EntryPosition, Order, StoredEntry},
};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) account: AccountId,
    pub(crate) log_index: u64,
    pub(crate) recorded_at: Timestamp,
    pub(crate) kind: &'static str,
    pub(crate) action: Option<Action>,
    pub(crate) cause: Option<Cause>,
    pub(crate) change: Option<ChangeId>,
    pub(crate) request: Option<RequestId>,
    pub(crate) principal: Option<Principal>,
    pub(crate) reason: Option<String>,
    pub(crate) ticket: Option<String>,
    pub(crate) region: Option<Region>,
    pub(crate) image: Option<ImageId>,
    pub(crate) shared_account: Option<AccountId>,
    pub(crate) generation: Option<u64>,
    pub(crate) aws_request: Option<String>,
    pub(crate) error_reason: Option<&'static str>,
    pub(crate) is_ranked: bool,
    pub(crate) leaf_hash: Hash,
    pub(crate) text: String,
}

impl Row {
    pub(crate) fn position(&self) -> EntryPosition {
        EntryPosition {
            recorded_at: self.recorded_at,
            account: self.account,
            log_index: self.log_index,
        }
    }

    pub(crate) fn stored(&self) -> StoredEntry<'static> {
        StoredEntry {
            account: self.account,
            log_index: self.log_index,
            recorded_at: self.recorded_at,
            text: self.text.clone().into(),
            leaf_hash: self.leaf_hash,
            columns: self.columns(),
        }
    }

    pub(crate) fn columns(&self) -> EntryColumns<'static> {
        let text = |text: Option<String>| text.map(Into::into);
        EntryColumns {
            kind: self.kind.into(),
            action: self.action.map(|action| action.as_str().into()),
            cause: self.cause.map(|cause| cause.as_str().into()),
            change_id: self.change.map(|id| id.0),
            request_id: self.request.map(|id| id.0),
            principal: text(self.principal.as_ref().map(ToString::to_string)),
            reason: text(self.reason.clone()),
            ticket: text(self.ticket.clone()),
            region: text(self.region.as_ref().map(ToString::to_string)),
            image_id: text(self.image.as_ref().map(ToString::to_string)),
            shared_account_id: text(self.shared_account.map(|account| account.to_string())),
            generation: self.generation,
            aws_request_id: text(self.aws_request.clone()),
            error_reason: self.error_reason.map(Into::into),
        }
    }

    pub(crate) fn kind_name(&self) -> KindName {
        self.kind.parse().unwrap()
    }

    /// True if this build does not know the kind.
    pub(crate) fn is_unknown(&self) -> bool {
        EntryKind::parse(self.kind).is_none()
    }

    /// The permission that the entry is about, if any.
    pub(crate) fn key(&self) -> Option<PermissionKey> {
        Some(PermissionKey {
            account: self.account,
            region: self.region.clone()?,
            image: self.image.clone()?,
            shared_account: self.shared_account?,
        })
    }
}

/// Kinds that this build does not know.
const UNKNOWN: [&str; 2] = ["test.invented", "test.other"];

/// One of the kinds of the histories, or a kind that no history has.
fn kind(number: usize) -> KindName {
    let names: Vec<_> = EntryKind::ALL.iter().map(|kind| kind.name()).collect();
    let more = [UNKNOWN[0], UNKNOWN[1], "test.nowhere"];
    names.into_iter().chain(more).nth(number).unwrap().parse().unwrap()
}

pub(crate) fn account(number: usize) -> AccountId {
    format!("{:012}", 100 + number).parse().unwrap()
}

fn region(number: usize) -> Region {
    ["eu-central-1", "us-east-1", "ap-south-1"][number].parse().unwrap()
}

fn image(number: usize) -> ImageId {
    format!("wsi-{number:09}").parse().unwrap()
}

fn shared(number: usize) -> AccountId {
    format!("9{number:011}").parse().unwrap()
}

fn principal(number: usize) -> Principal {
    ["pipeline", "alice@example.com", "spiffe://a/b", "O'Neill"][number]
        .parse()
        .unwrap()
}

const REASONS: [&str; 10] = [
    "rollout of the image",
    "ROLLOUT, again",
    "100% sure",
    "100 % sure",
    "snake_case",
    "snakeXcase",
    r"a back\slash",
    "ab",
    "eine Übung für später",
    "ÜBUNG",
];
const TEXTS: [&str; 16] = [
    "übung",
    "ÜBUNG F",
    "roll",
    "OUT",
    "0%",
    "100%",
    "e_c",
    "%",
    "_",
    "\\",
    r"k\s",
    "ops",
    "a",
    "no such text",
    "--",
    "% sure",
];

/// A time in a month of 2026, after `part` / 1000 of 28 days. Month 0 is in 2019.
pub(crate) fn time(month: u32, part: u64) -> Timestamp {
    let (year, month) = if month == 0 { (2019, 6) } else { (2026, month) };
    let start = Timestamp::parse(&format!("{year}-{month:02}-01T00:00:00Z")).unwrap();
    start + std::time::Duration::from_micros(28 * 24 * 3600 * 1000 * part + part % 2)
}

/// A history of `entries` entries over five accounts and six months. Many have the same time.
pub(crate) fn history(random: &mut Rng, entries: usize) -> Vec<Row> {
    let mut times: Vec<_> = (0..entries)
        .map(|_| time(random.u32(0..6), random.u64(0..40) * 25))
        .collect();
    times.sort_unstable();
    let mut sizes = [0; 5];
    times
        .into_iter()
        .map(|time| {
            let account = random.usize(0..sizes.len());
            let row = row(random, account, sizes[account], time);
            sizes[account] += 1;
            row
        })
        .collect()
}

pub(crate) fn row(random: &mut Rng, number: usize, log_index: u64, recorded_at: Timestamp) -> Row {
    let known = random.choice(EntryKind::ALL).copied().unwrap();
    let text = format!(
        "{{\"account\":{number},\"index\":{log_index},\"salt\":{}}}",
        random.u64(..)
    );
    let row = Row {
        account: account(number),
        log_index,
        recorded_at,
        kind: known.name(),
        action: random.choice(Action::ALL).copied(),
        cause: Some(Cause::Caller),
        change: (known != EntryKind::ChangeDenied).then(|| ChangeId(Uuid::from_u128(random.u128(..)))),
        request: Some(RequestId(Uuid::from_u128(random.u128(..)))),
        principal: Some(principal(random.usize(0..4))),
        reason: random.choice(REASONS).map(str::to_owned),
        ticket: random.bool().then(|| format!("OPS-{}%", random.u8(0..20))),
        region: Some(region(random.usize(0..3))),
        image: Some(image(random.usize(0..6))),
        shared_account: Some(shared(random.usize(0..4))),
        generation: (known != EntryKind::ChangeDenied).then_some(1),
        aws_request: random.bool().then(|| format!("aws-{}", random.u8(0..30))),
        error_reason: (known == EntryKind::ChangeFailed).then_some("IMAGE_NOT_FOUND"),
        is_ranked: matches!(known, EntryKind::ChangeRequested | EntryKind::ChangeDenied),
        leaf_hash: leaf_hash(text.as_bytes()),
        text,
    };
    if random.u8(0..8) == 0 {
        with_unknown_kind(random, row)
    } else {
        row
    }
}

/// Gives the row an unknown kind. Each optional column is kept or removed at random.
fn with_unknown_kind(random: &mut Rng, row: Row) -> Row {
    let mut keep = || random.bool();
    Row {
        kind: UNKNOWN[usize::from(keep())],
        is_ranked: keep(),
        action: row.action.filter(|_| keep()),
        cause: row.cause.filter(|_| keep()),
        change: row.change.filter(|_| keep()),
        request: row.request.filter(|_| keep()),
        principal: row.principal.filter(|_| keep()),
        reason: row.reason.filter(|_| keep()),
        ticket: row.ticket.filter(|_| keep()),
        region: row.region.filter(|_| keep()),
        image: row.image.filter(|_| keep()),
        shared_account: row.shared_account.filter(|_| keep()),
        generation: keep().then_some(2),
        aws_request: row.aws_request.filter(|_| keep()),
        error_reason: keep().then_some("SOMETHING_NEW"),
        ..row
    }
}

/// A random selection from `all` values, with possible duplicates.
pub(crate) fn some<T>(random: &mut Rng, all: usize, make: impl Fn(usize) -> T) -> Vec<T> {
    (0..random.usize(1..=all + 1))
        .map(|_| make(random.usize(0..all)))
        .collect()
}

/// A filter with a few random fields. Some of its values exist in the history, and some do not.
pub(crate) fn filter(random: &mut Rng, rows: &[Row]) -> EntryFilter {
    let mut filter = EntryFilter::default();
    for _ in 0..random.usize(0..5) {
        let known = random.choice(rows).unwrap();
        match random.u8(0..14) {
            0 => filter.accounts = some(random, 6, account),
            1 => filter.regions = some(random, 3, region),
            2 => filter.image = Some(image(random.usize(0..7))),
            3 => filter.shared_account = Some(shared(random.usize(0..5))),
            4 => filter.principals = some(random, 4, principal),
            5 => filter.actions = some(random, 2, |at| Action::ALL[at]),
            6 => filter.kinds = some(random, 9, kind),
            7 => filter.causes = vec![Cause::Caller],
            8 => filter.change = known.change,
            9 => filter.request = known.request,
            10 => filter.aws_request = Some(format!("aws-{}", random.u8(0..32))),
            11 => filter.from = Some(some_time(random, rows)),
            12 => filter.to = Some(some_time(random, rows)),
            _ => filter.text = random.choice(TEXTS).map(str::to_owned),
        }
    }
    filter
}

/// A random time, often that of an entry or the start of a month.
fn some_time(random: &mut Rng, rows: &[Row]) -> Timestamp {
    match random.u8(0..3) {
        0 => random.choice(rows).unwrap().recorded_at,
        1 => time(random.u32(0..8), 0),
        _ => time(random.u32(0..8), random.u64(0..1000)),
    }
}

pub(crate) fn matches(filter: &EntryFilter, row: &Row) -> bool {
    fn any<T: PartialEq>(values: &[T], value: Option<&T>) -> bool {
        values.is_empty() || value.is_some_and(|value| values.contains(value))
    }
    fn is<T: PartialEq>(wanted: Option<&T>, value: Option<&T>) -> bool {
        wanted.is_none() || wanted == value
    }
    let text = filter.text.as_ref().map(|text| text.to_lowercase());
    let has = |field: Option<&str>| {
        text.as_ref()
            .is_none_or(|text| field.is_some_and(|field| field.to_lowercase().contains(text)))
    };
    any(&filter.accounts, Some(&row.account))
        && any(&filter.regions, row.region.as_ref())
        && is(filter.image.as_ref(), row.image.as_ref())
        && is(filter.shared_account.as_ref(), row.shared_account.as_ref())
        && any(&filter.principals, row.principal.as_ref())
        && any(&filter.actions, row.action.as_ref())
        && any(&filter.kinds, Some(&row.kind_name()))
        && any(&filter.causes, row.cause.as_ref())
        && is(filter.change.as_ref(), row.change.as_ref())
        && is(filter.request.as_ref(), row.request.as_ref())
        && is(filter.aws_request.as_ref(), row.aws_request.as_ref())
        && filter.from.is_none_or(|from| row.recorded_at >= from)
        && filter.to.is_none_or(|to| row.recorded_at < to)
        && (has(row.reason.as_deref()) || has(row.ticket.as_deref()))
}

pub(crate) fn sorted<'a>(rows: impl Iterator<Item = &'a Row>, order: Order) -> Vec<StoredEntry<'static>> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| row.position());
    if order == Order::NewestFirst {
        rows.reverse();
    }
    rows.into_iter().map(Row::stored).collect()
}

pub(crate) fn some_order(random: &mut Rng) -> Order {
    if random.bool() {
        Order::NewestFirst
    } else {
        Order::OldestFirst
    }
}
