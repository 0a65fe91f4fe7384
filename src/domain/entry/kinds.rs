//! The table of entry kinds. To add a kind, add a row and, if no body fits, a type for its body. Then say in
//! [`EntryBody::change`] whether the kind concerns a change. The columns that make an entry unique and that begin or end a share
//! depend on it.
//!
//! A name and a schema number never change, because ledger lines contain them. `schema` rises if the meaning of a member changes.
//! A new optional member does not raise it.

use serde::{Serialize, Serializer};

use super::{
    ChangeBody, ConfirmationBody, DriftBaselineBody, DriftFoundBody, DriftObservedBody, DriftResolvedBody, UnknownBody,
};
use crate::domain::{AccountId, Action, Change, ChangeState, change::names};

/// The properties of a kind.
struct KindSpec {
    name: &'static str,
    schema: u32,
    description: &'static str,
    ocsf: OcsfStatus,
    is_ranked: bool,
    share_effect: fn(Action) -> Option<ShareEffect>,
    once: Option<&'static str>,
}

/// Generates the enums from the table. A kind without a row or a body does not compile.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($body:ty) = $row:expr;)+) => {
        /// The kinds of entries that this build knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EntryKind {
            $($(#[$doc])* $kind,)+
        }

        /// The body of an entry: what happened.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum EntryBody {
            $($(#[$doc])* $kind($body),)+
            /// Recorded by a newer build, with a kind, a schema or a value that this build does not know.
            Unknown(UnknownBody),
        }

        impl EntryKind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            fn spec(self) -> KindSpec {
                match self { $(Self::$kind => $row),+ }
            }
        }

        impl EntryBody {
            /// The kind. None if this build does not know it.
            pub fn kind(&self) -> Option<EntryKind> {
                match self {
                    $(Self::$kind(_) => Some(EntryKind::$kind),)+
                    Self::Unknown(_) => None,
                }
            }

            /// Reads the JSON text of a body of `kind`. None if it has an unknown value.
            fn read_known(kind: EntryKind, account: AccountId, json: &str) -> Option<Self> {
                match kind { $(EntryKind::$kind => <$body>::read(account, json).map(Self::$kind)),+ }
            }

            pub(super) fn fill<'a>(&'a self, columns: &mut super::EntryColumns<'a>) {
                match self {
                    $(Self::$kind(body) => body.fill(columns),)+
                    Self::Unknown(body) => body.fill(columns),
                }
            }
        }

        /// The JSON text follows RFC 8785: members in the order of their names, without members that do not apply.
        impl Serialize for EntryBody {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$kind(body) => body.serialize(serializer),)+
                    Self::Unknown(body) => body.serialize(serializer),
                }
            }
        }
    };
}

kinds! {
    /// A change was accepted. AWS has not been called yet.
    ChangeRequested(ChangeBody) = KindSpec {
        name: "change.requested", schema: 1,
        description: "A change was accepted. AWS had not been called yet.",
        ocsf: OcsfStatus::Other, is_ranked: true, share_effect: none, once: Some("requested"),
    };
    /// The policy refused a change. Nothing was accepted.
    ChangeDenied(ChangeBody) = KindSpec {
        name: "change.denied", schema: 1,
        description: "The policy refused a change. Nothing was accepted.",
        ocsf: OcsfStatus::Failure, is_ranked: true, share_effect: none, once: None,
    };
    /// The policy refused further requests. They were counted, and not recorded one by one.
    ChangeDenials(super::DenialsBody) = KindSpec {
        name: "change.denials", schema: 1,
        description: "The policy refused further requests. They were counted, and not recorded one by one.",
        ocsf: OcsfStatus::Failure, is_ranked: false, share_effect: none, once: None,
    };
    /// A request joined a change that is under way and does the same. It ends with that change.
    ChangeJoined(ChangeBody) = KindSpec {
        name: "change.joined", schema: 1,
        description: "A request joined a change that was under way and did the same. It ended with that change.",
        ocsf: OcsfStatus::Other, is_ranked: true, share_effect: none, once: None,
    };
    /// A change is in effect at AWS.
    ChangeSucceeded(ChangeBody) = KindSpec {
        name: "change.succeeded", schema: 1,
        description: "The change is in effect at AWS.",
        ocsf: OcsfStatus::Success, is_ranked: false, share_effect: of_action, once: Some("ended"),
    };
    /// A change is known not to be in effect.
    ChangeFailed(ChangeBody) = KindSpec {
        name: "change.failed", schema: 1,
        description: "The change is known not to be in effect.",
        ocsf: OcsfStatus::Failure, is_ranked: false, share_effect: none, once: Some("ended"),
    };
    /// A newer change took the place of this one.
    ChangeSuperseded(ChangeBody) = KindSpec {
        name: "change.superseded", schema: 1,
        description: "A newer change took the place of this one.",
        ocsf: OcsfStatus::Other, is_ranked: false, share_effect: none, once: Some("ended"),
    };
    /// An operator confirmed the first entries of a ledger, which no known checkpoint covered.
    CheckpointConfirmed(ConfirmationBody) = KindSpec {
        name: "checkpoint.confirmed", schema: 1,
        description: "An operator confirmed entries that no known checkpoint covered.",
        ocsf: OcsfStatus::Other, is_ranked: false, share_effect: none, once: None,
    };
    /// AWS was seen twice to hold something else than the ledger says.
    DriftFound(DriftFoundBody) = KindSpec {
        name: "drift.found", schema: 1,
        description: "AWS was seen twice to hold something else than the ledger says.",
        ocsf: OcsfStatus::Other, is_ranked: false, share_effect: none, once: None,
    };
    /// A difference that was found is no longer there.
    DriftResolved(DriftResolvedBody) = KindSpec {
        name: "drift.resolved", schema: 1,
        description: "A difference that was found between AWS and the ledger is no longer there.",
        ocsf: OcsfStatus::Other, is_ranked: false, share_effect: none, once: None,
    };
    /// An operator decided whether the service may revoke unrecorded shares that are found from now on.
    DriftBaseline(DriftBaselineBody) = KindSpec {
        name: "drift.baseline", schema: 1,
        description: "An operator decided whether unrecorded shares that are found from now on may be revoked.",
        ocsf: OcsfStatus::Other, is_ranked: false, share_effect: none, once: None,
    };
    /// CloudTrail has a call to AWS that somebody made past the service.
    DriftObserved(DriftObservedBody) = KindSpec {
        name: "drift.observed", schema: 1,
        description: "CloudTrail has a call to AWS that somebody made past the service.",
        ocsf: OcsfStatus::Other, is_ranked: false, share_effect: none, once: None,
    };
}

fn none(_: Action) -> Option<ShareEffect> {
    None
}

/// A grant begins a share and a revoke ends it.
fn of_action(action: Action) -> Option<ShareEffect> {
    Some(match action {
        Action::Grant => ShareEffect::Begins,
        Action::Revoke => ShareEffect::Ends,
    })
}

/// The effect of an entry on the share that it concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShareEffect {
    /// The image is shared with the account from this entry on.
    Begins,
    /// The image is not shared with the account from this entry on.
    Ends,
}
names!(ShareEffect {
    Begins = "BEGINS",
    Ends = "ENDS"
});

/// The OCSF `status_id` of an API Activity event (class 6003).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcsfStatus {
    /// 1.
    Success,
    /// 2.
    Failure,
    /// 99. The status text is the name of the kind.
    Other,
}

impl EntryKind {
    /// The name in the ledger. Pattern `^[a-z][a-z_]*(\.[a-z][a-z_]*)+$`.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The newest schema of its body. 1 or more.
    pub fn schema(self) -> u32 {
        self.spec().schema
    }

    /// What the kind means, in one or two sentences for people.
    pub fn description(self) -> &'static str {
        self.spec().description
    }

    /// The status of its OCSF event.
    pub fn ocsf_status(self) -> OcsfStatus {
        self.spec().ocsf
    }
}

impl EntryBody {
    /// Reads the JSON text of a body. A kind, a schema or a value that this build does not know gives [`EntryBody::Unknown`].
    /// None if the text is not a JSON object.
    pub fn read(kind: &str, schema: u32, account: AccountId, json: &str) -> Option<Self> {
        EntryKind::parse(kind)
            .filter(|known| known.schema() == schema)
            .and_then(|known| Self::read_known(known, account, json))
            .or_else(|| UnknownBody::read(kind, schema, json).map(Self::Unknown))
    }

    /// The body of the entry for the present state of `change`.
    pub fn of_change(change: &Change) -> Self {
        let body = ChangeBody::of(change);
        match change.state {
            ChangeState::Pending => Self::ChangeRequested(body),
            ChangeState::Succeeded => Self::ChangeSucceeded(body),
            ChangeState::Failed => Self::ChangeFailed(body),
            ChangeState::Superseded => Self::ChangeSuperseded(body),
        }
    }

    /// The kind's name in the ledger. Also known for a kind of a newer build.
    pub fn kind_name(&self) -> &str {
        match self {
            Self::Unknown(body) => &body.kind,
            known => known.kind().map_or("", EntryKind::name),
        }
    }

    /// The schema of the body. 1 or more.
    pub fn schema(&self) -> u32 {
        match self {
            Self::Unknown(body) => body.schema,
            known => known.kind().map_or(0, EntryKind::schema),
        }
    }

    /// The body, if the kind is about one change or one request for a change.
    pub fn change(&self) -> Option<&ChangeBody> {
        match self {
            Self::ChangeDenials(_) => None,
            Self::ChangeRequested(body)
            | Self::ChangeDenied(body)
            | Self::ChangeJoined(body)
            | Self::ChangeSucceeded(body)
            | Self::ChangeFailed(body)
            | Self::ChangeSuperseded(body) => Some(body),
            Self::CheckpointConfirmed(_)
            | Self::DriftFound(_)
            | Self::DriftResolved(_)
            | Self::DriftBaseline(_)
            | Self::DriftObserved(_)
            | Self::Unknown(_) => None,
        }
    }

    /// True if the entry counts as a request in rankings. Only the build that records the entry can tell, so a column keeps it
    /// for other builds.
    pub fn is_ranked(&self) -> bool {
        self.kind().is_some_and(|kind| kind.spec().is_ranked)
    }

    /// The effect on the share. A column keeps it, as with [`is_ranked`](Self::is_ranked).
    pub fn share_effect(&self) -> Option<ShareEffect> {
        let action = self.change()?.intent.action;
        (self.kind()?.spec().share_effect)(action)
    }

    /// A uniqueness key: no other entry of the same change and month has it. A change is requested once and ends once. For an
    /// entry without a change, the key is unique in the account and month.
    pub fn once(&self) -> Option<&'static str> {
        self.kind()?.spec().once
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::KindName;

    #[test]
    fn each_name_follows_the_pattern_and_parses_to_its_kind() {
        for kind in EntryKind::ALL {
            assert_eq!(EntryKind::parse(kind.name()), Some(*kind));
            assert!(kind.name().parse::<KindName>().is_ok() && kind.schema() > 0);
        }
        assert_eq!(EntryKind::parse("change.invented"), None);
    }
}
