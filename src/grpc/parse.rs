//! Requests as domain types. Every field that breaks its rule is found at once; no later room looks again.

use std::str::FromStr;

use tonic::Status;
use tonic_types::FieldViolation;

use crate::{
    domain::{
        AccountId, ChangeId, ImageId, Invalid, PermissionKey, PermissionState, Reason, Region, RequestId, Ticket,
        image::Ownership,
    },
    proto::v1::{self, share_permission::State},
    store::reads::PermissionFilter,
};

use super::{page_token, status};

const DEFAULT_PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1000;

/// What a grant or a revoke asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChangeAsked {
    pub(super) key: PermissionKey,
    pub(super) request_id: Option<RequestId>,
    pub(super) reason: Reason,
    pub(super) ticket: Option<Ticket>,
    pub(super) validate_only: bool,
}

/// What a list asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListAsked {
    pub(super) filter: PermissionFilter,
    pub(super) after: Option<PermissionKey>,
    pub(super) size: u32,
}

pub(super) fn grant(request: &v1::GrantSharePermissionRequest) -> Result<ChangeAsked, Status> {
    let mut fields = Fields::default();
    let key = fields.key(
        &request.account_id,
        &request.region,
        &request.image_id,
        &request.shared_account_id,
    );
    let request_id = fields.optional("request_id", &request.request_id);
    let reason = fields.required("reason", &request.reason);
    let ticket = fields.optional("ticket", &request.ticket);
    let validate_only = request.validate_only;
    fields.check()?;
    parsed(|| {
        Some(ChangeAsked {
            key: key?,
            request_id,
            reason: reason?,
            ticket,
            validate_only,
        })
    })
}

pub(super) fn revoke(request: v1::RevokeSharePermissionRequest) -> Result<ChangeAsked, Status> {
    // The two have the same fields.
    grant(&v1::GrantSharePermissionRequest {
        account_id: request.account_id,
        region: request.region,
        image_id: request.image_id,
        shared_account_id: request.shared_account_id,
        request_id: request.request_id,
        reason: request.reason,
        ticket: request.ticket,
        validate_only: request.validate_only,
    })
}

pub(super) fn get(request: &v1::GetSharePermissionRequest) -> Result<PermissionKey, Status> {
    let mut fields = Fields::default();
    let key = fields.key(
        &request.account_id,
        &request.region,
        &request.image_id,
        &request.shared_account_id,
    );
    fields.check()?;
    parsed(|| key)
}

pub(super) fn list(request: &v1::ListSharePermissionsRequest) -> Result<ListAsked, Status> {
    let mut fields = Fields::default();
    let filter = PermissionFilter {
        account: fields.optional("account_id", &request.account_id),
        region: fields.optional("region", &request.region),
        image: fields.optional("image_id", &request.image_id),
        shared_account: fields.optional("shared_account_id", &request.shared_account_id),
        state: fields.state("state", request.state),
    };
    let filter_is_valid = fields.0.is_empty();
    let size = fields.page_size("page_size", request.page_size);
    let others_are_valid = fields.0.is_empty();
    let mut after = None;
    // A token is bound to the filters: without valid ones it can be neither right nor wrong.
    if filter_is_valid && !request.page_token.is_empty() {
        after = page_token::open(&filter, &request.page_token);
        if after.is_none() {
            let violation = FieldViolation::new(
                "page_token",
                "must be the next_page_token of the page before, unaltered and with the same filters",
            );
            if others_are_valid {
                return Err(status::invalid_page_token(violation));
            }
            fields.0.push(violation);
        }
    }
    fields.check()?;
    Ok(ListAsked { filter, after, size })
}

pub(super) fn get_change(request: &v1::GetChangeRequest) -> Result<(AccountId, ChangeId), Status> {
    let mut fields = Fields::default();
    let account = fields.required("account_id", &request.account_id);
    let change_id = fields.required("change_id", &request.change_id);
    fields.check()?;
    parsed(|| Some((account?, change_id?)))
}

pub(super) fn list_images(request: &v1::ListImagesRequest) -> Result<(AccountId, Region, Ownership), Status> {
    let mut fields = Fields::default();
    let account = fields.required("account_id", &request.account_id);
    let region = fields.required("region", &request.region);
    let ownership = fields.ownership("ownership", request.ownership);
    fields.check()?;
    parsed(|| Some((account?, region?, ownership)))
}

/// What was read, where no violation was found. `None` would be a required field that is absent without a violation.
fn parsed<T>(read: impl FnOnce() -> Option<T>) -> Result<T, Status> {
    read().ok_or_else(|| status::fault().into_status())
}

/// The fields that break their rules.
#[derive(Default)]
struct Fields(Vec<FieldViolation>);

impl Fields {
    fn violate(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field, description));
    }

    fn check(self) -> Result<(), Status> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(status::invalid_fields(self.0))
        }
    }

    fn required<T: FromStr<Err = Invalid>>(&mut self, field: &str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(invalid) if text.is_empty() => {
                self.violate(field, format!("is required: {invalid}"));
                None
            }
            Err(invalid) => {
                self.violate(field, invalid.to_string());
                None
            }
        }
    }

    fn optional<T: FromStr<Err = Invalid>>(&mut self, field: &str, text: &str) -> Option<T> {
        if text.is_empty() {
            None
        } else {
            self.required(field, text)
        }
    }

    fn key(&mut self, account: &str, region: &str, image: &str, shared_account: &str) -> Option<PermissionKey> {
        let account: Option<AccountId> = self.required("account_id", account);
        let region: Option<Region> = self.required("region", region);
        let image: Option<ImageId> = self.required("image_id", image);
        let shared_account: Option<AccountId> = self.required("shared_account_id", shared_account);
        if shared_account.is_some() && shared_account == account {
            self.violate(
                "shared_account_id",
                "must be another account than account_id: the owner needs no permission",
            );
        }
        Some(PermissionKey {
            account: account?,
            region: region?,
            image: image?,
            shared_account: shared_account?,
        })
    }

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

    fn page_size(&mut self, field: &str, number: i32) -> u32 {
        match u32::try_from(number) {
            Ok(0) => DEFAULT_PAGE,
            Ok(size) => size.min(LARGEST_PAGE),
            Err(_) => {
                self.violate(
                    field,
                    format!("must be 0 (for {DEFAULT_PAGE}) to {LARGEST_PAGE}; got {number}"),
                );
                DEFAULT_PAGE
            }
        }
    }
}

#[cfg(test)]
mod tests;
