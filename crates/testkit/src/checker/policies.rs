//! The policy sets of a trial. Each replica has a directory of its own, whose file is replaced again and again.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use fastrand::Rng;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::{fleet::Fleet, history::PolicyReplica, infrastructure_faults::EventCounts, setup};

/// Maximum time until all replicas have the last set in force.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The policy of the set that refuses nothing.
const ANYTHING: &str = "trial-anything";

/// A file of policies that is written during a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrialSet {
    name: &'static str,
    text: String,
}

impl TrialSet {
    fn new(name: &'static str, policies: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (id, policy) in policies {
            writeln!(text, "@id(\"{id}\")\n{policy}\n").unwrap();
        }
        Self { name, text }
    }

    fn ids(&self) -> BTreeSet<String> {
        let after_quotes = self.text.split("@id(\"").skip(1);
        let ids = after_quotes.filter_map(|rest| rest.split('"').next());
        ids.map(str::to_owned).collect()
    }
}

fn permissive() -> TrialSet {
    TrialSet::new(
        "nothing refused",
        &[(ANYTHING, "permit (principal, action, resource);")],
    )
}

/// Sets that refuse something. The role bindings of the configuration permit what they do not forbid.
fn refusing() -> Vec<TrialSet> {
    let grant = "principal, action == Sharewarden::Action::\"grant\"";
    let [one, other] = setup::RECIPIENTS;
    let image = setup::IMAGES[1].1;
    vec![
        TrialSet::new(
            "no grants",
            &[("trial-no-grants", &format!("forbid ({grant}, resource);"))],
        ),
        TrialSet::new(
            "not to one recipient",
            &[(
                "trial-recipient",
                &format!(
                    "forbid ({grant}, resource)\nwhen {{ context.recipient == Sharewarden::Account::\"{one}\" }};"
                ),
            )],
        ),
        TrialSet::new(
            "not one image",
            &[(
                "trial-image",
                &format!("forbid ({grant}, resource == Sharewarden::Image::\"{image}\");"),
            )],
        ),
        TrialSet::new(
            "with a ticket",
            &[(
                "trial-ticket",
                &format!("forbid ({grant}, resource)\nunless {{ context has ticket }};"),
            )],
        ),
        TrialSet::new(
            "with an end",
            &[(
                "trial-end",
                &format!("forbid ({grant}, resource)\nunless {{ context has end }};"),
            )],
        ),
        TrialSet::new(
            "not evaluable for one recipient",
            &[(
                "trial-fails",
                &format!(
                    "forbid ({grant}, resource)\nwhen {{ context.recipient == Sharewarden::Account::\"{other}\" && \
                     context.weekday + 9223372036854775807 > 0 }};"
                ),
            )],
        ),
        TrialSet::new(
            "no revokes for one recipient",
            &[(
                "trial-no-revokes",
                &format!(
                    "forbid (principal, action == Sharewarden::Action::\"revoke\", resource)\n\
                     when {{ context.recipient == Sharewarden::Account::\"{one}\" }};"
                ),
            )],
        ),
    ]
}

/// A file that no replica may use: nothing is called so.
fn broken() -> TrialSet {
    TrialSet::new(
        "(broken)",
        &[
            ("trial-broken", "permit (principal, action, resource);"),
            (
                "trial-unknown-word",
                "forbid (principal, action, resource)\nwhen { context.moon == \"full\" };",
            ),
        ],
    )
}

/// The ids of the policies of each set that may be in force.
pub fn valid() -> BTreeSet<BTreeSet<String>> {
    let sets = refusing().into_iter().chain([permissive()]);
    sets.map(|set| set.ids()).collect()
}

/// The directories of the replicas.
#[derive(Clone, Debug)]
pub struct PolicyDirectories(Vec<PathBuf>);

impl PolicyDirectories {
    /// Makes a directory for each replica, with the set that refuses nothing.
    pub fn new(folder: &Path, replicas: usize) -> Self {
        let directories = (0..replicas).map(|number| folder.join(format!("policies-{number}")));
        let made = Self(directories.collect());
        made.0
            .iter()
            .for_each(|directory| fs::create_dir_all(directory).unwrap());
        made.permit_everything();
        made
    }

    pub fn of(&self, replica: usize) -> &Path {
        &self.0[replica]
    }

    /// Replaces the sets of replicas at random, until `stop`.
    pub async fn change(self, mut rng: Rng, written: EventCounts, stop: CancellationToken) {
        let (permissive, broken, sets) = (permissive(), broken(), refusing());
        loop {
            let quiet = Duration::from_millis(rng.u64(100..1_500));
            tokio::select! {
                () = tokio::time::sleep(quiet) => {}
                () = stop.cancelled() => return,
            }
            let set = match rng.u32(..12) {
                0..3 => &permissive,
                // A replica that starts meanwhile ends at once.
                3 => &broken,
                _ => &sets[rng.usize(..sets.len())],
            };
            let all = rng.u32(..6) == 0;
            let one = rng.usize(..self.0.len());
            for (number, directory) in self.0.iter().enumerate() {
                if all || number == one {
                    write(directory, set);
                    written.count(set.name);
                }
            }
        }
    }

    /// Writes the set that refuses nothing for all replicas.
    pub fn permit_everything(&self) {
        self.0.iter().for_each(|directory| write(directory, &permissive()));
    }
}

/// Replaces the file at one moment, so that no half of it is read.
fn write(directory: &Path, set: &TrialSet) {
    let half_written = directory.join("trial.new");
    fs::write(&half_written, &set.text).unwrap();
    fs::rename(half_written, directory.join("trial.cedar")).unwrap();
}

/// Waits until all replicas have the set in force that refuses nothing.
pub async fn until_everything_is_permitted(fleet: &Fleet, database: &mut PgConnection, complaints: &mut Vec<String>) {
    let permitted = async {
        loop {
            let digest: Option<String> =
                sqlx::query_scalar("SELECT digest FROM policy_set WHERE position($1 IN text) > 0")
                    .bind(format!("\"{ANYTHING}\":"))
                    .fetch_optional(&mut *database)
                    .await
                    .unwrap();
            let is_in_force = |replica: &PolicyReplica| {
                let last = replica.events.last().and_then(|event| event.kind.set());
                last.is_some() && last == digest.as_deref()
            };
            if fleet.iter().all(|place| is_in_force(&place.policies.borrow())) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(TIMEOUT, permitted).await.is_err() {
        complaints.push(format!(
            "after healing, a policy set was not in force after {TIMEOUT:?}"
        ));
    }
}
