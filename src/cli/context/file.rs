//! The file of contexts: read with the line of each mistake, and changed without the loss of its comments.

use std::{
    fs, io,
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;
use toml_edit::{Document, DocumentMut, Item, Table, TableLike, Value};

use super::Context;
use crate::cli::{
    failure::{Exit, Failure},
    options::parse,
};

/// The key that names the context in use.
const CURRENT: &str = "current_context";
/// The key of the contexts, each with its settings.
const CONTEXTS: &str = "contexts";

/// The contexts of a file.
#[derive(Debug, Default)]
pub(in crate::cli) struct ContextFile {
    /// The name of the context in use.
    pub(in crate::cli) current: Option<String>,
    /// The contexts, in the order of the file.
    pub(in crate::cli) contexts: Vec<Context>,
}

impl ContextFile {
    /// Reads a file; `None` if it does not exist.
    pub(in crate::cli) fn read(path: &Path) -> Result<Option<Self>, Failure> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failure(path, None, &format!("cannot be read: {error}"))),
        };
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
            failure(path, Some(line), "is not UTF-8")
        })?;
        let parsed = Self::parse(path, &text);
        let line = |at: Option<Range<usize>>| at.map(|at| 1 + text[..at.start.min(text.len())].matches('\n').count());
        parsed
            .map(Some)
            .map_err(|Mistake { at, what }| failure(path, line(at), &what))
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Mistake> {
        let document = Document::parse(text).map_err(|error| Mistake {
            at: error.span(),
            what: one_sentence(error.message()),
        })?;
        let mut file = Self::default();
        for (key, item) in document.iter() {
            match key {
                CURRENT => file.current = Some(in_item(CURRENT, item, name)?),
                CONTEXTS => {
                    for (name, settings) in table(CONTEXTS, item)?.iter() {
                        file.contexts.push(context(path, name, settings)?);
                    }
                }
                _ => return Err(unknown(key, item, &[CURRENT, CONTEXTS])),
            }
        }
        Ok(file)
    }

    /// The context with this name.
    pub(in crate::cli) fn context(&self, name: &str) -> Option<&Context> {
        self.contexts.iter().find(|context| context.name == name)
    }
}

/// Makes a context the one in use.
pub(super) fn set_current(path: &Path, name: &str) -> Result<(), Failure> {
    change(path, |document| {
        set(document.as_table_mut(), CURRENT, name);
    })
}

/// Sets settings of a context, and makes it if it does not exist.
pub(super) fn set_settings(path: &Path, name: &str, settings: &[(&'static str, String)]) -> Result<(), Failure> {
    change(path, |document| {
        let contexts = subtable(document.as_table_mut(), CONTEXTS);
        if let Some(context) = contexts.and_then(|contexts| subtable(contexts, name)) {
            settings.iter().for_each(|(key, value)| set(context, key, value));
        }
    })
}

/// A table inside a table. A table that has only tables needs no line of its own.
fn subtable<'a>(table: &'a mut dyn TableLike, key: &str) -> Option<&'a mut dyn TableLike> {
    let mut empty = Table::new();
    empty.set_implicit(key == CONTEXTS);
    table.entry(key).or_insert(Item::Table(empty)).as_table_like_mut()
}

/// Sets a value. The comments before it and on its line stay.
fn set(table: &mut dyn TableLike, key: &str, text: &str) {
    let mut value = Value::from(text);
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

/// Changes the file, which is then complete or as before. Makes it if it does not exist.
fn change(path: &Path, edit: impl FnOnce(&mut DocumentMut)) -> Result<(), Failure> {
    // Reading finds a mistake in the file before it is changed.
    let exists = ContextFile::read(path)?.is_some();
    let write = || -> io::Result<()> {
        // A link to a file in another folder stays a link.
        let path = if exists {
            fs::canonicalize(path)?
        } else {
            path.to_owned()
        };
        let text = if exists {
            fs::read_to_string(&path)?
        } else {
            String::new()
        };
        let mut document: DocumentMut = text.parse().map_err(io::Error::other)?;
        edit(&mut document);
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = NamedTempFile::new_in(folder)?;
        file.write_all(document.to_string().as_bytes())?;
        file.persist(&path)?;
        Ok(())
    };
    write().map_err(|error| failure(path, None, &format!("cannot be written: {error}")))
}

/// A mistake in the file, and where it is.
struct Mistake {
    at: Option<Range<usize>>,
    what: String,
}

fn context(path: &Path, key: &str, settings: &Item) -> Result<Context, Mistake> {
    let full = format!("{CONTEXTS}.{key}");
    let named = name(key).map_err(|rule| Mistake {
        at: settings.span(),
        what: format!("{full}: {rule}"),
    })?;
    let mut context = Context {
        name: named,
        ..Context::default()
    };
    let file = |text: &str| match text {
        "" => Err("must name a file; it is empty".to_owned()),
        text => Ok(path.parent().unwrap_or(Path::new("")).join(text)),
    };
    for (key, item) in table(&full, settings)?.iter() {
        let full = format!("{full}.{key}");
        match key {
            "server" => context.server = Some(in_item(&full, item, parse::server)?),
            "principal" => context.principal = Some(in_item(&full, item, parse::principal)?),
            "tls_ca" => context.tls_ca = Some(in_item(&full, item, file)?),
            "tls_certificate" => context.tls_certificate = Some(in_item(&full, item, file)?),
            "tls_key" => context.tls_key = Some(in_item(&full, item, file)?),
            "token_file" => context.token_file = Some(in_item(&full, item, file)?),
            "account" => context.account = Some(in_item(&full, item, parse::id)?),
            "region" => context.region = Some(in_item(&full, item, parse::id)?),
            _ => return Err(unknown(&full, item, &Context::KEYS)),
        }
    }
    Ok(context)
}

/// The rule for names of contexts: they are words of command lines.
pub(in crate::cli) fn name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(is_plain) && !text.starts_with('-') {
        return Ok(text.to_owned());
    }
    Err("the name of a context must be 1 to 64 ASCII letters, digits, dots, hyphens and underscores, without a hyphen in front".to_owned())
}

fn in_item<T>(key: &str, item: &Item, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, Mistake> {
    let mistake = |rule: String| Mistake {
        at: item.span(),
        what: format!("{key}: {rule}"),
    };
    let text = item
        .as_str()
        .ok_or_else(|| mistake(format!("must be a text in quotes; it is {}", a(item.type_name()))))?;
    parse(text).map_err(mistake)
}

fn table<'a>(key: &str, item: &'a Item) -> Result<&'a dyn TableLike, Mistake> {
    item.as_table_like().ok_or_else(|| Mistake {
        at: item.span(),
        what: format!("{key}: must be a table; it is {}", a(item.type_name())),
    })
}

fn unknown(key: &str, item: &Item, known: &[&str]) -> Mistake {
    Mistake {
        at: item.span(),
        what: format!("{key}: this key does not exist; the keys here are {}", known.join(", ")),
    }
}

fn a(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {noun}")
}

fn one_sentence(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn failure(path: &Path, line: Option<usize>, what: &str) -> Failure {
    let place = match line {
        Some(line) => format!("{}, line {line}: ", path.display()),
        None => format!("{} ", path.display()),
    };
    Failure::new(Exit::Invalid, format!("{place}{what}"), "correct the file of contexts")
}

/// The file of contexts, or the reason why there is none.
pub(in crate::cli) fn path(file: Option<&PathBuf>) -> Result<&Path, Failure> {
    file.map(PathBuf::as_path).ok_or_else(|| {
        let hint = "set SHAREWARDEN_CONFIG_FILE, XDG_CONFIG_HOME or HOME";
        Failure::new(
            Exit::Invalid,
            "the environment names no place for the file of contexts",
            hint,
        )
    })
}
