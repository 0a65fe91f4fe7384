//! Bodies of the simulator's own API: JSON, or a form as `curl -d name=value` sends it.
//!
//! The Content-Type does not matter: `curl -d` always names a form.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{fault::Fault, image::ImageState};

/// The members of `when`, which are all texts.
const FILTER: [&str; 5] = ["operation", "account", "region", "image", "shared_account"];
/// The members of a fault beside `when` and `effect`, which are all numbers.
const FAULT: [&str; 4] = ["skip", "calls", "share", "seed"];
/// The members of an effect that are texts.
const EFFECT_TEXTS: [&str; 4] = ["kind", "moment", "code", "message"];

pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// In a form, the members of `when` and of `effect` stand beside the others: `kind=throttle&calls=2`. `behind_changes` and
/// `behind_milliseconds` stand for the member `behind`.
pub(super) fn fault(body: &[u8]) -> Result<Fault, String> {
    if is_json(body) {
        return json(body);
    }
    let (mut filter, mut fault, mut effect) = (Map::new(), Map::new(), Map::new());
    for (name, value) in form(body)? {
        if FILTER.contains(&name.as_str()) {
            filter.insert(name, value.into());
        } else if FAULT.contains(&name.as_str()) {
            fault.insert(name, number(value));
        } else if EFFECT_TEXTS.contains(&name.as_str()) {
            effect.insert(name, value.into());
        } else if let Some(unit) = name.strip_prefix("behind_") {
            effect.insert("behind".to_owned(), json!({unit: number(value)}));
        } else {
            effect.insert(name, number(value));
        }
    }
    fault.insert("when".to_owned(), filter.into());
    fault.insert("effect".to_owned(), effect.into());
    serde_json::from_value(fault.into()).map_err(|error| error.to_string())
}

/// The tags of an image by key.
pub(super) fn tags(body: &[u8]) -> Result<BTreeMap<String, String>, String> {
    if is_json(body) { json(body) } else { form(body) }
}

/// A state with or without the quotes of JSON.
pub(super) fn state(body: &[u8]) -> Result<ImageState, String> {
    let text = String::from_utf8_lossy(body);
    let name = text.trim().trim_matches('"');
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

fn is_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
}

fn form(body: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let mut members = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(body.trim_ascii()).into_owned() {
        if let Some(earlier) = members.insert(name.clone(), value) {
            return Err(format!("{name} is given twice; the first value is {earlier:?}"));
        }
    }
    Ok(members)
}

/// A number if the text is one. Otherwise the text, for the message that says what is expected.
fn number(text: String) -> Value {
    match serde_json::from_str(&text) {
        Ok(Value::Number(number)) => number.into(),
        _ => text.into(),
    }
}
