//! The handlers of `AccessService`: who the caller is, and which accounts it may see. They read the policy and no store.

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

use tonic::{Request, Response, Status};

use crate::{
    clock::Clock,
    config::{RoleConfig, ShareWith},
    domain::{AccountId, Region},
    policy::{
        NamedPolicy, Policy, PolicyCaller, PolicySet,
        roles::{Privilege, Scope},
    },
    proto::v1::{self, access_service_server::AccessService},
};

use super::{
    access::NamesAccounts,
    caller::Caller,
    fields::{FieldReader, PageQuery},
    page_token::{self, AccountList},
    present::{credential, policy_effect, timestamp},
};

/// Maximum bytes on a page of accounts; a page ends early beyond it.
const PAGE_BYTES: usize = 768 * 1024;

/// The size of an account id, of a Region, and of the rest of an account or a role binding as a message, in bytes.
const ID_BYTES: usize = 14;
const REGION_BYTES: usize = 33;
const ITEM_BYTES: usize = 512;

/// The privileges that the API shows.
const PRIVILEGES: [(Privilege, v1::Privilege); 5] = [
    (Privilege::Grant, v1::Privilege::Grant),
    (Privilege::Revoke, v1::Privilege::Revoke),
    (Privilege::Read, v1::Privilege::Read),
    (Privilege::Export, v1::Privilege::Export),
    (Privilege::Prove, v1::Privilege::Prove),
];

/// `AccessService`.
#[derive(Debug, Clone)]
pub struct AccessApi {
    policy: Policy,
    regions: Arc<BTreeMap<AccountId, Vec<Region>>>,
    clock: Clock,
    max_timeout: Duration,
}

impl AccessApi {
    /// `regions` has the served Regions of each account. `max_timeout` is the maximum time for the work on a call, whatever its
    /// deadline.
    pub fn new(
        policy: Policy,
        regions: impl IntoIterator<Item = (AccountId, Vec<Region>)>,
        clock: Clock,
        max_timeout: Duration,
    ) -> Self {
        Self {
            policy,
            regions: Arc::new(regions.into_iter().collect()),
            clock,
            max_timeout,
        }
    }

    fn caller<T: NamesAccounts>(&self, request: &Request<T>) -> Result<Caller, Status> {
        Caller::of(request, &self.clock, self.max_timeout)
    }

    fn regions(&self, account: AccountId) -> &[Region] {
        self.regions.get(&account).map_or(&[], Vec::as_slice)
    }
}

#[tonic::async_trait]
impl AccessService for AccessApi {
    async fn get_caller_identity(
        &self,
        request: Request<v1::GetCallerIdentityRequest>,
    ) -> Result<Response<v1::GetCallerIdentityResponse>, Status> {
        let caller = self.caller(&request)?;
        let policy = self.policy.in_force();
        let bindings: Vec<_> = policy.bindings_of(caller.for_policy()).collect();
        // An account can be in its binding, and in the scope of each privilege.
        let ids: usize = bindings
            .iter()
            .map(|binding| binding.accounts.as_ref().map_or(0, |some| some.len()))
            .sum();
        let (policies, bytes) = caller_policies(&policy, caller.for_policy());
        caller
            .reserve(ids * (1 + PRIVILEGES.len()) * ID_BYTES + bindings.len() * ITEM_BYTES + bytes)
            .await?;
        let credentials = caller.authentication.credentials.iter();
        Ok(Response::new(v1::GetCallerIdentityResponse {
            principal: caller.principal.to_string(),
            credentials: credentials.map(|kind| credential(*kind).into()).collect(),
            expire_time: caller.until.map(timestamp),
            role_bindings: bindings.into_iter().map(role_binding).collect(),
            privileges: privileges(&policy, caller.for_policy()),
            groups: policy.groups_of(caller.for_policy()).map(str::to_owned).collect(),
            policies: policies.into_iter().map(caller_policy).collect(),
        }))
    }

    async fn list_accounts(
        &self,
        request: Request<v1::ListAccountsRequest>,
    ) -> Result<Response<v1::ListAccountsResponse>, Status> {
        let caller = self.caller(&request)?;
        let request = request.get_ref();
        let (list, page) =
            FieldReader::default().finish_list(Some(AccountList), request.page_size, &request.page_token)?;
        let policy = self.policy.in_force();
        let (accounts, bytes, next) = self.page(&policy, caller.for_policy(), &page);
        caller.reserve(bytes).await?;
        let scopes = PRIVILEGES.map(|(privilege, shown)| (policy.scope(caller.for_policy(), privilege), shown));
        let account = |(id, recipients): (AccountId, &ShareWith)| v1::Account {
            account_id: id.to_string(),
            regions: self.regions(id).iter().map(Region::to_string).collect(),
            recipients: Some(self::recipients(recipients)),
            privileges: scopes
                .iter()
                .filter(|(scope, _)| scope.covers(id))
                .map(|(_, shown)| (*shown).into())
                .collect(),
        };
        Ok(Response::new(v1::ListAccountsResponse {
            accounts: accounts.into_iter().map(account).collect(),
            next_page_token: next.map(|last| page_token::encode(&list, &last)).unwrap_or_default(),
        }))
    }
}

/// The accounts of a page with their recipients, the estimated size of the page, and its last account if there are more.
type AccountPage<'a> = (Vec<(AccountId, &'a ShareWith)>, usize, Option<AccountId>);

impl AccessApi {
    fn page<'a>(
        &self,
        policy: &'a PolicySet,
        caller: PolicyCaller<'_>,
        page: &PageQuery<AccountId>,
    ) -> AccountPage<'a> {
        let scope = policy.scope_of_roles(caller, Privilege::Own);
        let after = page.after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = policy.recipients().range((after, Bound::Unbounded));
        let (mut accounts, mut bytes) = (Vec::new(), 0);
        for (id, recipients) in rest.filter(|(id, _)| scope.covers(**id)) {
            if accounts.len() == page.size as usize || bytes > PAGE_BYTES {
                let next = accounts.last().map(|(id, _)| *id);
                return (accounts, bytes, next);
            }
            let ids = match recipients {
                ShareWith::Anyone => 0,
                ShareWith::Only(some) => some.len(),
            };
            bytes += ITEM_BYTES + ids * ID_BYTES + self.regions(*id).len() * REGION_BYTES;
            accounts.push((*id, recipients));
        }
        (accounts, bytes, None)
    }
}

fn role_binding(binding: &RoleConfig) -> v1::RoleBinding {
    let scope = match &binding.accounts {
        None => Scope::Everywhere,
        Some(some) => Scope::Only(some.clone()),
    };
    v1::RoleBinding {
        principal: binding.principal.as_ref().map(ToString::to_string).unwrap_or_default(),
        group: binding.group.clone().unwrap_or_default(),
        roles: binding.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        scope: Some(account_scope(&scope)),
    }
}

fn privileges(policy: &PolicySet, caller: PolicyCaller<'_>) -> Vec<v1::PrivilegeScope> {
    let scopes = PRIVILEGES.map(|(privilege, shown)| (policy.scope(caller, privilege), shown));
    let held = scopes.iter().filter(|(scope, _)| !scope.is_empty());
    let shown = held.map(|(scope, shown)| v1::PrivilegeScope {
        privilege: (*shown).into(),
        scope: Some(account_scope(scope)),
    });
    shown.collect()
}

/// The policies that speak of the principal, and their estimated size. The list ends early if it is too large.
fn caller_policies<'a>(policy: &'a PolicySet, caller: PolicyCaller<'_>) -> (Vec<&'a NamedPolicy>, usize) {
    let (mut shown, mut bytes) = (Vec::new(), 0);
    for policy in policy.policies_of(caller) {
        bytes += ITEM_BYTES + policy.says.as_ref().map_or(0, String::len);
        if bytes > PAGE_BYTES {
            break;
        }
        shown.push(policy);
    }
    (shown, bytes.min(PAGE_BYTES))
}

fn caller_policy(policy: &NamedPolicy) -> v1::CallerPolicy {
    v1::CallerPolicy {
        id: policy.id.to_string(),
        effect: policy_effect(policy).into(),
        says: policy.says.clone().unwrap_or_default(),
    }
}

fn account_scope(scope: &Scope) -> v1::AccountScope {
    match scope {
        Scope::Everywhere => v1::AccountScope {
            all_accounts: true,
            account_ids: Vec::new(),
        },
        Scope::Only(some) => v1::AccountScope {
            all_accounts: false,
            account_ids: some.iter().map(AccountId::to_string).collect(),
        },
    }
}

fn recipients(recipients: &ShareWith) -> v1::Recipients {
    match recipients {
        ShareWith::Anyone => v1::Recipients {
            anyone: true,
            account_ids: Vec::new(),
        },
        ShareWith::Only(some) => v1::Recipients {
            anyone: false,
            account_ids: some.iter().map(AccountId::to_string).collect(),
        },
    }
}
