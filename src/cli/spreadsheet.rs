//! CSV (RFC 4180) that is safe to open in a spreadsheet.
//!
//! A spreadsheet reads a text as a formula if `=`, `+`, `-` or `@` is its first character, also behind white space or as the
//! full-width form. Callers write some texts (reasons, tickets), so such a text gets a `'` in front, as OWASP advises. A text
//! that begins with `'` gets another one. So a program that removes one `'` from the front of a field has the text again.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

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

/// True for characters in front of a formula that a spreadsheet may skip.
fn is_skipped(c: char) -> bool {
    c.is_whitespace() || c.is_control() || c.general_category() == GeneralCategory::Format
}

fn escape_formula(field: &str) -> String {
    let first = field.chars().find(|c| !is_skipped(*c));
    let begins_with_space = field.starts_with(['\t', '\r', '\n']);
    match first {
        Some('=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠') => format!("'{field}"),
        _ if begins_with_space || field.starts_with('\'') => format!("'{field}"),
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

    #[test]
    fn one_quote_removed_from_the_front_of_an_escaped_field_gives_the_text() {
        let formulas = [
            "=1",
            "\n=1",
            " \t+1",
            "\u{feff}@x",
            "＝1",
            "－1",
            "\u{200b}＋1",
            "\r\nx",
            "'=1",
            "'",
            "''x",
        ];
        for text in formulas {
            assert_eq!(super::escape_formula(text), format!("'{text}"), "{text:?}");
        }
        for text in ["a=1", "it's", "1-2", "中", "", " x"] {
            assert_eq!(super::escape_formula(text), text);
        }
    }
}
