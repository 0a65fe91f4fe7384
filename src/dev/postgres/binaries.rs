//! Finds the binaries of an installed Postgres, the highest version first.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::Error;

/// Where packages install the binaries of each version: a folder, the prefix of the names in it, and the rest of the path. For
/// Debian and Ubuntu, Red Hat, Homebrew on Apple silicon, Homebrew on Intel.
const INSTALL_PATHS: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
];

/// The variable that names the folder of the binaries to use, in the place of installed ones.
const FOLDER: &str = "SHAREWARDEN_POSTGRES_BIN";

/// `initdb` and `postgres` of one version.
#[derive(Debug)]
pub(super) struct Binaries {
    initdb: PathBuf,
    postgres: PathBuf,
    major: u32,
}

impl Binaries {
    /// Finds binaries with the version of the cluster, or the highest version for a new cluster.
    pub(super) fn find(cluster: Option<(&Path, u32)>) -> Result<Self, Error> {
        let found = match chosen_folder() {
            Some(folder) => vec![Self::in_folder(&folder).ok_or(Error::NoBinariesIn { folder })?],
            None => installed(),
        };
        let majors: Vec<String> = found.iter().map(|binaries| binaries.major.to_string()).collect();
        let fits = |binaries: &Self| cluster.is_none_or(|(_, major)| binaries.major == major);
        match (found.into_iter().find(fits), cluster) {
            (Some(binaries), _) => Ok(binaries),
            (None, Some((folder, folder_version))) if !majors.is_empty() => Err(Error::Version {
                folder: folder.to_owned(),
                folder_version,
                found: majors.join(", "),
            }),
            (None, _) => Err(Error::NoBinaries),
        }
    }

    pub(super) fn initdb(&self) -> &Path {
        &self.initdb
    }

    pub(super) fn postgres(&self) -> &Path {
        &self.postgres
    }

    /// Such as `PostgreSQL 15 (/usr/lib/postgresql/15/bin)`; without the folder if the search path has it.
    pub(super) fn name(&self) -> String {
        match self.postgres.parent() {
            Some(folder) if folder != Path::new("") => format!("PostgreSQL {} ({})", self.major, folder.display()),
            _ => format!("PostgreSQL {}", self.major),
        }
    }

    /// Both programs of a folder, if they run and have the same version. An empty path means the search path.
    fn in_folder(folder: &Path) -> Option<Self> {
        let (initdb, postgres) = (folder.join("initdb"), folder.join("postgres"));
        let major = major_version_of(&initdb)?;
        (major_version_of(&postgres)? == major).then_some(Self {
            initdb,
            postgres,
            major,
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests choose the version with it, and have no command line"
)]
fn chosen_folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER)
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
}

/// All installed binaries, the preferred ones first.
fn installed() -> Vec<Binaries> {
    let mut found: Vec<Binaries> = INSTALL_PATHS.iter().flat_map(installed_under).collect();
    found.sort_by_key(|binaries| std::cmp::Reverse(binaries.major));
    found.extend(
        Command::new("pg_config")
            .arg("--bindir")
            .output()
            .ok()
            .and_then(|output| Binaries::in_folder(Path::new(String::from_utf8_lossy(&output.stdout).trim()))),
    );
    found.extend(Binaries::in_folder(Path::new("")));
    found
}

fn installed_under((folder, start, rest): &(&str, &str, &str)) -> Vec<Binaries> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .filter_map(|entry| Binaries::in_folder(&entry.path().join(rest)))
        .collect()
}

/// The major version that a program prints, such as 15 for `initdb (PostgreSQL) 15.13 (Debian 15.13-1)`.
fn major_version_of(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    major_version_in(&String::from_utf8_lossy(&output.stdout))
}

fn major_version_in(text: &str) -> Option<u32> {
    let version = text.split("(PostgreSQL) ").nth(1)?;
    let digits = version
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(version.len());
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::major_version_in;

    #[test]
    fn the_major_version_is_read_from_the_version_output() {
        assert_eq!(major_version_in("initdb (PostgreSQL) 15.13 (Debian 15.13-1)"), Some(15));
        assert_eq!(major_version_in("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_version_in("something else"), None);
    }
}
