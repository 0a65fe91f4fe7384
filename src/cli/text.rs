//! Escapes text of other parties for a terminal, and fits text into columns.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_width::UnicodeWidthStr;

/// Escapes control characters, which could control the terminal. Keeps line feeds, for places with several lines.
pub fn lines(text: &str) -> String {
    escape(text, |c| c == '\n')
}

/// Escapes control characters and replaces each run of white space with one space, for places with one line.
pub fn one_line(text: &str) -> String {
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

/// The longest start of the text that is at most this number of columns wide.
fn start(text: &str, width: usize) -> &str {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = ends.take_while(|end| text[..*end].width() <= width).last();
    &text[..end.unwrap_or(0)]
}

/// The text, cut to this number of columns with `ellipsis` at its end.
pub(super) fn cut(text: &str, width: usize, ellipsis: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let kept = start(text, width.saturating_sub(ellipsis.width()));
    format!("{}{}", kept.trim_end(), start(ellipsis, width))
}

/// An ASCII id, cut to this number of columns: its start, `ellipsis`, and its last 4 characters.
pub(super) fn cut_middle(id: &str, width: usize, ellipsis: &str) -> String {
    let last = id.len().saturating_sub(4);
    if id.width() <= width || !id.is_ascii() || width < ellipsis.width() + 8 {
        return cut(id, width, ellipsis);
    }
    format!("{}{ellipsis}{}", &id[..width - ellipsis.width() - 4], &id[last..])
}

/// The lines of a text, wrapped between words to this number of columns. A longer word has its own line and is not divided.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut wrapped = Vec::new();
    for line in text.split('\n') {
        let mut current = String::new();
        for word in line.split_inclusive(' ') {
            if !current.is_empty() && current.width() + word.trim_end().width() > width {
                wrapped.push(std::mem::take(&mut current).trim_end().to_owned());
            }
            current.push_str(word);
        }
        wrapped.push(current.trim_end().to_owned());
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::{cut, cut_middle, lines, one_line, wrap};

    #[test]
    fn a_cut_text_is_never_wider_than_its_column() {
        assert_eq!(cut("a long text", 11, "…"), "a long text");
        assert_eq!(cut("a long text", 7, "…"), "a long…");
        assert_eq!(cut("a long text", 8, "…"), "a long…");
        // Wide characters take two columns, accents none.
        assert_eq!(cut("画像の説明", 10, "…"), "画像の説明");
        assert_eq!(cut("画像の説明", 6, "…"), "画像…");
        assert_eq!(cut("e\u{301}e\u{301}e\u{301}e\u{301}", 3, "…"), "e\u{301}e\u{301}…");
        assert_eq!(cut("text", 2, "..."), "..");
        assert_eq!(cut("text", 0, "…"), "");
        assert_eq!(
            cut_middle("01987654-3210-7000-8000-000000000001", 13, "…"),
            "01987654…0001"
        );
        assert_eq!(
            cut_middle("01987654-3210-7000-8000-000000000001", 13, "..."),
            "019876...0001"
        );
        assert_eq!(cut_middle("short", 13, "…"), "short");
    }

    #[test]
    fn a_text_wraps_between_words_only() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(
            wrap("a wsi-0123456789 b\n\nc", 4),
            ["a", "wsi-0123456789", "b", "", "c"]
        );
        assert_eq!(wrap("画像の 説明", 9), ["画像の", "説明"]);
    }

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
