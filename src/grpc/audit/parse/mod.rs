//! Converts requests to domain types, and reports all invalid fields at once. No later room validates again.

mod summary;
mod time;

use tonic::Status;

use crate::{
    audit::NextPage,
    domain::{AccountId, Action, Cause, Timestamp},
    grpc::fields::{FieldReader, PageQuery},
    proto::v1,
    store::audit::{EntryFilter, Order, ShareFilter, SharePosition},
};

use super::lists::{EntryList, PermissionHistory, SharesAt};

pub(super) use summary::summary;

/// Maximum values of a repeated field.
const MAX_VALUES: usize = 100;

/// Maximum characters of a text filter.
const MAX_TEXT_CHARS: usize = 256;

pub(super) fn entries(request: &v1::ListAuditEntriesRequest) -> Result<(EntryList, PageQuery<NextPage>), Status> {
    let mut fields = FieldReader::default();
    let filter = request
        .filter
        .as_ref()
        .map(|filter| fields.filter(filter))
        .unwrap_or_default();
    let order = fields.order(request.order);
    fields.finish_list(
        Some(EntryList { filter, order }),
        request.page_size,
        &request.page_token,
    )
}

pub(super) fn entry(request: &v1::GetAuditEntryRequest) -> Result<(AccountId, u64), Status> {
    let mut fields = FieldReader::default();
    let account = fields.required("account_id", &request.account_id);
    fields.finish(|| Some((account?, request.log_index)))
}

pub(super) fn history(
    request: &v1::ListPermissionHistoryRequest,
) -> Result<(PermissionHistory, PageQuery<NextPage>), Status> {
    let mut fields = FieldReader::default();
    let key = fields.key(
        &request.account_id,
        &request.region,
        &request.image_id,
        &request.shared_account_id,
    );
    let order = fields.order(request.order);
    let history = key.map(|key| PermissionHistory { key, order });
    fields.finish_list(history, request.page_size, &request.page_token)
}

/// The requested time must not be after `now`, and `since` not after the requested time. The time is `now` if it is absent from
/// the request for the first page.
pub(super) fn shares_at(
    request: &v1::GetSharePermissionsAtRequest,
    now: Timestamp,
) -> Result<(SharesAt, PageQuery<SharePosition>), Status> {
    let mut fields = FieldReader::default();
    let time = match &request.time {
        None if request.page_token.is_empty() => Some(now),
        None => {
            fields.violate("time", "is required with a page_token: the `time` of the first page");
            None
        }
        time => fields.moment("time", time.as_ref()),
    };
    if time.is_some_and(|time| time > now) {
        fields.violate(
            "time",
            format!("must not be in the future; the time of the history is {now}"),
        );
    }
    let since = fields.bound("since", request.since.as_ref());
    if time.zip(since).is_some_and(|(time, since)| since > time) {
        fields.violate("since", "must not be after time");
    }
    let filter = ShareFilter {
        account: fields.optional("account_id", &request.account_id),
        region: fields.optional("region", &request.region),
        image: fields.optional("image_id", &request.image_id),
        shared_account: fields.optional("shared_account_id", &request.shared_account_id),
        since,
    };
    let shares = time.map(|time| SharesAt { time, filter });
    fields.finish_list(shares, request.page_size, &request.page_token)
}

impl FieldReader {
    fn filter(&mut self, filter: &v1::AuditEntryFilter) -> EntryFilter {
        EntryFilter {
            accounts: self.several("filter.account_ids", &filter.account_ids, MAX_VALUES),
            regions: self.several("filter.regions", &filter.regions, MAX_VALUES),
            image: self.optional("filter.image_id", &filter.image_id),
            shared_account: self.optional("filter.shared_account_id", &filter.shared_account_id),
            principals: self.several("filter.principals", &filter.principals, MAX_VALUES),
            actions: self.actions("filter.actions", &filter.actions),
            kinds: self.several("filter.kinds", &filter.kinds, MAX_VALUES),
            causes: self.causes("filter.causes", &filter.causes),
            change: self.optional("filter.change_id", &filter.change_id),
            request: self.optional("filter.request_id", &filter.request_id),
            aws_request: self.text("filter.aws_request_id", &filter.aws_request_id),
            from: self.bound("filter.start_time", filter.start_time.as_ref()),
            to: self.bound("filter.end_time", filter.end_time.as_ref()),
            text: self.text("filter.text", &filter.text),
        }
    }

    /// Refuses NUL, because Postgres cannot store or compare a text with it.
    fn text(&mut self, field: &str, text: &str) -> Option<String> {
        let length = text.chars().count();
        if length > MAX_TEXT_CHARS || text.contains('\0') {
            self.violate(
                field,
                format!("must be at most {MAX_TEXT_CHARS} characters, none of them NUL; got {length} characters"),
            );
        }
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn order(&mut self, number: i32) -> Order {
        match v1::AuditEntryOrder::try_from(number) {
            Ok(v1::AuditEntryOrder::Unspecified | v1::AuditEntryOrder::NewestFirst) => Order::NewestFirst,
            Ok(v1::AuditEntryOrder::OldestFirst) => Order::OldestFirst,
            Err(_) => {
                self.violate_choice("order", "AuditEntryOrder", number);
                Order::NewestFirst
            }
        }
    }

    fn actions(&mut self, field: &str, numbers: &[i32]) -> Vec<Action> {
        let named = self.choices(field, "Action", numbers, |number| {
            match v1::Action::try_from(number).ok()? {
                v1::Action::Unspecified => None,
                v1::Action::Grant => Some(Action::Grant),
                v1::Action::Revoke => Some(Action::Revoke),
            }
        });
        each_once(Action::ALL, &named)
    }

    fn causes(&mut self, field: &str, numbers: &[i32]) -> Vec<Cause> {
        let named = self.choices(field, "Cause", numbers, |number| {
            match v1::Cause::try_from(number).ok()? {
                v1::Cause::Unspecified => None,
                v1::Cause::Caller => Some(Cause::Caller),
                v1::Cause::Expiry => Some(Cause::Expiry),
                v1::Cause::Drift => Some(Cause::Drift),
                v1::Cause::Adoption => Some(Cause::Adoption),
            }
        });
        each_once(Cause::ALL, &named)
    }
}

/// The values of `all` that are in `named`, in the order of `all`.
fn each_once<T: PartialEq + Copy>(all: &[T], named: &[T]) -> Vec<T> {
    all.iter().filter(|value| named.contains(value)).copied().collect()
}

#[cfg(test)]
mod tests;
