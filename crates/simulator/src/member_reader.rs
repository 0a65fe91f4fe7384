//! Reads the members of an AWS JSON 1.1 request as strictly as AWS.
//!
//! A member of the wrong JSON type fails at once (SerializationException). All other violations are collected and
//! reported together by [`MemberReader::finish`] (ValidationException). Until `finish` succeeds, a value with a
//! violation is a placeholder. `null` means absent. Unknown members are ignored, as by AWS.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use crate::{api_error::ApiError, text_rule::TextRule};

pub(super) struct MemberReader<'a> {
    object: &'a Map<String, Value>,
    violations: Vec<String>,
}

/// Parses a body, which must be a JSON object.
pub(super) fn parse(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ApiError::serialization(
            "Start of structure or map found where not expected.",
        )),
        Err(error) => Err(ApiError::serialization(format!("The request is not JSON: {error}"))),
    }
}

impl<'a> MemberReader<'a> {
    pub(super) fn new(object: &'a Map<String, Value>) -> Self {
        Self {
            object,
            violations: Vec::new(),
        }
    }

    /// Succeeds if there were no violations.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        let count = self.violations.len();
        if count == 0 {
            return Ok(());
        }
        let plural = if count == 1 { "" } else { "s" };
        let message = format!(
            "{count} validation error{plural} detected: {}",
            self.violations.join("; ")
        );
        Err(ApiError::new("ValidationException", message))
    }

    /// True if the member is present.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The member must be present. For members that are read as optional.
    pub(super) fn require(&mut self, name: &str) {
        let value = self.get(name).map(|_| ());
        self.required(name, value);
    }

    pub(super) fn text(&mut self, name: &str, rule: &TextRule) -> Result<Option<String>, ApiError> {
        let text = self.string(name)?;
        text.iter().for_each(|text| self.check_text(name, text, rule));
        Ok(text.map(str::to_owned))
    }

    pub(super) fn required_text(&mut self, name: &str, rule: &TextRule) -> Result<String, ApiError> {
        let text = self.text(name, rule)?;
        Ok(self.required(name, text))
    }

    pub(super) fn required_flag(&mut self, name: &str) -> Result<bool, ApiError> {
        let flag = match self.get(name) {
            None => None,
            Some(Value::Bool(flag)) => Some(*flag),
            Some(other) => return Err(wrong_type(name, "true or false", other)),
        };
        Ok(self.required(name, flag))
    }

    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, ApiError> {
        let number = match self.get(name) {
            None => return Ok(None),
            Some(value) => value.as_i64().ok_or_else(|| wrong_type(name, "an integer", value))?,
        };
        if number < *range.start() {
            self.violation(name, &number.to_string(), &bound("value greater", range.start()));
        }
        if number > *range.end() {
            self.violation(name, &number.to_string(), &bound("value less", range.end()));
        }
        Ok(Some(number))
    }

    /// A time in Unix seconds, with or without a fraction.
    pub(super) fn time(&mut self, name: &str) -> Result<Option<OffsetDateTime>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let seconds = value.as_f64().and_then(Duration::checked_seconds_f64);
        seconds
            .and_then(|seconds| OffsetDateTime::UNIX_EPOCH.checked_add(seconds))
            .map(Some)
            .ok_or_else(|| wrong_type(name, "a time in Unix seconds", value))
    }

    pub(super) fn choice(&mut self, name: &str, choices: &[&str]) -> Result<Option<String>, ApiError> {
        let text = self.string(name)?;
        text.iter().for_each(|text| self.check_choice(name, text, choices));
        Ok(text.map(str::to_owned))
    }

    pub(super) fn required_choice(&mut self, name: &str, choices: &[&str]) -> Result<String, ApiError> {
        let choice = self.choice(name, choices)?;
        Ok(self.required(name, choice))
    }

    /// A list of strings that match a rule.
    pub(super) fn texts(
        &mut self,
        name: &str,
        lengths: RangeInclusive<usize>,
        rule: &TextRule,
    ) -> Result<Option<Vec<String>>, ApiError> {
        let texts = self.strings(name, lengths)?;
        for text in texts.iter().flatten() {
            self.check_text(name, text, rule);
        }
        Ok(texts)
    }

    /// A list of enum values.
    pub(super) fn choices(
        &mut self,
        name: &str,
        lengths: RangeInclusive<usize>,
        choices: &[&str],
    ) -> Result<Option<Vec<String>>, ApiError> {
        let texts = self.strings(name, lengths)?;
        for text in texts.iter().flatten() {
            self.check_choice(name, text, choices);
        }
        Ok(texts)
    }

    /// A list of structures, each read by `read`.
    pub(super) fn structures(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut MemberReader<'a>) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        for (index, item) in self.list(name)?.into_iter().flatten().enumerate() {
            let Value::Object(object) = item else {
                return Err(wrong_type(name, "a list of structures", item));
            };
            let mut inner = MemberReader::new(object);
            read(&mut inner)?;
            let place = format!("at '{}.{}.member.", lower_first(name), index + 1);
            self.violations.extend(
                inner
                    .violations
                    .into_iter()
                    .map(|text| text.replacen("at '", &place, 1)),
            );
        }
        Ok(())
    }

    fn strings(&mut self, name: &str, lengths: RangeInclusive<usize>) -> Result<Option<Vec<String>>, ApiError> {
        let Some(list) = self.list(name)? else { return Ok(None) };
        if list.len() < *lengths.start() {
            self.violation(name, "[]", &bound("length greater", lengths.start()));
        }
        if list.len() > *lengths.end() {
            self.violation(name, "[...]", &bound("length less", lengths.end()));
        }
        let texts: Option<Vec<_>> = list.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        texts
            .map(Some)
            .ok_or_else(|| ApiError::serialization(format!("{name} must be a list of strings.")))
    }

    fn string(&self, name: &str) -> Result<Option<&'a str>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(name, "a string", other)),
        }
    }

    fn list(&self, name: &str) -> Result<Option<&'a Vec<Value>>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(wrong_type(name, "a list", other)),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn required<T: Default>(&mut self, name: &str, value: Option<T>) -> T {
        if value.is_none() {
            self.violations.push(format!(
                "Value null at '{}' failed to satisfy constraint: Member must not be null",
                lower_first(name)
            ));
        }
        value.unwrap_or_default()
    }

    fn check_text(&mut self, name: &str, text: &str, rule: &TextRule) {
        let length = text.chars().count();
        if length < rule.shortest {
            self.violation(name, text, &bound("length greater", &rule.shortest));
        }
        if length > rule.longest {
            self.violation(name, text, &bound("length less", &rule.longest));
        }
        if !rule.matches(text) {
            self.violation(
                name,
                text,
                &format!("Member must satisfy regular expression pattern: {}", rule.shown),
            );
        }
    }

    fn check_choice(&mut self, name: &str, text: &str, choices: &[&str]) {
        if !choices.contains(&text) {
            self.violation(
                name,
                text,
                &format!("Member must satisfy enum value set: [{}]", choices.join(", ")),
            );
        }
    }

    fn violation(&mut self, name: &str, value: &str, constraint: &str) {
        let value: String = value.chars().take(256).collect();
        self.violations.push(format!(
            "Value '{value}' at '{}' failed to satisfy constraint: {constraint}",
            lower_first(name)
        ));
    }
}

fn bound(what: &str, limit: &impl ToString) -> String {
    format!("Member must have {what} than or equal to {}", limit.to_string())
}

fn wrong_type(name: &str, expected: &str, found: &Value) -> ApiError {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a structure",
    };
    ApiError::serialization(format!("{name} must be {expected}, but is {found}."))
}

/// AWS's messages spell member names with a small first letter.
fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}
