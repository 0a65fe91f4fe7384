//! The service with a folder of policies that permits every grant of the bench: made for `examples/policies/policies`.
//!
//! The policies name groups, and permit grants in working hours only. So the configuration has those groups, and the
//! service runs in a process of this bench, with a clock that shows a Monday morning.

use std::{fmt::Write, path::Path};

use sharewarden::{
    clock::Clock,
    config::Config,
    server::{self, Server},
    workspaces::BaseCredentials,
};
use time::Weekday;

use crate::{stack::account, workloads::PRINCIPAL};

/// The configuration of the policies and their groups, for this number of accounts that own images.
pub(crate) fn config(directory: &Path, accounts: usize) -> String {
    let directory = directory.canonicalize().unwrap();
    let mut text = format!("policy.directory = {directory:?}\n");
    let mut group = |name: &str, kind: &str, members: Vec<String>| {
        write!(text, "[[groups]]\nname = {name:?}\n{kind} = {members:?}\n").unwrap();
    };
    group("pipelines", "principals", vec![PRINCIPAL.into()]);
    group("partner-desk", "principals", vec!["svc-partner-desk".into()]);
    group("image-factory", "accounts", (0..accounts).map(account).collect());
    group("partners", "accounts", vec!["777788889999".into()]);
    text
}

/// Serves as `sharewarden serve` does, on the next Monday.
pub(crate) async fn serve(config: &str) {
    let shutdown = server::shutdown_signal().unwrap();
    let config = Config::from_toml(&std::fs::read_to_string(config).unwrap()).unwrap();
    let telemetry = server::init_telemetry(&config).unwrap();
    let listener = server::listen(config.server.listen).await.unwrap();
    let credentials = BaseCredentials::Environment;
    let server = Server::build_measured(&config, credentials, on_monday(), listener, telemetry.metrics())
        .await
        .unwrap();
    tracing::info!(address = %server.address(), "serving");
    server.run(shutdown).await.unwrap();
    telemetry.end().await;
}

fn on_monday() -> Clock {
    let now = Clock::system().now().to_offset_date_time();
    let monday = now.date().next_occurrence(Weekday::Monday);
    let ahead = monday.with_hms(10, 0, 0).unwrap().assume_utc() - now;
    Clock::system_off_by(ahead.whole_seconds().try_into().unwrap())
}
