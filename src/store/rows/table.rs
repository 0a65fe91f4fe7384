//! The column list of a table, written once for reading and writing.
//!
//! [`table!`] generates two types from the list. The *row* is one row to read. The *rows* are rows to save, as one
//! array parameter per column; `unnest` turns the arrays into rows. So one statement with a constant text saves a batch
//! of any size. A composite type would need one parameter per table, but an older build that writes it breaks when a
//! column is added.

use sqlx::{
    Postgres, Row as _,
    postgres::{PgArguments, PgRow},
    query::Query,
    types::Json,
};
use time::OffsetDateTime;

use super::attempts::AttemptRow;

/// A Postgres type, with the Rust types that its values are read into and written from.
pub(in crate::store) trait SqlType {
    /// The type of an array of such values.
    const ARRAY: &'static str;
    type Read;
    type Write<'a>;
}

/// Generates the SQL types.
macro_rules! sql_types {
    ($($name:ident = $array:literal, $read:ty, $write:ty;)+) => {$(
        #[doc = $array]
        pub(in crate::store) struct $name;

        impl SqlType for $name {
            const ARRAY: &'static str = $array;
            type Read = $read;
            type Write<'a> = $write;
        }
    )+};
}

sql_types! {
    Text = "text[]", String, &'a str;
    Uuid = "uuid[]", uuid::Uuid, uuid::Uuid;
    Bigint = "bigint[]", i64, i64;
    Boolean = "boolean[]", bool, bool;
    Timestamptz = "timestamptz[]", OffsetDateTime, OffsetDateTime;
    Bytea = "bytea[]", Vec<u8>, Vec<u8>;
    Authentication = "jsonb[]", Json<crate::domain::Authentication>, Json<&'a crate::domain::Authentication>;
    Decision = "jsonb[]", Json<crate::domain::Decision>, Json<&'a crate::domain::Decision>;
    Basis = "jsonb[]", Json<crate::domain::Basis>, Json<&'a crate::domain::Basis>;
    Attempts = "jsonb[]", Json<Vec<AttemptRow<'static>>>, Json<Vec<AttemptRow<'a>>>;
}

impl<T: SqlType> SqlType for Option<T> {
    const ARRAY: &'static str = T::ARRAY;
    type Read = Option<T::Read>;
    type Write<'a> = Option<T::Write<'a>>;
}

/// A column.
pub(in crate::store) struct Column {
    pub(in crate::store) name: &'static str,
    /// The type of an array of its values.
    pub(in crate::store) array: &'static str,
    pub(in crate::store) role: Role,
}

/// The role of a column in an update.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Role {
    /// Identifies the row.
    Key,
    /// May change.
    Moves,
    /// Never changes.
    Fixed,
}

/// A query while its parameters are bound.
pub(in crate::store) type Binding<'q> = Query<'q, Postgres, PgArguments>;

/// The columns of a table. Every part of a statement that names columns is generated from it.
#[derive(Clone, Copy)]
pub(in crate::store) struct ColumnList(pub(in crate::store) &'static [Column]);

impl ColumnList {
    /// `a, b`.
    pub(in crate::store) fn names(self) -> String {
        self.joined(|_| true, ", ", |column| column.name.to_owned())
    }

    /// `alias.a, alias.b`.
    pub(in crate::store) fn of(self, alias: &str) -> String {
        self.joined(|_| true, ", ", |column| format!("{alias}.{}", column.name))
    }

    /// `a = alias.a, b = alias.b`, for the columns that may change.
    pub(in crate::store) fn set(self, alias: &str) -> String {
        let assign = |column: &Column| format!("{0} = {alias}.{0}", column.name);
        self.joined(|column| column.role == Role::Moves, ", ", assign)
    }

    /// `table.a = alias.a AND table.b = alias.b`, for the key columns.
    pub(in crate::store) fn found_in(self, table: &str, alias: &str) -> String {
        let equal = |column: &Column| format!("{table}.{0} = {alias}.{0}", column.name);
        self.joined(|column| column.role == Role::Key, " AND ", equal)
    }

    /// `unnest($1::text[], $2::uuid[]) AS alias (a, b)`, for all columns. `parameters` is the number of the last
    /// parameter so far.
    pub(in crate::store) fn unnest(self, alias: &str, parameters: &mut usize) -> String {
        self.unnest_some(|_| true, alias, parameters)
    }

    /// The same, for the columns that an update needs.
    pub(in crate::store) fn unnest_moving(self, alias: &str, parameters: &mut usize) -> String {
        self.unnest_some(|column| column.role != Role::Fixed, alias, parameters)
    }

    fn unnest_some(self, is_wanted: fn(&Column) -> bool, alias: &str, parameters: &mut usize) -> String {
        let array = |column: &Column| {
            *parameters += 1;
            format!("${parameters}::{}", column.array)
        };
        let arrays = self.joined(is_wanted, ", ", array);
        let names = self.joined(is_wanted, ", ", |column| column.name.to_owned());
        format!("unnest({arrays}) AS {alias} ({names})")
    }

    fn joined(
        self,
        is_wanted: fn(&Column) -> bool,
        separator: &str,
        write: impl FnMut(&'static Column) -> String,
    ) -> String {
        let wanted = self.0.iter().filter(|column| is_wanted(column));
        wanted.map(write).collect::<Vec<_>>().join(separator)
    }
}

/// A row in some columns of a query's answer.
pub(in crate::store) trait ReadRow: Sized {
    /// Its columns, in the order of reading. The first one is never NULL.
    const COLUMNS: ColumnList;

    /// Reads it from the columns of `row` that start at index `first`.
    fn read(row: &PgRow, first: usize) -> Result<Self, sqlx::Error>;

    /// The same, for a row of an outer join. None if it is missing.
    fn read_joined(row: &PgRow, first: usize) -> Result<Option<Self>, sqlx::Error> {
        use sqlx::ValueRef as _;
        match row.try_get_raw(first)?.is_null() {
            true => Ok(None),
            false => Self::read(row, first).map(Some),
        }
    }
}

/// `SELECT` all columns of a row. `rest` starts with the table.
pub(in crate::store) fn select<R: ReadRow>(rest: &str) -> String {
    format!("SELECT {} FROM {rest}", R::COLUMNS.names())
}

/// Generates the row and the rows of a table. An update finds its row by the columns marked `#[key]` and may change
/// those marked `#[moves]`.
macro_rules! table {
    (
        $(#[$row_doc:meta])* row $row:ident;
        $(#[$rows_doc:meta])* rows $rows:ident of $value:ident: $type:ty;
        $($(#[$role:ident])? $column:ident: $sql:ty = $written:expr,)+
    ) => {
        $crate::store::rows::table::row! {
            $(#[$row_doc])* $row; $($(#[$role])? $column: $sql,)+
        }
        $crate::store::rows::table::rows! {
            $(#[$rows_doc])* rows $rows of $value: $type;
            $($(#[$role])? $column: $sql = $written,)+
        }
    };
}

/// Generates a row.
macro_rules! row {
    ($(#[$doc:meta])* $row:ident; $($(#[$role:ident])? $column:ident: $sql:ty,)+) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[allow(dead_code, reason = "a row has all columns of its table")]
        pub(in crate::store) struct $row {
            $(pub(in crate::store) $column: <$sql as $crate::store::rows::table::SqlType>::Read,)+
        }

        impl $crate::store::rows::table::ReadRow for $row {
            const COLUMNS: $crate::store::rows::table::ColumnList =
                $crate::store::rows::table::columns!($($(#[$role])? $column: $sql,)+);

            fn read(row: &sqlx::postgres::PgRow, first: usize) -> Result<Self, sqlx::Error> {
                let mut indexes = first..;
                let mut next = || indexes.next().unwrap_or_default();
                Ok(Self {
                    $($column: sqlx::Row::try_get(row, next())?,)+
                })
            }
        }

        impl sqlx::FromRow<'_, sqlx::postgres::PgRow> for $row {
            fn from_row(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                $crate::store::rows::table::ReadRow::read(row, 0)
            }
        }
    };
}

/// Generates rows.
macro_rules! rows {
    (
        $(#[$doc:meta])* rows $rows:ident of $value:ident: $type:ty;
        $($(#[$role:ident])? $column:ident: $sql:ty = $written:expr,)+
    ) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(in crate::store) struct $rows<'a> {
            $($column: Vec<<$sql as $crate::store::rows::table::SqlType>::Write<'a>>,)+
        }

        impl<'a> $rows<'a> {
            pub(in crate::store) const COLUMNS: $crate::store::rows::table::ColumnList =
                $crate::store::rows::table::columns!($($(#[$role])? $column: $sql,)+);

            pub(in crate::store) fn push(&mut self, $value: $type) {
                $(self.$column.push($written);)+
            }

            /// Binds the parameters of [`ColumnList::unnest`]($crate::store::rows::table::ColumnList::unnest).
            #[allow(dead_code, reason = "some tables are only inserted into, others only updated")]
            pub(in crate::store) fn bind<'q>(
                &self,
                query: $crate::store::rows::table::Binding<'q>,
            ) -> $crate::store::rows::table::Binding<'q> {
                query$(.bind(&self.$column))+
            }

            /// Binds the parameters of [`ColumnList::unnest_moving`]($crate::store::rows::table::ColumnList::unnest_moving).
            #[allow(dead_code, reason = "some tables are only inserted into, others only updated")]
            pub(in crate::store) fn bind_moving<'q>(
                &self,
                mut query: $crate::store::rows::table::Binding<'q>,
            ) -> $crate::store::rows::table::Binding<'q> {
                $(if $crate::store::rows::table::role!($($role)?) != $crate::store::rows::table::Role::Fixed {
                    query = query.bind(&self.$column);
                })+
                query
            }
        }
    };
}

/// Generates the list of columns.
macro_rules! columns {
    ($($(#[$role:ident])? $column:ident: $sql:ty,)+) => {
        $crate::store::rows::table::ColumnList(&[$(
            $crate::store::rows::table::Column {
                name: stringify!($column),
                array: <$sql as $crate::store::rows::table::SqlType>::ARRAY,
                role: $crate::store::rows::table::role!($($role)?),
            },
        )+])
    };
}

macro_rules! role {
    () => {
        $crate::store::rows::table::Role::Fixed
    };
    (key) => {
        $crate::store::rows::table::Role::Key
    };
    (moves) => {
        $crate::store::rows::table::Role::Moves
    };
}

pub(in crate::store) use {columns, role, row, rows, table};
