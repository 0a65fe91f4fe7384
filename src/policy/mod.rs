//! Authorization: decides whether a principal may make a change or use another part of the API.
//!
//! Changes are decided by policies in Cedar. [`lists`] makes policies of the role bindings and of the recipients of each account,
//! [`files`] reads those of `policy.directory`, and [`compile`] checks both against the [`schema`] and makes a [`set`] of them.
//! [`action`] says which action of the schema a change asks for.
//! [`contents`] is its text, and makes the set of it again. [`decide`] decides: a grant needs a permit, and no forbid that
//! matches. [`parts`] evaluates only what can match, [`attributes`] says what Cedar is given, [`mentions`] which facts it needs,
//! [`claims`] which claims of the caller, and [`near`] what was missing. [`depth`] keeps out what could not be evaluated.
//! [`spoken`] lists the policies that speak of a principal. [`roles`] alone decide what a principal may read: Cedar cannot list
//! the accounts.
//!
//! [`Policy`] is a handle to the set in force, which can be replaced while the server runs. A change is decided twice, when it is
//! accepted and before AWS is called, and the two decisions can differ.

mod action;
mod attributes;
mod claims;
mod compile;
mod contents;
mod decide;
mod decision;
mod depth;
mod files;
mod lists;
mod mentions;
mod near;
mod parts;
mod problem;
mod query;
pub mod roles;
mod schema;
mod set;
mod source;
mod spoken;
#[cfg(test)]
mod tests;

use std::sync::{Arc, PoisonError, RwLock};

use roles::{Privilege, Scope};

pub use action::PolicyAction;
pub use decision::PolicyVerdict;
pub use files::PolicyFile;
pub use lists::label;
pub use mentions::{FactAges, Mentions};
pub use near::NearPolicy;
pub use problem::{PolicyProblem, PolicyProblems};
pub use query::{PolicyCaller, PolicyQuery};
pub use schema::SCHEMA;
pub use set::PolicySet;
pub use source::{NamedPolicy, PolicyOrigin, PolicySource};

/// The policy set in force. Cheap to clone; clones are the same policy.
#[derive(Debug, Clone, Default)]
pub struct Policy(Arc<RwLock<Arc<PolicySet>>>);

impl Policy {
    /// A policy with this set in force.
    pub fn new(set: PolicySet) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(set))))
    }

    /// Puts another set in force. A decision in progress still uses the old set.
    pub fn replace(&self, set: PolicySet) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
    }

    /// The accounts in which the caller has this privilege.
    pub fn scope(&self, caller: PolicyCaller<'_>, privilege: Privilege) -> Scope {
        self.in_force().scope(caller, privilege)
    }

    /// True if a role binding or a group names the caller, for any role in any account.
    pub fn has_binding(&self, caller: PolicyCaller<'_>) -> bool {
        self.in_force().has_binding(caller)
    }

    /// Decides whether the change may be made.
    pub fn decide(&self, query: PolicyQuery<'_>) -> PolicyVerdict {
        self.in_force().decide(query)
    }

    /// The set in force. It stays as it is when another one replaces it.
    pub fn in_force(&self) -> Arc<PolicySet> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
