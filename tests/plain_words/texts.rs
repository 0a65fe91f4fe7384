//! The texts of the repository: which files there are, and what in them is prose.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders without prose of ours: builds, generated data, and what others wrote.
const NOT_OURS: &[&str] = &["target", ".git", ".sqlx", "node_modules", "proptest-regressions"];

/// How a line comment begins, by the extension of the file's name.
const LINE_COMMENTS: &[(&str, &str)] = &[
    ("rs", "//"),
    ("proto", "//"),
    ("go", "//"),
    ("sql", "--"),
    ("toml", "#"),
    ("yaml", "#"),
    ("yml", "#"),
    ("py", "#"),
    ("sh", "#"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextKind {
    Comment,
    Document,
    /// A string literal of Rust.
    Message,
}

/// A paragraph, or a message.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) kind: TextKind,
    /// The number of its first line.
    pub(crate) line: usize,
    /// Its lines, joined. A piece of inline code is `CODE`.
    pub(crate) words: String,
}

impl Text {
    pub(crate) fn place(&self, file: &File) -> String {
        format!("{}:{}", file.path.display(), self.line)
    }
}

pub(crate) struct File {
    /// From the root of the repository.
    pub(crate) path: PathBuf,
    content: String,
}

/// Every file with prose.
pub(crate) fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !NOT_OURS.contains(&name.as_str()) {
                    folders.push(path);
                }
                continue;
            }
            let inside = path.strip_prefix(root).unwrap().to_owned();
            // This test names what is not wanted.
            if inside.starts_with("tests/plain_words") || name == "Cargo.lock" {
                continue;
            }
            let extension = extension(&path);
            if extension == "md" || LINE_COMMENTS.iter().any(|(known, _)| *known == extension) {
                let content = fs::read_to_string(&path).unwrap();
                files.push(File { path: inside, content });
            }
        }
    }
    assert!(files.len() > 300, "the files were found");
    files
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().into_owned()
}

impl File {
    #[cfg(test)]
    pub(crate) fn rust(content: &str) -> Self {
        Self {
            path: PathBuf::from("one.rs"),
            content: content.to_owned(),
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        extension(&self.path) == "rs"
    }

    /// Rust of what is shipped or of the packages, without tests.
    pub(crate) fn is_product(&self) -> bool {
        let path = self.path.to_string_lossy();
        let test = path.ends_with("tests.rs") || path.contains("/tests/");
        self.is_rust() && !test && (path.starts_with("src/") || path.starts_with("crates/"))
    }

    /// Paragraphs and messages, in order.
    pub(crate) fn texts(&self) -> Vec<Text> {
        if extension(&self.path) == "md" {
            return paragraphs(self.content.lines().enumerate(), TextKind::Document);
        }
        if !self.is_rust() {
            return paragraphs(self.comment_lines().into_iter(), TextKind::Comment);
        }
        let pieces = rust_pieces(&self.content);
        let mut texts = Vec::new();
        let mut comment: Vec<(usize, &str)> = Vec::new();
        for (index, (line, text)) in pieces.iter().enumerate() {
            match text {
                Piece::Comment(text) => comment.push((*line, text)),
                Piece::Literal(text) => texts.push(Text {
                    kind: TextKind::Message,
                    line: line + 1,
                    words: joined(text),
                }),
            }
            let next = pieces.get(index + 1);
            let goes_on = matches!(next, Some((next, Piece::Comment(_))) if *next == line + 1);
            if !goes_on {
                texts.extend(paragraphs(comment.drain(..), TextKind::Comment));
            }
        }
        texts
    }

    fn comment_lines(&self) -> Vec<(usize, &str)> {
        let extension = extension(&self.path);
        let mark = LINE_COMMENTS.iter().find(|(known, _)| *known == extension);
        let mark = mark.map(|(_, mark)| *mark).unwrap_or("#");
        let mut lines = Vec::new();
        for (number, line) in self.content.lines().enumerate() {
            let line = line.trim_start();
            let text = line.strip_prefix(mark).unwrap_or_default();
            lines.push((number, text.trim_start_matches(mark.chars().next().unwrap_or('#'))));
        }
        lines
    }

    /// Lines of comments and documents that are longer than `max_columns`, with their lengths.
    pub(crate) fn long_lines(&self, max_columns: usize) -> Vec<(usize, usize)> {
        let is_document = extension(&self.path) == "md";
        let comment = ["//", "--", "#"];
        let long = self.content.lines().enumerate().filter(|(_, line)| {
            let text = line.trim_start();
            let prose = is_document || comment.iter().any(|mark| text.starts_with(mark));
            let exempt = text.starts_with('|') || !text.trim_start_matches(['/', '-', '#', ' ']).contains(' ');
            prose && !exempt && line.chars().count() > max_columns
        });
        let mut fenced = Fence::default();
        let fenced_lines: Vec<_> = self.content.lines().map(|line| fenced.holds(line)).collect();
        long.filter(|(number, _)| !(is_document && fenced_lines[*number]))
            .map(|(number, line)| (number + 1, line.chars().count()))
            .collect()
    }

    /// The lines with `//!`.
    pub(crate) fn module_doc(&self) -> String {
        let lines = self.content.lines().take_while(|line| line.starts_with("//!"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Types that are declared at the top of the file: line and name.
    pub(crate) fn types(&self) -> Vec<(usize, String)> {
        let lines = self.content.lines().enumerate();
        lines
            .filter(|(_, line)| !line.starts_with(char::is_whitespace))
            .filter_map(|(number, line)| Some((number + 1, declared(line, &["struct", "enum", "trait", "type"])?)))
            .collect()
    }

    /// Public items with one line of documentation: line, name, documentation.
    pub(crate) fn documented_items(&self) -> Vec<(usize, String, String)> {
        let lines: Vec<_> = self.content.lines().map(str::trim_start).collect();
        let mut items = Vec::new();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("pub ")) {
            let above = lines[..number].iter().rev().skip_while(|line| line.starts_with("#["));
            let docs: Vec<_> = above.map_while(|line| line.strip_prefix("///")).collect();
            let keywords = ["struct", "enum", "trait", "type", "fn", "const", "mod"];
            let name = declared(line, &keywords).or_else(|| field(line));
            if let (Some(name), [doc]) = (name, docs.as_slice()) {
                items.push((number + 1, name, (*doc).to_owned()));
            }
        }
        items
    }
}

/// The name after one of the keywords.
fn declared(line: &str, keywords: &[&str]) -> Option<String> {
    let mut words = line
        .split_whitespace()
        .filter(|word| !word.starts_with("pub") && !["const", "async"].contains(word));
    let keyword = words.next()?;
    let name = words.next().filter(|_| keywords.contains(&keyword))?;
    Some(
        name.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
            .next()?
            .to_owned(),
    )
}

/// `pub name: Type` declares a field.
fn field(line: &str) -> Option<String> {
    let (name, _) = line.strip_prefix("pub ")?.split_once(": ")?;
    name.chars()
        .all(|letter| letter.is_alphanumeric() || letter == '_')
        .then(|| name.to_owned())
}

/// Are we inside a block of code? Both fences count as inside.
#[derive(Default)]
struct Fence(bool);

impl Fence {
    fn holds(&mut self, line: &str) -> bool {
        let mark = line.trim_start().starts_with("```");
        let held = self.0 || mark;
        self.0 ^= mark;
        held
    }
}

/// Joins lines into paragraphs. An empty line, a row of a table, a heading and an item of a list begin a new one.
fn paragraphs<'a>(lines: impl Iterator<Item = (usize, &'a str)>, kind: TextKind) -> Vec<Text> {
    let mut texts: Vec<Text> = Vec::new();
    let mut fence = Fence::default();
    let mut open = false;
    for (number, line) in lines {
        let line = line.trim();
        if fence.holds(line) || line.is_empty() {
            open = false;
            continue;
        }
        let numbered = line
            .split_once(". ")
            .is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        let item = numbered || ["- ", "* ", "#", "|", "> "].iter().any(|mark| line.starts_with(mark));
        match texts.last_mut().filter(|_| open && !item) {
            Some(text) => {
                text.words.push(' ');
                text.words.push_str(line);
            }
            None => texts.push(Text {
                kind,
                line: number + 1,
                words: line.to_owned(),
            }),
        }
        open = !line.starts_with(['|', '#']);
    }
    for text in &mut texts {
        text.words = without_code(&text.words);
    }
    // The cells of a row are texts of their own, and so end a sentence.
    for text in texts.iter_mut().filter(|text| text.words.starts_with('|')) {
        text.words = text.words.replace('|', " . ");
    }
    texts
}

fn without_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(index, part)| if index % 2 == 1 { "CODE" } else { part })
        .collect()
}

fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

enum Piece<'a> {
    Comment(&'a str),
    Literal(&'a str),
}

/// The comments and the string literals of a source, with the numbers of their lines from 0.
fn rust_pieces(source: &str) -> Vec<(usize, Piece<'_>)> {
    let bytes = source.as_bytes();
    let mut pieces = Vec::new();
    let (mut at, mut line) = (0, 0);
    while at < bytes.len() {
        let rest = &source[at..];
        let begun = line;
        let length = if rest.starts_with("//") {
            let length = rest.find('\n').unwrap_or(rest.len());
            let text = rest[..length].trim_start_matches('/').trim_start_matches('!');
            pieces.push((begun, Piece::Comment(text)));
            length
        } else if let Some((begin, end, length)) = literal(rest) {
            pieces.push((begun, Piece::Literal(&rest[begin..end])));
            length
        } else {
            other(rest)
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    pieces
}

/// Where the text of a string literal at the beginning of `rest` begins and ends, and how long the literal is.
fn literal(rest: &str) -> Option<(usize, usize, usize)> {
    if let Some(raw) = rest.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let begin = 1 + hashes + 1;
            let close = format!("\"{}", "#".repeat(hashes));
            let end = begin + rest[begin..].find(&close)?;
            return Some((begin, end, end + close.len()));
        }
    }
    if !rest.starts_with('"') {
        return None;
    }
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            '"' if !escaped => return Some((1, at, at + 1)),
            _ => escaped = letter == '\\' && !escaped,
        }
    }
    None
}

/// How long the next piece of code is: a character literal, a name, or one character.
fn other(rest: &str) -> usize {
    let mut letters = rest.chars();
    let first = letters.next().map_or(1, char::len_utf8);
    if let Some(escaped) = rest.strip_prefix("'\\") {
        return escaped.find('\'').map_or(first, |end| 2 + end.max(1) + 1);
    }
    if rest.starts_with('\'') {
        let (inner, close) = (letters.next(), letters.next());
        return match (inner, close) {
            (Some(inner), Some('\'')) => 2 + inner.len_utf8(),
            _ => first,
        };
    }
    let name = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    name.unwrap_or(rest.len()).max(first)
}
