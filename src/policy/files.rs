//! The files of `policy.directory`: policies and templates in Cedar, and the links of templates.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    str::FromStr,
};

use cedar_policy::{EntityUid, PolicyId, PolicySet, SlotId, Template};
use serde::Deserialize;
use toml::Spanned;

use crate::domain::with_causes;

use super::{
    lists,
    problem::{PolicyProblem, SourceText},
};

/// The file of links.
const LINKS: &str = "links.toml";

/// The annotations that a policy may have.
const ANNOTATIONS: [&str; 3] = ["id", "max_fact_age", "says"];

/// A file of a policy set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// The path, as it is shown in messages.
    pub name: String,
    /// The contents.
    pub text: String,
}

impl PolicyFile {
    /// Reads `*.cedar` and `links.toml` in the directory, in the order of their names. Other files are in the list without their
    /// text, so that a warning names them.
    ///
    /// # Errors
    /// One problem for each file that cannot be read.
    pub fn in_directory(directory: &Path) -> Result<Vec<Self>, Vec<PolicyProblem>> {
        let unreadable = |path: &Path, error: &io::Error| PolicyProblem {
            place: path.display().to_string(),
            line: None,
            rule: format!("cannot be read: {error}"),
        };
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut paths: Vec<_> = match entries {
            Ok(entries) => entries.iter().map(fs::DirEntry::path).collect(),
            Err(error) => return Err(vec![unreadable(directory, &error)]),
        };
        paths.retain(|path| !is_hidden(path));
        paths.sort();
        let (mut files, mut problems) = (Vec::new(), Vec::new());
        // A volume that is not mounted yet would leave only what the roles permit.
        if !paths.iter().any(|path| is_policy_file(path)) {
            let rule = "has no *.cedar file; leave out policy.directory to decide by roles and share_with alone";
            problems.push(PolicyProblem {
                place: directory.display().to_string(),
                line: None,
                rule: rule.into(),
            });
        }
        for path in paths {
            let text = match is_policy_file(&path) {
                true => fs::read_to_string(&path),
                false => Ok(String::new()),
            };
            match text {
                Ok(text) => files.push(Self {
                    name: path.display().to_string(),
                    text,
                }),
                Err(error) => problems.push(unreadable(&path, &error)),
            }
        }
        match problems.is_empty() {
            true => Ok(files),
            false => Err(problems),
        }
    }

    /// True for the file of links.
    pub(super) fn is_links(&self) -> bool {
        Path::new(&self.name).file_name().is_some_and(|name| name == LINKS)
    }

    pub(super) fn source(&self) -> SourceText<'_> {
        SourceText {
            name: &self.name,
            text: &self.text,
        }
    }
}

/// True for files that are left alone, with a dot in front of the name: editors and Kubernetes make them.
fn is_hidden(path: &Path) -> bool {
    file_name(path).starts_with('.')
}

/// True for the files of a directory that are read.
fn is_policy_file(path: &Path) -> bool {
    let name = file_name(path);
    name.ends_with(".cedar") || name == LINKS
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// A policy of a file.
#[derive(Debug, Clone)]
pub(super) struct WrittenPolicy {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) place: String,
    pub(super) line: usize,
}

/// A template of a file.
#[derive(Debug, Clone)]
pub(super) struct WrittenTemplate {
    pub(super) template: Template,
    pub(super) place: String,
    pub(super) line: usize,
}

/// The policies and templates of files, and the problems of their texts.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) policies: Vec<WrittenPolicy>,
    pub(super) templates: BTreeMap<String, WrittenTemplate>,
    pub(super) problems: Vec<PolicyProblem>,
    /// Files and templates that are not used.
    pub(super) warnings: Vec<PolicyProblem>,
    linked: BTreeSet<String>,
}

impl Written {
    /// Reads the policies, the templates, and then the links.
    pub(super) fn of(files: &[PolicyFile]) -> Self {
        let mut written = Self::default();
        let (used, ignored): (Vec<_>, Vec<_>) = files.iter().partition(|file| is_policy_file(Path::new(&file.name)));
        for file in used.iter().filter(|file| !file.is_links()) {
            written.read(file);
        }
        for file in used.iter().filter(|file| file.is_links()) {
            written.link(file);
        }
        written.warn(&ignored);
        written
    }

    fn warn(&mut self, ignored: &[&PolicyFile]) {
        self.warnings = ignored
            .iter()
            .map(|file| PolicyProblem {
                place: file.name.clone(),
                line: None,
                rule: format!("is not used: only *.cedar and {LINKS} are"),
            })
            .collect();
        let unlinked = self.templates.iter().filter(|(id, _)| !self.linked.contains(*id));
        self.warnings.extend(unlinked.map(|(id, template)| PolicyProblem {
            place: template.place.clone(),
            line: Some(template.line),
            rule: format!("the template {id:?} decides nothing: {LINKS} has no link of it"),
        }));
    }

    fn read(&mut self, file: &PolicyFile) {
        let source = file.source();
        let set = match PolicySet::from_str(&file.text) {
            Ok(set) => set,
            Err(errors) => return self.problems.extend(source.parse_errors(&errors)),
        };
        let mut policies: Vec<_> = set.policies().collect();
        policies.sort_by_key(|policy| policy.as_ref().loc().map(|place| place.span.offset()));
        for policy in policies {
            let at = policy.as_ref().loc().map_or(0, |place| place.span.offset());
            let (Some(id), Some(text)) = (self.id(source, at, policy.annotations()), policy.to_cedar()) else {
                continue;
            };
            self.policies.push(WrittenPolicy {
                id,
                text,
                place: file.name.clone(),
                line: source.line(at),
            });
        }
        for template in set.templates() {
            let at = template.as_ref().loc().map_or(0, |place| place.span.offset());
            let Some(id) = self.id(source, at, template.annotations()) else {
                continue;
            };
            let written = WrittenTemplate {
                template: template.new_id(PolicyId::new(&id)),
                place: file.name.clone(),
                line: source.line(at),
            };
            if let Some(first) = self.templates.get(&id) {
                let rule = format!("the template {id:?} is also in {}:{}", first.place, first.line);
                self.problems.push(source.problem(at, rule));
            } else {
                self.templates.insert(id, written);
            }
        }
    }

    /// The id of a policy. Without a usable one, there is a problem.
    fn id<'a>(
        &mut self,
        source: SourceText<'_>,
        at: usize,
        annotations: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<String> {
        let annotations: BTreeMap<_, _> = annotations.collect();
        for unknown in annotations.keys().filter(|name| !ANNOTATIONS.contains(name)) {
            let rule = format!("the annotation @{unknown} is unknown: @id, @says and @max_fact_age are known");
            self.problems.push(source.problem(at, rule));
        }
        let rule = match annotations.get("id") {
            None => "the policy has no @id".to_owned(),
            Some(id) => match id_problem(id) {
                None => return Some((*id).to_owned()),
                Some(rule) => rule,
            },
        };
        self.problems.push(source.problem(at, rule));
        None
    }

    fn link(&mut self, file: &PolicyFile) {
        let source = file.source();
        let links = match toml::from_str::<Links>(&file.text) {
            Ok(links) => links.links,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                return self.problems.push(source.problem(at, error.message().to_owned()));
            }
        };
        for link in links {
            let at = link.span().start;
            self.linked.insert(link.get_ref().template.clone());
            match self.linked(link.into_inner()) {
                Ok((id, text)) => self.policies.push(WrittenPolicy {
                    id,
                    text,
                    place: file.name.clone(),
                    line: source.line(at),
                }),
                Err(rule) => self.problems.push(source.problem(at, rule)),
            }
        }
    }

    /// The id and the text of the policy that a link makes.
    fn linked(&self, link: Link) -> Result<(String, String), String> {
        if let Some(rule) = id_problem(&link.id) {
            return Err(rule);
        }
        let template = self.templates.get(&link.template);
        let template = template.ok_or_else(|| format!("no file has a template with the id {:?}", link.template))?;
        let mut values = Vec::new();
        for (slot, value) in [
            (SlotId::principal(), link.principal),
            (SlotId::resource(), link.resource),
        ] {
            if let Some(value) = value {
                let entity = EntityUid::from_str(&value).map_err(|error| {
                    format!("{value} is not an entity such as Sharewarden::Account::\"111122223333\": {error}")
                })?;
                values.push((slot, entity));
            }
        }
        let mut set = PolicySet::new();
        let id = PolicyId::new(&link.id);
        set.add_template(template.template.clone())
            .map_err(|error| error.to_string())?;
        set.link(template.template.id().clone(), id.clone(), values.into_iter().collect())
            .map_err(|error| with_causes(&error))?;
        let policy = set.policy(&id).ok_or("the link makes no policy")?;
        let mut json = policy.to_json().map_err(|error| error.to_string())?;
        json["annotations"]["id"] = link.id.clone().into();
        if let Some(says) = link.says {
            json["annotations"]["says"] = says.into();
        }
        let policy = cedar_policy::Policy::from_json(Some(id), json).map_err(|error| error.to_string())?;
        let text = policy.to_cedar().ok_or("the link has an open slot")?;
        Ok((link.id, text))
    }
}

/// The file of links.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Links {
    #[serde(default)]
    links: Vec<Spanned<Link>>,
}

/// A link: the values of a template's slots.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    template: String,
    id: String,
    says: Option<String>,
    principal: Option<String>,
    resource: Option<String>,
}

/// Why the text cannot be the id of a policy in a file. Ids are labels of metrics.
fn id_problem(id: &str) -> Option<String> {
    let is_of_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=100).contains(&id.len()) || !id.bytes().all(is_of_id) {
        return Some(format!(
            "the @id {id:?} must have 1 to 100 letters, digits, hyphens, underscores and dots"
        ));
    }
    let reserved = [lists::ROLES, lists::ACCOUNTS]
        .into_iter()
        .find(|prefix| id.starts_with(prefix));
    reserved.map(|prefix| format!("the @id {id:?} begins with {prefix}, as policies of the configuration do"))
}
