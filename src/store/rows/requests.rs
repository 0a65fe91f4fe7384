//! `request`.

use crate::{
    domain::{AccountId, ChangeId, Request, RequestContent, RequestId},
    store::error::StoreError,
};

use super::{
    parse,
    table::{Bytea, Text, Uuid},
};

const TABLE: &str = "request";

super::table::table! {
    /// A request to read.
    row RequestRow;
    /// Requests to save, each with its account.
    rows Requests of request: (&'a AccountId, &'a Request);
    account_id: Text = request.0.as_str(),
    request_id: Uuid = request.1.id.0,
    change_id: Uuid = request.1.change_id.0,
    principal: Text = request.1.principal.as_str(),
    content: Bytea = request.1.content.0.to_vec(),
}

impl TryFrom<RequestRow> for Request {
    type Error = StoreError;

    fn try_from(row: RequestRow) -> Result<Self, StoreError> {
        let content = row.content.try_into();
        Ok(Self {
            id: RequestId(row.request_id),
            change_id: ChangeId(row.change_id),
            principal: parse(TABLE, &row.principal)?,
            content: RequestContent(content.map_err(|_| StoreError::corrupt(TABLE, "content is not 32 bytes long"))?),
        })
    }
}
