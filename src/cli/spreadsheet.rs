//! CSV (RFC 4180) that is safe to open in a spreadsheet.
//!
//! A spreadsheet reads a text as a formula if it begins with `=`, `+`, `-`, `@`, a tab or a carriage return. Callers write some
//! texts (reasons, tickets), so such a text gets a `'` in front, as OWASP advises. JSON has the text unchanged.

use super::failure::{Exit, Failure};

/// One record, with its final CR LF.
pub(super) fn line<S: AsRef<str>>(fields: impl IntoIterator<Item = S>) -> Result<String, Failure> {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    let fields: Vec<String> = fields.into_iter().map(|field| escape_formula(field.as_ref())).collect();
    let written = writer.write_record(&fields).map_err(|error| error.to_string());
    let bytes = written.and_then(|()| writer.into_inner().map_err(|error| error.to_string()));
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).map_err(|error| error.to_string()));
    text.map_err(|error| {
        let what = format!("the answer cannot be written as CSV: {error}");
        Failure::new(Exit::General, what, "use -o json")
    })
}

fn escape_formula(field: &str) -> String {
    match field.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{field}"),
        _ => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn fields_are_quoted_as_in_rfc_4180_and_formulas_are_escaped() {
        let fields = ["plain", "a,b", "say \"x\"", "two\nlines", "=1+1", "-2", ""];
        assert_eq!(
            line(fields).unwrap(),
            "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",'=1+1,'-2,\r\n"
        );
    }
}
