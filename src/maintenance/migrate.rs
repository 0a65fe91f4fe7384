//! `migrate` brings the schema of the database to the version of this program. `finalize` ends an upgrade.

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
                let migration =
                    json!({ "version": version, "name": name, "took": format!("{:.3}s", took.as_secs_f64()) });
                let told = results.json(&json!({ "migration": migration }));
                told.and_then(|()| {
                    results.text(format_args!(
                        "{}\n",
                        humantime::format_duration(whole_milliseconds(took))
                    ))
                })
            }
        };
    })
    .await;
    telemetry.end().await;
    let (created, installation) = migrated?;
    results
        .json(&json!({ "databaseCreated": created, "migrationsApplied": migrations, "installation": installation }))?;
    results.text(match (created, migrations) {
        (true, count) => format!("created the database, and applied {count} migrations\n"),
        (false, 0) => "nothing to do: the database has the migrations of this program\n".to_owned(),
        (false, count) => format!("applied {count} migrations\n"),
    })?;
    results.text(format_args!("{installation}\n"))?;
    Ok(())
}

pub(super) async fn finalize(options: &ConfigOptions, results: ResultPrinter) -> Result<(), BoxError> {
    let (config, telemetry) = options.begin()?;
    let finalized = server::finalize(&config).await;
    telemetry.end().await;
    let (before, now) = finalized?;
    results.json(&json!({ "wasFinalized": before.is_finalized(), "installation": now }))?;
    results.text(match before.is_finalized() {
        true => "nothing to do: the database is finalized\n".to_owned(),
        false => format!(
            "finalized: builds before {} may not use the database any more\n",
            now.oldest_build
        ),
    })?;
    results.text(format_args!("{now}\n"))?;
    Ok(())
}

fn whole_milliseconds(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
