//! Converts requests to domain types, and reports all invalid fields at once. No later room validates again.

use std::time::Duration;

use tonic::Status;

use crate::{
    domain::{
        AccountId, Action, Cause, ChangeId, ChangeState, CredentialKind, Justification, PermissionKey, PermissionState,
        Principal, Region, RequestId, ShareEnd, Timestamp, basis::MAX_TTL, image::Ownership,
    },
    policy::PolicySet,
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
    pub(super) cause: Cause,
    pub(super) key: PermissionKey,
    pub(super) request_id: Option<RequestId>,
    pub(super) justification: Justification,
    pub(super) end: Option<ShareEnd>,
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
    ($request:expr, $cause:expr, $end:expr) => {{
        let (request, mut fields) = ($request, FieldReader::default());
        let key = fields.key(
            &request.account_id,
            &request.region,
            &request.image_id,
            &request.shared_account_id,
        );
        let request_id = fields.optional("request_id", &request.request_id);
        let justification = justification::read(&mut fields, request);
        let end = $end(&mut fields);
        fields.finish(|| {
            Some(ParsedChange {
                cause: $cause,
                key: key?,
                request_id,
                justification: justification?,
                end,
                validate_only: request.validate_only,
            })
        })
    }};
}

/// A date ends in the time zone of the policy. `now` only bounds the time until the end: the store decides whether it has passed.
pub(super) fn grant(
    request: &v1::GrantSharePermissionRequest,
    policy: &PolicySet,
    now: Timestamp,
) -> Result<ParsedChange, Status> {
    change!(request, cause(request.adopt), |fields: &mut FieldReader| fields
        .end(request, policy, now))
}

pub(super) fn revoke(request: &v1::RevokeSharePermissionRequest) -> Result<ParsedChange, Status> {
    change!(request, Cause::Caller, |_: &mut FieldReader| None)
}

/// The cause of a change that a caller asks for.
fn cause(adopt: bool) -> Cause {
    match adopt {
        true => Cause::Adoption,
        false => Cause::Caller,
    }
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
        expire_before: fields.bound("expire_before", request.expire_before.as_ref()),
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

/// A parsed `ExplainPolicy`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParsedExplain {
    pub(super) action: Action,
    pub(super) cause: Cause,
    pub(super) key: PermissionKey,
    pub(super) justification: Justification,
    /// None: the caller.
    pub(super) principal: Option<Principal>,
    /// Empty: the default.
    pub(super) credentials: Vec<CredentialKind>,
    pub(super) end: Option<ShareEnd>,
}

pub(super) fn explain(request: &v1::ExplainPolicyRequest) -> Result<ParsedExplain, Status> {
    let mut fields = FieldReader::default();
    let action = fields.action("action", request.action);
    let key = fields.key(
        &request.account_id,
        &request.region,
        &request.image_id,
        &request.shared_account_id,
    );
    let justification = justification::read(&mut fields, request);
    let principal = fields.optional("principal", &request.principal);
    let credentials = fields.credentials("credentials", &request.credentials);
    let expire_time = fields.bound("expire_time", request.expire_time.as_ref());
    if expire_time.is_some() && action == Some(Action::Revoke) {
        fields.violate("expire_time", "must not be set for a revoke");
    }
    if request.adopt && action == Some(Action::Revoke) {
        fields.violate("adopt", "must not be set for a revoke");
    }
    fields.finish(|| {
        Some(ParsedExplain {
            action: action?,
            cause: cause(request.adopt),
            key: key?,
            justification: justification?,
            principal,
            credentials,
            end: expire_time.map(ShareEnd::At),
        })
    })
}

pub(super) fn list_images(request: &v1::ListImagesRequest) -> Result<(AccountId, Region, Ownership), Status> {
    let mut fields = FieldReader::default();
    let account = fields.required("account_id", &request.account_id);
    let region = fields.required("region", &request.region);
    let ownership = fields.ownership("ownership", request.ownership);
    fields.finish(|| Some((account?, region?, ownership)))
}

impl FieldReader {
    /// The end of a share. At most one of the three fields may be set.
    fn end(
        &mut self,
        request: &v1::GrantSharePermissionRequest,
        policy: &PolicySet,
        now: Timestamp,
    ) -> Option<ShareEnd> {
        let given = [
            ("expire_time", request.expire_time.is_some()),
            ("ttl", request.ttl.is_some()),
            ("expire_date", !request.expire_date.is_empty()),
        ];
        let mut given = given.iter().filter(|(_, is_given)| *is_given);
        let (field, _) = given.next()?;
        if let Some((second, _)) = given.next() {
            self.violate(
                second,
                format!("must not be set together with {field}: a share has one end"),
            );
            return None;
        }
        let end = match (&request.expire_time, &request.ttl) {
            (Some(_), _) => ShareEnd::At(self.bound(field, request.expire_time.as_ref())?),
            (None, Some(ttl)) => ShareEnd::After(self.ttl(field, ttl)?),
            (None, None) => match policy.end_of_day(&request.expire_date) {
                Some(time) => ShareEnd::At(time),
                None => {
                    self.violate(field, "must be a date such as 2026-12-31");
                    return None;
                }
            },
        };
        if end.from(now).since(now) > MAX_TTL {
            self.violate(field, "must be at most 100 years from now");
        }
        Some(end)
    }

    fn ttl(&mut self, field: &str, ttl: &pbjson_types::Duration) -> Option<Duration> {
        let nanos = u32::try_from(ttl.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
        let seconds = u64::try_from(ttl.seconds).ok().filter(|seconds| *seconds >= 1);
        let ttl = seconds.zip(nanos).map(|(seconds, nanos)| Duration::new(seconds, nanos));
        // In microseconds, as times are.
        let ttl = ttl
            .filter(|ttl| *ttl <= MAX_TTL)
            .map(|ttl| Duration::from_micros(ttl.as_micros() as u64));
        if ttl.is_none() {
            self.violate(field, "must be 1 s to 100 years");
        }
        ttl
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

    /// One action, which is required.
    fn action(&mut self, field: &str, number: i32) -> Option<Action> {
        match v1::Action::try_from(number) {
            Ok(v1::Action::Grant) => Some(Action::Grant),
            Ok(v1::Action::Revoke) => Some(Action::Revoke),
            Ok(v1::Action::Unspecified) | Err(_) => {
                self.violate_choice(field, "Action", number);
                None
            }
        }
    }

    /// Without duplicates, in the order of [`CredentialKind::ALL`].
    fn credentials(&mut self, field: &str, numbers: &[i32]) -> Vec<CredentialKind> {
        if numbers.len() > MAX_VALUES {
            let rule = format!("must be at most {MAX_VALUES} values; got {}", numbers.len());
            self.violate(field, rule);
            return Vec::new();
        }
        let named = self.choices(
            field,
            "CredentialKind",
            numbers,
            |number| match v1::CredentialKind::try_from(number).ok()? {
                v1::CredentialKind::Unspecified => None,
                v1::CredentialKind::Certificate => Some(CredentialKind::Certificate),
                v1::CredentialKind::Token => Some(CredentialKind::Token),
                v1::CredentialKind::TrustedHeader => Some(CredentialKind::TrustedHeader),
            },
        );
        let all = CredentialKind::ALL.iter().copied();
        all.filter(|kind| named.contains(kind)).collect()
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
