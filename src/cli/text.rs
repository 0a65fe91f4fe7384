//! Escapes text of other parties for a terminal.

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

/// True for control characters, and for marks that change the direction of the text after them.
fn controls_terminal(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
