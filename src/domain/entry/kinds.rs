//! The table of kinds. To add a kind, add a row and, if no body fits, a type for its body. [`EntryBody::change`] says whether it is about a
//! change: what is recorded once, and what begins or ends a share, follows from that.
//!
//! A name and a schema number last for ever, because the lines that carry them do. `schema` rises when the meaning of a member
//! changes. A new optional member of a body does not raise it.

use serde::{Serialize, Serializer};

use super::{ChangeBody, UnknownBody};
use crate::domain::{AccountId, Action, Change, ChangeState, change::names};

/// What is the same for all entries of a kind.
struct KindSpec {
    name: &'static str,
    schema: u32,
    words: &'static str,
    ocsf: OcsfStatus,
    is_ranked: bool,
    share_effect: fn(Action) -> Option<ShareEffect>,
    once: Option<&'static str>,
}

/// Makes the types of the table, so that a kind without a row or without a body does not compile.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($body:ident) = $row:expr;)+) => {
        /// A kind of entry that this build knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EntryKind {
            $($(#[$doc])* $kind,)+
        }

        /// What an entry says happened.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum EntryBody {
            $($(#[$doc])* $kind($body),)+
            /// RecordedEntry by a newer build: a kind, a schema or a value that this build does not know.
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
            /// Its kind; none if this build does not know it.
            pub fn kind(&self) -> Option<EntryKind> {
                match self {
                    $(Self::$kind(_) => Some(EntryKind::$kind),)+
                    Self::Unknown(_) => None,
                }
            }

            /// Reads the JSON text of a body of `kind`. None if it has a value that this build does not know.
            fn read_known(kind: EntryKind, account: AccountId, json: &str) -> Option<Self> {
                match kind { $(EntryKind::$kind => $body::read(account, json).map(Self::$kind)),+ }
            }

            pub(super) fn fill<'a>(&'a self, columns: &mut super::EntryColumns<'a>) {
                match self {
                    $(Self::$kind(body) => body.fill(columns),)+
                    Self::Unknown(body) => body.fill(columns),
                }
            }
        }

        /// The text of its JSON follows RFC 8785: members in the order of their names, and nothing that does not apply.
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
        words: "A change was accepted. AWS had not been called yet.",
        ocsf: OcsfStatus::Other, is_ranked: true, share_effect: none, once: Some("requested"),
    };
    /// The policy refused a change. Nothing was accepted.
    ChangeDenied(ChangeBody) = KindSpec {
        name: "change.denied", schema: 1,
        words: "The policy refused a change. Nothing was accepted.",
        ocsf: OcsfStatus::Failure, is_ranked: true, share_effect: none, once: None,
    };
    /// A request joined a change that is under way and does the same. It ends with that change.
    ChangeJoined(ChangeBody) = KindSpec {
        name: "change.joined", schema: 1,
        words: "A request joined a change that was under way and did the same. It ended with that change.",
        ocsf: OcsfStatus::Other, is_ranked: true, share_effect: none, once: None,
    };
    /// A change is in effect at AWS.
    ChangeSucceeded(ChangeBody) = KindSpec {
        name: "change.succeeded", schema: 1,
        words: "The change is in effect at AWS.",
        ocsf: OcsfStatus::Success, is_ranked: false, share_effect: of_action, once: Some("ended"),
    };
    /// A change is known not to be in effect.
    ChangeFailed(ChangeBody) = KindSpec {
        name: "change.failed", schema: 1,
        words: "The change is known not to be in effect.",
        ocsf: OcsfStatus::Failure, is_ranked: false, share_effect: none, once: Some("ended"),
    };
    /// A newer change took the place of this one.
    ChangeSuperseded(ChangeBody) = KindSpec {
        name: "change.superseded", schema: 1,
        words: "A newer change took the place of this one.",
        ocsf: OcsfStatus::Other, is_ranked: false, share_effect: none, once: Some("ended"),
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

/// What an entry does to the share that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ShareEffect {
    /// From this entry on the image is shared with the account.
    Begins,
    /// From this entry on it is not.
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
    /// 99. The status is the name of the kind.
    Other,
}

impl EntryKind {
    /// Its name in the ledger. Pattern `^[a-z][a-z_]*(\.[a-z][a-z_]*)+$`.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// The newest schema of its body. From 1.
    pub fn schema(self) -> u32 {
        self.spec().schema
    }

    /// What it means, as a sentence.
    pub fn words(self) -> &'static str {
        self.spec().words
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

    /// What the entry that tells where `change` stands says.
    pub fn of_change(change: &Change) -> Self {
        let body = ChangeBody::of(change);
        match change.state {
            ChangeState::Pending => Self::ChangeRequested(body),
            ChangeState::Succeeded => Self::ChangeSucceeded(body),
            ChangeState::Failed => Self::ChangeFailed(body),
            ChangeState::Superseded => Self::ChangeSuperseded(body),
        }
    }

    /// The name of its kind.
    pub fn kind_name(&self) -> &str {
        match self {
            Self::Unknown(body) => &body.kind,
            known => known.kind().map_or("", EntryKind::name),
        }
    }

    /// The schema of its body. From 1.
    pub fn schema(&self) -> u32 {
        match self {
            Self::Unknown(body) => body.schema,
            known => known.kind().map_or(0, EntryKind::schema),
        }
    }

    /// The body of a `change.*` kind.
    pub fn change(&self) -> Option<&ChangeBody> {
        match self {
            Self::ChangeRequested(body)
            | Self::ChangeDenied(body)
            | Self::ChangeJoined(body)
            | Self::ChangeSucceeded(body)
            | Self::ChangeFailed(body)
            | Self::ChangeSuperseded(body) => Some(body),
            Self::Unknown(_) => None,
        }
    }

    /// True if the entry counts as a request in rankings. Only the build that records an entry knows this; it is kept in a
    /// column for the others.
    pub fn is_ranked(&self) -> bool {
        self.kind().is_some_and(|kind| kind.spec().is_ranked)
    }

    /// What the entry does to its share. Kept in a column, like [`is_ranked`](Self::is_ranked).
    pub fn share_effect(&self) -> Option<ShareEffect> {
        let action = self.change()?.intent.action;
        (self.kind()?.spec().share_effect)(action)
    }

    /// A text that no other entry of the same change has in the same month: a change is requested once, and ends once. For an
    /// entry without a change: no other such entry of the account.
    pub fn once(&self) -> Option<&'static str> {
        self.kind()?.spec().once
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::KindName;

    #[test]
    fn names_are_unique_follow_the_pattern_and_find_their_kind() {
        for kind in EntryKind::ALL {
            assert_eq!(EntryKind::parse(kind.name()), Some(*kind));
            assert!(kind.name().parse::<KindName>().is_ok() && kind.schema() > 0);
        }
        assert_eq!(EntryKind::parse("change.invented"), None);
    }
}
