//! Command lines to paste, which continue after a failure.

use super::{args::GrantRevokeArgs, ends::EndArgs, options::ClientOptions, share::PermissionIds};

/// The command that waits until a change ends.
pub(super) fn follow(options: &ClientOptions, account: &str, change_id: &str) -> String {
    CommandLine::new("change show", options)
        .option("--account", account)
        .word(change_id)
        .word("--wait")
        .text
}

/// A grant or revoke that a command line repeats.
pub(super) struct RepeatedChange<'a> {
    pub(super) share: &'a PermissionIds,
    pub(super) args: &'a GrantRevokeArgs,
    /// The options of a grant that end the share.
    pub(super) end: Option<&'a EndArgs>,
}

/// The same grant or revoke, with the same request id.
pub(super) fn replay(verb: &str, options: &ClientOptions, repeated: &RepeatedChange<'_>, request_id: &str) -> String {
    let RepeatedChange { share, args, end } = repeated;
    let mut line = CommandLine::new(verb, options)
        .word(&format!("{}/{}/{}", share.account, share.region, share.image))
        .option("--with", &share.with);
    let end = end.iter().flat_map(|end| end.given());
    for (option, text) in args.justification.given().chain(end) {
        line = line.option(option, text);
    }
    line.option("--request-id", request_id).text
}

struct CommandLine {
    text: String,
}

impl CommandLine {
    fn new(verb: &str, options: &ClientOptions) -> Self {
        let line = Self {
            text: format!("sharewarden {verb}"),
        };
        options
            .repeated()
            .fold(line, |line, (option, value)| line.option(option, &value))
    }

    fn option(self, name: &str, value: &str) -> Self {
        if value.starts_with('-') {
            // Without the `=`, the parser would read the value as another option.
            return self.word(&format!("{name}={value}"));
        }
        self.word(name).word(value)
    }

    fn word(mut self, word: &str) -> Self {
        self.text.push(' ');
        self.text.push_str(&quote(word));
        self
    }
}

/// Quotes a word for a shell. A word with control characters gets the form `$'…'`, so that the command stays on one line.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if !word.chars().any(char::is_control) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut quoted = String::from("$'");
    for c in word.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\'' | '\\' => quoted.extend(['\\', c]),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\{:03o}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn a_quoted_word_is_one_word_to_the_shell() {
        assert_eq!(quote("wsi-0123456789"), "wsi-0123456789");
        assert_eq!(quote("http://127.0.0.1:7443/"), "http://127.0.0.1:7443/");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("it's $HOME; rm *"), r"'it'\''s $HOME; rm *'");
        assert_eq!(quote("a\nb\t'\\\u{1b}1"), r"$'a\nb\t\'\\\0331'");
    }
}
