//! Entries in memory, made at random, and filters applied to them one by one.

use fastrand::Rng;
use sharewarden::{
    domain::{
        AccountId, Action, Cause, ChangeId, ImageId, PermissionKey, Principal, Region, RequestId, Stage, Timestamp,
    },
    ledger::{Hash, merkle::leaf_hash},
    store::audit::{Columns, EntryFilter, EntryPosition, Order, StoredEntry},
};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) account: AccountId,
    pub(crate) log_index: u64,
    pub(crate) recorded_at: Timestamp,
    pub(crate) stage: Stage,
    pub(crate) action: Action,
    pub(crate) change: Option<ChangeId>,
    pub(crate) request: RequestId,
    pub(crate) principal: Principal,
    pub(crate) reason: String,
    pub(crate) ticket: Option<String>,
    pub(crate) region: Region,
    pub(crate) image: ImageId,
    pub(crate) shared_account: AccountId,
    pub(crate) aws_request: Option<String>,
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

    fn columns(&self) -> Columns<'static> {
        Columns {
            stage: self.stage.as_str().into(),
            action: self.action.as_str().into(),
            cause: "CALLER".into(),
            change_id: self.change.map(|id| id.0),
            request_id: self.request.0,
            principal: self.principal.to_string().into(),
            reason: self.reason.clone().into(),
            ticket: self.ticket.clone().map(Into::into),
            region: self.region.to_string().into(),
            image_id: self.image.to_string().into(),
            shared_account_id: self.shared_account.to_string().into(),
            generation: self.change.map(|_| 1),
            aws_request_id: self.aws_request.clone().map(Into::into),
            error_reason: (self.stage == Stage::Failed).then(|| "IMAGE_NOT_FOUND".into()),
        }
    }

    pub(crate) fn key(&self) -> PermissionKey {
        PermissionKey {
            account: self.account,
            region: self.region.clone(),
            image: self.image.clone(),
            shared_account: self.shared_account,
        }
    }
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

const REASONS: [&str; 8] = [
    "rollout of the image",
    "ROLLOUT, again",
    "100% sure",
    "100 % sure",
    "snake_case",
    "snakeXcase",
    r"a back\slash",
    "ab",
];
const TEXTS: [&str; 14] = [
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

/// The time `part` / 1000 into a month of 2026; or, before it, in 2019.
pub(crate) fn time(month: u32, part: u64) -> Timestamp {
    let (year, month) = if month == 0 { (2019, 6) } else { (2026, month) };
    let start = Timestamp::parse(&format!("{year}-{month:02}-01T00:00:00Z")).unwrap();
    start + std::time::Duration::from_micros(28 * 24 * 3600 * 1000 * part + part % 2)
}

/// A history of so many entries over some accounts and months. Many are recorded at the same time.
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
    let stage = random.choice(Stage::ALL).copied().unwrap();
    let text = format!(
        "{{\"account\":{number},\"index\":{log_index},\"salt\":{}}}",
        random.u64(..)
    );
    Row {
        account: account(number),
        log_index,
        recorded_at,
        stage,
        action: random.choice(Action::ALL).copied().unwrap(),
        change: (stage != Stage::Denied).then(|| ChangeId(Uuid::from_u128(random.u128(..)))),
        request: RequestId(Uuid::from_u128(random.u128(..))),
        principal: principal(random.usize(0..4)),
        reason: random.choice(REASONS).unwrap().to_owned(),
        ticket: random.bool().then(|| format!("OPS-{}%", random.u8(0..20))),
        region: region(random.usize(0..3)),
        image: image(random.usize(0..6)),
        shared_account: shared(random.usize(0..4)),
        aws_request: random.bool().then(|| format!("aws-{}", random.u8(0..30))),
        leaf_hash: leaf_hash(text.as_bytes()),
        text,
    }
}

/// Some of `all`, some of them twice.
pub(crate) fn some<T>(random: &mut Rng, all: usize, make: impl Fn(usize) -> T) -> Vec<T> {
    (0..random.usize(1..=all + 1))
        .map(|_| make(random.usize(0..all)))
        .collect()
}

/// A filter with a few random fields, about things that exist and things that do not.
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
            6 => filter.stages = some(random, 5, |at| Stage::ALL[at]),
            7 => filter.causes = vec![Cause::Caller],
            8 => filter.change = known.change,
            9 => filter.request = Some(known.request),
            10 => filter.aws_request = Some(format!("aws-{}", random.u8(0..32))),
            11 => filter.from = Some(some_time(random, rows)),
            12 => filter.to = Some(some_time(random, rows)),
            _ => filter.text = random.choice(TEXTS).map(str::to_owned),
        }
    }
    filter
}

/// Often just the time of an entry, or of the beginning of a month.
fn some_time(random: &mut Rng, rows: &[Row]) -> Timestamp {
    match random.u8(0..3) {
        0 => random.choice(rows).unwrap().recorded_at,
        1 => time(random.u32(0..8), 0),
        _ => time(random.u32(0..8), random.u64(0..1000)),
    }
}

pub(crate) fn matches(filter: &EntryFilter, row: &Row) -> bool {
    fn any<T: PartialEq>(values: &[T], value: &T) -> bool {
        values.is_empty() || values.contains(value)
    }
    let text = filter.text.as_ref().map(|text| text.to_lowercase());
    let has = |field: &str| text.as_ref().is_none_or(|text| field.to_lowercase().contains(text));
    any(&filter.accounts, &row.account)
        && any(&filter.regions, &row.region)
        && filter.image.as_ref().is_none_or(|image| *image == row.image)
        && filter
            .shared_account
            .is_none_or(|account| account == row.shared_account)
        && any(&filter.principals, &row.principal)
        && any(&filter.actions, &row.action)
        && any(&filter.stages, &row.stage)
        && any(&filter.causes, &Cause::Caller)
        && filter.change.is_none_or(|id| Some(id) == row.change)
        && filter.request.is_none_or(|id| id == row.request)
        && filter
            .aws_request
            .as_ref()
            .is_none_or(|id| Some(id) == row.aws_request.as_ref())
        && filter.from.is_none_or(|from| row.recorded_at >= from)
        && filter.to.is_none_or(|to| row.recorded_at < to)
        && (has(&row.reason) || row.ticket.as_deref().is_some_and(has))
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
