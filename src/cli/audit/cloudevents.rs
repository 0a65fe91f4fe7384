//! An entry as a CloudEvents 1.0 JSON event. Its type is derived from the kind and the schema, such as
//! `sharewarden.change.requested.v1`, so unknown kinds have one too. Its data is the canonical text, byte for byte.

use serde_json::{Value, json};

use super::canonical::CanonicalEntry;

/// One event, on one line.
pub(super) fn event(origin: &str, line: &CanonicalEntry, canonical: &str) -> String {
    let context = json!({
        "specversion": "1.0",
        "id": format!("{}/{}", line.account_id, line.log_index),
        "source": source(origin),
        "type": format!("sharewarden.{}.v{}", line.kind, line.schema),
        "subject": subject(line),
        "time": line.recorded_at,
        "datacontenttype": "application/json",
    });
    let context = Value::to_string(&context);
    format!("{},\"data\":{canonical}}}", context.trim_end_matches('}'))
}

/// The share of the entry; the account, for an entry without a share.
fn subject(line: &CanonicalEntry) -> String {
    let share = ["region", "image_id", "shared_account_id"].map(|name| line.body.text(name));
    if share.iter().any(|part| part.is_empty()) {
        return line.account_id.clone();
    }
    share.join("/")
}

/// The origin of the ledger as a URI reference (RFC 3986). An origin is a URL without its scheme, so this is a network path.
fn source(origin: &str) -> String {
    let mut source = String::from("//");
    for byte in origin.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b'/' | b':' => source.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => source.push(byte.into()),
            byte => source.push_str(&format!("%{byte:02X}")),
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use super::source;

    #[test]
    fn a_source_is_a_uri_reference_whatever_the_name_of_the_key() {
        assert_eq!(
            source("example.com/audit/012345678901"),
            "//example.com/audit/012345678901"
        );
        assert_eq!(source("é?#/1"), "//%C3%A9%3F%23/1");
    }
}
