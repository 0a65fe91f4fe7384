//! Escapes text of other parties for a terminal.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Escapes control characters, which could control the terminal. Keeps line feeds, for places with several lines.
pub(super) fn lines(text: &str) -> String {
    escape(text, |c| c == '\n')
}

/// Escapes control characters and replaces each run of white space with one space, for places with one line.
pub(super) fn one_line(text: &str) -> String {
    escape(&text.split_whitespace().collect::<Vec<_>>().join(" "), |_| false)
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(' '),
            c if keep(c) || !controls_terminal(c) => out.push(c),
            c => out.extend(c.escape_unicode()),
        }
    }
    out
}

/// True for characters that a terminal obeys instead of showing them: control characters, format characters (which change the
/// direction of text, join or hide it), and the separators of lines and paragraphs.
fn controls_terminal(c: char) -> bool {
    matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    )
}

#[cfg(test)]
mod tests {
    use super::{lines, one_line};

    #[test]
    fn a_character_that_a_terminal_obeys_is_escaped() {
        let obeyed = (0..=0x0010_ffff).filter_map(char::from_u32).filter(|c| {
            c.is_control()
                || matches!(u32::from(*c), 0xad | 0x061c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x2064 | 0x2066..=0x206f
                    | 0xfeff | 0xfff9..=0xfffb | 0xe0001 | 0xe0020..=0xe007f)
        });
        for c in obeyed {
            let text = format!("a{c}b");
            assert!(!one_line(&text).contains(c), "{c:?}");
            assert!(c == '\n' || !lines(&text).contains(c), "{c:?}");
        }
        assert_eq!(one_line("left\u{61c}right"), "left\\u{61c}right");
        assert_eq!(lines("two\nlines of übung 🎉"), "two\nlines of übung 🎉");
    }
}
