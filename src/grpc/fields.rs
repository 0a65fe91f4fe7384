//! Reads the fields of a request, and collects those that break their rules: a caller is told of all of them at once.

use std::{collections::BTreeSet, str::FromStr};

use tonic::Status;
use tonic_types::FieldViolation;

use crate::domain::{AccountId, ImageId, Invalid, PermissionKey, Region};

use super::{
    page_token::{self, PagedList},
    status,
};

const DEFAULT_PAGE_SIZE: u32 = 100;
const MAX_PAGE_SIZE: u32 = 1000;

/// Of a field with many values, so many wrong ones are told: an answer must fit into the metadata of a call.
const MAX_REPORTED: usize = 3;

/// What is asked for of a list: which page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageQuery<P> {
    /// It begins after this.
    pub(super) after: Option<P>,
    /// It holds at most so many.
    pub(super) size: u32,
}

/// The fields that break their rules.
#[derive(Default)]
pub(super) struct FieldReader(Vec<FieldViolation>);

impl FieldReader {
    pub(super) fn violate(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field, description));
    }

    /// True as long as every field that was read follows its rule.
    pub(super) fn are_valid(&self) -> bool {
        self.0.is_empty()
    }

    /// How many violations were found so far.
    pub(super) fn violations(&self) -> usize {
        self.0.len()
    }

    /// What was read, if every field follows its rule.
    pub(super) fn finish<T>(self, read: impl FnOnce() -> Option<T>) -> Result<T, Status> {
        if !self.are_valid() {
            return Err(status::invalid_fields(self.0));
        }
        // Nothing read and nothing wrong would be a required field that is absent without a violation.
        read().ok_or_else(|| status::internal_error().into_status())
    }

    /// What was read of a list, and which page of it is asked for. The last fields that are read.
    pub(super) fn finish_list<L: PagedList>(
        mut self,
        list: Option<L>,
        size: i32,
        token: &str,
    ) -> Result<(L, PageQuery<L::Position>), Status> {
        // A token is bound to the filters: without valid ones it can be neither right nor wrong.
        let filters = list.as_ref().filter(|_| self.are_valid());
        let after = filters
            .filter(|_| !token.is_empty())
            .map(|list| page_token::decode(list, token));
        let size = self.page_size("page_size", size);
        if let Some(None) = after {
            let violation = FieldViolation::new(
                "page_token",
                "must be the next_page_token of the page before, unaltered and with the same filters",
            );
            if self.are_valid() {
                return Err(status::invalid_page_token(violation));
            }
            self.0.push(violation);
        }
        let after = after.flatten();
        self.finish(|| Some((list?, PageQuery { after, size })))
    }

    pub(super) fn required<T: FromStr<Err = Invalid>>(&mut self, field: &str, text: &str) -> Option<T> {
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

    pub(super) fn optional<T: FromStr<Err = Invalid>>(&mut self, field: &str, text: &str) -> Option<T> {
        if text.is_empty() {
            None
        } else {
            self.required(field, text)
        }
    }

    /// At most `most` values, in their order and each once.
    pub(super) fn several<T: FromStr<Err = Invalid> + Ord>(
        &mut self,
        field: &str,
        texts: &[String],
        most: usize,
    ) -> Vec<T> {
        if texts.len() > most {
            self.violate(field, format!("must be at most {most} values; got {}", texts.len()));
            return Vec::new();
        }
        let values = self.each(field, texts, |text| {
            text.parse().map_err(|wrong: Invalid| wrong.to_string())
        });
        BTreeSet::from_iter(values).into_iter().collect()
    }

    /// Values of an enum. `read` knows the numbers; `name` is the enum.
    pub(super) fn choices<T>(
        &mut self,
        field: &str,
        name: &str,
        numbers: &[i32],
        read: impl Fn(i32) -> Option<T>,
    ) -> Vec<T> {
        self.each(field, numbers, |number| {
            read(*number).ok_or_else(|| no_choice(name, *number))
        })
    }

    /// Reads each of several values, or the rule that it breaks.
    fn each<I, T>(&mut self, field: &str, items: &[I], read: impl Fn(&I) -> Result<T, String>) -> Vec<T> {
        let (mut values, mut wrong) = (Vec::new(), 0);
        for (index, item) in items.iter().enumerate() {
            match read(item) {
                Ok(value) => values.push(value),
                Err(rule) => {
                    wrong += 1;
                    if wrong <= MAX_REPORTED {
                        self.violate(&format!("{field}[{index}]"), rule);
                    }
                }
            }
        }
        if wrong > MAX_REPORTED {
            let more = wrong - MAX_REPORTED;
            self.violate(field, format!("has {more} more values that break the rule"));
        }
        values
    }

    /// A number that is no value of the enum `name` that the field takes.
    pub(super) fn not_a_choice(&mut self, field: &str, name: &str, number: i32) {
        self.violate(field, no_choice(name, number));
    }

    pub(super) fn key(
        &mut self,
        account: &str,
        region: &str,
        image: &str,
        shared_account: &str,
    ) -> Option<PermissionKey> {
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

    fn page_size(&mut self, field: &str, number: i32) -> u32 {
        match u32::try_from(number) {
            Ok(0) => DEFAULT_PAGE_SIZE,
            Ok(size) => size.min(MAX_PAGE_SIZE),
            Err(_) => {
                self.violate(
                    field,
                    format!("must be 0 (for {DEFAULT_PAGE_SIZE}) to {MAX_PAGE_SIZE}; got {number}"),
                );
                DEFAULT_PAGE_SIZE
            }
        }
    }
}

fn no_choice(name: &str, number: i32) -> String {
    let what = if number == 0 { "a set value" } else { "a value" };
    format!("must be {what} of {name}; got {number}")
}
