//! The schema of policies, which is part of the program, and the names of its entities.

use std::sync::{Arc, LazyLock};

use cedar_policy::{Entities, EntityId, EntityTypeName, EntityUid, Schema};

use super::{action::PolicyAction, problem::PolicyProblem};

/// The schema, in the syntax of Cedar.
pub const SCHEMA: &str = include_str!("sharewarden.cedarschema");

/// A schema, parsed.
#[derive(Debug)]
pub(super) struct PolicySchema {
    pub(super) parsed: Schema,
    /// The actions with their groups.
    pub(super) actions: Entities,
    /// Each action that can be asked for, with its groups.
    pub(super) asked: [Entities; PolicyAction::ALL.len()],
}

impl PolicySchema {
    /// The schema of this build.
    pub(super) fn current() -> Arc<Self> {
        static CURRENT: LazyLock<Arc<PolicySchema>> =
            LazyLock::new(|| Arc::new(PolicySchema::parse(SCHEMA).expect("a test parses it")));
        CURRENT.clone()
    }

    /// Parses a schema, also that of an older build.
    pub(super) fn parse(text: &str) -> Result<Self, PolicyProblem> {
        let problem = |rule: String| PolicyProblem {
            place: "the schema of the policy set".into(),
            line: None,
            rule,
        };
        let parsed = Schema::from_cedarschema_str(text);
        let (parsed, _) = parsed.map_err(|error| problem(format!("cannot be read: {error}")))?;
        let actions = parsed.action_entities();
        let actions = actions.map_err(|error| problem(format!("has wrong groups of actions: {error}")))?;
        let asked = PolicyAction::ALL.map(|action| {
            let action = actions.get(&EntityType::Action.entity(action.as_str()));
            Entities::from_entities(action.cloned(), None).expect("one entity has no cycle")
        });
        Ok(Self { parsed, actions, asked })
    }
}

/// A type of entity of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntityType {
    Principal,
    PrincipalGroup,
    Account,
    AccountGroup,
    Image,
    Action,
}

impl EntityType {
    /// The name with the namespace.
    pub(super) fn name(self) -> &'static EntityTypeName {
        static NAMES: LazyLock<[EntityTypeName; 6]> = LazyLock::new(|| {
            [
                "Principal",
                "PrincipalGroup",
                "Account",
                "AccountGroup",
                "Image",
                "Action",
            ]
            .map(|name| format!("Sharewarden::{name}").parse().expect("a name of the schema"))
        });
        &NAMES[self as usize]
    }

    /// The entity of this type with this id.
    pub(super) fn entity(self, id: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.name().clone(), EntityId::new(id))
    }
}

/// The text as a string of Cedar, with quotation marks.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
