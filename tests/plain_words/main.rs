//! Holds comments, documents and messages to plain words: the phrases that are not wanted, with the better form, the length of
//! a sentence and of a line, doc comments that only repeat a name, and type names that mean two things.
//!
//! `texts.rs` finds the texts: comments and messages of Rust, and the prose of every other file.

#![allow(clippy::unwrap_used, reason = "tests fail so")]

mod texts;

use std::collections::BTreeMap;

use texts::{File, Text, TextKind};

/// The longest sentence of a comment or a document, in words. An inline piece of code counts as one word.
const MAX_SENTENCE_WORDS: usize = 40;

/// The longest line of a comment or a document, in columns. Rows of tables and lines that are one link are exempt.
const MAX_LINE_COLUMNS: usize = 130;

/// Phrases that are not wanted, in lower case, as whole words, and what to write in their place.
const UNWANTED: &[(&str, &str)] = &[
    ("so many", "the number: `at most N`, `maximum`"),
    ("so long", "the duration: `for N s`, `timeout`"),
    ("these many", "the number"),
    ("that which", "the noun"),
    ("of which", "a second sentence"),
    ("for who", "`for the next caller`: name the person or the part"),
    ("to who", "`to the caller`: name the person or the part"),
    ("by who", "`by the caller`: name the person or the part"),
    ("than who", "name the person or the part"),
    ("whoever", "`anyone who`, or name the person"),
    ("is looked for", "`X searches for …`, `X looks up …`"),
    ("are looked for", "`X searches for …`, `X looks up …`"),
    ("to be had", "`available`"),
    ("is to be had", "`is available`"),
    ("begins to speak", "`sends the HTTP/2 preface`"),
    ("begin to speak", "`send the HTTP/2 preface`"),
    ("not so that", "a second sentence"),
    ("patiently", "`blocking`, `with retries`"),
    ("distrusted", "`authentication failed`"),
    ("in vain", "`without success`"),
    ("cannot be told from", "`looks the same as`"),
];

#[test]
fn no_text_has_an_unwanted_phrase() {
    let mut found = Vec::new();
    for file in texts::files() {
        for text in file.texts() {
            let words = normal(&text.words);
            for (phrase, better) in UNWANTED {
                if words.contains(&format!(" {phrase} ")) {
                    found.push(format!("{}: \"{phrase}\": write {better}", text.place(&file)));
                }
            }
        }
    }
    nothing(&found);
}

#[test]
fn no_sentence_and_no_line_is_too_long() {
    let mut found = Vec::new();
    for file in texts::files() {
        for text in file.texts().iter().filter(|text| text.kind != TextKind::Message) {
            for sentence in sentences(&text.words) {
                let words = sentence.split_whitespace().count();
                if words > MAX_SENTENCE_WORDS {
                    let begin: Vec<_> = sentence.split_whitespace().take(8).collect();
                    let begin = begin.join(" ");
                    found.push(format!(
                        "{}: a sentence of {words} words (at most {MAX_SENTENCE_WORDS}): \"{begin} …\"",
                        text.place(&file)
                    ));
                }
            }
        }
        for (line, columns) in file.long_lines(MAX_LINE_COLUMNS) {
            found.push(format!(
                "{}:{line}: {columns} columns (at most {MAX_LINE_COLUMNS})",
                file.path.display()
            ));
        }
    }
    nothing(&found);
}

#[test]
fn no_doc_comment_only_repeats_the_name() {
    let mut found = Vec::new();
    for file in texts::files().iter().filter(|file| file.is_rust()) {
        for (line, item, doc) in file.documented_items() {
            let name = words_of_name(&item);
            let doc: Vec<_> = normal(&doc)
                .split_whitespace()
                .filter(|word| !["the", "a", "an", "of", "this", "its", "is"].contains(word))
                .map(String::from)
                .collect();
            if !doc.is_empty() && doc.iter().all(|word| name.contains(word)) {
                found.push(format!(
                    "{}:{line}: the doc of `{item}` only repeats its name",
                    file.path.display()
                ));
            }
        }
    }
    nothing(&found);
}

/// A name may stand for two types where the module of each says so: its first lines have the name in backticks. `Error` is an
/// idiom, `module::Error`.
#[test]
fn a_type_name_is_unique_or_its_module_says_why_not() {
    let mut types: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for file in texts::files().iter().filter(|file| file.is_product()) {
        let module = file.module_doc();
        for (line, name) in file.types().into_iter().filter(|(_, name)| name != "Error") {
            let said = module.contains(&format!("`{name}`"));
            let place = format!("{}:{line}", file.path.display());
            types.entry(name).or_default().push((place, said));
        }
    }
    let twice = types.iter().filter(|(_, places)| places.len() > 1);
    let found: Vec<_> = twice
        .flat_map(|(name, places)| {
            let unsaid = places.iter().filter(|(_, said)| !said);
            unsaid.map(move |(place, _)| {
                format!("{place}: `{name}` is a type elsewhere too, and the module does not say why")
            })
        })
        .collect();
    nothing(&found);
}

fn nothing(found: &[String]) {
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
}

/// Lower case, and single spaces in the place of all that is no letter or digit; with a space at both ends.
fn normal(text: &str) -> String {
    let letters = text
        .to_lowercase()
        .replace(|letter: char| !letter.is_alphanumeric(), " ");
    let words: Vec<_> = letters.split_whitespace().collect();
    format!(" {} ", words.join(" "))
}

/// A sentence ends with `.`, `!` or `?` before white space.
fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut begin = 0;
    for (at, _) in text.match_indices(['.', '!', '?']) {
        let end = at + 1;
        if text[end..]
            .trim_start_matches([')', '"', '*', '_', '”'])
            .starts_with(char::is_whitespace)
        {
            sentences.push(&text[begin..end]);
            begin = end;
        }
    }
    sentences.push(&text[begin..]);
    sentences
}

/// `MaxOpenStreams` and `max_open_streams` are `max`, `open`, `streams`.
fn words_of_name(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() {
            words.push(String::new());
        }
        if letter != '_' {
            words.last_mut().unwrap().extend(letter.to_lowercase());
        }
    }
    words
}

#[test]
fn the_texts_of_a_source_are_found() {
    let source = "//! Module.\n\n/// Says `x`,\n/// and more.\nfn f<'a>() { g('\"', \"a \\\" message\"); } // why\nlet s = r#\"raw \"s\"\"#;\n";
    let texts = File::rust(source).texts();
    let found: Vec<_> = texts
        .iter()
        .map(|Text { line, words, .. }| (*line, words.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            (1, "Module."),
            (3, "Says CODE, and more."),
            (5, "a \\\" message"),
            (5, "why"),
            (6, "raw \"s\"")
        ]
    );
    assert_eq!(sentences("One (two.) Three? Four 0.5 five").len(), 3);
    assert_eq!(words_of_name("MaxOpen_streams"), ["", "max", "open", "streams"]);
}
