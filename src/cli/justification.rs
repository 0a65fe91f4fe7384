//! The justification of a change (reason and ticket): its options, table rows and export columns, defined in one place.

use clap::Args;

use super::{cell::Cell, text::lines};
use crate::proto::v1::{
    Change, ChangeBody, CheckpointConfirmedBody, ConfirmDriftBaselineRequest, DriftBaselineBody,
    GrantSharePermissionRequest, RevokeSharePermissionRequest, WithdrawDriftBaselineRequest,
};

/// The options that justify a change, or another decision on record.
#[derive(Debug, Clone, Args)]
pub struct JustificationArgs {
    /// The reason, for the audit history: 1 to 1024 characters. It is stored until its month is deleted, so write no personal
    /// data and no secret
    #[arg(short = 'm', long, value_name = "TEXT", required = true)]
    reason: Option<String>,
    /// The id of a ticket, for the audit history: at most 128 characters
    #[arg(short, long, value_name = "TEXT")]
    ticket: Option<String>,
}

/// A message with the texts of a justification.
pub(super) trait Justified {
    /// The texts, in the order of [`NAMES`].
    fn texts(&self) -> [&str; NAMES.len()];
}

macro_rules! texts {
    ($($name:ident $option:literal $label:literal,)+) => {
        /// The names of the texts, in the API, the ledger and CSV.
        pub(super) const NAMES: &[&str] = &[$(stringify!($name)),+];
        const OPTIONS: &[&str] = &[$($option),+];
        const LABELS: &[&str] = &[$($label),+];

        impl JustificationArgs {
            /// The given options with their texts.
            pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
                let texts = [$(self.$name.as_deref()),+];
                OPTIONS.iter().zip(texts).filter_map(|(option, text)| Some((*option, text?)))
            }
        }

        texts!(@request GrantSharePermissionRequest: $($name)+);
        texts!(@request RevokeSharePermissionRequest: $($name)+);
        texts!(@request ConfirmDriftBaselineRequest: $($name)+);
        texts!(@request WithdrawDriftBaselineRequest: $($name)+);
        texts!(@answer Change: $($name)+);
        texts!(@answer ChangeBody: $($name)+);
        texts!(@answer CheckpointConfirmedBody: $($name)+);
        texts!(@answer DriftBaselineBody: $($name)+);
    };
    (@request $request:ident: $($name:ident)+) => {
        /// Sets the justification; all other fields are empty.
        impl From<&JustificationArgs> for $request {
            fn from(args: &JustificationArgs) -> Self {
                Self { $($name: args.$name.clone().unwrap_or_default(),)+ ..Self::default() }
            }
        }
    };
    (@answer $message:ident: $($name:ident)+) => {
        impl Justified for $message {
            fn texts(&self) -> [&str; NAMES.len()] {
                [$(&self.$name),+]
            }
        }
    };
}
texts! {
    reason "--reason" "Reason",
    ticket "--ticket" "Ticket",
}

/// The texts of a message with their names.
pub(super) fn texts(justified: &impl Justified) -> impl Iterator<Item = (&'static str, &str)> {
    NAMES.iter().copied().zip(justified.texts())
}

/// The option that fills a field of a request.
pub(super) fn option_of(field: &str) -> Option<&'static str> {
    let at = NAMES.iter().position(|&name| name == field)?;
    Some(OPTIONS[at])
}

/// The rows of a table.
pub(super) fn rows(justified: &impl Justified) -> impl Iterator<Item = (&'static str, Cell)> {
    LABELS
        .iter()
        .copied()
        .zip(justified.texts().map(|text| Cell::Text(lines(text))))
}
