//! Text from elsewhere, made fit for a terminal.

/// Escapes control characters, which could command the terminal; line feeds are kept where the place has many lines.
pub(super) fn lines(text: &str) -> String {
    escape(text, |c| c == '\n')
}

/// The same for places that hold one line: every run of white space becomes one space.
pub(super) fn one_line(text: &str) -> String {
    escape(&text.split_whitespace().collect::<Vec<_>>().join(" "), |_| false)
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push(' '),
            c if keep(c) || !commands_terminal(c) => out.push(c),
            c => out.extend(c.escape_unicode()),
        }
    }
    out
}

/// Control characters, and the marks that change the direction of the text after them.
fn commands_terminal(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
