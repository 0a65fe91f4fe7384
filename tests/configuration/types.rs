//! The keys of the configuration, read from the types in `src/config`: their names, types and doc comments.

use std::{collections::BTreeMap, fs, path::Path};

use syn::{
    Attribute, Expr, Field, Fields, GenericArgument, Item, ItemEnum, ItemStruct, Lit, Meta, PathArguments, Type,
};

/// How values of types from outside `src/config` are written.
const WRITTEN: &[(&str, &str)] = &[
    ("bool", "`true` or `false`"),
    ("u16", "number"),
    ("u32", "number"),
    ("u64", "number"),
    ("usize", "number"),
    ("f64", "number"),
    ("String", "text"),
    ("SecretString", "text"),
    ("PathBuf", "file"),
    ("Duration", "duration"),
    ("SocketAddr", "address and port"),
    ("AccountId", "text"),
    ("Region", "text"),
    ("ClaimName", "text"),
    ("PrincipalPattern", "text"),
    ("ShareWithConfig", "`\"anyone\"` or list of texts"),
];

/// A section of the file, such as `[server]` or `[[accounts]]`.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its name, such as `server.tls`.
    pub(crate) name: String,
    /// Whether it is an array of tables, written in double brackets.
    pub(crate) repeated: bool,
    /// Whether it is optional.
    pub(crate) optional: bool,
    pub(crate) description: String,
    pub(crate) keys: Vec<Key>,
}

/// A key of a section.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its full name, such as `server.tls.key`.
    pub(crate) name: String,
    pub(crate) required: bool,
    /// How its values are written.
    pub(crate) kind: String,
    pub(crate) description: String,
    /// The values of an enum, and what they mean. Empty for other types.
    pub(crate) values: Vec<(String, String)>,
}

/// All sections, in the order of the types.
pub(crate) fn sections() -> Vec<Section> {
    let types = Types::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config"));
    let mut sections = Vec::new();
    for field in named(&types.structs["Config"].fields) {
        types.section(field, "", &mut sections);
    }
    sections
}

struct Types {
    structs: BTreeMap<String, ItemStruct>,
    enums: BTreeMap<String, ItemEnum>,
}

impl Types {
    fn read(folder: &Path) -> Self {
        let mut types = Self {
            structs: BTreeMap::new(),
            enums: BTreeMap::new(),
        };
        types.read_folder(folder);
        types
    }

    fn read_folder(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).expect("src/config is a folder") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() {
                self.read_folder(&path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("a source file can be read");
            for item in syn::parse_file(&text).expect("it is Rust").items {
                match item {
                    Item::Struct(item) => drop(self.structs.insert(item.ident.to_string(), item)),
                    Item::Enum(item) => drop(self.enums.insert(item.ident.to_string(), item)),
                    _ => {}
                }
            }
        }
    }

    /// The section of a field, and the sections inside it.
    fn section(&self, field: &Field, outer: &str, sections: &mut Vec<Section>) {
        let shape = Shape::of(&field.ty);
        let item = &self.structs[shape.name.as_str()];
        let name = joined(outer, field);
        let at = sections.len();
        sections.push(Section {
            name: name.clone(),
            repeated: shape.is_list,
            optional: is_optional(field, &shape, false),
            description: documentation(&item.attrs),
            keys: Vec::new(),
        });
        let all_default = has_serde(&item.attrs, "default");
        for field in named(&item.fields) {
            if self.structs.contains_key(&Shape::of(&field.ty).name) {
                self.section(field, &name, sections);
            } else {
                let key = self.key(field, &name, all_default);
                sections[at].keys.push(key);
            }
        }
    }

    fn key(&self, field: &Field, section: &str, all_default: bool) -> Key {
        let shape = Shape::of(&field.ty);
        let name = joined(section, field);
        let values = self.values(&shape.name);
        let one = match WRITTEN.iter().find(|(name, _)| *name == shape.name) {
            Some((_, written)) => (*written).to_owned(),
            None if values.is_empty() => panic!(
                "tests/configuration/types.rs has no notation for {}, the type of {name}",
                shape.name
            ),
            None => values
                .iter()
                .map(|(value, _)| format!("`\"{value}\"`"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let kind = match (shape.is_list, shape.is_map) {
            (true, _) if values.is_empty() => format!("list of {one}s"),
            (true, _) => format!("list of {one}"),
            (_, true) => format!("table of {one}s"),
            _ => one,
        };
        Key {
            required: !is_optional(field, &shape, all_default),
            description: documentation(&field.attrs),
            name,
            kind,
            values,
        }
    }

    /// The values of an enum of `src/config`, as serde writes them.
    fn values(&self, name: &str) -> Vec<(String, String)> {
        let Some(item) = self
            .enums
            .get(name)
            .filter(|_| WRITTEN.iter().all(|(known, _)| *known != name))
        else {
            return Vec::new();
        };
        assert!(
            serde_words(&item.attrs).contains(&"rename_all = \"kebab-case\"".to_owned()),
            "{name}: only kebab-case is supported here"
        );
        let variants = item.variants.iter();
        variants
            .map(|variant| (kebab_case(&variant.ident.to_string()), documentation(&variant.attrs)))
            .collect()
    }
}

/// The type inside `Option`, `Vec` and similar types.
struct Shape {
    name: String,
    is_option: bool,
    is_list: bool,
    is_map: bool,
}

impl Shape {
    fn of(mut ty: &Type) -> Self {
        let mut shape = Self {
            name: String::new(),
            is_option: false,
            is_list: false,
            is_map: false,
        };
        loop {
            let Type::Path(path) = ty else {
                panic!("only named types are supported here")
            };
            let last = path.path.segments.last().expect("a path has a last part");
            shape.name = last.ident.to_string();
            match shape.name.as_str() {
                "Option" => shape.is_option = true,
                "Vec" | "BTreeSet" => shape.is_list = true,
                "BTreeMap" => shape.is_map = true,
                _ => return shape,
            }
            let PathArguments::AngleBracketed(arguments) = &last.arguments else {
                panic!("{} has no argument", shape.name)
            };
            ty = match arguments.args.last() {
                Some(GenericArgument::Type(ty)) => ty,
                _ => panic!("{} has no type in it", shape.name),
            };
        }
    }
}

fn joined(outer: &str, field: &Field) -> String {
    let name = field.ident.as_ref().expect("the fields have names").to_string();
    if outer.is_empty() {
        name
    } else {
        format!("{outer}.{name}")
    }
}

fn named(fields: &Fields) -> impl Iterator<Item = &Field> {
    assert!(matches!(fields, Fields::Named(_)), "the fields have names");
    fields.iter()
}

fn is_optional(field: &Field, shape: &Shape, all_default: bool) -> bool {
    all_default || shape.is_option || has_serde(&field.attrs, "default")
}

fn has_serde(attributes: &[Attribute], word: &str) -> bool {
    serde_words(attributes)
        .iter()
        .any(|found| found.split(' ').next() == Some(word))
}

/// The arguments of `#[serde(…)]`, trimmed.
fn serde_words(attributes: &[Attribute]) -> Vec<String> {
    let mut words = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute
            .parse_nested_meta(|meta| {
                let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                match meta.value() {
                    Ok(value) => match value.parse()? {
                        Lit::Str(text) => words.push(format!("{name} = {:?}", text.value())),
                        _ => panic!("serde takes texts"),
                    },
                    Err(_) => words.push(name),
                }
                Ok(())
            })
            .expect("serde's words are known here");
    }
    words
}

/// The doc comment, on one line.
fn documentation(attributes: &[Attribute]) -> String {
    let lines: Vec<_> = attributes.iter().filter_map(doc_line).collect();
    assert!(!lines.is_empty(), "every key has a doc comment");
    lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attribute.meta else {
        return None;
    };
    match &meta.value {
        Expr::Lit(literal) if meta.path.is_ident("doc") => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

fn kebab_case(name: &str) -> String {
    let mut text = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && at > 0 {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}
