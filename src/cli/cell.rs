//! The values of tables. Their kind says how a narrow terminal shows them.

use pbjson_types::Timestamp;

use super::{
    text::{cut, cut_middle},
    view::View,
};

/// The width that a text keeps in a narrow table: some words, with which a reader recognises it.
const MIN_TEXT: usize = 12;
/// The width that an id keeps: eight characters, an ellipsis and four characters.
const MIN_ID: usize = 13;

/// A value in a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A short value, which is never cut: an account, a Region, a number.
    Short(String),
    /// A text, which may be cut at its end.
    Text(String),
    /// A long id, which may be cut in its middle.
    Id(String),
    /// The name of a state, which may have a colour.
    State(String),
    /// A time. A list shows its seconds, a single object all that is known.
    Time(Option<Timestamp>),
    /// A time whose fractions of a second matter in lists, too.
    Moment(Option<Timestamp>),
}

/// The cells of one row, each with the name of its column.
pub type TableRow = Vec<(&'static str, Cell)>;

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Short(value)
    }
}

impl Cell {
    /// The value in full, in a list.
    pub(super) fn full(&self, view: &View) -> String {
        match self {
            Self::Short(text) | Self::Text(text) | Self::Id(text) | Self::State(text) => text.clone(),
            Self::Time(time) => view.seconds(time.as_ref()),
            Self::Moment(time) => view.exact(time.as_ref()),
        }
    }

    /// The value in the list of a terminal.
    pub(super) fn fitted(&self, view: &View) -> String {
        match self {
            Self::Time(time) => view.short(time.as_ref()),
            cell => cell.full(view),
        }
    }

    /// The value in a table of one object.
    pub(super) fn detailed(&self, view: &View) -> String {
        let (Self::Time(time) | Self::Moment(time)) = self else {
            return self.full(view);
        };
        let exact = view.exact(time.as_ref());
        match time.as_ref().and_then(super::format::utc) {
            Some(at) if view.width.is_some() => match view.ago(at) {
                // The date says nothing new.
                ago if exact.starts_with(&ago) => exact,
                ago => format!("{exact} ({ago})"),
            },
            _ => exact,
        }
    }

    /// The smallest width of a column that shows this value; `natural` is the width of all of it.
    pub(super) fn min_width(&self, natural: usize) -> usize {
        match self {
            Self::Text(_) => natural.min(MIN_TEXT),
            Self::Id(_) => natural.min(MIN_ID),
            Self::Short(_) | Self::State(_) | Self::Time(_) | Self::Moment(_) => natural,
        }
    }

    /// The text of this value, cut to the width of its column.
    pub(super) fn cut(&self, text: &str, width: usize, view: &View) -> String {
        match self {
            Self::Id(_) => cut_middle(text, width, view.ellipsis()),
            _ => cut(text, width, view.ellipsis()),
        }
    }

    /// The text of this value in its colour.
    pub(super) fn colored(&self, text: &str, view: &View) -> String {
        match self {
            Self::State(_) => view.colored(text),
            _ => text.to_owned(),
        }
    }
}
