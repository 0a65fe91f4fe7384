//! `request`.

use uuid::Uuid;

use crate::{
    domain::{AccountId, ChangeId, Request, RequestContent, RequestId},
    store::StoreError,
};

use super::parse;

const TABLE: &str = "request";

/// A row, without its account.
#[derive(Debug)]
pub(in crate::store) struct RequestRow {
    pub(in crate::store) request_id: Uuid,
    pub(in crate::store) change_id: Uuid,
    pub(in crate::store) principal: String,
    pub(in crate::store) content: Vec<u8>,
}

impl TryFrom<RequestRow> for Request {
    type Error = StoreError;

    fn try_from(row: RequestRow) -> Result<Self, StoreError> {
        let content = row.content.try_into();
        Ok(Self {
            id: RequestId(row.request_id),
            change_id: ChangeId(row.change_id),
            principal: parse(TABLE, &row.principal)?,
            content: RequestContent(
                content.map_err(|_| StoreError::corrupt(TABLE, "a content that has not 32 bytes"))?,
            ),
        })
    }
}

/// Requests that are new, column by column.
#[derive(Default)]
pub(in crate::store) struct Requests<'a> {
    pub(in crate::store) accounts: Vec<&'a str>,
    pub(in crate::store) ids: Vec<Uuid>,
    pub(in crate::store) changes: Vec<Uuid>,
    pub(in crate::store) principals: Vec<&'a str>,
    pub(in crate::store) contents: Vec<&'a [u8]>,
}

impl<'a> Requests<'a> {
    pub(in crate::store) fn push(&mut self, account: &'a AccountId, request: &'a Request) {
        self.accounts.push(account.as_str());
        self.ids.push(request.id.0);
        self.changes.push(request.change_id.0);
        self.principals.push(request.principal.as_str());
        self.contents.push(&request.content.0);
    }
}
