//! The filter of entries.

use std::borrow::Cow;

use crate::domain::{
    AccountId, Action, Cause, ChangeId, Entry, EntryColumns, ImageId, KindName, PermissionKey, Principal, Region,
    RequestId, Timestamp,
};

/// Which entries to list. What is absent or empty matches everything; of several values any may match; all fields must.
///
/// A new field is a line in [`conditions`](Self::conditions), with a [`Column`]: what looks entries up, checks them
/// again and binds page tokens goes by these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// Entries of these ledgers.
    pub accounts: Vec<AccountId>,
    /// Entries about images in these Regions.
    pub regions: Vec<Region>,
    /// Entries about this image.
    pub image: Option<ImageId>,
    /// Entries about sharing with this account.
    pub shared_account: Option<AccountId>,
    /// Entries of changes that these asked for.
    pub principals: Vec<Principal>,
    /// These actions.
    pub actions: Vec<Action>,
    /// These kinds.
    pub kinds: Vec<KindName>,
    /// These causes.
    pub causes: Vec<Cause>,
    /// Entries of this change.
    pub change: Option<ChangeId>,
    /// Entries of this request.
    pub request: Option<RequestId>,
    /// Entries whose last call to AWS has this request id.
    pub aws_request: Option<String>,
    /// Recorded at this time or later.
    pub from: Option<Timestamp>,
    /// Recorded before this time.
    pub to: Option<Timestamp>,
    /// The reason or the ticket contains this, whatever the case of its letters.
    pub text: Option<String>,
}

impl EntryFilter {
    /// The entries about one permission.
    pub fn about(key: &PermissionKey) -> Self {
        Self {
            accounts: vec![key.account],
            regions: vec![key.region.clone()],
            image: Some(key.image.clone()),
            shared_account: Some(key.shared_account),
            ..Self::default()
        }
    }

    /// The conditions on columns: all of the filter but its times and its text.
    pub fn conditions(&self) -> Vec<Condition> {
        let mut conditions = vec![
            Condition::new(Column::Account, &self.accounts),
            Condition::new(Column::Region, &self.regions),
            Condition::new(Column::Image, &self.image),
            Condition::new(Column::SharedAccount, self.shared_account),
            Condition::new(Column::Principal, &self.principals),
            Condition::new(Column::Action, self.actions.iter().map(|action| action.as_str())),
            Condition::new(Column::Kind, &self.kinds),
            Condition::new(Column::Cause, self.causes.iter().map(|cause| cause.as_str())),
            Condition::new(Column::Change, self.change),
            Condition::new(Column::Request, self.request),
            Condition::new(Column::AwsRequest, &self.aws_request),
        ];
        conditions.retain(|condition| !condition.values.is_empty());
        conditions
    }
}

/// A column of entries that a filter can name values of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of `EntryFilter` document them")]
pub enum Column {
    Account,
    Region,
    Image,
    SharedAccount,
    Principal,
    Action,
    Kind,
    Cause,
    Change,
    Request,
    AwsRequest,
}

impl Column {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account_id",
            Self::Region => "region",
            Self::Image => "image_id",
            Self::SharedAccount => "shared_account_id",
            Self::Principal => "principal",
            Self::Action => "action",
            Self::Kind => "kind",
            Self::Cause => "cause",
            Self::Change => "change_id",
            Self::Request => "request_id",
            Self::AwsRequest => "aws_request_id",
        }
    }

    /// What an entry has in it.
    fn of<'a>(self, entry: &'a Entry, columns: &'a EntryColumns<'_>) -> Option<Cow<'a, str>> {
        let text = match self {
            Self::Account => Some(entry.account.as_str()),
            Self::Region => columns.region.as_deref(),
            Self::Image => columns.image_id.as_deref(),
            Self::SharedAccount => columns.shared_account_id.as_deref(),
            Self::Principal => columns.principal.as_deref(),
            Self::Action => columns.action.as_deref(),
            Self::Kind => Some(&*columns.kind),
            Self::Cause => columns.cause.as_deref(),
            Self::Change => return columns.change_id.map(|id| id.to_string().into()),
            Self::Request => return columns.request_id.map(|id| id.to_string().into()),
            Self::AwsRequest => columns.aws_request_id.as_deref(),
        };
        text.map(Cow::Borrowed)
    }
}

/// The values that a filter has for a column: at least one, each once, in their order. Any may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The column that must have one of the values.
    pub column: Column,
    /// The values, as texts.
    pub values: Vec<String>,
}

impl Condition {
    fn new<T: ToString>(column: Column, values: impl IntoIterator<Item = T>) -> Self {
        let mut values: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
        values.sort_unstable();
        values.dedup();
        Self { column, values }
    }

    /// True when an entry, which has these columns, has one of the values.
    pub fn is_met_by(&self, entry: &Entry, columns: &EntryColumns<'_>) -> bool {
        let value = self.column.of(entry, columns);
        value.is_some_and(|value| self.values.iter().any(|wanted| *wanted == value))
    }
}
