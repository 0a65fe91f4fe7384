//! CSV (RFC 4180) that is safe to open in a spreadsheet.
//!
//! A spreadsheet takes a text for a formula that begins with `=`, `+`, `-`, `@`, a tab or a carriage return, and callers write
//! some of these texts (reasons, tickets). They get a `'` in front, as OWASP advises; JSON has them as they are.

use super::failure::{Exit, Failure};

/// One line, with the CR LF at its end.
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
        Failure::new(Exit::General, what, "take -o json")
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
    fn fields_are_quoted_as_rfc_4180_says_and_formulas_are_texts() {
        let fields = ["plain", "a,b", "say \"x\"", "two\nlines", "=1+1", "-2", ""];
        assert_eq!(
            line(fields).unwrap(),
            "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",'=1+1,'-2,\r\n"
        );
    }
}
