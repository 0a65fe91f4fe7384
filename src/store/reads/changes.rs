//! Lists of changes for operators, with the progress of pending changes.
//!
//! Pending changes come from a partial index. All others come from each account's index by time, at most a page of each
//! account. The order is (time of acceptance, account, change id). It never changes, so it serves as the cursor of the
//! pages.

use std::sync::LazyLock;

use futures_util::TryStreamExt;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{AccountId, Change, ChangeId, ChangeState, ImageId, Principal, Region, ReplicaId, Timestamp},
    store::{
        connection::{Database, PlanCacheMode},
        error::StoreError,
        rows::{Order, changes::ChangeRow, table::ReadRow},
    },
};

/// Which changes to list. An absent or empty field matches everything. All fields must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeFilter {
    /// Only images of these accounts.
    pub accounts: Vec<AccountId>,
    /// Only these states.
    pub states: Vec<ChangeState>,
    /// Only changes that are pending and in doubt.
    pub in_doubt: bool,
    /// Only changes accepted before this time.
    pub created_before: Option<Timestamp>,
    /// Only this Region.
    pub region: Option<Region>,
    /// Only this image.
    pub image: Option<ImageId>,
    /// Only sharing with this account.
    pub shared_account: Option<AccountId>,
    /// Only changes that this principal requested.
    pub principal: Option<Principal>,
}

/// The position of a change in the order. A page starts after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangePosition {
    /// When it was accepted.
    pub created_at: Timestamp,
    /// The owner of the image.
    pub account: AccountId,
    /// Its id.
    pub change: ChangeId,
}

impl ChangePosition {
    /// The position of a change.
    pub fn of(change: &Change) -> Self {
        Self {
            created_at: change.created_at,
            account: change.intent.key.account,
            change: change.id(),
        }
    }
}

/// A change, and the progress of the work on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeStatus {
    /// The change as its row has it.
    pub change: Change,
    /// Present while the change is pending.
    pub progress: Option<Progress>,
}

/// The progress of the work on a pending change, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// A call may have had an effect that was not read back yet.
    pub in_doubt: bool,
    /// The replica that works on it, and the end of its lease.
    pub lease: Option<(ReplicaId, Timestamp)>,
    /// When that replica took or renewed the lease. None if that is not known, because a newer change has begun to wait since.
    pub leased_since: Option<Timestamp>,
    /// The time of the next attempt, if no replica works on it.
    pub next_attempt_at: Option<Timestamp>,
    /// The last update of the permission.
    pub updated_at: Timestamp,
    /// The change that must end before this one starts.
    pub behind: Option<ChangeId>,
}

/// The columns of [`StatusRow`].
static SELECT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {}, p.in_doubt, p.lease_owner, p.lease_expires_at, p.next_attempt_at, p.updated_at, p.current_change_id, p.next_change_id FROM ",
        ChangeRow::COLUMNS.of("c")
    )
});

/// Joins the permission of each pending change.
const WITH_PERMISSION: &str = " AS c LEFT JOIN share_permission AS p ON c.state = 'PENDING' AND p.account_id = c.account_id \
     AND p.region = c.region AND p.image_id = c.image_id AND p.shared_account_id = c.shared_account_id";

/// Reads one change.
///
/// # Errors
/// When Postgres does not answer.
pub async fn change(database: &Database, account: AccountId, id: ChangeId) -> Result<Option<ChangeStatus>, StoreError> {
    let mut sql = QueryBuilder::new(SELECT.as_str());
    sql.push("change").push(WITH_PERMISSION);
    sql.push(" WHERE c.account_id = ").push_bind(account.to_string());
    sql.push(" AND c.change_id = ").push_bind(id.0);
    let row: Option<StatusRow> = database
        .run(async |connection| sql.build_query_as().fetch_optional(connection).await)
        .await?;
    row.map(ChangeStatus::try_from).transpose()
}

/// True if the principal asked for the change: with the request that opened it, or with one that joined it. Requests that joined
/// are known from the history, and no longer after their month was archived.
///
/// # Errors
/// When Postgres does not answer.
pub async fn is_asked_for_by(
    database: &Database,
    account: AccountId,
    id: ChangeId,
    principal: &Principal,
) -> Result<bool, StoreError> {
    let query = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM change WHERE account_id = $1 AND change_id = $2 AND principal = $3)
            OR EXISTS (SELECT FROM audit_entry WHERE account_id = $1 AND change_id = $2 AND principal = $3) AS "found!""#,
        account.as_str(),
        id.0,
        principal.as_str(),
    );
    database.run(async |connection| query.fetch_one(connection).await).await
}

/// Reads at most `limit` changes that match the filter, after `after`. Stops after the first change for which `fits` is false;
/// that change is included.
///
/// # Errors
/// When Postgres does not answer.
pub async fn changes(
    database: &Database,
    filter: &ChangeFilter,
    order: Order,
    after: Option<&ChangePosition>,
    limit: u32,
    mut fits: impl FnMut(&ChangeStatus) -> bool,
) -> Result<Vec<ChangeStatus>, StoreError> {
    let page = ChangeSelect {
        filter,
        order,
        after,
        limit,
    };
    let mut sql = page.statement();
    // The best index depends on the values of the filter.
    let read = async |connection: &mut PgConnection| {
        let (mut changes, mut is_full) = (Vec::new(), false);
        let mut rows = sql.build_query_as::<StatusRow>().fetch(connection);
        // The rest is read and dropped, so that the connection can be used again.
        while let Some(row) = rows.try_next().await? {
            if !is_full {
                let change = ChangeStatus::try_from(row);
                is_full = change.as_ref().is_ok_and(|change| !fits(change));
                changes.push(change);
            }
        }
        Ok(changes)
    };
    let changes = database.run_planned(PlanCacheMode::Auto, read).await?;
    changes.into_iter().collect()
}

struct ChangeSelect<'a> {
    filter: &'a ChangeFilter,
    order: Order,
    after: Option<&'a ChangePosition>,
    limit: u32,
}

impl ChangeSelect<'_> {
    fn statement(&self) -> QueryBuilder<Postgres> {
        let mut sql = QueryBuilder::new(SELECT.as_str());
        if self.filter.in_doubt || self.filter.states == [ChangeState::Pending] {
            sql.push("(SELECT * FROM change AS c WHERE c.state = 'PENDING'");
            if !self.filter.accounts.is_empty() {
                sql.push(" AND c.account_id = ANY(")
                    .push_bind(self.accounts())
                    .push(")");
            }
        } else {
            sql.push("(SELECT c.* FROM ");
            if self.filter.accounts.is_empty() {
                sql.push("ledger AS each");
            } else {
                sql.push("unnest(").push_bind(self.accounts());
                sql.push("::text[]) AS each (account_id)");
            }
            sql.push(" CROSS JOIN LATERAL (SELECT * FROM change AS c WHERE c.account_id = each.account_id");
            self.push_states(&mut sql);
            self.push_conditions(&mut sql);
            sql.push(") AS c WHERE true");
        }
        self.push_conditions(&mut sql);
        sql.push(")").push(WITH_PERMISSION);
        self.push_order(&mut sql);
        sql
    }

    fn accounts(&self) -> Vec<String> {
        self.filter.accounts.iter().map(AccountId::to_string).collect()
    }

    fn push_states(&self, sql: &mut QueryBuilder<Postgres>) {
        let names: Vec<_> = self.filter.states.iter().map(|state| state.as_str()).collect();
        if !names.is_empty() {
            sql.push(format_args!(" AND c.state IN ('{}')", names.join("', '")));
        }
    }

    /// All conditions except the accounts and the states; then the order and the limit.
    fn push_conditions(&self, sql: &mut QueryBuilder<Postgres>) {
        let filter = self.filter;
        let texts = [
            ("region", filter.region.as_ref().map(Region::as_str)),
            ("image_id", filter.image.as_ref().map(ImageId::as_str)),
            (
                "shared_account_id",
                filter.shared_account.as_ref().map(AccountId::as_str),
            ),
            ("principal", filter.principal.as_ref().map(Principal::as_str)),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                sql.push(format_args!(" AND c.{column} = ")).push_bind(text.to_owned());
            }
        }
        if let Some(time) = filter.created_before {
            sql.push(" AND c.created_at < ").push_bind(time.to_offset_date_time());
        }
        if filter.in_doubt {
            sql.push(
                " AND EXISTS (SELECT FROM share_permission AS d WHERE d.in_doubt AND d.account_id = c.account_id AND \
                 d.current_change_id = c.change_id)",
            );
        }
        self.push_after(sql);
        self.push_order(sql);
    }

    fn push_after(&self, sql: &mut QueryBuilder<Postgres>) {
        let Some(after) = self.after else { return };
        let time = after.created_at.to_offset_date_time();
        // The time is also compared alone, because the index by account and time can use only that.
        let (bound, row) = match self.order {
            Order::NewestFirst => (" AND c.created_at <= ", "<"),
            Order::OldestFirst => (" AND c.created_at >= ", ">"),
        };
        sql.push(bound).push_bind(time);
        sql.push(" AND (c.created_at, c.account_id, c.change_id) ").push(row);
        sql.push(" (").push_bind(time).push(", ");
        sql.push_bind(after.account.to_string()).push(", ");
        sql.push_bind(after.change.0).push(")");
    }

    fn push_order(&self, sql: &mut QueryBuilder<Postgres>) {
        sql.push(match self.order {
            Order::NewestFirst => " ORDER BY c.created_at DESC, c.account_id DESC, c.change_id DESC LIMIT ",
            Order::OldestFirst => " ORDER BY c.created_at, c.account_id, c.change_id LIMIT ",
        });
        sql.push(self.limit);
    }
}

#[derive(sqlx::FromRow)]
struct StatusRow {
    #[sqlx(flatten)]
    change: ChangeRow,
    in_doubt: Option<bool>,
    lease_owner: Option<Uuid>,
    lease_expires_at: Option<OffsetDateTime>,
    next_attempt_at: Option<OffsetDateTime>,
    updated_at: Option<OffsetDateTime>,
    current_change_id: Option<Uuid>,
    next_change_id: Option<Uuid>,
}

impl TryFrom<StatusRow> for ChangeStatus {
    type Error = StoreError;

    fn try_from(row: StatusRow) -> Result<Self, StoreError> {
        let id = row.change.change_id;
        let lease = row.lease_owner.zip(row.lease_expires_at);
        let progress = row.in_doubt.zip(row.updated_at).map(|(in_doubt, updated_at)| Progress {
            in_doubt,
            lease: lease.map(|(owner, until)| (ReplicaId(owner), Timestamp::new(until))),
            // While a lease is held, only its begin and a newer change that begins to wait update the row.
            leased_since: lease
                .filter(|_| row.next_change_id.is_none())
                .map(|_| Timestamp::new(updated_at)),
            next_attempt_at: row.next_attempt_at.map(Timestamp::new),
            updated_at: Timestamp::new(updated_at),
            behind: row.current_change_id.filter(|current| *current != id).map(ChangeId),
        });
        Ok(Self {
            change: Change::try_from(row.change)?,
            progress,
        })
    }
}
