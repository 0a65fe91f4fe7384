//! Messages as proto3 JSON. The generated code writes times with the offset `+00:00`, but the JSON mapping requires `Z`.

use serde::Serialize;
use serde_json::Value;

/// A message as a JSON value.
pub(super) fn value(message: &impl Serialize) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(message)?;
    write_times_with_z(&mut value);
    Ok(value)
}

fn write_times_with_z(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(write_times_with_z),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    // All times of the API, and no other members, have a name with this ending.
                    Value::String(text) if name.ends_with("Time") => {
                        if let Some(time) = text.strip_suffix("+00:00") {
                            *text = format!("{time}Z");
                        }
                    }
                    member => write_times_with_z(member),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
