//! Parses the fields of a request. Collects all violations, so that a caller gets them in one response.

use std::{collections::BTreeSet, str::FromStr};

use tonic::Status;
use tonic_types::FieldViolation;

use crate::domain::{AccountId, ImageId, Invalid, PermissionKey, Region};

use super::{
    page_token::{self, PagedList},
    status,
};

const DEFAULT_PAGE_SIZE: u32 = 100;
const MAX_PAGE_SIZE: u32 = 500;

/// Maximum violations reported for one repeated field. The response must fit into the metadata of a call.
const MAX_REPORTED: usize = 3;

/// The requested page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageQuery<P> {
    /// The page starts after this position. None: at the start of the list.
    pub(super) after: Option<P>,
    /// Maximum items on the page.
    pub(super) size: u32,
}

/// Parses fields, and collects the violations of their rules.
#[derive(Default)]
pub(super) struct FieldReader(Vec<FieldViolation>);

impl FieldReader {
    pub(super) fn violate(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field, description));
    }

    /// True if no violation was found so far.
    pub(super) fn are_valid(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of violations found so far.
    pub(super) fn violations(&self) -> usize {
        self.0.len()
    }

    /// The parsed request, or all violations.
    pub(super) fn finish<T>(self, read: impl FnOnce() -> Option<T>) -> Result<T, Status> {
        if !self.are_valid() {
            return Err(status::invalid_fields(self.0));
        }
        // Not expected: a required field is absent without a violation.
        read().ok_or_else(|| status::internal_error().into_status())
    }

    /// The parsed list and page, or all violations. Call it after all other fields were parsed.
    pub(super) fn finish_list<L: PagedList>(
        mut self,
        list: Option<L>,
        size: i32,
        token: &str,
    ) -> Result<(L, PageQuery<L::Position>), Status> {
        // A token is bound to the filters, so it can be checked only if these are valid.
        let filters = list.as_ref().filter(|_| self.are_valid());
        let after = filters
            .filter(|_| !token.is_empty())
            .map(|list| page_token::decode(list, token));
        let size = self.page_size("page_size", size);
        if let Some(None) = after {
            let violation = FieldViolation::new(
                "page_token",
                "must be the unchanged next_page_token of the previous page, with the same filters",
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

    /// At most `max` values, sorted and without duplicates.
    pub(super) fn several<T: FromStr<Err = Invalid> + Ord>(
        &mut self,
        field: &str,
        texts: &[String],
        max: usize,
    ) -> Vec<T> {
        if texts.len() > max {
            self.violate(field, format!("must be at most {max} values; got {}", texts.len()));
            return Vec::new();
        }
        let values = self.each(field, texts, |text| {
            text.parse().map_err(|wrong: Invalid| wrong.to_string())
        });
        BTreeSet::from_iter(values).into_iter().collect()
    }

    /// The values of a repeated enum field. `read` maps a number; `name` is the name of the enum.
    pub(super) fn choices<T>(
        &mut self,
        field: &str,
        name: &str,
        numbers: &[i32],
        read: impl Fn(i32) -> Option<T>,
    ) -> Vec<T> {
        self.each(field, numbers, |number| {
            read(*number).ok_or_else(|| invalid_choice(name, *number))
        })
    }

    /// Parses each value with `read`, which returns the value or the violated rule.
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
            self.violate(field, format!("has {more} more invalid values"));
        }
        values
    }

    /// Adds a violation for a number that is not a valid value of the enum `name`.
    pub(super) fn violate_choice(&mut self, field: &str, name: &str, number: i32) {
        self.violate(field, invalid_choice(name, number));
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
                "must differ from account_id: the owner of the image needs no permission",
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

fn invalid_choice(name: &str, number: i32) -> String {
    let what = if number == 0 { "a set value" } else { "a value" };
    format!("must be {what} of {name}; got {number}")
}
