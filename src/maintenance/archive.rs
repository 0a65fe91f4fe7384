//! `audit archive`: moves old months of the history from the database into files.

use std::path::PathBuf;

use serde_json::json;

use super::{BoxError, ConfigOptions, ResultPrinter};
use crate::{
    archive::{ArchivePlan, Event, Month},
    cli::{Console, ProgressMeter},
    server,
    store::archive::Detached,
};

/// The arguments of `audit archive`.
#[derive(Debug, clap::Args)]
pub struct ArchiveOptions {
    #[command(flatten)]
    config: ConfigOptions,
    /// Archive the months before this one (UTC), such as 2026-07; at most the current month
    #[arg(long, value_name = "MONTH")]
    before: Month,
    /// Write the files to this folder, in one folder for each month
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// The location of the files that queries report, such as s3://bucket/audit [default: the folder of --to]
    #[arg(long, value_name = "URL")]
    location: Option<String>,
    /// Drop the tables of the archived months [default: detach and keep them]
    #[arg(long)]
    drop: bool,
}

pub(super) async fn archive(
    options: ArchiveOptions,
    results: ResultPrinter,
    console: &Console<'_>,
) -> Result<(), BoxError> {
    let (config, telemetry) = options.config.begin()?;
    let plan = ArchivePlan {
        before: options.before,
        to: options.to,
        location: options.location,
        then: if options.drop {
            Detached::Dropped
        } else {
            Detached::Kept
        },
    };
    let (mut months, mut progress) = (0, None);
    let done = server::archive(&config, &plan, |event| {
        let result = match &event {
            Event::Begun { steps, .. } => {
                let meter = progress.insert(ProgressMeter::of_steps(console, &event.to_string()));
                meter.total(*steps);
                return;
            }
            Event::Advanced { done } => {
                progress.iter().for_each(|meter| meter.done(*done));
                return;
            }
            Event::Written { file, entries } => {
                json!({ "fileWritten": { "file": file.display().to_string(), "entries": entries.to_string() } })
            }
            Event::Archived { month, entries } => {
                months += 1;
                json!({ "monthArchived": { "month": month.to_string(), "entries": entries.to_string() } })
            }
        };
        progress = None;
        // A reader that has gone does not stop the work.
        let _ = results.json(&result);
        results.note(&event);
    })
    .await;
    drop(progress);
    telemetry.end().await;
    done?;
    results.json(&json!({ "monthsArchived": months }))?;
    if months == 0 {
        results.note(format_args!("there is no month before {} to archive", plan.before));
    }
    Ok(())
}
