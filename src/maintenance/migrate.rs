//! `migrate`: brings the schema of the database to the version of this program.

use std::time::Duration;

use serde_json::json;

use super::{BoxError, ConfigOptions, ResultPrinter};
use crate::server;

pub(super) async fn migrate(options: &ConfigOptions, results: ResultPrinter) -> Result<(), BoxError> {
    let (config, telemetry) = options.begin()?;
    let mut migrations = 0;
    let migrated = server::migrate(&config, &mut |step| {
        let (version, name) = (step.version, step.name);
        // A step is told before it begins, because it may take long. A reader that has gone does not stop it.
        let _ = match step.took {
            None => results.text(format_args!("migration {version} ({name}): ")),
            Some(took) => {
                migrations += 1;
                let migration = json!({ "version": version.to_string(), "name": name, "took": format!("{:.3}s", took.as_secs_f64()) });
                let told = results.json(&json!({ "migration": migration }));
                told.and_then(|()| results.text(format_args!("{}\n", humantime::format_duration(whole_milliseconds(took)))))
            }
        };
    })
    .await;
    telemetry.end().await;
    let created = migrated?;
    results.json(&json!({ "databaseCreated": created, "migrationsApplied": migrations }))?;
    results.text(match (created, migrations) {
        (true, count) => format!("created the database, and applied {count} migrations\n"),
        (false, 0) => "nothing to do: the database has the schema of this program\n".to_owned(),
        (false, count) => format!("applied {count} migrations\n"),
    })?;
    Ok(())
}

fn whole_milliseconds(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
