//! Converts requests to domain types, and reports all invalid fields at once. No later room validates again.

use tonic::Status;

use crate::{
    domain::{
        AccountId, ChangeId, ChangeState, Justification, PermissionKey, PermissionState, Region, RequestId,
        image::Ownership,
    },
    proto::v1::{self, change, share_permission::State},
    store::{
        audit::Order,
        changes::{ChangeFilter, ChangePosition},
        reads::PermissionFilter,
    },
};

use super::{
    fields::{FieldReader, PageQuery},
    justification,
    page_token::ChangeList,
};

/// Maximum values of a repeated field.
const MAX_VALUES: usize = 100;

/// A parsed grant or revoke.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParsedChange {
    pub(super) key: PermissionKey,
    pub(super) request_id: Option<RequestId>,
    pub(super) justification: Justification,
    pub(super) validate_only: bool,
}

/// A parsed `ListSharePermissions`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParsedList {
    pub(super) filter: PermissionFilter,
    pub(super) page: PageQuery<PermissionKey>,
}

/// Parses a grant or a revoke. Both have the same fields.
macro_rules! change {
    ($request:expr) => {{
        let (request, mut fields) = ($request, FieldReader::default());
        let key = fields.key(
            &request.account_id,
            &request.region,
            &request.image_id,
            &request.shared_account_id,
        );
        let request_id = fields.optional("request_id", &request.request_id);
        let justification = justification::read!(fields, request);
        fields.finish(|| {
            Some(ParsedChange {
                key: key?,
                request_id,
                justification: justification?,
                validate_only: request.validate_only,
            })
        })
    }};
}

pub(super) fn grant(request: &v1::GrantSharePermissionRequest) -> Result<ParsedChange, Status> {
    change!(request)
}

pub(super) fn revoke(request: &v1::RevokeSharePermissionRequest) -> Result<ParsedChange, Status> {
    change!(request)
}

pub(super) fn get(request: &v1::GetSharePermissionRequest) -> Result<PermissionKey, Status> {
    let mut fields = FieldReader::default();
    let key = fields.key(
        &request.account_id,
        &request.region,
        &request.image_id,
        &request.shared_account_id,
    );
    fields.finish(|| key)
}

pub(super) fn list(request: &v1::ListSharePermissionsRequest) -> Result<ParsedList, Status> {
    let mut fields = FieldReader::default();
    let filter = PermissionFilter {
        account: fields.optional("account_id", &request.account_id),
        region: fields.optional("region", &request.region),
        image: fields.optional("image_id", &request.image_id),
        shared_account: fields.optional("shared_account_id", &request.shared_account_id),
        state: fields.state("state", request.state),
    };
    let (filter, page) = fields.finish_list(Some(filter), request.page_size, &request.page_token)?;
    Ok(ParsedList { filter, page })
}

pub(super) fn get_change(request: &v1::GetChangeRequest) -> Result<(AccountId, ChangeId), Status> {
    let mut fields = FieldReader::default();
    let account = fields.required("account_id", &request.account_id);
    let change_id = fields.required("change_id", &request.change_id);
    fields.finish(|| Some((account?, change_id?)))
}

pub(super) fn list_changes(
    request: &v1::ListChangesRequest,
) -> Result<(ChangeList, PageQuery<ChangePosition>), Status> {
    let mut fields = FieldReader::default();
    let filter = ChangeFilter {
        accounts: fields.several("account_ids", &request.account_ids, MAX_VALUES),
        states: fields.change_states("states", &request.states),
        in_doubt: request.in_doubt,
        created_before: fields.bound("created_before", request.created_before.as_ref()),
        region: fields.optional("region", &request.region),
        image: fields.optional("image_id", &request.image_id),
        shared_account: fields.optional("shared_account_id", &request.shared_account_id),
        principal: fields.optional("principal", &request.principal),
    };
    let ended_only = !request.states.is_empty() && !filter.states.contains(&ChangeState::Pending);
    if filter.in_doubt && ended_only && fields.are_valid() {
        fields.violate(
            "in_doubt",
            "must be false if states do not include STATE_PENDING: only a pending change can be in doubt",
        );
    }
    let order = fields.change_order("order", request.order);
    fields.finish_list(
        Some(ChangeList { filter, order }),
        request.page_size,
        &request.page_token,
    )
}

pub(super) fn list_images(request: &v1::ListImagesRequest) -> Result<(AccountId, Region, Ownership), Status> {
    let mut fields = FieldReader::default();
    let account = fields.required("account_id", &request.account_id);
    let region = fields.required("region", &request.region);
    let ownership = fields.ownership("ownership", request.ownership);
    fields.finish(|| Some((account?, region?, ownership)))
}

impl FieldReader {
    fn state(&mut self, field: &str, number: i32) -> Option<PermissionState> {
        match State::try_from(number) {
            Ok(State::Unspecified) => None,
            Ok(State::Pending) => Some(PermissionState::Pending),
            Ok(State::Shared) => Some(PermissionState::Shared),
            Ok(State::NotShared) => Some(PermissionState::NotShared),
            Ok(State::Unknown) => Some(PermissionState::Unknown),
            Err(_) => {
                self.violate(field, format!("must be a value of SharePermission.State; got {number}"));
                None
            }
        }
    }

    /// Without duplicates, in the order of [`ChangeState::ALL`].
    fn change_states(&mut self, field: &str, numbers: &[i32]) -> Vec<ChangeState> {
        let named = self.choices(
            field,
            "Change.State",
            numbers,
            |number| match change::State::try_from(number).ok()? {
                change::State::Unspecified => None,
                change::State::Pending => Some(ChangeState::Pending),
                change::State::Succeeded => Some(ChangeState::Succeeded),
                change::State::Failed => Some(ChangeState::Failed),
                change::State::Superseded => Some(ChangeState::Superseded),
            },
        );
        let all = ChangeState::ALL.iter().copied();
        all.filter(|state| named.contains(state)).collect()
    }

    fn change_order(&mut self, field: &str, number: i32) -> Order {
        match v1::ChangeOrder::try_from(number) {
            Ok(v1::ChangeOrder::Unspecified | v1::ChangeOrder::NewestFirst) => Order::NewestFirst,
            Ok(v1::ChangeOrder::OldestFirst) => Order::OldestFirst,
            Err(_) => {
                self.violate_choice(field, "ChangeOrder", number);
                Order::NewestFirst
            }
        }
    }

    fn ownership(&mut self, field: &str, number: i32) -> Ownership {
        match v1::ImageOwnership::try_from(number) {
            Ok(v1::ImageOwnership::Unspecified | v1::ImageOwnership::Owned) => Ownership::Owned,
            Ok(v1::ImageOwnership::Shared) => Ownership::Shared,
            Err(_) => {
                self.violate(field, format!("must be a value of ImageOwnership; got {number}"));
                Ownership::Owned
            }
        }
    }
}

#[cfg(test)]
mod tests;
